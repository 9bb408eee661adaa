"""The planted mistakes of ``mutants`` still fit the code; ``python -m tests.edges.mutants`` judges them."""

from __future__ import annotations

import pytest

from tests.mutants.__main__ import ROOT
from tests.mutants.catalogue import Mutant

from .mutants import MUTANTS, Place


@pytest.mark.parametrize(("mutant", "place"), MUTANTS, ids=lambda value: getattr(value, "name", ""))
def test_a_mutant_can_be_planted(mutant: Mutant, place: Place) -> None:
    """Its text stands exactly once in its file, and whoever is to notice is there."""
    for change in mutant.changes:
        assert (ROOT / "replog" / change.path).read_text().count(change.old) == 1
    assert all((ROOT / tests).is_file() for tests in place.tests)
