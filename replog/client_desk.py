"""What a node owes its clients: whose replies go where, which reads wait, who follows the log.

Everything said to one client in a turn leaves as one frame, at the end of the turn. It decides nothing about the log:
the node hands it what was applied, confirmed or refused. A client that does not take its answers is dropped; it comes
back and asks again under the same numbers.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any, Protocol, TypeVar

import attrs
import msgspec
import structlog

from .applier import Outcome
from .codec import Kind, encode_frame
from .errors import StorageError, error_text
from .link import Link
from .paxos.ballot import NodeId, Slot
from .paxos.effects import ReadReady, Refusal
from .paxos.messages import AcceptedSlot
from .requests import (
    CloseSession,
    Entries,
    Follow,
    LogEntry,
    NodeMessage,
    NotLeader,
    OpenSession,
    Query,
    QueryAnswers,
    QueryRefused,
    Refused,
    SessionOpened,
    Submission,
    Submit,
)

log = structlog.get_logger(__name__)

_T = TypeVar("_T")

FOLLOW_PIECE_SLOTS = 64
FOLLOW_PIECE_BYTES = 512 * 1024
ANSWERS_BYTES_MAX = 4 * 2**20
"""Answers to reads that wait on one link; the rest is asked for when they have been taken."""

REASONS = {
    Refusal.OVERLOADED: "the leader's queue is full; send less at a time",
    Refusal.TOO_LARGE: "the submission is above batch_bytes_max and was not proposed",
    Refusal.STORAGE_FULL: "the leader's disk is nearly full and takes no new commands; make room on it",
    Refusal.NOT_LEADER: "this node does not lead",
}

_submission_decoder: msgspec.msgpack.Decoder[Submission] = msgspec.msgpack.Decoder(Submission)

Answer = Callable[[bytes], tuple[bytes, bool]]
"""See ``queries.answer_query``."""
ReadLog = Callable[[Slot, Slot, int, int], list[AcceptedSlot]]


class Book(Protocol):
    """What the desk needs to know of the node's position."""

    @property
    def applied_through(self) -> Slot: ...

    @property
    def compacted_through(self) -> Slot: ...

    def leader_address(self) -> tuple[NodeId, str]:
        """Who leads and where clients reach it; (0, "") if it is unknown."""


@attrs.define(eq=False)
class _Following:
    """A client that reads the log as it grows."""

    next_slot: Slot
    credit: int


@attrs.define(eq=False)
class _Due:
    """Reads that may be answered, and how many of them have been."""

    link: Link
    message: Query
    answered: int = 0


