"""The planted mistakes of ``journal_mutants`` fit the code; ``python -m tests.storage.journal_mutants`` judges them."""

from __future__ import annotations

import pytest

from tests.mutants.__main__ import ROOT
from tests.mutants.catalogue import Mutant

from .journal_mutants import MUTANTS


@pytest.mark.parametrize("mutant", MUTANTS, ids=lambda mutant: mutant.name)
def test_a_mutant_can_be_planted(mutant: Mutant) -> None:
    """Its text stands exactly once in its file."""
    for change in mutant.changes:
        assert (ROOT / "replog" / change.path).read_text().count(change.old) == 1
