"""The stream of a snapshot: what is refused though every digest in it is right, and how early damage is told."""

from __future__ import annotations

from pathlib import Path

import pytest

from replog.errors import Damaged
from replog.paxos.ballot import Slot
from replog.state.rows import seal
from replog.state.snapshot import STREAM_VERSION, Begin, Body, End, Rows, decode_frame, encode_frame
from replog.state.store import LmdbStateStore

from .state_cases import STEP_BYTES, contents

NAME = b"i" * 16
BEGIN = Begin(STREAM_VERSION, NAME, Slot(9))


def rows(tree: int, *pairs: tuple[bytes, bytes]) -> Rows:
    """Rows as they are stored."""
    return Rows(tree, [(key, seal(min(tree, 1), key[:511], value)) for key, value in pairs])


DATA = rows(0, (b"a", b"1"), (b"b", b"2"))
RECORDS = rows(1, (b"meta", b"m"))
END = End((2, 1))
GOLDEN = (
    "000000176bd46554a81fb84e1e363df206a26e339e69a68b94a16203c410696969696969696969696969696969690900000"
    "01b722578dd63db73fa5fb98233faa61f6bfddc153693a172009292c40161c40531ce333c7b92c40162c40532a3688b5c00"
    "0000135059363c918727b52cf5c09bf92d025856bc73f493a172019192c4046d657461c4056df6355d6c00000006353bf08"
    "4de06d3873c8e5919f8bbca0ac3ed985f92a165920201"
)


def stream(*bodies: Body) -> bytes:
    """Frames with the right digests."""
    digest = NAME
    frames = []
    for body in bodies:
        frame, digest = encode_frame(body, digest)
        frames.append(frame)
    return b"".join(frames)


def install(path: Path, data: bytes) -> LmdbStateStore:
    """A new store into which ``data`` was received."""
    store = LmdbStateStore.open(path, map_step_bytes=STEP_BYTES)
    store.begin_install(NAME)
    store.install_chunk(0, data)
    return store


def test_a_stream_in_the_right_order_is_a_state(tmp_path: Path) -> None:
    """What the other tests of this file take something away from."""
    store = install(tmp_path / "state", stream(BEGIN, DATA, RECORDS, END))
    store.finish_install(Slot(9))
    assert contents(store) == ({b"a": b"1", b"b": b"2"}, {b"meta": b"m"}, 9)
    store.close()


@pytest.mark.parametrize(
    "bodies",
    [
        (),
        (DATA, RECORDS, END),
        (BEGIN, BEGIN, DATA, RECORDS, END),
        (BEGIN, DATA, RECORDS),
        (BEGIN, DATA, RECORDS, END, END),
        (BEGIN, DATA, RECORDS, End((2, 2))),
        (BEGIN, DATA, END),
        (BEGIN, RECORDS, DATA, END),
        (BEGIN, DATA, Rows(1, []), RECORDS, END),
        (BEGIN, DATA, RECORDS, rows(2, (b"c", b"3")), END),
        (BEGIN, rows(0, (b"b", b"1"), (b"a", b"2")), RECORDS, END),
        (BEGIN, rows(0, (b"a", b"1")), rows(0, (b"a", b"1")), RECORDS, END),
        (BEGIN, rows(0, (b"", b"1"), (b"a", b"2")), RECORDS, END),
        (BEGIN, rows(0, (b"a", b"1"), (b"b" * 600, b"2")), RECORDS, END),
        (BEGIN, Rows(0, [(b"a", b"1"), (b"b", b"2")]), RECORDS, END),
        (BEGIN, Rows(0, [(b"a", DATA.pairs[1][1]), (b"b", DATA.pairs[0][1])]), RECORDS, END),
        (BEGIN, DATA, Rows(1, [(b"meta", seal(0, b"meta", b"m"))]), END),
        (Begin(STREAM_VERSION + 1, NAME, Slot(9)), DATA, RECORDS, END),
        (Begin(STREAM_VERSION, b"j" * 16, Slot(9)), DATA, RECORDS, END),
    ],
)
def test_a_stream_that_is_no_state_is_refused(tmp_path: Path, bodies: tuple[Body, ...]) -> None:
    """A mistake of the sender is found as damage is, and the store goes on with what it had."""
    store = install(tmp_path / "state", stream(*bodies))
    with pytest.raises(Damaged):
        store.finish_install(Slot(9))
    assert contents(store) == ({}, {}, 0)
    store.begin_install(NAME)
    store.install_chunk(0, stream(BEGIN, DATA, RECORDS, END))
    store.finish_install(Slot(9))
    assert contents(store)[2] == 9
    store.close()


def test_a_damaged_length_is_told_from_the_header_alone() -> None:
    """Otherwise a receiver would gather gigabytes before it finds that no frame is that long."""
    frame = bytearray(stream(BEGIN)[:24])
    assert decode_frame(frame, 0, NAME) is None
    for bit in range(64):
        damaged = bytearray(frame)
        damaged[bit // 8] ^= 1 << bit % 8
        with pytest.raises(Damaged, match="length"):
            decode_frame(damaged, 0, NAME)


def test_a_frame_is_good_only_in_its_place() -> None:
    """After any other frame it is damage."""
    frame, digest = encode_frame(DATA, NAME)
    assert decode_frame(bytearray(frame), 0, NAME) == (DATA, len(frame), digest)
    with pytest.raises(Damaged):
        decode_frame(bytearray(frame), 0, digest)


def test_the_format_of_the_stream_stays() -> None:
    """Nodes of two versions read each other's snapshots."""
    assert stream(BEGIN, DATA, RECORDS, END).hex() == GOLDEN
