"""What the other end of a link may say, beyond what the types of the messages check when they are decoded.

Decoding refuses every number that the log's records can't hold (see ``paxos.ballot``). Here are the rules over several
fields, over who sends a message and over where this node stands: a message that breaks one ends its link, before the
core or ``clients`` hears of it. They are few and cheap, since they are looked at for each message.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final, assert_never

from ..paxos.ballot import BALLOT_ZERO, BEFORE_LOG, ERA_ROUNDS, NODE_MAX, Ballot, NodeId
from ..paxos.membership import ADDRESS_CHARACTERS_MAX, INCARNATION_BYTES_MAX
from ..paxos.messages import (
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
from ..wire.client_messages import ChangeMembersRequest, Query
from ..wire.codec import FrameError
from ..wire.dialing import told_address

ROUNDS_AHEAD_MAX: Final = 2**32
"""No cluster begins so many ballots while one of its nodes looks away. A ballot further on is a mistake, and following
it would use the rounds up: there must always be one above. In a later era, whose ballots are not followed before its
membership is learned, as many from its beginning on; and half of an era's rounds are never used."""
SLOTS_AHEAD_MAX: Final = 2**20
"""Of what is accepted beyond what is chosen; far above ``accept_ahead_slots_max``, which differs between nodes."""
ID_MAX: Final = 2**64 - 1


def check_query(query: Query) -> None:
    """Raises ``FrameError`` at a read that can't be answered."""
    if query.first_id > ID_MAX - len(query.requests):
        raise FrameError("the ids of a read do not fit 64 bits, so it can't be answered")


def check_change(asked: ChangeMembersRequest) -> None:
    """Raises ``FrameError`` at members that there can't be: what the core is asked, it could propose."""
    nodes = {*asked.voters, *asked.learners, *(member.node for member in asked.described)}
    if not all(0 < node < NODE_MAX for node in nodes):
        raise FrameError("a change of members names a node that there can't be")
    for member in asked.described:
        if len(member.address) > ADDRESS_CHARACTERS_MAX or len(member.incarnation) > INCARNATION_BYTES_MAX:
            raise FrameError("a change of members has an address or an incarnation that is too long")
        try:
            told_address(member.address or "a:1")
        except OSError as error:
            raise FrameError(str(error)) from None


def check_peer_messages(sender: NodeId, messages: Iterable[Message], promise: Ballot) -> None:
    """Raises ``FrameError`` at a message that ``sender`` can't have meant, while this node stands at ``promise``."""
    round_max = min(promise.round + ROUNDS_AHEAD_MAX, promise.era * ERA_ROUNDS + ERA_ROUNDS // 2)
    for message in messages:
        if not _is_possible(message, sender, round_max) and not _is_of_later_era(message, sender, promise):
            raise FrameError(f"a {type(message).__name__} that can't be meant")


def _is_of_later_era(message: Message, sender: NodeId, promise: Ballot) -> bool:
    told = _ballot_of(message)
    return (
        told.era > promise.era
        and told.round % ERA_ROUNDS <= ROUNDS_AHEAD_MAX
        and _is_possible(message, sender, told.round)
    )


def _ballot_of(message: Message) -> Ballot:
    """The highest ballot that it speaks of in its own name."""
    match message:
        case HeartbeatReply() | Nack():
            return message.promise
        case (
            Accept() | Accepted() | Heartbeat() | Confirm() | Confirmed() | Prepare() | Promise() | TransferLeadership()
        ):
            return message.ballot
        case _:
            return BALLOT_ZERO


def _is_possible(message: Message, sender: NodeId, round_max: int) -> bool:
    match message:
        case Accept():
            return _is_of(sender, message.ballot, round_max) and message.slot > BEFORE_LOG
        case Accepted():
            return message.ballot.round <= round_max and BEFORE_LOG < message.first_slot <= message.last_slot
        case Heartbeat():
            return message.ballot == BALLOT_ZERO or _is_of(sender, message.ballot, round_max)
        case HeartbeatReply():
            return message.promise.round <= round_max
        case Confirm() | TransferLeadership():
            return _is_of(sender, message.ballot, round_max)
        case Confirmed():
            return message.ballot.round <= round_max
        case Prepare():
            return _is_of(sender, message.ballot, round_max) and message.from_slot > BEFORE_LOG
        case Nack():
            return message.ballot < message.promise and message.promise.round <= round_max
        case Promise():
            return message.ballot.round <= round_max and _is_whole(message)
        case LearnRequest():
            return BEFORE_LOG < message.from_slot <= message.through
        case Learn():
            return all(record.slot > BEFORE_LOG for record in message.slots)
        case SnapshotChunk():
            return len(message.snapshot) > 0
        case BelowFloor() | FetchSnapshot():
            return True
        case _:
            assert_never(message)


def _is_of(sender: NodeId, ballot: Ballot, round_max: int) -> bool:
    """Only a ballot's own proposer asks anything in its name."""
    return ballot.node == sender and 0 < ballot.round <= round_max


def _is_whole(promise: Promise) -> bool:
    """A piece of those it counts, with acceptances that can have been made above what it says is chosen (P3)."""
    first, last = promise.chosen_through + 1, promise.chosen_through + SLOTS_AHEAD_MAX
    return promise.piece < promise.piece_count <= SLOTS_AHEAD_MAX and all(
        first <= record.slot <= last and record.ballot <= promise.ballot for record in promise.accepted
    )
