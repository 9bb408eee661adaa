"""The catalogue of the library: what it lists is there, typed, and told in full."""

from __future__ import annotations

import ast
import inspect
import subprocess
import sys
import textwrap
from collections.abc import Iterator
from typing import Any

import pytest

import replog
import replog.blocking

from .imports import ROOT

FRONT_PAGE = ROOT / "replog/__init__.py"
PROGRAM = ROOT / "tests/typing/api.py"
UNTOLD = {"self", "cls", "task_status"}
"""Parameters that nobody passes by hand."""


def _public() -> dict[str, Any]:
    named = {name: getattr(replog, name) for name in replog.__all__}
    return named | {"blocking.connect": replog.blocking.connect, "blocking.Client": replog.blocking.Client}


def _callables() -> Iterator[tuple[str, Any, str]]:
    """Every public function and method with its name, and the docstrings that tell its parameters."""
    for name, thing in _public().items():
        if inspect.isclass(thing):
            told = thing.__doc__ or ""
            for method, function in _methods(thing):
                if inspect.isfunction(function) and not method.startswith("_"):
                    yield f"{name}.{method}", function, told
        elif inspect.isfunction(thing):
            yield name, inspect.unwrap(thing), ""


def _methods(thing: type) -> Iterator[tuple[str, Any]]:
    """Its own, and those of what it is built on in this library."""
    for base in thing.__mro__:
        if base.__module__.startswith("replog"):
            yield from vars(base).items()


CALLABLES = {name: (function, told) for name, function, told in _callables()}
CLASSES = {name: thing for name, thing in _public().items() if inspect.isclass(thing)}


def _told(name: str) -> str:
    """The docstring of a callable and its class; ``See X`` stands for the text of X."""
    function, told = CALLABLES[name]
    text = f"{function.__doc__ or ''}\n{told}"
    for other in CALLABLES:
        short = other.rpartition(".")[2]
        if any(words in text for words in (f"ee ``{other}``", f"ee ``replog.{other}``", f"What ``{short}`` raises")):
            text += CALLABLES[other][0].__doc__ or ""
    return text


def test_everything_listed_is_there() -> None:
    """Each name is imported from where the table says, and ``dir`` shows it before anything is imported."""
    program = "import replog; print(*dir(replog))"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert set(replog.__all__) <= set(done.stdout.split())
    for name in replog.__all__:
        assert getattr(replog, name) is not None, name
    with pytest.raises(AttributeError, match="module 'replog' has no attribute 'nothing'"):
        _ = replog.nothing


def test_type_checkers_are_told_the_same() -> None:
    """The table that runs and the imports that type checkers read have the same names."""
    (told,) = [
        statement
        for statement in ast.parse(FRONT_PAGE.read_text()).body
        if isinstance(statement, ast.If) and ast.unparse(statement.test) == "TYPE_CHECKING"
    ]
    homes = {
        alias.asname: statement.module
        for statement in told.body
        if isinstance(statement, ast.ImportFrom)
        for alias in statement.names
    }
    assert homes == replog._HOMES


def test_the_typed_program_uses_every_name() -> None:
    """What mypy checks is the whole front page."""
    used = {
        node.attr
        for node in ast.walk(ast.parse(PROGRAM.read_text()))
        if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name) and node.value.id == "replog"
    }
    assert set(replog.__all__) <= used


def test_the_version_is_that_of_what_is_installed(monkeypatch: pytest.MonkeyPatch) -> None:
    """A tree that was never installed says so; asking ends nothing."""
    import importlib.metadata

    assert replog.__version__ == importlib.metadata.version("replog")
    monkeypatch.setattr(sys, "path", [])
    assert replog.__version__ == "unknown"


@pytest.mark.parametrize("name", CALLABLES)
def test_every_parameter_is_told(name: str) -> None:
    """Help is complete: each parameter has its sentence, in the callable's docstring or its class's."""
    function, _ = CALLABLES[name]
    untold = [
        parameter
        for parameter in inspect.signature(function).parameters
        if parameter not in UNTOLD and not _names(_told(name), parameter)
    ]
    assert not untold


def _names(text: str, parameter: str) -> bool:
    """Whether a line tells the parameter, alone or with others: ``payload: ...``, ``log, node: ...``."""
    heads = [line.partition(":")[0] for line in text.splitlines() if ":" in line]
    return any(parameter in head.replace(",", " ").split() for head in heads)


@pytest.mark.parametrize("name", CALLABLES)
def test_what_is_raised_is_told(name: str) -> None:
    """A callable that raises says what, and when."""
    function, _ = CALLABLES[name]
    tree = ast.parse(textwrap.dedent(inspect.getsource(function)))
    raised = {
        node.exc.func.id
        for node in ast.walk(tree)
        if isinstance(node, ast.Raise)
        and isinstance(node.exc, ast.Call)
        and isinstance(node.exc.func, ast.Name)
        and node.exc.func.id[0].isupper()
    }
    text = _told(name)
    assert not raised or "Raises" in text
    assert all(error in text for error in raised)


@pytest.mark.parametrize("name", CLASSES)
def test_every_field_is_told(name: str) -> None:
    """A value's fields are told in its docstring, or each in one of its own."""
    told, own = CLASSES[name].__doc__ or "", _fields_told(CLASSES[name])
    assert told
    assert not [field for field in own if not own[field] and not _names(told, field)]


def _fields_told(thing: type) -> dict[str, bool]:
    """Public fields of a class that is a value, each with whether a docstring stands behind it."""
    (definition,) = ast.parse(textwrap.dedent(inspect.getsource(thing))).body
    assert isinstance(definition, ast.ClassDef)
    return {
        first.target.id: isinstance(second, ast.Expr) and isinstance(second.value, ast.Constant)
        for first, second in zip(definition.body, [*definition.body[1:], ast.Pass()], strict=True)
        if isinstance(first, ast.AnnAssign) and isinstance(first.target, ast.Name)
    }
