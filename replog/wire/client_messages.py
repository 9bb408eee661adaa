"""What clients and nodes say to one another.

Frames between client and node are one ``ClientMessage`` or ``NodeMessage`` each. A node tells a client's frame
from a peer's by the hello that opened the link.

Never: trust a length before checking it.
"""

from __future__ import annotations

from typing import Annotated, Any

import msgspec
from msgspec import Meta

from ..apply.limits import KEY_BYTES
from ..apply.outcomes import Replies, SequenceGap, SessionGone, SessionOpened, SubmissionRefused
from ..apply.submissions import MalformedSubmission, Submission, decode_submission, session_key
from ..paxos.ballot import Count, NodeId, Slot
from ..paxos.membership import Member

REQUESTS_MAX = 65_536
"""Reads in one message."""
MEMBERS_MAX = 64
"""Voters, or learners, in one change; a cluster has a few."""

# --- client to node ---------------------------------------------------------------------------------------


class Submit(msgspec.Struct, array_like=True, frozen=True, gc=False, tag=20):
    """One submission, already encoded.

    Parameters
    ----------
    session: comes back in a refusal (0: of what stands before or behind a session's commands).
    secret: whose key the submission names; never printed, logged or proposed.
    """

    session: int
    submission: bytes
    secret: Annotated[bytes, Meta(max_length=KEY_BYTES)] = b""

    def __repr__(self) -> str:
        return f"Submit(session={self.session}, submission={self.submission!r}, secret=...)"

    def __rich_repr__(self) -> list[tuple[str, Any]]:
        return [("session", self.session), ("submission", self.submission)]


class Query(msgspec.Struct, array_like=True, frozen=True, gc=False, tag=21):
    """Reads that wait together; ``requests[i]`` has id ``first_id + i``.

    ``is_stale``: answer at once from this node; otherwise linearizable (leader only).
    """

    first_id: int
    is_stale: bool
    requests: Annotated[list[bytes], Meta(max_length=REQUESTS_MAX)]


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


class ChangeMembersRequest(msgspec.Struct, array_like=True, frozen=True, gc=False, tag=26):
    """Asks the leader for other members, all of them from the change on; see ``Replica.change_members``.

    Parameters
    ----------
    if_version: the version that the asker has seen; 0: whichever is in force.
    described: addresses and incarnations that are new.
    is_dry_run: only whether it would be refused.
    """

    request: int
    voters: Annotated[tuple[NodeId, ...], Meta(max_length=MEMBERS_MAX)]
    learners: Annotated[tuple[NodeId, ...], Meta(max_length=MEMBERS_MAX)] = ()
    if_version: Count = 0
    described: Annotated[tuple[Member, ...], Meta(max_length=2 * MEMBERS_MAX)] = ()
    is_dry_run: bool = False


class Ping(msgspec.Struct, array_like=True, frozen=True, gc=False, tag=25):
    """Answered at once with Pong: how either side finds out that the other hangs."""

    nonce: int


ClientMessage = Submit | Query | Follow | StatusRequest | TransferRequest | ChangeMembersRequest | Ping

# --- node to client ---------------------------------------------------------------------------------------


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
    """Reads ``first_id .. first_id + count - 1`` were not answered; ``code`` as in SubmissionRefused, or not_leader."""

    first_id: int
    count: int
    code: str
    reason: str


class LogEntry(msgspec.Struct, array_like=True, frozen=True, gc=False):
    """One chosen slot as a follower of the log sees it.

    Parameters
    ----------
    slot: its number, from 1.
    value: an encoded ``SlotValue`` (``paxos.values``).
    """

    slot: Slot
    value: bytes


class Entries(msgspec.Struct, array_like=True, frozen=True, gc=False, tag=48):
    """Chosen slots, ascending, without gaps. ``compacted_through`` > 0 and no entries: the start is gone."""

    entries: list[LogEntry]
    compacted_through: Slot = Slot(0)


class Status(msgspec.Struct, array_like=True, frozen=True, gc=False, tag=49):
    """A node's answer about itself: ``report`` is JSON of ``replog.wire.status.NodeStatus``."""

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


class ChangeMembersAnswer(msgspec.Struct, array_like=True, frozen=True, gc=False, tag=52):
    """A leader's answer: which version it has proposed, or why it has not. Who does not lead says ``NotLeader``.

    The change is done when the Membership that is released with this version is the one that was asked for.

    Parameters
    ----------
    version: proposed; of what was refused or only tried, the one in force.
    code: empty, or ``paxos.effects.NoChangeCode``.
    reason: in words.
    may_pass: the reason may be gone in a moment, so that asking again makes sense.
    """

    request: int
    version: Count
    code: str = ""
    reason: str = ""
    may_pass: bool = False


class Pong(msgspec.Struct, array_like=True, frozen=True, gc=False, tag=51):
    nonce: int


NodeMessage = (
    Replies
    | SessionOpened
    | SessionGone
    | SequenceGap
    | SubmissionRefused
    | NotLeader
    | QueryAnswers
    | QueryRefused
    | Entries
    | Status
    | TransferAnswer
    | ChangeMembersAnswer
    | Pong
)

# --- the door ---------------------------------------------------------------------------------------------


def admit(message: Submit) -> Submission | SubmissionRefused:
    """What a client may have proposed: a submission of this version, by whoever holds its secret."""
    try:
        submission = decode_submission(message.submission)
    except MalformedSubmission as error:
        return SubmissionRefused(
            message.session, 0, "malformed", f"these bytes are no submission of this version: {error}"
        )
    if session_key(message.secret) != submission.key:  # the key is no secret, so how long this takes tells nothing
        return SubmissionRefused(message.session, 0, "not_yours", "the secret is not the one behind the session's key")
    return submission
