"""What each room may never do. The floors, and who may import whom, are in ``test_layers``."""

from __future__ import annotations

import ast
import sys
from pathlib import Path

import pytest

from .imports import files, imported_modules, module_of

CORE_ALLOWED = {
    "__future__", "attrs", "collections", "enum", "functools", "itertools", "math", "msgspec", "random", "struct",
    "typing",
}  # fmt: skip
ROLES = {"acceptor", "proposer", "learner", "catch_up", "teacher", "reads", "election", "divergence"}
SIMULATOR_MAY_NOT = {"trio", "anyio", "lmdb", "socket", "time", "asyncio"}


@pytest.mark.parametrize("path", files("replog/paxos"), ids=lambda path: path.stem)
def test_the_core_imports_only_value_modules(path: Path) -> None:
    """The algorithm can't reach a clock, a disk, a socket or a logger."""
    for name in imported_modules(path):
        assert name.startswith("replog.paxos") or name.split(".")[0] in CORE_ALLOWED, name


@pytest.mark.parametrize("path", files("replog/paxos"), ids=lambda path: path.stem)
def test_roles_never_import_each_other(path: Path) -> None:
    """Only the replica composes roles."""
    if path.stem in ROLES:
        others = {f"replog.paxos.{role}" for role in ROLES - {path.stem}}
        assert not others & imported_modules(path)


@pytest.mark.parametrize("path", files("replog/paxos"), ids=lambda path: path.stem)
def test_the_core_is_synchronous(path: Path) -> None:
    """No coroutine lives in the algorithm."""
    tree = ast.parse(path.read_text())
    assert not [node for node in ast.walk(tree) if isinstance(node, ast.AsyncFunctionDef | ast.Await)]


@pytest.mark.parametrize("path", files("replog/sim"), ids=lambda path: path.stem)
def test_the_simulator_touches_nothing_real(path: Path) -> None:
    """One seed decides everything: no real clock, socket or disk is imported, except the runner's stopwatch."""
    roots = {name.split(".")[0] for name in imported_modules(path)}
    forbidden = SIMULATOR_MAY_NOT - ({"time"} if path.stem == "runner" else set())
    assert not roots & forbidden


@pytest.mark.parametrize("path", files("shop_sm", "bench", "examples"), ids=module_of)
def test_users_of_the_library_use_no_private_name(path: Path) -> None:
    """A leading underscore is a wall for other programs too."""
    for name in imported_modules(path):
        assert not any(part.startswith("_") and part != "__future__" for part in name.split(".")), name


def test_the_library_never_configures_logging() -> None:
    """Only the commands decide where log lines go."""
    for path in files("replog"):
        if "cli_kit" not in path.parts:
            assert "structlog.configure" not in path.read_text(), path


def test_optimised_python_is_refused() -> None:
    """The core's assertions are part of its safety, so it does not start without them."""
    import subprocess

    done = subprocess.run(
        [sys.executable, "-O", "-c", "import replog.paxos.replica"], capture_output=True, text=True, check=False
    )
    assert done.returncode != 0
    assert "refuses to run" in done.stderr
