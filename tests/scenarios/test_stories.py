"""Every story in this folder ends as it is written; ``pytest tests/scenarios --rewrite`` writes down what is told."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from .story import tell

STORIES = sorted(Path(__file__).parent.glob("*.txt"))
PITFALLS = range(1, 24)


@pytest.mark.parametrize("path", STORIES, ids=lambda path: path.stem)
def test_the_story_ends_as_it_is_written(path: Path, request: pytest.FixtureRequest) -> None:
    """What the real core says and does is what the file tells, line by line."""
    text = path.read_text()
    told = tell(text)
    if request.config.getoption("--rewrite"):
        path.write_text(told)
    else:
        assert told == text


def test_there_are_thirty_and_every_pitfall_has_one() -> None:
    """The numbered mistakes others made are told one by one."""
    told = {
        int(number)
        for path in STORIES
        for numbers in re.findall(r"[Pp]itfalls? ([\d, and]+)", path.read_text())
        for number in re.findall(r"\d+", numbers)
    }
    assert len(STORIES) >= 30
    assert set(PITFALLS) <= told
