"""Whatever happens between a session and the log, every command runs at most once and every receipt is right.

The connection loses, delays and repeats submissions as changes of leader do: what was under way on an old connection
may be ordered at any time later, or never. A refusal is true: what a leader refused is not in the log.
"""

from __future__ import annotations

import random
from collections.abc import Iterator
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from replog.apply.sessions import SessionOptions
from replog.client.call import Call, Receipt
from replog.errors import CommandTooLarge, OutcomeUnknown, Overloaded, SessionExpired, StorageFull
from replog.paxos.ballot import NodeId
from replog.wire.client_messages import NotLeader, Submit

from .sessions import NODE, Bench

NOT_DONE = (Overloaded, StorageFull, CommandTooLarge)

ACTIONS = st.one_of(
    st.tuples(st.just("call"), st.integers(1, 4)),
    st.tuples(st.just("call"), st.integers(1, 4)),
    st.tuples(st.just("take"), st.just(0)),
    st.tuples(st.just("take"), st.just(0)),
    st.tuples(st.just("order"), st.integers(1, 3)),
    st.tuples(st.just("order"), st.integers(1, 3)),
    st.tuples(st.just("answer"), st.integers(1, 3)),
    st.tuples(st.just("answer"), st.integers(1, 3)),
    st.tuples(st.just("refuse"), st.sampled_from(["overloaded", "storage_full", "too_large"])),
    st.tuples(st.just("reconnect"), st.just(0)),
    st.tuples(st.just("late"), st.integers(0, 9)),
    st.tuples(st.just("rest"), st.just(0)),
    st.tuples(st.just("not_leader"), st.integers(0, 1)),
    st.tuples(st.just("reconnect"), st.just(1)),
    st.tuples(st.just("abandon"), st.integers(0, 9)),
)
JUMPS = st.tuples(st.just("idle"), st.integers(500, 3_000))


class Story:
    """A bench, the wire to its leader, and what old connections still hold."""

    def __init__(self, options: SessionOptions | None = None) -> None:
        self.bench = Bench(options)
        self.bench.session.submission_bytes_max = 90  # a few commands: calls are cut into several submissions
        self.wire: list[Submit] = []
        self.limbo: list[Submit] = []
        self.calls: list[Call] = []
        self._names = self._unique()

    def _unique(self) -> Iterator[bytes]:
        number = 0
        while True:
            number += 1
            yield b"command%03d" % number

    def act(self, name: str, argument: Any) -> None:
        bench = self.bench
        match name:
            case "call":
                self.calls.append(bench.call(*(next(self._names) for _ in range(argument))))
            case "take":
                self.wire += bench.take()
            case "order" if self.wire:
                taken, self.wire = self.wire[:argument], self.wire[argument:]
                bench.order(*taken)
            case "answer":
                for _ in range(min(argument, len(bench.answers))):
                    bench.answer_one()
            case "refuse" if self.wire:
                bench.refuse(self.wire.pop(0), argument)
            case "reconnect":
                self.limbo += self.wire
                self.wire = bench.reconnect(NODE + argument)
            case "not_leader":
                self.limbo += self.wire
                self.wire = []
                bench.answers += [NotLeader(NodeId(0), "")] * argument
                bench.answers.append(NotLeader(bench.session._node, "it leads after all"))
            case "rest":
                bench.rest()
            case "late" if self.limbo:
                answers = list(bench.answers)
                bench.order(self.limbo.pop(argument % len(self.limbo)))
                bench.answers = type(bench.answers)(answers)  # nobody is connected where it was sent
            case "abandon" if self.calls:
                self.calls[argument % len(self.calls)].abandon()
            case "idle":
                bench.time_ms += argument

    def end(self) -> None:
        """A healthy leader, then everything late; what was acknowledged must stay what it was."""
        self.bench.answer()
        for message in self.wire:
            self.bench.order(message)
        self.bench.run()
        self.check()
        answers = list(self.bench.answers)
        for message in self.limbo:
            self.bench.order(message)
        self.bench.answers = type(self.bench.answers)(answers)
        self.check()

    @property
    def commands(self) -> list[bytes]:
        """All that were ever asked for."""
        return [payload for call in self.calls for payload in call.payloads]

    def check(self) -> None:
        assert self.bench.session.commands_in_flight == 0
        for call in self.calls:
            counts = [self.bench.count(payload) for payload in call.payloads]
            assert max(counts) <= 1, (call.payloads, counts)
            if call.is_abandoned:
                continue
            assert call.left <= 0, call.payloads
            if call.error is None:
                assert counts == [1] * len(counts)
                self._check_receipts(call)
            elif isinstance(call.error, NOT_DONE):
                assert not any(counts), (call.error, counts)
            else:
                assert isinstance(call.error, OutcomeUnknown | SessionExpired), call.error

    def _check_receipts(self, call: Call) -> None:
        places = []
        for payload, receipt in zip(call.payloads, call.results, strict=True):
            assert isinstance(receipt, Receipt)
            assert receipt.reply == payload + b"=1"
            places.append((receipt.slot, receipt.offset))
        assert places == sorted(places)


@given(st.lists(ACTIONS, max_size=60), st.sampled_from([1, 3, 65_536]))
@settings(max_examples=400, deadline=None)
def test_every_command_runs_once_and_every_receipt_is_right(
    actions: list[tuple[str, Any]], replies_kept_max: int
) -> None:
    """Lost, late, repeated and refused submissions in any order, however few replies are kept for the client."""
    story = Story(SessionOptions(replies_kept_max=replies_kept_max))
    for name, argument in actions:
        story.act(name, argument)
    story.end()
    assert all(story.bench.count(payload) <= 1 for payload in story.commands)
    assert story.bench.applier.commands_applied == sum(map(story.bench.count, story.commands))


@given(st.lists(ACTIONS | JUMPS, max_size=60), st.integers(1, 3))
@settings(max_examples=200, deadline=None)
def test_a_session_that_expires_never_lets_a_command_run_twice(
    actions: list[tuple[str, Any]], replies_kept_max: int
) -> None:
    """With sessions that die young, what is not known to be done is said to be unknown."""
    story = Story(SessionOptions(session_idle_max_s=1, replies_kept_max=replies_kept_max))
    for name, argument in actions:
        story.act(name, argument)
    for message in [*story.wire, *story.limbo]:
        story.bench.order(message)
    for call in story.calls:
        counts = [story.bench.count(payload) for payload in call.payloads]
        assert max(counts) <= 1
        if call.left == 0 and call.error is None:
            assert counts == [1] * len(counts)


def test_the_stories_reach_what_they_are_about() -> None:
    """Random stories do repeat, refuse and move commands; else they would show nothing."""
    weights = {"call": 6, "take": 6, "order": 6, "answer": 6, "refuse": 2, "reconnect": 1, "late": 2, "rest": 4}
    sessions_opened = commands_repeated = repeats_met = 0
    for seed in range(5):
        choice, story = random.Random(seed), Story()
        for _ in range(400):
            (name,) = choice.choices(list(weights), list(weights.values()))
            story.act(name, "overloaded" if name == "refuse" else choice.randint(1, 3))
        story.end()
        sessions_opened += story.bench.session.sessions_opened
        commands_repeated += story.bench.session.commands_repeated
        repeats_met += story.bench.applier.commands_repeated
    assert sessions_opened > 5
    assert commands_repeated > 100
    assert repeats_met > 100
