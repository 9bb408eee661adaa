"""The shop in simulated clusters: every fault there is, invariants on every replica."""

from __future__ import annotations

import pytest

from replog.sim import run_seed

SEEDS = 20


@pytest.mark.parametrize("first", range(0, SEEDS, 10))
def test_no_seed_breaks_an_invariant_of_the_shop(first: int) -> None:
    """Crashes, lost messages and partitions leave every replica's shop whole (2,000 seeds: ``replog sim``)."""
    commands_applied = 0
    for seed in range(first, first + 10):
        result = run_seed(seed, state_machine="shop_sm:Shop")
        assert result.violation is None, f"replog sim --state-machine shop_sm:Shop --replay {seed}: {result.violation}"
        commands_applied += result.commands_applied
    assert commands_applied > 500


def test_a_shop_that_loses_stock_is_caught() -> None:
    """The simulator does ask for the shop's invariants, and says which one is broken."""
    results = [run_seed(seed, state_machine="tests.shop.leaky_shop:LeakyShop") for seed in range(5)]
    sentences = [result.violation.sentence for result in results if result.violation]
    assert any("product tea" in sentence for sentence in sentences), sentences
