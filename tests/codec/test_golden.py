"""The bytes on the wire are the format; a change of them is a change of the format, made on purpose or not at all."""

from __future__ import annotations

from pathlib import Path
from typing import get_args

import msgspec
import pytest

from replog.apply.submissions import Submission, decode_submission
from replog.paxos.messages import HeartbeatReply, Message, Promise
from replog.paxos.values import Batch, NoOp, decode_value, encode_value
from replog.wire.client_messages import ClientMessage, NodeMessage
from replog.wire.codec import FrameSplitter, Hello, Kind, Welcome, decode_payload, encode_frame

from .samples import CLIENT_MESSAGES, GREETINGS, MEMBERSHIPS, NODE_MESSAGES, PEER_MESSAGES, SUBMISSIONS, frames

GOLDEN = Path(__file__).parent / "golden.txt"
HEADING = """# Frames and what stands inside slots, as hex. Made by `pytest tests/codec --rewrite` and then read: a line
# that changes here is a format that old nodes, clients and disks do not share. New kinds add lines.
"""


def made() -> dict[str, str]:
    """Every sample's bytes."""
    lines = {name: frame.hex() for name, (_, frame) in frames().items()}
    for submission in SUBMISSIONS:
        lines[f"submission.{type(submission).__name__}"] = msgspec.msgpack.encode(submission).hex()
    lines["value.NoOp"] = encode_value(NoOp()).hex()
    for name, value in MEMBERSHIPS.items():
        lines[f"value.Membership/{name}"] = encode_value(value).hex()
    lines["value.Batch"] = encode_value(Batch(1_700_000_000_000, [b"one", b"two"])).hex()
    return lines


def written() -> dict[str, str]:
    lines = [line for line in GOLDEN.read_text().splitlines() if line and not line.startswith("#")]
    return dict(line.split() for line in lines)


def test_bytes_are_the_golden_ones(request: pytest.FixtureRequest) -> None:
    """Every kind of frame, submission and value is encoded as it always was."""
    if request.config.getoption("--rewrite"):
        GOLDEN.write_text(HEADING + "".join(f"{name} {data}\n" for name, data in made().items()))
    assert made() == written()


def test_golden_bytes_are_read() -> None:
    """What was written in the past is read as what it was."""
    lines = written()
    expected = [*GREETINGS, *([message] for message in (*PEER_MESSAGES, *CLIENT_MESSAGES, *NODE_MESSAGES))]
    for (name, (kind, _)), content in zip(frames().items(), expected, strict=True):
        ((found_kind, payload),) = FrameSplitter(frozenset(Kind)).feed(bytes.fromhex(lines[name]))
        assert found_kind is kind
        assert decode_payload(kind, payload, object) == content
    for submission in SUBMISSIONS:
        data = bytes.fromhex(lines[f"submission.{type(submission).__name__}"])
        assert decode_submission(data) == submission
    assert decode_value(bytes.fromhex(lines["value.NoOp"])) == NoOp()
    for name, value in MEMBERSHIPS.items():
        assert decode_value(bytes.fromhex(lines[f"value.Membership/{name}"])) == value


def test_every_kind_has_a_sample() -> None:
    """A message that is added to a union and not to the samples is noticed."""
    for union, samples in (
        (Message, PEER_MESSAGES),
        (ClientMessage, CLIENT_MESSAGES),
        (NodeMessage, NODE_MESSAGES),
        (Submission, SUBMISSIONS),
        (Hello | Welcome, GREETINGS),
    ):
        assert {type(sample) for sample in samples} == set(get_args(union))


def test_tags_are_never_shared() -> None:
    """A tag names one struct in all unions of the wire, so a frame of the wrong kind is not taken for another."""
    kinds = [*get_args(Message), *get_args(ClientMessage), *get_args(NodeMessage)]
    tags = [kind.__struct_config__.tag for kind in kinds]
    assert len(set(tags)) == len(tags)


def test_a_newer_senders_trailing_field_is_ignored() -> None:
    """An old reader takes a message that has grown a field since."""
    for kind, message in [(Kind.PEER, m) for m in PEER_MESSAGES] + [(Kind.NODE, m) for m in NODE_MESSAGES]:
        longer = msgspec.msgpack.encode([[*msgspec.msgpack.decode(msgspec.msgpack.encode(message)), "new field"]])
        assert decode_payload(kind, longer, list) == [message]


def test_an_older_senders_missing_field_is_filled_in() -> None:
    """A new reader takes a message from before its last fields were added."""
    hello = msgspec.msgpack.encode([b"cluster", 1, b"incarnation"])
    assert decode_payload(Kind.HELLO, hello, Hello) == Hello(b"cluster", 1, b"incarnation", "")
    welcome = msgspec.msgpack.encode([b"cluster", 1, b"incarnation"])
    assert decode_payload(Kind.WELCOME, welcome, Welcome) == Welcome(b"cluster", 1, b"incarnation")
    replies = msgspec.msgpack.encode([[40, 1, 2, 3, 4, [b"reply"]]])
    (message,) = decode_payload(Kind.NODE, replies, list)
    assert message.failed == []
    for message in PEER_MESSAGES:
        if isinstance(message, HeartbeatReply | Promise):
            later = {"time_ms": 0} | ({"is_abstaining": False} if isinstance(message, HeartbeatReply) else {})
            older = msgspec.msgpack.decode(msgspec.msgpack.encode(message))[: -len(later)]
            (found,) = decode_payload(Kind.PEER, msgspec.msgpack.encode([older]), list)
            assert found == msgspec.structs.replace(message, **later)


def test_frames_are_found_wherever_the_stream_is_cut() -> None:
    """A stream of frames gives the same frames in pieces of any size."""
    stream = b"".join(frame for _, frame in frames().values())
    kinds = [kind for kind, _ in frames().values()]
    for size in (1, 2, 7, 13, 64, len(stream)):
        splitter = FrameSplitter(frozenset(Kind))
        found = [
            frame for start in range(0, len(stream), size) for frame in splitter.feed(stream[start : start + size])
        ]
        assert [kind for kind, _ in found] == kinds
        assert not splitter.is_inside_frame


def test_an_empty_list_is_a_frame() -> None:
    """A turn without a message for somebody is nothing special on the wire."""
    ((kind, payload),) = FrameSplitter(frozenset({Kind.PEER})).feed(encode_frame(Kind.PEER, []))
    assert decode_payload(kind, payload, list) == []
