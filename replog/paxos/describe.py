"""One readable line for every message and effect: traces, scenarios and debug logs all speak it."""

from __future__ import annotations

from typing import assert_never

from .ballot import NodeId, node_name
from .effects import LogWrite, Notice
from .messages import (
    Accept,
    Accepted,
    AcceptedSlot,
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


def describe_message(sender: NodeId, target: NodeId, message: Message) -> str:
    """``n1 -> n2 Accept 3.n1 slot 7 (41 bytes), chosen through 6``."""
    return f"{node_name(sender)} -> {node_name(target)} {type(message).__name__} {_body(message)}".rstrip()


def _body(message: Message) -> str:
    match message:
        case Heartbeat():
            return f"round {message.round}, leading {message.ballot}, chosen through {message.chosen_through}"
        case HeartbeatReply():
            return _reply(message)
        case Prepare():
            return f"{message.ballot} from slot {message.from_slot}"
        case Promise():
            return (
                f"{message.ballot} chosen through {message.chosen_through}, piece {message.piece + 1} of "
                f"{message.piece_count}: {_slots(message.accepted)}"
            )
        case Nack():
            return f"{message.ballot}: promised {message.promise}"
        case Accept():
            return (
                f"{message.ballot} slot {message.slot} ({len(message.value)} bytes), "
                f"chosen through {message.chosen_through}"
            )
        case Accepted():
            return f"{message.ballot} slots {message.first_slot}..{message.last_slot}"
        case Confirm() | Confirmed():
            return f"{message.ballot} round {message.round}"
        case LearnRequest():
            return f"slots {message.from_slot}..{message.through}"
        case Learn():
            return f"chosen through {message.chosen_through}: {_slots(message.slots)}"
        case BelowFloor():
            return f"compacted through {message.compacted_through}, chosen through {message.chosen_through}"
        case FetchSnapshot():
            return f"{message.snapshot.hex()[:8] or 'any'} from byte {message.position}"
        case SnapshotChunk():
            last = ", last" if message.is_last else ""
            return (
                f"{message.snapshot.hex()[:8]} at slot {message.applied_through}, bytes {message.position}.."
                f"{message.position + len(message.data)}{last}"
            )
        case TransferLeadership():
            return f"{message.ballot}"
        case _:
            assert_never(message)


def _reply(message: HeartbeatReply) -> str:
    words = [f"round {message.round}, follows {message.promise}"]
    words += ["leading"] if message.is_leading else []
    words += ["happy" if message.is_happy else "unhappy"]
    words += [] if message.is_voting else ["not voting"]
    words += ["full"] if message.is_full else []
    words += ["abstaining"] if message.is_abstaining else []
    return f"{', '.join(words)}, chosen through {message.chosen_through}, accepted through {message.accepted_through}"


def _slots(records: tuple[AcceptedSlot, ...]) -> str:
    return " ".join(f"{record.slot}@{record.ballot}" for record in records) or "nothing"


def describe_write(node: NodeId, write: LogWrite) -> str:
    """``n1 writes promise 3.n1, slots 7@3.n1, chosen through 6``."""
    parts = [] if write.promise is None else [f"promise {write.promise}"]
    parts += [f"slots {_slots(write.slots)}"] if write.slots else []
    parts += [] if write.chosen_through is None else [f"chosen through {write.chosen_through}"]
    parts += [] if write.membership is None else [f"membership {write.membership.version}"]
    return f"{node_name(node)} writes {', '.join(parts)}"


def describe_notice(node: NodeId, notice: Notice) -> str:
    """``n1 became_leader ballot=3.n1 chosen_through=6``."""
    facts = " ".join(f"{key}={value}" for key, value in notice.facts.items())
    return f"{node_name(node)} {notice.kind.value} {facts}".rstrip()
