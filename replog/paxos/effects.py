"""What a replica wants done. The fields' comments are the ordering contract between core and driver.

The shape is etcd's ``Ready`` cut down to one value: the driver hands in events, takes one ``Effects``, does
what it says, and reports back through ``on_written`` and the other ``on_...`` doors.
"""

from __future__ import annotations

import enum
from typing import Any

import msgspec

from .ballot import Ballot, NodeId, Slot
from .membership import Membership
from .messages import AcceptedSlot, Outbound


class LogWrite(msgspec.Struct, array_like=True, frozen=True, gc=False):
    """One transaction of the log store: everything in it becomes durable together, or nothing does.

    The journal stores it as it is: a new field goes to the end and has a default.

    Parameters
    ----------
    promise: the promise to remember, or None if it has not changed.
    slots: acceptances to store, ascending by slot within one ballot; a later one replaces an earlier one.
    chosen_through: how far the log is known chosen, or None. A hint: losing it costs a question to the peers.
    membership: one that is newly known chosen, or None; the newest is what the next start begins with.
    """

    promise: Ballot | None
    slots: tuple[AcceptedSlot, ...]
    chosen_through: Slot | None
    membership: Membership | None = None


class ReadSlots(msgspec.Struct, frozen=True, gc=False):
    """Read chosen slots from the log for ``target`` and answer ``Replica.on_slots_read``.

    The driver may return fewer than asked (but at least one, whatever its size); it stops at
    ``bytes_max`` and ``slots_max``.
    """

    target: NodeId
    from_slot: Slot
    through: Slot
    slots_max: int
    bytes_max: int


class SendChunk(msgspec.Struct, frozen=True, gc=False):
    """Read what ``snapshot`` has at ``position`` and send it to ``target`` as a SnapshotChunk."""

    target: NodeId
    snapshot: bytes
    position: int


class ReceivedChunk(msgspec.Struct, frozen=True, gc=False):
    """Keep one chunk of a snapshot that is being received; answer ``Replica.on_chunk_stored``.

    A chunk at position 0 begins a new one. After the last one the driver installs the state: the snapshot becomes the
    state, durably, then everything up to its slot leaves the log, durably, and then it answers
    ``Replica.on_state_installed`` (docs/STATE.md, "Installing"); or ``on_state_skipped`` if it has applied as much.
    """

    snapshot: bytes
    applied_through: Slot
    position: int
    is_last: bool
    data: bytes


class Refusal(enum.Enum):
    """Why a submission or read was not taken; in each case it will definitely not be done."""

    NOT_LEADER = "not_leader"
    OVERLOADED = "overloaded"
    TOO_LARGE = "too_large"
    STORAGE_FULL = "storage_full"


class NoHandOver(msgspec.Struct, frozen=True, gc=False):
    """Why leadership is not handed over; ``may_pass``: the next heartbeats may change that."""

    reason: str
    may_pass: bool = False


class NoChangeCode(enum.Enum):
    """Why the members are not changed, for a program; each has its sentence and its next step (M10)."""

    NOT_LEADER = "not_leader"
    OTHER_VERSION = "other_version"
    NO_VOTERS = "no_voters"
    TWO_ROLES = "two_roles"
    ID_USED = "id_used"
    NO_LEARNER = "no_learner"
    NOTHING_TO_DO = "nothing_to_do"
    CHANGE_OPEN = "change_open"
    ABSTAINING = "abstaining"
    BEHIND = "behind"
    NO_QUORUM = "no_quorum"
    ADDRESS_TAKEN = "address_taken"
    OTHER_INCARNATION = "other_incarnation"


class NoChange(msgspec.Struct, frozen=True):
    """Why the members are not changed; ``may_pass``: the next heartbeats or the end of another change may alter it."""

    code: NoChangeCode
    reason: str
    may_pass: bool = False


class NoticeKind(enum.Enum):
    """Things a person or the driver wants to know; none of them is needed for safety."""

    BECAME_CANDIDATE = "became_candidate"
    BECAME_LEADER = "became_leader"
    STEPPED_DOWN = "stepped_down"
    LEADER_CHANGED = "leader_changed"
    ABSTAINED = "abstained"
    DAMAGE_REPAIRED = "damage_repaired"
    DISK_STALLED = "disk_stalled"
    APPLYING_STALLED = "applying_stalled"
    STATE_TRANSFER_BEGAN = "state_transfer_began"
    STATE_DIVERGED = "state_diverged"
    STATE_CONTRADICTED = "state_contradicted"
    CLOCK_ASTRAY = "clock_astray"
    CLOCK_AGREES = "clock_agrees"
    LOG_TIME_AHEAD = "log_time_ahead"
    MEMBERSHIP_CHANGED = "membership_changed"
    PEER_SILENT = "peer_silent"
    """For so many whole rounds neither a heartbeat nor an answer has come; told after each of them."""


class Notice(msgspec.Struct, frozen=True):
    """Something that happened, with its facts as keys, ready for a structured log."""

    kind: NoticeKind
    facts: dict[str, Any]


class ReadReady(msgspec.Struct, frozen=True, gc=False):
    """The reads ``read_ids`` may be answered once the state machine has applied ``slot``."""

    slot: Slot
    read_ids: tuple[int, ...]


class Effects(msgspec.Struct):
    """Everything one turn asks of the driver.

    Order: ``send`` may leave at once, also before and beside the write. ``write`` is one synchronous
    transaction; writes of successive turns are made in order, and several may be joined into one. Only when it is
    durable may ``send_after_write`` leave and ``on_written(ticket)`` be called, in ticket order. ``release``
    is already durable here and chosen: it may be applied at once, in order.
    """

    ticket: int
    """Names this turn's write; 0 if there is none."""
    send: list[Outbound]
    """Promises nothing: may leave before the write."""
    write: LogWrite | None
    """P1: must be durable before anything below it is said."""
    send_after_write: list[Outbound]
    """Rests on ``write`` (P1). Empty if ``write`` is None."""
    release: list[AcceptedSlot]
    """Chosen, durable in this node's log, ascending without gaps (P7): apply in this order."""
    reads: list[ReadReady]
    """Linearizable reads whose confirmation round has succeeded."""
    reads_refused: list[int]
    """Reads this node can not answer any more: it stopped leading."""
    slot_reads: list[ReadSlots]
    """Slots to read from the log for a peer that is behind."""
    chunks_to_send: list[SendChunk]
    """Pieces of the state to send to a peer that is below the floor."""
    chunks_received: list[ReceivedChunk]
    """Pieces of a state to keep; the node is below every peer's floor."""
    notices: list[Notice]
    """What happened, for logs and status."""
    deadline_s: float
    """Call ``tick`` not later than this (same clock as ``tick``'s ``now_s``)."""