class ClientDesk:
    """All clients of one node; every call is synchronous and on the event loop's thread."""

    def __init__(self, book: Book) -> None:
        self._book = book
        self._routes: dict[int, Link] = {}
        self._sessions: dict[Link, set[int]] = {}
        self._nonces: dict[bytes, Link] = {}
        self._out: dict[Link, list[NodeMessage]] = {}
        self._told_not_leader: set[Link] = set()
        self._reads: dict[int, tuple[Link, Query]] = {}
        self._reads_waiting: list[ReadReady] = []
        self._reads_due: list[_Due] = []
        self._answer_bytes: dict[Link, int] = {}
        self._next_read_id = 0
        self._following: dict[Link, _Following] = {}
        self._heard: dict[Link, tuple[int, float]] = {}

    # --- who is there ---

    @property
    def links(self) -> Iterable[Link]:
        return self._sessions

    @property
    def has_one_client(self) -> bool:
        return len(self._sessions) == 1

    def open(self, link: Link) -> None:
        self._sessions[link] = set()

    def close(self, link: Link) -> None:
        """Forget a client; what it asked for may still happen, and nobody is told here."""
        for session in self._sessions.pop(link, ()):
            if self._routes.get(session) is link:
                del self._routes[session]
        self._nonces = {nonce: other for nonce, other in self._nonces.items() if other is not link}
        self._out.pop(link, None)
        self._told_not_leader.discard(link)
        self._following.pop(link, None)
        self._heard.pop(link, None)

    def idle_links(self, before_s: float, now_s: float) -> list[Link]:
        """Clients that have sent nothing since ``before_s``; to be asked now and then."""
        idle: list[Link] = []
        for link in self._sessions:
            seen, since_s = self._heard.get(link, (-1, now_s))
            if link.bytes_received != seen:
                self._heard[link] = (link.bytes_received, now_s)
            elif since_s < before_s:
                idle.append(link)
        return idle

    # --- serving one ---

    def attempt(self, link: Link, serve: Callable[..., _T], *arguments: Any) -> _T | None:
        """Do something for one client; if it goes wrong, that client's link ends and nothing else.

        Raises ``StorageError``: the node's disk is no client's matter.
        """
        try:
            return serve(*arguments)
        except StorageError:
            raise
        except Exception as error:
            log.warning("client_dropped", other=link.peer_address, reason=error_text(error).decode())
            link.close()
            return None

    # --- saying ---

    def say(self, link: Link, message: NodeMessage) -> None:
        """Put a message into this turn's frame."""
        if link in self._sessions:
            self._out.setdefault(link, []).append(message)

    def send(self) -> None:
        """One frame a client, with everything this turn has for it."""
        if not self._out:
            return
        out, self._out = self._out, {}
        for link, messages in out.items():
            frame = self.attempt(link, encode_frame, Kind.NODE, messages)
            if frame is not None and not link.write(frame):
                link.close()

    # --- submissions ---

    def on_submit(self, link: Link, message: Submit, refusal: Refusal | None) -> None:
        """A submission was handed to the proposer, which took it (None) or refused it."""
        if refusal is None:
            self._route(link, message)
        elif refusal is Refusal.NOT_LEADER:
            self.say_not_leader(link)
        else:
            first_sequence = _first_sequence(message.submission)
            self.say(link, Refused(message.session, first_sequence, refusal.value, REASONS[refusal]))

    def _route(self, link: Link, message: Submit) -> None:
        session = message.session
        if session:
            if self._routes.get(session) is not link:
                self._routes[session] = link
                self._sessions[link].add(session)
            return
        submission = _decode(message.submission)
        if isinstance(submission, OpenSession):
            self._nonces[submission.nonce] = link
        elif not isinstance(submission, CloseSession):
            self.say(link, Refused(0, 0, "malformed", "these bytes are no submission of this version"))

    def on_outcomes(self, outcomes: Iterable[Outcome]) -> None:
        """What applying a slot told whom; most of it concerns nobody who is connected here."""
        for outcome in outcomes:
            if isinstance(outcome, SessionOpened):
                link = self._nonces.pop(outcome.nonce, None)
            else:
                link = self._routes.get(outcome.session)
            if link is not None:
                self.say(link, outcome)

    # --- leadership ---

    def say_not_leader(self, link: Link) -> None:
        """Once a turn, however many submissions it sent."""
        self._told_not_leader.add(link)
        if not any(type(message) is NotLeader for message in self._out.get(link, ())):
            self.say(link, NotLeader(*self._book.leader_address()))

    def on_stepped_down(self) -> None:
        """Whoever sent something here has to look for its answer elsewhere."""
        for link, sessions in self._sessions.items():
            if sessions or link in self._nonces.values():
                self.say_not_leader(link)

    def on_leader_changed(self) -> None:
        """Tell those that were sent away where to go, now that it is known; the new leader itself names itself."""
        node, address = self._book.leader_address()
        if node:
            for link in self._told_not_leader:
                self.say(link, NotLeader(node, address))
            self._told_not_leader.clear()

    # --- reads ---

    def begin_read(self, link: Link, message: Query) -> int:
        """Remember a linearizable read; returns its id."""
        self._next_read_id += 1
        self._reads[self._next_read_id] = (link, message)
        return self._next_read_id

    def refuse_read(self, read_id: int, refusal: Refusal) -> None:
        link, message = self._reads.pop(read_id)
        self.say(link, QueryRefused(message.first_id, len(message.requests), refusal.value, REASONS[refusal]))
        if refusal is Refusal.NOT_LEADER:
            self.say_not_leader(link)

    def on_reads_confirmed(self, reads: Iterable[ReadReady]) -> None:
        self._reads_waiting.extend(reads)

    def answer_soon(self, link: Link, message: Query) -> None:
        """Answer reads from the state as it stands when their turn comes, in this turn if their link has room."""
        self._reads_due.append(_Due(link, message))

    def answer_reads(self, answer: Answer) -> bool:
        """Answer the reads whose slot has been applied, as far as their links take the answers.

        Returns whether somebody could take more at once.
        """
        if self._reads_waiting:
            self._gather_due()
        if not self._reads_due:
            return False
        due, self._reads_due = self._reads_due, []
        is_more = False
        for asked in due:
            if asked.link not in self._sessions:
                continue
            self.attempt(asked.link, self._answer, asked, answer)
            if asked.answered < len(asked.message.requests):
                self._reads_due.append(asked)
                is_more = is_more or not asked.link.unsent_bytes
        self._answer_bytes.clear()
        return is_more

    def _gather_due(self) -> None:
        waiting, self._reads_waiting = self._reads_waiting, []
        for ready in waiting:
            if ready.slot > self._book.applied_through:
                self._reads_waiting.append(ready)
                continue
            for read_id in ready.read_ids:
                self.answer_soon(*self._reads.pop(read_id))

    def _answer(self, asked: _Due, answer: Answer) -> None:
        """A small request may have a large answer: no more of them than its link should have to keep."""
        link, message, first = asked.link, asked.message, asked.answered
        room_bytes = ANSWERS_BYTES_MAX - link.unsent_bytes - self._answer_bytes.get(link, 0)
        answers: list[bytes] = []
        failed: list[int] = []
        for request in message.requests[first:] if first else message.requests:
            if room_bytes <= 0:
                break
            reply, is_failed = answer(request)
            if is_failed:
                failed.append(len(answers))
            answers.append(reply)
            room_bytes -= len(reply)
        if answers:
            asked.answered += len(answers)
            self._answer_bytes[link] = ANSWERS_BYTES_MAX - link.unsent_bytes - room_bytes
            self.say(link, QueryAnswers(message.first_id + first, self._book.applied_through, answers, failed))

    # --- the log itself ---

    def follow(self, link: Link, message: Follow, credit_max: int) -> None:
        """Begin to follow, or raise the credit of one who does."""
        following = self._following.get(link)
        if following is None:
            self._following[link] = _Following(Slot(max(1, message.from_slot)), min(message.credit, credit_max))
        else:
            following.credit = min(following.credit + message.credit, credit_max)

    @property
    def has_followers(self) -> bool:
        return bool(self._following)

    def feed_followers(self, read_log: ReadLog) -> bool:
        """Send each follower a bounded piece of what it lacks; True if somebody could take more at once."""
        is_more = False
        for link, following in self._following.items():
            if self.attempt(link, self._feed, link, following, read_log):
                is_more = True
        return is_more

    def _feed(self, link: Link, following: _Following, read_log: ReadLog) -> bool:
        """Whether this one could take more at once."""
        last = Slot(min(self._book.applied_through, following.next_slot + following.credit - 1))
        if following.next_slot > last or link.unsent_bytes:
            return False
        if following.next_slot <= self._book.compacted_through:
            self.say(link, Entries([], self._book.compacted_through))
            following.credit = 0
            return False
        records = read_log(following.next_slot, last, FOLLOW_PIECE_SLOTS, FOLLOW_PIECE_BYTES)
        if not records:
            return False
        self.say(link, Entries([LogEntry(record.slot, record.value) for record in records]))
        following.credit -= len(records)
        following.next_slot = Slot(records[-1].slot + 1)
        return following.next_slot <= last


def _decode(data: bytes) -> Submission | None:
    try:
        return _submission_decoder.decode(data)
    except (msgspec.DecodeError, ValueError):
        return None


def _first_sequence(data: bytes) -> int:
    submission = _decode(data)
    return getattr(submission, "first_sequence", 0)
