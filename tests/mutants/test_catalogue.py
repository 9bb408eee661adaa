"""The catalogue of known bugs fits the program it breaks."""

from __future__ import annotations

import ast

import pytest

from .catalogue import MUTANTS
from .planting import ROOT, Mutant


@pytest.mark.parametrize("mutant", MUTANTS, ids=lambda mutant: mutant.name.replace(" ", "-"))
def test_every_change_fits_exactly_once_and_still_parses(mutant: Mutant) -> None:
    """A bug that no longer applies would be caught by nobody and count as caught; whoever is to notice is there."""
    texts: dict[str, str] = {}
    for change in mutant.changes:
        text = texts.setdefault(change.path, (ROOT / "replog" / change.path).read_text())
        assert text.count(change.old) == 1, (change.path, change.old)
        texts[change.path] = text.replace(change.old, change.new)
    for text in texts.values():
        ast.parse(text)
    assert all((ROOT / tests).is_file() for tests in mutant.tests)


def test_there_are_enough_and_all_have_their_own_name() -> None:
    """At least 24 bugs, each told apart by its name."""
    assert len({mutant.name for mutant in MUTANTS}) == len(MUTANTS) >= 24
