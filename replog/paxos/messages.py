"""Everything one node says to another, and the record of an acceptance.

A message is a frozen value; who sent it is known from the link. The cluster id travels in the link's hello
and in every frame (P9), not here. Trailing fields with defaults may be added: old readers ignore them,
new readers fill them in.
"""

from __future__ import annotations

from typing import Annotated

import msgspec

from .ballot import Ballot, Count, NodeId, Slot

Crc = Annotated[int, msgspec.Meta(ge=0, le=2**32 - 1)]
Name = Annotated[bytes, msgspec.Meta(max_length=64)]
"""What is compared and stored but never looked into: a digest, the name of a snapshot."""
Value = Annotated[bytes, msgspec.Meta(min_length=2)]
"""An encoded ``values.SlotValue``, opaque on its way; the shortest is a no-op."""


class AcceptedSlot(msgspec.Struct, array_like=True, frozen=True, gc=False):
    """One acceptance, as it is stored, reported in a Promise and taught in a Learn.

    ``crc`` is the crc32c of ``value``, made by the leader that first proposed it.
    """

    slot: Slot
    ballot: Ballot
    crc: Crc
    value: Value


class Heartbeat(msgspec.Struct, array_like=True, frozen=True, gc=False, tag=1):
    """Asks a peer for a HeartbeatReply; from a leader it also says how far the log is chosen (P6).

    ``ballot`` is the ballot the sender leads at, or zero.
    """

    round: Count
    ballot: Ballot
    chosen_through: Slot


class HeartbeatReply(msgspec.Struct, array_like=True, frozen=True, gc=False, tag=2):
    """What a node says of itself in round ``round`` of the asker (Omni-Paxos, EuroSys 2023, section 5).

    Parameters
    ----------
    promise: the ballot the node follows.
    is_leading: it leads at that ballot.
    is_happy: it leads and reaches a quorum that follows it, or hears its leader say so.
    is_voting: it may promise and accept (P9, P10).
    accepted_through: the highest slot it accepted, whatever the ballot.
    digest_slot, digest: the state machine's running digest at that slot, to compare (zero and empty: none).
    is_full: it should not lead if another can: its disk takes no new commands or hangs, or it has applied nothing for
        long.
    is_led: it has heard the proposer of ``promise`` lead, in this round or the one before.
    time_ms: its wall clock, milliseconds since the Unix epoch; 0 from a release that does not tell it (P11).
    is_abstaining: it does not trust its memory, and would not vote if it had a vote (P9, M10).
    """

    round: Count
    promise: Ballot
    is_leading: bool
    is_happy: bool
    is_voting: bool
    chosen_through: Slot
    accepted_through: Slot
    applied_through: Slot
    compacted_through: Slot
    digest_slot: Slot = Slot(0)
    digest: Name = b""
    is_full: bool = False
    is_led: bool = False
    time_ms: int = 0
    is_abstaining: bool = False


class Prepare(msgspec.Struct, array_like=True, frozen=True, gc=False, tag=3):
    """Phase 1a for every slot from ``from_slot`` on, the first one the candidate does not know chosen (P3)."""

    ballot: Ballot
    from_slot: Slot


class Promise(msgspec.Struct, array_like=True, frozen=True, gc=False, tag=4):
    """Phase 1b, piece ``piece`` (from 0) of ``piece_count``.

    It reports every acceptance above ``chosen_through``. The slots up to it are reported by that position
    alone: they are chosen, and a candidate that lacks them learns them before it leads (P3, P4). ``time_ms`` is the
    acceptor's wall clock, so that whoever leads knows the clocks of a quorum (P11).
    """

    ballot: Ballot
    chosen_through: Slot
    compacted_through: Slot
    piece: Count
    piece_count: Count
    accepted: tuple[AcceptedSlot, ...]
    time_ms: int = 0


class Nack(msgspec.Struct, array_like=True, frozen=True, gc=False, tag=5):
    """``ballot`` was refused: the sender has promised ``promise`` (P2)."""

    ballot: Ballot
    promise: Ballot


class Accept(msgspec.Struct, array_like=True, frozen=True, gc=False, tag=6):
    """Phase 2a for one slot; ``chosen_through`` is the leader's, for slots accepted at this ballot (P6)."""

    ballot: Ballot
    slot: Slot
    crc: Crc
    value: Value
    chosen_through: Slot


class Accepted(msgspec.Struct, array_like=True, frozen=True, gc=False, tag=7):
    """Phase 2b: the sender durably accepted every slot of ``first_slot..last_slot`` at ``ballot``."""

    ballot: Ballot
    first_slot: Slot
    last_slot: Slot


class Confirm(msgspec.Struct, array_like=True, frozen=True, gc=False, tag=8):
    """Asks whether the sender of ``ballot`` still leads; ``round`` is never used twice at one ballot."""

    ballot: Ballot
    round: Count


class Confirmed(msgspec.Struct, array_like=True, frozen=True, gc=False, tag=9):
    """The sender had promised nothing above ``ballot`` when it answered ``round``."""

    ballot: Ballot
    round: Count


class LearnRequest(msgspec.Struct, array_like=True, frozen=True, gc=False, tag=10):
    """Asks any peer for chosen slots ``from_slot..through``, in pieces of its own choosing."""

    from_slot: Slot
    through: Slot


class Learn(msgspec.Struct, array_like=True, frozen=True, gc=False, tag=11):
    """Values known chosen, ascending, without gaps; needs no ballot (P8). ``chosen_through`` is the sender's."""

    chosen_through: Slot
    slots: tuple[AcceptedSlot, ...]


class BelowFloor(msgspec.Struct, array_like=True, frozen=True, gc=False, tag=12):
    """The slots asked for are compacted away here; the state can be fetched instead."""

    compacted_through: Slot
    chosen_through: Slot


class FetchSnapshot(msgspec.Struct, array_like=True, frozen=True, gc=False, tag=13):
    """Asks for what ``snapshot`` has at byte ``position``; an empty name: begin a new one."""

    snapshot: Name
    position: Count


class SnapshotChunk(msgspec.Struct, array_like=True, frozen=True, gc=False, tag=14):
    """A chunk of a consistent snapshot of the state.

    Parameters
    ----------
    snapshot: its name; a sender that has dropped it answers with another snapshot from position 0.
    applied_through: the slot the snapshot stands at.
    position: byte offset of ``data``.
    crc: crc32c of ``data``.
    is_last: no chunk follows.
    """

    snapshot: Name
    applied_through: Slot
    position: Count
    crc: Crc
    is_last: bool
    data: bytes


class TransferLeadership(msgspec.Struct, array_like=True, frozen=True, gc=False, tag=15):
    """The leader at ``ballot`` asks the receiver to take over at once."""

    ballot: Ballot


Message = (
    Heartbeat
    | HeartbeatReply
    | Prepare
    | Promise
    | Nack
    | Accept
    | Accepted
    | Confirm
    | Confirmed
    | LearnRequest
    | Learn
    | BelowFloor
    | FetchSnapshot
    | SnapshotChunk
    | TransferLeadership
)


class Outbound(msgspec.Struct, array_like=True, frozen=True, gc=False):
    """A message and whom it is for."""

    target: NodeId
    message: Message
