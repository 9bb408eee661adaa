"""What a node owes its clients: whose replies go where, which reads wait, who follows the log.

Everything said to one client in a turn leaves at the end of the turn, as one frame if it is not much. What is much
waits here, not yet encoded, and leaves frame by frame as the link takes it. It decides nothing about the log: the node
hands it what was applied, confirmed or refused. A client that does not take its answers is dropped; it comes back and
asks again under the same numbers.

Answers to submissions go to the youngest link that has shown the secret behind their session's key
(``wire.client_messages.admit``), so nobody can take them from another client; nor can a link that the client has left
and that is read late.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any, TypeVar

import attrs

from ..apply.command_loop import Outcome
from ..apply.outcomes import SubmissionRefused
from ..apply.submissions import Submission, first_sequence_of
from ..errors import StorageError, error_text
from ..paxos.effects import ReadReady, Refusal
from ..paxos.outbox import Size
from ..wire.client_messages import (
    NodeMessage,
    NotLeader,
    Query,
    QueryAnswers,
    QueryRefused,
    Submit,
)
from ..wire.codec import Kind, encode_frame
from .client_link import ClientLink, NodePosition
from .event_log import EventLog
from .followers import Followers

_T = TypeVar("_T")

ANSWERS_BYTES_MAX = 4 * 2**20
"""Answers to reads that wait on one link; the rest is asked for when they have been taken."""
SESSIONS_A_LINK_MAX = 64
"""A client has one; more are opened where somebody speaks for many, or wants to drive others out."""
ANSWERS_A_TURN_BYTES = 8 * 2**20
"""Answers to reads that are made before those there are have left, or are waited for (``wire.budget``)."""
REPLY_FRAME_BYTES = 4 * 2**20
"""A frame to a client ends when it has grown to this."""
_MESSAGE_BYTES = 64
"""About what a message weighs beside what it carries."""

REASONS = {
    Refusal.OVERLOADED: "the leader's queue is full; send less at a time",
    Refusal.TOO_LARGE: "the submission is above batch_bytes_max and was not proposed",
    Refusal.STORAGE_FULL: "the leader's disk is nearly full and takes no new commands; make room on it",
    Refusal.NOT_LEADER: "this node does not lead",
}

Answer = Callable[[bytes], tuple[bytes, bool]]
"""See ``queries.answer_query``."""


@attrs.define(eq=False)
class _Asked:
    """Reads of one message, and how many of them have been answered."""

    link: ClientLink
    message: Query
    weight_bytes: int
    answered: int = 0


class _Outbox:
    """What one client has still to be sent, and about how many bytes each of it is."""

    __slots__ = ("link", "messages", "waiting_bytes", "weights")

    def __init__(self, link: ClientLink) -> None:
        self.link = link
        self.messages: list[NodeMessage] = []
        self.weights: list[int] = []
        self.waiting_bytes = 0

    @property
    def bytes_before_last(self) -> int:
        return self.waiting_bytes - self.weights[-1] if self.weights else 0

    def take_frame(self) -> list[NodeMessage]:
        """Some of it, from the front; all of it, if it is not much."""
        frame = self.messages
        if self.waiting_bytes <= REPLY_FRAME_BYTES:
            self.messages, self.weights, self.waiting_bytes = [], [], 0
            return frame
        count = frame_bytes = 0
        while frame_bytes < REPLY_FRAME_BYTES:
            frame_bytes += self.weights[count]
            count += 1
        frame, self.messages = frame[:count], frame[count:]
        del self.weights[:count]
        self.waiting_bytes -= frame_bytes
        return frame


class Clients:
    """All clients of one node; every call is synchronous and on the event loop's thread."""

    def __init__(self, position: NodePosition, log: EventLog, clients_bytes_max: int = 48 * 2**20) -> None:
        self._position = position
        self._clients_bytes_max = clients_bytes_max
        self._log = log
        self._routes: dict[bytes, ClientLink] = {}
        self._keys: dict[ClientLink, set[bytes]] = {}
        self._outboxes: dict[ClientLink, _Outbox] = {}
        self._talking: dict[ClientLink, _Outbox] = {}
        self._told_not_leader: dict[ClientLink, None] = {}
        self._reads: dict[int, _Asked] = {}
        self._reads_waiting: list[ReadReady] = []
        self._reads_due: list[_Asked] = []
        self._answer_bytes: dict[ClientLink, int] = {}
        self.reads_bytes = 0
        """Of all requests that are not answered."""
        self._next_read_id = 0
        self.followers = Followers(position, self)
        self._heard: dict[ClientLink, tuple[int, float]] = {}

    # --- who is there ---

    @property
    def links(self) -> Iterable[ClientLink]:
        return self._keys

    def open(self, link: ClientLink) -> None:
        self._keys[link] = set()
        self._outboxes[link] = _Outbox(link)

    def close(self, link: ClientLink) -> None:
        """Forget a client; what it asked for may still happen, and nobody is told here."""
        for key in self._keys.pop(link, ()):
            if self._routes.get(key) is link:
                del self._routes[key]
        self._outboxes.pop(link, None)
        self._talking.pop(link, None)
        self._told_not_leader.pop(link, None)
        self.followers.forget(link)
        self._heard.pop(link, None)
        for read_id in [read_id for read_id, asked in self._reads.items() if asked.link is link]:
            self.reads_bytes -= self._reads.pop(read_id).weight_bytes

    def idle_links(self, before_s: float, now_s: float) -> list[ClientLink]:
        """Clients that have sent nothing since ``before_s``; to be asked now and then."""
        idle: list[ClientLink] = []
        for link in self._keys:
            seen, since_s = self._heard.get(link, (-1, now_s))
            if link.bytes_received != seen:
                self._heard[link] = (link.bytes_received, now_s)
            elif since_s < before_s:
                idle.append(link)
        return idle

    def sizes(self) -> list[Size]:
        """A client's buffer has room for all that waits for it but the last message."""
        return [
            Size("answers' bytes for a client", outbox.bytes_before_last, link.write_buffer_bytes_max)
            for link, outbox in self._outboxes.items()
        ]

    # --- serving one ---

    def attempt(self, link: ClientLink, serve: Callable[..., _T], *arguments: Any) -> _T | None:
        """Do something for one client; if it goes wrong, that client's link ends and nothing else.

        Raises ``StorageError``: the node's disk is no client's matter.
        """
        try:
            return serve(*arguments)
        except StorageError:
            raise
        except Exception as error:
            self._drop(link, error)
            return None

    def _drop(self, link: ClientLink, error: Exception) -> None:
        self._log.warning("client_dropped", other=link.peer_address, reason=error_text(error).decode())
        link.close()

    # --- saying ---

    def say(self, link: ClientLink, message: NodeMessage, weight_bytes: int = 0) -> None:
        """Put a message behind everything else for this client; ``weight_bytes``: of what it carries, if much."""
        outbox = self._outboxes.get(link)
        if outbox is None:
            return
        if outbox.waiting_bytes + link.unsent_bytes > link.write_buffer_bytes_max:
            link.close()
            return
        if not outbox.messages:
            self._talking[link] = outbox
        weight_bytes += _MESSAGE_BYTES
        outbox.messages.append(message)
        outbox.weights.append(weight_bytes)
        outbox.waiting_bytes += weight_bytes

    def send(self) -> None:
        """Everything this turn has for each client, as far as its link takes it; the rest when it is drained."""
        if not self._talking:
            return
        talking, self._talking = self._talking, {}
        for link, outbox in talking.items():
            try:
                while outbox.messages and not link.unsent_bytes and not link.is_closed:
                    if not link.write(encode_frame(Kind.NODE, outbox.take_frame())):
                        link.close()
            except Exception as error:
                self._drop(link, error)
            if outbox.messages and not link.is_closed:
                self._talking[link] = outbox
        if self._talking:
            self._bound_waiting()

    def _bound_waiting(self) -> None:
        """What waits for all clients together has a bound, too: who has most of it goes (see ``wire.budget``)."""
        talking = self._talking
        waiting_bytes = sum([outbox.waiting_bytes for outbox in talking.values()])
        while waiting_bytes > self._clients_bytes_max and len(talking) > 1:
            link, outbox = max(talking.items(), key=lambda pair: pair[1].waiting_bytes)
            waiting_bytes -= outbox.waiting_bytes
            del talking[link]
            link.close()

    # --- submissions ---

    def may_submit(self, link: ClientLink, key: bytes) -> bool:
        """Whether a link may speak for one session more; each that is answered there is remembered."""
        return self._routes.get(key) is link or len(self._keys.get(link, ())) < SESSIONS_A_LINK_MAX

    def on_submit(self, link: ClientLink, message: Submit, submission: Submission, refusal: Refusal | None) -> None:
        """A submission was handed to the proposer, which took it (None) or refused it."""
        if refusal is None:
            routed = self._routes.get(submission.key)
            if routed is not link and link in self._keys and (routed is None or routed.number < link.number):
                self._routes[submission.key] = link
                self._keys[link].add(submission.key)
        elif refusal is Refusal.NOT_LEADER:
            self.say_not_leader(link)
        else:
            self.say(
                link, SubmissionRefused(message.session, first_sequence_of(submission), refusal.value, REASONS[refusal])
            )

    def is_awaited(self, key: bytes) -> bool:
        """Whether somebody who is connected here waits for what is told under this key."""
        return key in self._routes

    def on_outcomes(self, outcomes: Iterable[Outcome]) -> None:
        """What applying a slot told whom; most of it concerns nobody who is connected here."""
        routes = self._routes
        for key, message, weight_bytes in outcomes:
            link = routes.get(key)
            if link is not None:
                self.say(link, message, weight_bytes)

    # --- leadership ---

    def say_not_leader(self, link: ClientLink) -> None:
        """Once a turn, however many submissions it sent."""
        self._told_not_leader[link] = None  # in the order in which they asked
        outbox = self._outboxes.get(link)
        if outbox is not None and not any(type(message) is NotLeader for message in outbox.messages):
            self.say(link, NotLeader(*self._position.leader_address()))

    def ask_to_repeat(self) -> None:
        """Answers to what was sent here may never come: another node leads now, or what was asked was run elsewhere and
        came with the state. Whoever sent something has to send it again, to the leader."""
        for link, keys in self._keys.items():
            if keys:
                self.say_not_leader(link)

    def on_leader_changed(self) -> None:
        """Tell those that were sent away where to go, now that it is known; the new leader itself names itself."""
        node, address = self._position.leader_address()
        if node:
            for link in self._told_not_leader:
                self.say(link, NotLeader(node, address))
            self._told_not_leader.clear()

    # --- reads ---

    @property
    def reads_under_way(self) -> int:
        """Linearizable ones, until they are answered: while nothing is applied, those that are confirmed wait too."""
        return len(self._reads)

    @property
    def has_reads(self) -> bool:
        """Whether any read is confirmed, or asks for no confirmation, and is not answered yet."""
        return bool(self._reads_due or self._reads_waiting)

    def begin_read(self, link: ClientLink, message: Query) -> int:
        """Remember a linearizable read; returns its id."""
        self._next_read_id += 1
        self._reads[self._next_read_id] = self._asked(link, message)
        return self._next_read_id

    def refuse_read(self, read_id: int, refusal: Refusal) -> None:
        asked = self._reads.pop(read_id, None)
        if asked is None:
            return  # whoever asked has gone
        self.reads_bytes -= asked.weight_bytes
        link, message = asked.link, asked.message
        self.say(link, QueryRefused(message.first_id, len(message.requests), refusal.value, REASONS[refusal]))
        if refusal is Refusal.NOT_LEADER:
            self.say_not_leader(link)

    def refuse_waiting_reads(self) -> None:
        """This node leads no more, and may apply what they wait for late or never; the leader answers sooner."""
        waiting, self._reads_waiting = self._reads_waiting, []
        for ready in waiting:
            for read_id in ready.read_ids:
                self.refuse_read(read_id, Refusal.NOT_LEADER)

    def on_reads_confirmed(self, reads: Iterable[ReadReady]) -> None:
        self._reads_waiting.extend(reads)

    def answer_soon(self, link: ClientLink, message: Query) -> None:
        """Answer reads from the state as it stands when their turn comes, in this turn if their link has room."""
        self._reads_due.append(self._asked(link, message))

    def _asked(self, link: ClientLink, message: Query) -> _Asked:
        weight_bytes = sum(map(len, message.requests))
        self.reads_bytes += weight_bytes
        return _Asked(link, message, weight_bytes)

    def answer_reads(self, answer: Answer, is_over: Callable[[], bool]) -> bool:
        """Answer the reads whose slot has been applied, as far as their links take the answers and until it
        ``is_over``.

        Returns whether somebody could take more at once.
        """
        if self._reads_waiting:
            self._gather_due()
        if not self._reads_due:
            return False
        due, self._reads_due = self._reads_due, []
        is_more = False
        answered_bytes = 0
        for position, asked in enumerate(due, 1):
            if asked.link not in self._keys:
                self.reads_bytes -= asked.weight_bytes
                continue
            answered_bytes += self.attempt(asked.link, self._answer, asked, answer, is_over) or 0
            if asked.answered < len(asked.message.requests):
                self._reads_due.append(asked)
                is_more = is_more or not asked.link.unsent_bytes
            else:
                self.reads_bytes -= asked.weight_bytes
            if answered_bytes >= ANSWERS_A_TURN_BYTES or is_over():
                self._reads_due = due[position:] + self._reads_due
                is_more = is_more or position < len(due)
                break
        self._answer_bytes.clear()
        return is_more

    def _gather_due(self) -> None:
        waiting, self._reads_waiting = self._reads_waiting, []
        for ready in waiting:
            if ready.slot > self._position.applied_through:
                self._reads_waiting.append(ready)
                continue
            self._reads_due += [self._reads.pop(read_id) for read_id in ready.read_ids if read_id in self._reads]

    def _answer(self, asked: _Asked, answer: Answer, is_over: Callable[[], bool]) -> int:
        """A small request may have a large answer: no more of them than its link should have to keep, nor for longer
        than the turn has time. Returns how many bytes were answered."""
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
            if is_over():
                break
        if not answers:
            return 0
        asked.answered += len(answers)
        self._answer_bytes[link] = ANSWERS_BYTES_MAX - link.unsent_bytes - room_bytes
        told = QueryAnswers(message.first_id + first, self._position.applied_through, answers, failed)
        answered_bytes = sum(map(len, answers))
        self.say(link, told, answered_bytes)
        return answered_bytes
