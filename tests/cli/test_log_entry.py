"""One slot on one line, and whole in JSON."""

from __future__ import annotations

import msgspec

from replog.apply.submissions import Commands, OpenSession
from replog.cli.log_entry import PREVIEW_CHARACTERS, entry_fields, entry_line, preview
from replog.paxos.ballot import NodeId
from replog.paxos.membership import Membership
from replog.paxos.values import NO_OP, Batch, encode_value

TIME_MS = 1_700_000_000_120


def batch(*submissions: bytes) -> bytes:
    return encode_value(Batch(TIME_MS, list(submissions)))


def commands(*payloads: bytes) -> bytes:
    return msgspec.msgpack.encode(Commands(7, 1, 1, list(payloads), bytes(16)))


def test_a_batch_says_when_how_many_and_begins_with_its_first_command() -> None:
    """A person sees log time, the number of commands and what the first one is."""
    value = batch(commands(b"put a=1", b"put b=2"))
    assert entry_line(1204311, value) == (
        f"  1,204,311  2023-11-14T22:13:20.120Z  batch       2 commands, {len(value)} bytes  put a=1"
    )


def test_a_no_op_and_a_membership_are_told_apart() -> None:
    """What the log holds beside commands has its own line."""
    assert entry_line(2, NO_OP).split() == ["2", "-", "no-op"]
    membership = encode_value(Membership(version=3, voters=(NodeId(1), NodeId(2), NodeId(3))))
    assert "membership  version 3, voters n1, n2, n3" in entry_line(3, membership)


def test_opening_a_session_and_malformed_bytes_are_shown() -> None:
    """Whatever was ordered is printed; unreadable bytes are no error of the reader."""
    value = batch(msgspec.msgpack.encode(OpenSession(bytes(16))), b"\xc1")
    assert "malformed, open session" in entry_line(5, value)


def test_a_slot_that_holds_no_value_is_shown() -> None:
    """Every replica skips it, and so does whoever reads the log."""
    assert "malformed" in entry_line(5, b"\xc1")
    assert entry_fields(5, b"\x93\x01")["kind"] == "malformed"


def test_json_holds_every_command_whole() -> None:
    """A program gets session, sequence and payloads, none of them cut."""
    payload = b"x" * 500
    fields = entry_fields(9, batch(commands(payload, b"\x00")))
    assert (fields["slot"], fields["kind"], fields["time_ms"]) == (9, "batch", TIME_MS)
    assert fields["submissions"][0]["first_sequence"] == 1
    assert fields["submissions"][0]["payloads"] == [payload, b"\x00"]


def test_a_preview_never_breaks_a_line() -> None:
    """Control characters and binary are shown in hex, and nothing is longer than the line has room for."""
    assert preview(b"two\nlines") == b"two\nlines".hex()
    assert preview(b"\xff\x00") == "ff00"
    assert len(preview(b"long " * 100)) == PREVIEW_CHARACTERS
