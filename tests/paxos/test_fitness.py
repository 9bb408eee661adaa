"""Who ought to lead, by its own room, disk and state machine; and positions that only rise."""

from __future__ import annotations

import pytest

from replog.paxos.ballot import Slot
from replog.paxos.effects import NoticeKind
from replog.paxos.fitness import Fitness
from replog.paxos.options import Options
from replog.paxos.outbox import Turn

from .build import N1, acceptor, recovered
from .test_learner import learner


def fitness(rounds: int = 3) -> tuple[Fitness, Turn]:
    turn = Turn(N1)
    return Fitness(Options(apply_stall_rounds=rounds), turn), turn


def test_a_node_that_applies_nothing_for_long_says_so_and_is_not_able() -> None:
    """Slots wait, and none was applied for the declared number of rounds; it is told once, and ends by itself."""
    role, turn = fitness()
    role.on_applied(Slot(4))
    for _ in range(9):
        role.end_round(Slot(5))
    assert not role.is_able
    assert "slot 4" in role.problem
    assert [notice.kind for notice in turn.notices] == [NoticeKind.APPLYING_STALLED]
    role.on_applied(Slot(5))
    role.end_round(Slot(7))
    assert role.is_able
    assert role.problem == ""


def test_slow_is_not_stalled() -> None:
    """One slot in two rounds is enough, however far behind the state is."""
    role, _turn = fitness()
    for number in range(20):
        role.on_applied(Slot(number // 2))
        role.end_round(Slot(1000))
        assert role.is_able


def test_a_node_that_has_nothing_to_apply_is_able() -> None:
    """However long that lasts; and so is one that nobody tells what is applied."""
    role, _turn = fitness()
    for _ in range(9):
        role.end_round(Slot(5))
    assert role.is_able
    role.on_applied(Slot(5))
    for _ in range(9):
        role.end_round(Slot(5))
    assert role.is_able


def test_a_hanging_disk_is_a_problem_until_it_moves() -> None:
    """A level, looked at in every turn."""
    role, _turn = fitness()
    role.watch_disk(5.0)
    assert not role.is_able
    assert "disk" in role.problem
    role.watch_disk(0.0)
    assert role.is_able


def test_no_position_of_a_role_is_set_back() -> None:
    """P7: a slot that is known chosen is never open again."""
    role, _turn = learner(recovered(chosen_through=9, compacted_through=4))
    for name in ("chosen_through", "compacted_through", "taught_through", "goal"):
        with pytest.raises(AssertionError, match=name):
            setattr(role, name, Slot(3))
    role.applied_through = Slot(9)
    with pytest.raises(AssertionError, match="applied_through"):
        role.applied_through = Slot(8)
    voter = acceptor(Turn(N1), recovered(chosen_through=9))
    with pytest.raises(AssertionError, match="taught_through"):
        voter.taught_through = Slot(8)
