"""How large a module, a class and a function may grow before a second idea has moved in."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

from .imports import files, module_of

MODULE_LINES_MAX = 450
CLASS_LINES_MAX = 300
FUNCTION_LINES_MAX = 60

STILL_TOO_LARGE: set[str] = set()
"""What is being taken apart; the list only shrinks."""


def _too_large(path: Path) -> Iterator[str]:
    """Dotted names of what is above its limit: the module itself, its classes and functions, those inside them too."""
    text = path.read_text()
    if len(text.splitlines()) > MODULE_LINES_MAX:
        yield module_of(path)
    yield from _too_large_within(ast.parse(text), module_of(path))


def _too_large_within(tree: ast.AST, name: str) -> Iterator[str]:
    for node in ast.iter_child_nodes(tree):
        inner = name
        if isinstance(node, ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
            inner = f"{name}.{node.name}"
            lines_max = CLASS_LINES_MAX if isinstance(node, ast.ClassDef) else FUNCTION_LINES_MAX
            if (node.end_lineno or 0) - node.lineno + 1 > lines_max:
                yield inner
        yield from _too_large_within(node, inner)


@pytest.mark.parametrize("path", files("replog", "shop_sm", "bench", "examples"), ids=module_of)
def test_nothing_is_larger_than_a_reader_can_hold(path: Path) -> None:
    """One screen for a function, one idea for a class and for a file."""
    assert set(_too_large(path)) <= STILL_TOO_LARGE


def test_what_has_been_taken_apart_leaves_the_list() -> None:
    """An exception that is not needed is taken out, so that nothing grows back under it."""
    assert {name for path in files("replog") for name in _too_large(path)} == STILL_TOO_LARGE
