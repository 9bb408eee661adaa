"""Reads, and questions to the connected node: whatever may be asked again as often as it takes. Without I/O or a clock.

A read that a node refuses, or that nobody answers, goes to the next node or waits for the next attempt; only its
deadline ends it.
"""

from __future__ import annotations

import math
import random as random_module
from collections import deque
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

from ..errors import CommandFailed, ReplogError, Unavailable
from ..wire.client_messages import (
    REQUESTS_MAX,
    ChangeMembersAnswer,
    ChangeMembersRequest,
    ClientMessage,
    Query,
    QueryAnswers,
    QueryRefused,
    Status,
    StatusRequest,
    TransferAnswer,
    TransferRequest,
)
from .backoff import Backoff
from .options import ClientOptions
from .retry import Retry
from .waiting import Parked

QUERY_BYTES = 2**16
"""Reads that wait together travel in messages of about this size."""


class Answer(NamedTuple):
    """What a read brought back.

    Parameters
    ----------
    reply: the state machine's answer.
    applied_through: the last slot that the state it was read from had run.
    """

    reply: bytes
    applied_through: int


class Asked(Parked):
    """What somebody waits for, until a deadline."""

    __slots__ = ("deadline_s", "error")

    def __init__(self, deadline_s: float) -> None:
        self.waiter = None
        self.deadline_s = deadline_s
        self.error: ReplogError | None = None

    def leave(self, raise_cancel: object = None) -> Any:
        """Nobody waits for it: its time is over."""
        self.deadline_s = -math.inf
        return super().leave(raise_cancel)


class Read(Asked):
    """One read of one caller."""

    __slots__ = ("answer", "is_stale", "request")

    def __init__(self, request: bytes, deadline_s: float, *, is_stale: bool) -> None:
        super().__init__(deadline_s)
        self.request = request
        self.is_stale = is_stale
        self.answer: Answer | None = None


Asking = StatusRequest | TransferRequest | ChangeMembersRequest
Answering = Status | TransferAnswer | ChangeMembersAnswer


class Question(Asked):
    """A question to whatever node is connected."""

    __slots__ = ("answer", "is_sent", "message")

    def __init__(self, message: Asking, deadline_s: float) -> None:
        super().__init__(deadline_s)
        self.message = message
        self.is_sent = False
        self.answer: Answering | None = None


class Reads:
    """Everything asked and not answered.

    Parameters
    ----------
    wake: called with each read or question that is over.
    random: of the pauses between attempts.
    """

    def __init__(self, wake: Callable[[Asked], None], options: ClientOptions, random: random_module.Random) -> None:
        self._wake = wake
        self._stale: deque[Read] = deque()
        self._linearizable: deque[Read] = deque()
        self._sent: dict[int, Read] = {}
        self._questions: dict[int, Question] = {}
        self._retry = Retry(Backoff(options.retry_first_s, options.retry_max_s, random))
        self._next_id = 1

    @property
    def has_work(self) -> bool:
        """Whether anybody waits for an answer."""
        return bool(self._sent or self._linearizable or self._stale or self._questions)

    @property
    def deadline_s(self) -> float:
        """When there will be something to send although nothing happens before; infinite if never."""
        return self._retry.at_s if self._linearizable or self._questions else math.inf

    def take_id(self, count: int = 1) -> int:
        first = self._next_id
        self._next_id += count
        return first

    def add(self, read: Read) -> None:
        (self._stale if read.is_stale else self._linearizable).append(read)

    def ask(self, question: Question) -> None:
        self._questions[question.message.request] = question

    def forget(self, question: Question) -> None:
        self._questions.pop(question.message.request, None)

    # --- what to send ---

    def take(self, now_s: float, *, is_accepting: bool) -> list[ClientMessage]:
        """What may be sent now; what only a leader answers, only to a node that is believed to be one."""
        messages: list[ClientMessage] = list(self._queries(self._stale, is_stale=True)) if self._stale else []
        if (self._linearizable or self._questions) and (not self._retry.is_troubled or self._retry.may_send(now_s)):
            messages += self._unsent_questions()
            if is_accepting:
                messages += self._queries(self._linearizable, is_stale=False)
        return messages

    def _unsent_questions(self) -> Iterator[ClientMessage]:
        for question in self._questions.values():
            if not question.is_sent:
                question.is_sent = True
                yield question.message

    def _queries(self, reads: deque[Read], *, is_stale: bool) -> Iterator[Query]:
        while reads:
            together, together_bytes = [reads.popleft()], 0
            while reads and together_bytes < QUERY_BYTES and len(together) < REQUESTS_MAX:
                together_bytes += len(together[-1].request)
                together.append(reads.popleft())
            first = self.take_id(len(together))
            self._sent.update(enumerate(together, first))
            yield Query(first, is_stale, [read.request for read in together])

    def on_disconnected(self) -> None:
        """Nothing that was asked there will be answered."""
        sent, self._sent = self._sent, {}
        for read in sent.values():
            self.add(read)
        for question in self._questions.values():
            question.is_sent = False

    # --- what comes back ---

    def on_leads(self, now_s: float) -> None:
        """The node says that it leads: what it did not answer is asked again, less and less often where it says so and
        answers nothing all the same."""
        self.on_disconnected()
        self._retry.hurry(now_s)

    def on_answers(self, message: QueryAnswers) -> None:
        failed = frozenset(message.failed)
        wake, sent = self._wake, self._sent
        is_from_leader = False
        for position, answer in enumerate(message.answers):
            read = sent.pop(message.first_id + position, None)
            if read is None:
                continue
            if position in failed:
                read.error = query_failed(answer)
            read.answer = Answer(answer, message.applied_through)
            is_from_leader = not read.is_stale
            wake(read)
        if is_from_leader and self._retry.is_troubled:
            self._retry.succeed()

    def on_refused(self, message: QueryRefused, now_s: float) -> None:
        """Not answered, and asked again: of another leader, or after a pause."""
        for number in range(message.first_id, message.first_id + message.count):
            read = self._sent.pop(number, None)
            if read is not None:
                self.add(read)
        if message.code != "not_leader":
            self._retry.pause(now_s)

    def on_reply(self, message: Answering) -> None:
        """A node has answered a question."""
        question = self._questions.pop(message.request, None)
        if question is not None:
            question.answer = message
            self._wake(question)

    # --- ends ---

    def end_overdue(self, now_s: float, situation: Callable[[], str]) -> None:
        """End what was asked and not answered by its deadline; ``situation`` says why, for a person."""
        if any(asked.deadline_s <= now_s for asked in self._asked()):
            self._end(lambda asked: asked.deadline_s <= now_s, f"no answer in time. {situation()}")

    def end_all(self, why: str) -> None:
        """End everything: nobody sends it any more."""
        self._end(lambda _: True, f"no answer, because {why}.")

    def _end(self, is_over: Callable[[Asked], bool], told: str) -> None:
        for asked in self._asked():
            if is_over(asked):
                asked.error = Unavailable(told)
                self._wake(asked)
        self._sent = {number: read for number, read in self._sent.items() if read.error is None}
        self._questions = {number: asked for number, asked in self._questions.items() if asked.error is None}
        self._stale = deque(read for read in self._stale if read.error is None)
        self._linearizable = deque(read for read in self._linearizable if read.error is None)

    def _asked(self) -> list[Asked]:
        return [*self._sent.values(), *self._stale, *self._linearizable, *self._questions.values()]


def query_failed(text: bytes) -> CommandFailed:
    """What a query that raised on the node is for whoever asked."""
    told = text.decode(errors="replace")
    return CommandFailed(f"the query failed in the state machine: {told}", text=told)
