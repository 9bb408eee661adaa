"""What a client sends to be ordered: one way to fail, the same verdict everywhere, and nothing said of the secret."""

from __future__ import annotations

import sys
from collections.abc import Callable

import msgspec
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from rich.pretty import pretty_repr

from replog.apply.limits import NUMBER_MAX, SUBMISSION_COMMANDS_MAX
from replog.apply.outcomes import SubmissionRefused
from replog.apply.submissions import (
    CloseSession,
    Commands,
    MalformedSubmission,
    OpenSession,
    Submission,
    decode_submission,
    session_key,
)
from replog.paxos.values import Batch, MalformedValue, decode_membership, decode_value, encode_value
from replog.wire.client_messages import Submit, admit

from .samples import SUBMISSIONS

KEY = bytes(16)
DEEP = b"\x91" * 100_000 + b"\xc0"
GOOD = [msgspec.msgpack.encode(submission) for submission in SUBMISSIONS]


def verdict(data: bytes) -> Submission | None:
    """None: malformed."""
    try:
        return decode_submission(data)
    except MalformedSubmission:
        return None


def at_depth(depth: int, work: Callable[[], object]) -> object:
    """Do it with so many more frames on the stack."""
    return work() if depth <= 0 else at_depth(depth - 1, work)


def stack_left() -> int:
    """Frames until the interpreter gives up, less a few for the work itself."""
    frame, used = sys._getframe(), 0
    while frame.f_back is not None:
        frame, used = frame.f_back, used + 1
    return sys.getrecursionlimit() - used - 20


def longer(data: bytes, extra: bytes) -> bytes:
    """With one field more at its end."""
    return bytes([data[0] + 1]) + data[1:] + extra


POISON = {
    "a deep field more": longer(GOOD[0], DEEP),
    "a deep field more of an opening": longer(GOOD[1], DEEP),
    "a field more": longer(GOOD[0], b"\xc0"),
    "a field less": b"\x95" + GOOD[0][1:-18],
    "deep payloads": b"\x96\x00\x01\x01\x01" + DEEP + GOOD[0][-18:],
    "deep in an unknown kind": b"\x92\x09" + DEEP,
    "a long array of nothing": b"\x96\x00\x01\x01\x01\xdd\xff\xff\xff\xff",
    "many payloads announced": b"\x96\x00\x01\x01\x01\xdd\x00\x00\xff\xff",
    "more behind it": GOOD[1] + b"\xc0",
    "text for bytes": msgspec.msgpack.encode([0, 1, 1, 1, ["text"], KEY]),
    "text that is none": b"\x96\x00\x01\x01\x01\x91\xa2\xff\xff" + GOOD[0][-18:],
    "no payloads": msgspec.msgpack.encode([0, 1, 1, 1, [], KEY]),
    "too many payloads": msgspec.msgpack.encode([0, 1, 1, 1, [b""] * (SUBMISSION_COMMANDS_MAX + 1), KEY]),
    "number 0": msgspec.msgpack.encode([0, 1, 0, 1, [b"a"], KEY]),
    "a number too high": msgspec.msgpack.encode([0, 1, NUMBER_MAX + 1, 1, [b"a"], KEY]),
    "a session too high": msgspec.msgpack.encode([0, 2**64 - 1, 1, 1, [b"a"], KEY]),
    "a session below 0": msgspec.msgpack.encode([0, -1, 1, 1, [b"a"], KEY]),
    "acknowledged too high": msgspec.msgpack.encode([0, 1, 1, 2**63, [b"a"], KEY]),
    "a short key": msgspec.msgpack.encode([0, 1, 1, 1, [b"a"], KEY[1:]]),
    "a key of 900 kB": msgspec.msgpack.encode([1, bytes(900_000)]),
    "nothing": b"",
}


