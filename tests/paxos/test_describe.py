"""Stories are told in the core's own words."""

from __future__ import annotations

from typing import get_args

import pytest

from replog.paxos.ballot import Slot
from replog.paxos.describe import describe_message, describe_notice, describe_write
from replog.paxos.effects import LogWrite, Notice, NoticeKind
from replog.paxos.messages import (
    Accept,
    Accepted,
    BelowFloor,
    Confirm,
    Confirmed,
    FetchSnapshot,
    Heartbeat,
    HeartbeatReply,
    Learn,
    LearnRequest,
    Message,
    Nack,
    Prepare,
    Promise,
    SnapshotChunk,
    TransferLeadership,
)

from .build import N1, N2, ballot, record

B = ballot(3)
TOLD: list[tuple[Message, str]] = [
    (Heartbeat(4, B, Slot(6)), "Heartbeat round 4, leading 3.n1, chosen through 6"),
    (
        HeartbeatReply(4, B, True, True, False, Slot(6), Slot(7), Slot(6), Slot(0), is_full=True),
        "HeartbeatReply round 4, follows 3.n1, leading, happy, not voting, full, chosen through 6, accepted through 7",
    ),
    (Prepare(B, Slot(7)), "Prepare 3.n1 from slot 7"),
    (
        Promise(B, Slot(6), Slot(0), 0, 2, (record(7, ballot(2, 2)),)),
        "Promise 3.n1 chosen through 6, piece 1 of 2: 7@2.n2",
    ),
    (Nack(B, ballot(9, 2)), "Nack 3.n1: promised 9.n2"),
    (Accept(B, Slot(7), 0, b"abc", Slot(6)), "Accept 3.n1 slot 7 (3 bytes), chosen through 6"),
    (Accepted(B, Slot(7), Slot(9)), "Accepted 3.n1 slots 7..9"),
    (Confirm(B, 2), "Confirm 3.n1 round 2"),
    (Confirmed(B, 2), "Confirmed 3.n1 round 2"),
    (LearnRequest(Slot(3), Slot(5)), "LearnRequest slots 3..5"),
    (Learn(Slot(9), ()), "Learn chosen through 9: nothing"),
    (BelowFloor(Slot(4), Slot(9)), "BelowFloor compacted through 4, chosen through 9"),
    (FetchSnapshot(b"", 0), "FetchSnapshot any from byte 0"),
    (
        SnapshotChunk(b"\xab" * 16, Slot(5), 10, 0, True, b"xy"),
        "SnapshotChunk abababab at slot 5, bytes 10..12, last",
    ),
    (TransferLeadership(B), "TransferLeadership 3.n1"),
]


@pytest.mark.parametrize(("message", "words"), TOLD, ids=lambda value: type(value).__name__)
def test_every_message_is_one_readable_line(message: Message, words: str) -> None:
    """Who, to whom, what, with the numbers that matter."""
    assert describe_message(N1, N2, message) == f"n1 -> n2 {words}"


def test_no_message_is_forgotten() -> None:
    """The table above has every member of the union."""
    assert {type(message) for message, _ in TOLD} == set(get_args(Message))


def test_writes_and_notices_are_told_too() -> None:
    """What goes to disk and what happened read like the messages."""
    write = LogWrite(B, (record(7, B),), Slot(6))
    assert describe_write(N1, write) == "n1 writes promise 3.n1, slots 7@3.n1, chosen through 6"
    assert describe_notice(N1, Notice(NoticeKind.BECAME_LEADER, {"ballot": "3.n1"})) == "n1 became_leader ballot=3.n1"
