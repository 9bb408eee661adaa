"""What the pages for contributors name is there: files, tests, stories and planted bugs."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from .mutants.catalogue import MUTANTS

ROOT = Path(__file__).parent.parent
PAGES = ("CONTRIBUTING.md", "docs/PITFALLS.md", "docs/DEBUGGING.md", "docs/GLOSSARY.md")
FILE = re.compile(r"`((?:replog|tests|bench|shop_sm|docs)/[\w/.]+)(?:::(\w+))?`")
LINK = re.compile(r"\]\(([\w/.]+)\)")
PITFALL = re.compile(r"^\| (\d+) \|(.*)\|$", re.MULTILINE)


@pytest.mark.parametrize("page", PAGES)
def test_files_and_tests_that_a_page_names_are_there(page: str) -> None:
    """Whoever follows a page finds what it speaks of."""
    text = (ROOT / page).read_text()
    for name, test in FILE.findall(text):
        assert (ROOT / name).exists(), name
        assert not test or f"def {test}(" in (ROOT / name).read_text(), (name, test)
    for target in LINK.findall(text):
        assert ((ROOT / page).parent / target).exists(), target


def test_every_pitfall_is_caught_by_what_is_there() -> None:
    """The numbers have no holes; stories and planted bugs exist, and each bug repeats the mistake it stands beside."""
    bugs = {mutant.name: mutant.pitfall for mutant in MUTANTS}
    rows = PITFALL.findall((ROOT / "docs/PITFALLS.md").read_text())
    assert [int(number) for number, _ in rows] == list(range(1, len(rows) + 1))
    for number, row in rows:
        cells = [cell.strip() for cell in row.split("|")]
        for story in re.findall(r"`(\w+)`", cells[2]) if len(cells) > 2 else ():
            assert (ROOT / f"tests/scenarios/{story}.txt").exists(), story
        for bug in re.findall(r'"([^"]+)"', cells[3]) if len(cells) > 3 else ():
            assert bugs[bug] == int(number), bug


def test_every_planted_bug_repeats_a_pitfall_that_is_told() -> None:
    """A number of the catalogue can be looked up."""
    told = {int(number) for number, _ in PITFALL.findall((ROOT / "docs/PITFALLS.md").read_text())}
    assert {mutant.pitfall for mutant in MUTANTS} <= told | {0}