@pytest.mark.parametrize("name", POISON)
def test_what_is_no_submission_is_malformed_at_any_depth(name: str) -> None:
    """Whether it is refused follows from the bytes, not from how much of the interpreter's stack is left."""
    for depth in (0, stack_left() // 2, stack_left()):
        assert at_depth(depth, lambda: verdict(POISON[name])) is None


@pytest.mark.parametrize("number", range(len(GOOD)))
def test_what_is_one_is_read_at_any_depth(number: int) -> None:
    """The same for those that are sound."""
    for depth in (0, stack_left()):
        assert at_depth(depth, lambda: verdict(GOOD[number])) == SUBMISSIONS[number]


@given(st.binary(max_size=60), st.sampled_from([b"", *(good[:2] for good in GOOD)]))
@example(b"\x01" + DEEP, b"\x96\x00")
def test_any_bytes_are_a_submission_or_malformed(data: bytes, start: bytes) -> None:
    """There is one way to fail."""
    found = verdict(start + data)
    assert found is None or isinstance(found, Commands | OpenSession | CloseSession)


@given(st.sampled_from(GOOD), st.data())
@settings(max_examples=300)
def test_a_bent_submission_gets_the_same_verdict_deep_in_the_stack(good: bytes, data: st.DataObject) -> None:
    """One byte is another one, or something is put in."""
    position = data.draw(st.integers(0, len(good) - 1))
    bent = good[:position] + data.draw(st.binary(max_size=4) | st.just(DEEP)) + good[position + 1 :]
    assert at_depth(stack_left(), lambda: verdict(bent)) == verdict(bent)


@given(st.integers(0, NUMBER_MAX), st.integers(1, NUMBER_MAX), st.integers(0, NUMBER_MAX), st.binary(max_size=9))
def test_what_is_in_range_comes_back(session: int, first: int, acknowledged: int, payload: bytes) -> None:
    """Every submission a client can mean is read as it was meant."""
    submission = Commands(session, first, acknowledged, [payload], KEY)
    assert decode_submission(msgspec.msgpack.encode(submission)) == submission


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"\x92\x00" + DEEP,
        b"\x94\x01\x00\x90" + DEEP,
        b"\x94\x02\x00\x91\x01\x90",
        b"\x95\x02\x01\x91\x01\x90" + DEEP,
    ],
)
def test_what_is_no_value_is_malformed_at_any_depth(data: bytes) -> None:
    """The same for what a slot holds; the core, which looks for memberships only, finds none in it."""

    def is_malformed() -> bool:
        with pytest.raises(MalformedValue):
            decode_value(data)
        return decode_membership(data) is None

    assert is_malformed()
    assert at_depth(stack_left() - 40, is_malformed)


def test_a_batch_from_before_time_is_no_value() -> None:
    """Log time has a range, so that what is made from it fits."""
    for time_ms in (-1, 2**63):
        with pytest.raises(MalformedValue):
            decode_value(encode_value(Batch(time_ms, [])))


# --- the door ---


def test_who_holds_the_secret_is_let_in() -> None:
    """And nobody who only knows the key, which stands in the log."""
    secret = b"s" * 16
    data = msgspec.msgpack.encode(OpenSession(session_key(secret)))
    assert admit(Submit(0, data, secret)) == OpenSession(session_key(secret))
    for stranger in (b"", b"t" * 16, session_key(secret)):
        refused = admit(Submit(7, data, stranger))
        assert isinstance(refused, SubmissionRefused)
        assert (refused.session, refused.code) == (7, "not_yours")
    refused = admit(Submit(7, b"\xc1", secret))
    assert isinstance(refused, SubmissionRefused)
    assert refused.code == "malformed"


def test_a_secret_is_never_printed() -> None:
    """Not by repr, not by rich, not in a refusal."""
    secret = b"sixteen secrets!"
    message = Submit(7, GOOD[0], secret)
    for text in (repr(message), str(message), f"{[message]!r}", pretty_repr(message), repr(admit(message))):
        assert "secrets" not in text
