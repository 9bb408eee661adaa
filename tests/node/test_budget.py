"""Memory that links take together: who holds most goes first, and who stands still when others wait."""

from __future__ import annotations

from replog.wire.budget import Budget


class Holding:
    """A link, as far as a budget sees it."""

    def __init__(self, budget: Budget) -> None:
        self.budget = budget
        self.bytes_sent = self.bytes_received = 0
        self.is_closed = False

    def hold(self, held_bytes: int) -> None:
        self.budget.hold(self, held_bytes)

    def close(self) -> None:
        self.is_closed = True
        self.budget.forget(self)


def test_where_it_is_used_up_the_largest_goes() -> None:
    """Not the one that came last; and what it held is free again."""
    budget = Budget(100)
    small, large, newest = (Holding(budget) for _ in range(3))
    small.hold(20)
    large.hold(70)
    newest.hold(30)
    assert (small.is_closed, large.is_closed, newest.is_closed) == (False, True, False)
    assert (budget.held_bytes, budget.links_closed) == (50, 1)


def test_the_one_that_grows_may_be_the_largest() -> None:
    """Then it goes itself, and nobody else."""
    budget = Budget(100)
    first, second = Holding(budget), Holding(budget)
    first.hold(40)
    second.hold(61)
    assert (first.is_closed, second.is_closed, budget.held_bytes) == (False, True, 40)


def test_a_lone_link_has_its_own_limits() -> None:
    """One large answer is no attack on others."""
    budget = Budget(100)
    only = Holding(budget)
    only.hold(500)
    assert not only.is_closed
    only.hold(0)
    assert budget.held_bytes == 0
    assert not budget._shares


def test_who_takes_nothing_goes_when_others_lack_room() -> None:
    """Whoever takes something, however slowly, stays; and while there is room nobody is looked at."""
    budget = Budget(100)
    standing, taking = Holding(budget), Holding(budget)
    standing.hold(30)
    taking.hold(20)
    budget.look()
    budget.look()
    assert not standing.is_closed
    taking.hold(25)
    budget.look()
    taking.bytes_sent += 1
    budget.look()
    assert (standing.is_closed, taking.is_closed) == (True, False)
