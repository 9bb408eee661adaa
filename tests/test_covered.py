"""The check behind ``make coverage``: each part by itself, statements and branches by themselves."""

from __future__ import annotations

from collections.abc import Mapping

import pytest

from .covered import PARTS, PERCENT_MIN, rows
from .imports import ROOT, files


def counted(covered: int = 100, branches: int = 100) -> dict[str, int]:
    """A file of 100 statements and as many branches."""
    return {"covered_lines": covered, "num_statements": 100, "covered_branches": branches, "num_branches": 100}


def good() -> dict[str, Mapping[str, int]]:
    return {path.relative_to(ROOT).as_posix(): counted() for path in files("replog")}


def failed(measured: Mapping[str, Mapping[str, int]]) -> list[str]:
    return [row.name for row in rows(measured) if not row.is_enough]


def test_every_part_is_there() -> None:
    """A file that was moved or renamed is not measured any more, and would not be missed."""
    assert all((ROOT / path).exists() for paths in PARTS.values() for path in paths)
    assert failed(good()) == []


@pytest.mark.parametrize("low", [counted(covered=PERCENT_MIN - 1), counted(branches=PERCENT_MIN - 1)])
def test_no_part_hides_behind_another(low: dict[str, int]) -> None:
    """Neither do branches behind statements: whichever is too low is named, and nothing else."""
    assert failed({**good(), "replog/node/driver.py": low}) == ["the driver"]
    session = dict.fromkeys(PARTS["the client's session"], low)
    assert failed({**good(), **session}) == ["the client's session"]
    paxos = {file: low for file in good() if file.startswith("replog/paxos/")}
    assert failed({**good(), **paxos}) == ["the core"]
    assert failed({**good(), "replog/cli/dev.py": low}) == []
    enough = counted(covered=PERCENT_MIN, branches=PERCENT_MIN)
    assert failed({**good(), "replog/node/driver.py": enough}) == []


def test_what_was_not_measured_is_not_covered() -> None:
    """An empty report is no success."""
    assert failed({}) == list(PARTS)
    assert str(rows({})[0].branches) == "nothing was measured"
