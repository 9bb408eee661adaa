"""A slot may be run in steps, and nobody can tell from what comes of it."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from pathlib import Path

import msgspec
import pytest

from replog.apply.applier import Applier
from replog.apply.outcomes import SessionOpened
from replog.apply.submissions import Commands, OpenSession
from replog.paxos.ballot import Slot
from replog.paxos.values import Batch, encode_value
from replog.state_machine import Command, State, StateView

from .running import KEY, Machine, new_store


class Counter(Machine):
    """Counts each payload, and fails now and then."""

    def __init__(self) -> None:
        super().__init__(self._count)
        self.kept: list[State] = []

    def _count(self, state: State, command: Command) -> bytes:
        self.kept.append(state)
        if command.payload == b"fail":
            state.put(b"gone", b"1")
            raise ValueError("as asked")
        count = int(state.get(command.payload, b"0")) + 1
        state.put(command.payload, b"%d" % count)
        return b"%d" % count

    def query(self, view: StateView, request: bytes) -> bytes:
        return view.get(request, b"")


def encoded(submissions: list[Commands | OpenSession]) -> bytes:
    return encode_value(Batch(0, [msgspec.msgpack.encode(one) for one in submissions]))


PAYLOADS = [b"fail" if number % 7 == 0 else b"%d" % (number % 5) for number in range(100)]


def begun(applier: Applier) -> None:
    """A slot with many commands of one session, begun and not run."""
    applier._step_commands = 8
    ((_, opened, _),) = applier.apply(Slot(1), encoded([OpenSession(KEY)]))
    assert isinstance(opened, SessionOpened)
    halves: list[Commands | OpenSession] = [
        Commands(opened.session, 1, 1, PAYLOADS[:50], KEY),
        Commands(opened.session, 51, 1, PAYLOADS[50:], KEY),
    ]
    applier.begin(Slot(2), encoded(halves))


def run_in_steps(applier: Applier, is_over: Callable[[], bool], between: Callable[[], None]) -> tuple[int, object]:
    steps = 1
    while (outcomes := applier.run(is_over)) is None:
        steps += 1
        between()
    return steps, outcomes


@pytest.mark.parametrize("kind", ["memory", "lmdb"])
def test_where_it_is_interrupted_changes_nothing(kind: str, tmp_path: Path) -> None:
    """Digest, replies and sessions are those of a slot that was run at once; in between nothing becomes durable."""
    whole, pieces = (Applier(Counter(), new_store(kind, tmp_path / name)) for name in ("whole", "pieces"))
    for applier in (whole, pieces):
        begun(applier)
    at_once = run_in_steps(whole, lambda: False, lambda: None)

    def between() -> None:
        assert pieces.is_inside_slot
        assert pieces.applied_through == 1
        assert pieces.begin_flush() is False
        with pytest.raises(AssertionError):
            pieces.query(b"1")

    in_steps = run_in_steps(pieces, lambda: True, between)
    assert at_once[0] == 1
    assert in_steps[0] > 10
    assert in_steps[1] == at_once[1]
    assert pieces.digest == whole.digest
    assert (pieces.applied_through, pieces.commands_failed) == (2, whole.commands_failed)
    assert pieces.query(b"1") == whole.query(b"1")
    assert pieces.begin_flush()


def test_a_state_that_was_kept_does_not_work_between_two_steps() -> None:
    """As between two slots: what is read and written there is in no log."""
    machine = Counter()
    applier = Applier(machine, new_store("memory", Path()))
    begun(applier)

    def between() -> None:
        with pytest.raises(RuntimeError, match="nowhere else"):
            machine.kept[0].put(b"k", b"v")

    assert run_in_steps(applier, lambda: True, between)[0] > 10


def test_behind_commands_that_took_long_the_clock_is_looked_at_more_often() -> None:
    """One command at a time while time is short, twice as many each time while there is time: many slow commands in one
    slot hold a node up for one of them."""
    machine = Counter()
    applier = Applier(machine, new_store("memory", Path()))
    begun(applier)
    applier._step_commands = 32
    looked_at: list[int] = []

    def is_over() -> bool:
        looked_at.append(len(machine.kept))
        return len(looked_at) < 4

    run_in_steps(applier, is_over, lambda: None)
    steps = [second - first for first, second in itertools.pairwise(looked_at)]
    assert steps[:3] == [1, 1, 1]
    assert steps[3:6] == [2, 4, 8]
    assert max(steps) <= 32
