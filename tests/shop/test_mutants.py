"""The checks catch what they are there to catch."""

from __future__ import annotations

import pytest

from .mutants import MUTANTS, Mutant, what_catches


@pytest.mark.parametrize("mutant", MUTANTS, ids=lambda mutant: mutant.name)
def test_every_mutant_is_caught(mutant: Mutant) -> None:
    """A shop with this mistake differs from the model or breaks an invariant within four random histories."""
    assert what_catches(mutant) is not None


def test_the_shop_itself_is_not_caught() -> None:
    """The same run over an unchanged copy finds nothing, so it is the mistakes that are caught."""
    assert what_catches(Mutant("none", "shop.py", "class Shop(StateMachine):", "class Shop(StateMachine):")) is None
