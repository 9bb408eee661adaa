"""One name, one value: a constant that is met in two modules says the same in both."""

from __future__ import annotations

import ast
from collections import defaultdict
from pathlib import Path

import pytest

from .imports import ROOT, files


def _constants(path: Path) -> dict[str, str]:
    """The public constants of a module, each with the expression of its value."""
    found: dict[str, str] = {}
    for statement in ast.parse(path.read_text()).body:
        match statement:
            case ast.Assign(targets=[ast.Name(id=name)], value=value):
                found[name] = ast.unparse(value)
            case ast.AnnAssign(target=ast.Name(id=name), value=ast.expr() as value):
                found[name] = ast.unparse(value)
    return {name: value for name, value in found.items() if name.isupper() and not name.startswith("_")}


@pytest.mark.parametrize("program", ["replog", "shop_sm", "bench"])
def test_a_name_has_one_value(program: str) -> None:
    """Whoever greps for a limit finds the limit, and two ends that speak of one bound can't differ."""
    values: defaultdict[str, dict[str, str]] = defaultdict(dict)
    for path in files(program):
        for name, value in _constants(path).items():
            values[name][str(path.relative_to(ROOT))] = value
    assert not {name: places for name, places in values.items() if len(set(places.values())) > 1}
