"""A caller of the long run sees from the answers to its own commands whether one was lost or done twice."""

from __future__ import annotations

from typing import Any

import pytest

from bench.commands.steady import _complaints
from bench.endurance import Endurance
from bench.load.ledger import Ledger
from bench.load.plan import LoadPlan


def ledger_after(*events: int | None) -> Ledger:
    """Answers with these counts; None is a command of unknown outcome."""
    ledger = Ledger()
    for event in events:
        if event is None:
            ledger.on_unknown()
        else:
            ledger.on_answer(event)
    return ledger


def found(ledger: Ledger) -> tuple[int, int]:
    return ledger.lost, ledger.doubled


def test_counts_that_rise_by_one_are_right() -> None:
    """Nothing is lost and nothing doubled, and the last reading agrees."""
    ledger = ledger_after(1, 2, 3)
    ledger.on_read(3)
    assert found(ledger) == (0, 0)


@pytest.mark.parametrize("count", [3, 4])
def test_a_command_of_unknown_outcome_may_be_done_or_not(count: int) -> None:
    """Neither is a mistake; nor is it one if it is done later."""
    ledger = ledger_after(1, 2, None, count)
    ledger.on_read(4)
    assert found(ledger) == (0, 0)


def test_a_count_that_does_not_rise_has_lost_a_command() -> None:
    """It is counted once, and the count that follows from there is right."""
    assert found(ledger_after(1, 2, 2)) == (1, 0)
    assert found(ledger_after(1, 2, 2, 3, 4)) == (1, 0)


def test_a_count_that_rises_by_two_was_done_twice() -> None:
    """Unless a command of unknown outcome explains it; and after one was lost it is seen as well."""
    assert found(ledger_after(1, 3)) == (0, 1)
    assert found(ledger_after(1, 3, 4)) == (0, 1)
    assert found(ledger_after(1, None, 3, 5)) == (0, 1)
    assert found(ledger_after(1, 2, 2, 4)) == (1, 1)


def test_the_last_reading_shows_what_no_answer_did() -> None:
    """A command that was lost after its answer, and one that was done again."""
    lost, doubled = ledger_after(1, 2), ledger_after(1, 2)
    lost.on_read(1)
    doubled.on_read(3)
    assert (found(lost), found(doubled)) == ((1, 0), (0, 1))


WRONGS: list[dict[str, Any]] = [
    {"lost": 1}, {"doubled": 1}, {"unread": 1}, {"agree": False}, {"agree": None}, {"failures": ("kill 1: nobody",)},
]  # fmt: skip
RIGHT = {"answered_sum": 10, "unknown": 0, "lost": 0, "doubled": 0, "unread": 0}


@pytest.mark.parametrize("wrong", WRONGS)
def test_whatever_is_wrong_is_told_and_is_the_exit_code(wrong: dict[str, Any]) -> None:
    """A run is right only if every counter was read, none was wrong, and all states are the same."""

    def run(agree: bool | None, failures: tuple[str, ...] = (), **more: int) -> Endurance:
        made = Endurance(plan=LoadPlan(seconds=1.0), replicas=3, kill_every_s=0, failures=list(failures))
        made.result, made.states_agree = {**RIGHT, **more}, agree
        return made

    assert run(True).is_right
    assert not _complaints(run(True).summary())
    bad = run(**{"agree": True, **wrong})
    assert not bad.is_right
    assert len(_complaints(bad.summary())) == 1
