"""What clients and nodes say to one another, and what a client's submission looks like inside a slot.

A submission leaves its client as bytes, stays opaque through leader, links and disks, and is decoded once on
every replica, by the Applier. All commands of one client that wait together are one submission, so between the two
ends the work is per submission, not per command.

Frames between client and node are one ``ClientMessage`` or ``NodeMessage`` each. A node tells a client's frame
from a peer's by the hello that opened the link.
"""

from __future__ import annotations

import msgspec

from .paxos.ballot import NodeId, Slot

# --- inside a slot: submissions --------------------------------------------------------------------------


class Commands(msgspec.Struct, array_like=True, frozen=True, gc=False, tag=0):
    """Commands of one session with consecutive sequence numbers.

    Parameters
    ----------
    session: the session's id, as ``SessionOpened`` gave it.
    first_sequence: sequence number of ``payloads[0]``; numbers start at 1 and have no gaps.
    acknowledged_below: the client has the replies to every sequence number below this one, so they may go.
    payloads: the commands, opaque to everything but the state machine.
    """

    session: int
    first_sequence: int
    acknowledged_below: int
    payloads: list[bytes]


class OpenSession(msgspec.Struct, array_like=True, frozen=True, gc=False, tag=1):
    """Opens a session; ``nonce`` (16 random bytes of the client) routes the answer and makes a retry harmless."""

    nonce: bytes


class CloseSession(msgspec.Struct, array_like=True, frozen=True, gc=False, tag=2):
    """Ends a session and lets go of what is kept for it."""

    session: int


Submission = Commands | OpenSession | CloseSession

# --- client to node ---------------------------------------------------------------------------------------


class Submit(msgspec.Struct, array_like=True, frozen=True, gc=False, tag=20):
    """One submission, already encoded. ``session`` (0 for OpenSession) says whose replies this link wants."""

    session: int
    submission: bytes


class Query(msgspec.Struct, array_like=True, frozen=True, gc=False, tag=21):
    """Reads that wait together; ``requests[i]`` has id ``first_id + i``.

    ``is_stale``: answer at once from this node; otherwise linearizable (leader only).
    """

    first_id: int
    is_stale: bool
    requests: list[bytes]


class Follow(msgspec.Struct, array_like=True, frozen=True, gc=False, tag=22):
    """Send chosen slots from ``from_slot`` on, as they are applied; ``credit`` slots may be under way.

    Repeating it raises the credit.
    """

    from_slot: int
    credit: int


class StatusRequest(msgspec.Struct, array_like=True, frozen=True, gc=False, tag=23):
    """Asks a node about itself."""

    request: int


class TransferRequest(msgspec.Struct, array_like=True, frozen=True, gc=False, tag=24):
    """Asks the leader to hand over to ``target`` (0: to whoever is most up to date)."""

    request: int
    target: int


class Ping(msgspec.Struct, array_like=True, frozen=True, gc=False, tag=25):
    """Answered at once with Pong: how either side finds out that the other hangs."""

    nonce: int


ClientMessage = Submit | Query | Follow | StatusRequest | TransferRequest | Ping

# --- node to client ---------------------------------------------------------------------------------------


class Replies(msgspec.Struct, array_like=True, frozen=True, gc=False, tag=40):
    """Replies to consecutive sequence numbers of one session that were applied in one slot.

    Parameters
    ----------
    slot, first_offset: where ``first_sequence`` stands in the log; the others follow it.
    failed: positions in ``replies`` whose command raised in ``apply``; the reply is then the error's text.
    """

    session: int
    first_sequence: int
    slot: Slot
    first_offset: int
    replies: list[bytes]
    failed: list[int] = []


class SessionOpened(msgspec.Struct, array_like=True, frozen=True, gc=False, tag=41):
    nonce: bytes
    session: int


class SessionExpired(msgspec.Struct, array_like=True, frozen=True, gc=False, tag=42):
    """The session is unknown here: it expired, was closed, or never was. Nothing of it will be run."""

    session: int


class SequenceGap(msgspec.Struct, array_like=True, frozen=True, gc=False, tag=43):
    """A submission skipped ``expected``; it was not run. The client sends again from there."""

    session: int
    expected: int


class Refused(msgspec.Struct, array_like=True, frozen=True, gc=False, tag=44):
    """A submission was not taken and will not be run.

    Parameters
    ----------
    session: as in the Submit.
    first_sequence: of the refused submission (0 where there is none).
    code: ``overloaded``, ``too_large``, ``storage_full``, ``malformed``.
    reason: one sentence for a person.
    """

    session: int
    first_sequence: int
    code: str
    reason: str


class NotLeader(msgspec.Struct, array_like=True, frozen=True, gc=False, tag=45):
    """This node does not lead (any more); ``address`` (empty: unknown) is where the client should go.

    What it sent here and has no reply to may have been done or not: it sends it again, under the same numbers. A node
    that said "unknown" says so again as soon as it knows; if it has come to lead itself, it names itself.
    """

    leader: NodeId
    address: str


class QueryAnswers(msgspec.Struct, array_like=True, frozen=True, gc=False, tag=46):
    """Answers to ``first_id``, ``first_id + 1``, ...; all from the state at ``applied_through``."""

    first_id: int
    applied_through: Slot
    answers: list[bytes]
    failed: list[int] = []


class QueryRefused(msgspec.Struct, array_like=True, frozen=True, gc=False, tag=47):
    """Reads ``first_id .. first_id + count - 1`` were not answered; ``code`` as in Refused, or ``not_leader``."""

    first_id: int
    count: int
    code: str
    reason: str


class LogEntry(msgspec.Struct, array_like=True, frozen=True, gc=False):
    """One chosen slot as a follower of the log sees it: encoded ``SlotValue`` (see ``paxos.values``)."""

    slot: Slot
    value: bytes


class Entries(msgspec.Struct, array_like=True, frozen=True, gc=False, tag=48):
    """Chosen slots, ascending, without gaps. ``compacted_through`` > 0 and no entries: the start is gone."""

    entries: list[LogEntry]
    compacted_through: Slot = Slot(0)


class Status(msgspec.Struct, array_like=True, frozen=True, gc=False, tag=49):
    """A node's answer about itself: ``report`` is JSON of ``replog.status.NodeStatus``."""

    request: int
    report: bytes


class TransferAnswer(msgspec.Struct, array_like=True, frozen=True, gc=False, tag=50):
    """A leader's answer: whether a hand-over was begun, and if not, why. Who does not lead says ``NotLeader``.

    With ``may_pass`` the reason may be gone in a moment, so that asking again makes sense.
    """

    request: int
    is_accepted: bool
    reason: str
    may_pass: bool = False


class Pong(msgspec.Struct, array_like=True, frozen=True, gc=False, tag=51):
    nonce: int


NodeMessage = (
    Replies
    | SessionOpened
    | SessionExpired
    | SequenceGap
    | Refused
    | NotLeader
    | QueryAnswers
    | QueryRefused
    | Entries
    | Status
    | TransferAnswer
    | Pong
)
