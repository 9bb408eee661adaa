"""Who ought to lead, by its own room, disk and state machine."""

from __future__ import annotations

from replog.paxos.ballot import Slot
from replog.paxos.effects import NoticeKind
from replog.paxos.fitness import Fitness
from replog.paxos.options import PaxosOptions
from replog.paxos.outbox import Outbox

from .build import N1, standing


class Bench:
    """A node's fitness, with what it has applied and knows chosen."""

    def __init__(self) -> None:
        self.turn, self.standing = Outbox(N1), standing()
        self.role = Fitness(PaxosOptions(apply_stall_rounds=3), self.turn, self.standing)

    def apply(self, through: int) -> None:
        self.role.on_applied(has_progressed=through != self.standing.applied_through)
        self.standing.on_applied(Slot(through))

    def end_rounds(self, count: int, *, chosen_through: int) -> None:
        self.standing.on_chosen(Slot(chosen_through))
        for _ in range(count):
            self.role.end_round()


def test_a_node_that_applies_nothing_for_long_says_so_and_is_not_able() -> None:
    """Slots wait, and none was applied for the declared number of rounds; it is told once, and ends by itself."""
    bench = Bench()
    bench.apply(4)
    bench.end_rounds(9, chosen_through=5)
    assert not bench.role.is_able
    assert "slot 4" in bench.role.problem
    assert [notice.kind for notice in bench.turn.notices] == [NoticeKind.APPLYING_STALLED]
    bench.apply(5)
    bench.end_rounds(1, chosen_through=7)
    assert bench.role.is_able
    assert bench.role.problem == ""


def test_slow_is_not_stalled() -> None:
    """One slot in two rounds is enough, however far behind the state is."""
    bench = Bench()
    for number in range(20):
        bench.apply(number // 2)
        bench.end_rounds(1, chosen_through=1000)
        assert bench.role.is_able


def test_a_node_that_has_nothing_to_apply_is_able() -> None:
    """However long that lasts; and so is one that nobody tells what is applied."""
    bench = Bench()
    bench.end_rounds(9, chosen_through=5)
    assert bench.role.is_able
    bench.apply(5)
    bench.end_rounds(9, chosen_through=5)
    assert bench.role.is_able


def test_a_hanging_disk_is_a_problem_until_it_moves() -> None:
    """A level, looked at in every turn."""
    role = Bench().role
    role.watch_disk(5.0)
    assert not role.is_able
    assert "disk" in role.problem
    role.watch_disk(0.0)
    assert role.is_able
