"""What clients and nodes say to one another, and what a client's submission looks like inside a slot.

A submission leaves its client as bytes, stays opaque through leader, links and disks, and is decoded once on
every replica, by the Applier. All commands of one client that wait together are one submission, so between the two
ends the work is per submission, not per command.

Whose a session is. A client makes a secret of 16 random bytes and shows it with everything it submits; the log holds
only the key that follows from it (``session_key``). The node that is asked compares the two before it proposes
(``admit``), the Applier compares the key with the session's, and answers are sent to whoever showed the secret behind
the key. So neither a session's id, which anybody can guess, nor the log, which anybody can follow, helps a stranger.

Frames between client and node are one ``ClientMessage`` or ``NodeMessage`` each. A node tells a client's frame
from a peer's by the hello that opened the link.
"""

from __future__ import annotations

import functools
import hashlib
from typing import Annotated, Any

import msgspec
from msgspec import Meta

from .limits import KEY_BYTES, NUMBER_MAX, SUBMISSION_COMMANDS_MAX
from .paxos.ballot import NodeId, Slot

Key = Annotated[bytes, Meta(min_length=KEY_BYTES, max_length=KEY_BYTES)]
Number = Annotated[int, Meta(ge=0, le=NUMBER_MAX)]

# --- inside a slot: submissions --------------------------------------------------------------------------


@functools.lru_cache(maxsize=16_384)
def session_key(secret: bytes) -> bytes:
    """The key of the session whose client holds this secret; the last ones are remembered, as each is asked for again
    with every submission."""
    return hashlib.blake2b(secret, digest_size=KEY_BYTES, person=b"replog session").digest()


class Commands(msgspec.Struct, array_like=True, frozen=True, gc=False, tag=0):
    """Commands of one session with consecutive sequence numbers.

    Parameters
    ----------
    session: the session's id, as ``SessionOpened`` gave it.
    first_sequence: sequence number of ``payloads[0]``; numbers start at 1 and have no gaps.
    acknowledged_below: the client has the replies to every sequence number below this one, so they may go.
    payloads: the commands, opaque to everything but the state machine.
    key: the session's key.
    """

    session: Number
    first_sequence: Annotated[int, Meta(ge=1, le=NUMBER_MAX)]
    acknowledged_below: Number
    payloads: Annotated[list[bytes], Meta(min_length=1, max_length=SUBMISSION_COMMANDS_MAX)]
    key: Key


class OpenSession(msgspec.Struct, array_like=True, frozen=True, gc=False, tag=1):
    """Opens the session of a key. One that is open already is answered with its id, so a retry is harmless."""

    key: Key


class CloseSession(msgspec.Struct, array_like=True, frozen=True, gc=False, tag=2):
    """Ends a session and lets go of what is kept for it."""

    session: Number
    key: Key


Submission = Commands | OpenSession | CloseSession


class MalformedSubmission(Exception):
    """Bytes that are no submission of this version."""


_submission_decoder: msgspec.msgpack.Decoder[Submission] = msgspec.msgpack.Decoder(Submission)
_SUBMISSION_STARTS = frozenset({b"\x96\x00", b"\x92\x01", b"\x93\x02"})
"""An array of exactly the fields that its tag has, and the tag."""


def decode_submission(data: bytes) -> Submission:
    """The submission that these bytes are; the verdict depends on the bytes alone.

    The decoder skips fields that it does not know, however deep they are nested, for which it needs the interpreter's
    stack: there the verdict would depend on who asks. So the number of fields is looked at first. What is left has no
    room for nesting, and every number and length its limit.

    Raises ``MalformedSubmission`` and nothing else.
    """
    if data[:2] not in _SUBMISSION_STARTS:
        raise MalformedSubmission("it does not begin as a submission of this version does")
    try:
        return _submission_decoder.decode(data)
    except msgspec.DecodeError as error:
        raise MalformedSubmission(str(error)) from error


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
    failed: positions in ``replies`` whose command raised in ``apply``; the reply is then the error's text, which is
        for people: it may differ between replicas.
    """

    session: int
    first_sequence: int
    slot: Slot
    first_offset: int
    replies: list[bytes]
    failed: list[int] = []


class SessionOpened(msgspec.Struct, array_like=True, frozen=True, gc=False, tag=41):
    key: bytes
    session: int


class SessionExpired(msgspec.Struct, array_like=True, frozen=True, gc=False, tag=42):
    """There is no such session of that key: it expired, was closed, or never was. Nothing of it will be run."""

    session: int


class SequenceGap(msgspec.Struct, array_like=True, frozen=True, gc=False, tag=43):
    """From ``expected`` on a submission was not run, and the client sends again from there.

    It skipped that number, or as much as is kept for a session is unacknowledged, or the slot had no room left.
    ``acknowledged_below`` is that of the submission: one that left before the client last sent again is no news.
    """

    session: int
    expected: int
    acknowledged_below: int


class Refused(msgspec.Struct, array_like=True, frozen=True, gc=False, tag=44):
    """A submission was not taken and will not be run.

    Parameters
    ----------
    session: as in the Submit.
    first_sequence: of the refused submission (0 where there is none).
    code: ``overloaded``, ``too_large``, ``storage_full``; ``malformed`` and ``not_yours`` say the same everywhere.
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

# --- the door ---------------------------------------------------------------------------------------------


def admit(message: Submit) -> Submission | Refused:
    """What a client may have proposed: a submission of this version, by whoever holds its secret."""
    try:
        submission = decode_submission(message.submission)
    except MalformedSubmission as error:
        return Refused(message.session, 0, "malformed", f"these bytes are no submission of this version: {error}")
    if session_key(message.secret) != submission.key:  # the key is no secret, so how long this takes tells nothing
        return Refused(message.session, 0, "not_yours", "the secret is not the one behind the session's key")
    return submission


def first_sequence_of(submission: Submission) -> int:
    """As in ``Refused``."""
    return submission.first_sequence if isinstance(submission, Commands) else 0
