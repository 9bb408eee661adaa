"""The house: who may import whom. The imports are read, not run."""

from __future__ import annotations

import ast
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent

CORE_ALLOWED = {
    "__future__", "attrs", "collections", "enum", "functools", "itertools", "math", "msgspec", "random", "struct",
    "typing",
}  # fmt: skip
ROLES = {"acceptor", "proposer", "learner", "reads", "election", "divergence"}
SIMULATOR_MAY_NOT = {"trio", "anyio", "lmdb", "socket", "time", "asyncio"}


def imported_modules(path: Path) -> set[str]:
    """Absolute dotted names of everything ``path`` imports, lazy imports included."""
    package = path.relative_to(ROOT).with_suffix("").parts[:-1]
    found: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            found.update(alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = package[: len(package) - node.level + 1] if node.level else ()
            module = ".".join((*base, *(node.module.split(".") if node.module else ())))
            found.add(module)
            if node.module is None or node.level:
                found.update(f"{module}.{alias.name}" for alias in node.names)
    return found


def files(folder: str) -> list[Path]:
    return sorted((ROOT / folder).rglob("*.py"))


@pytest.mark.parametrize("path", files("replog/paxos"), ids=lambda path: path.stem)
def test_the_core_imports_only_value_modules(path: Path) -> None:
    """The algorithm can't reach a clock, a disk, a socket or a logger."""
    for name in imported_modules(path):
        assert name.split(".")[0] in CORE_ALLOWED or name.startswith("replog.paxos"), name


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


def _is_private(name: str) -> bool:
    return any(part.startswith("_") and part != "__future__" for part in name.split("."))


@pytest.mark.parametrize("path", files("shop_sm") + files("bench"), ids=lambda path: str(path.relative_to(ROOT)))
def test_users_of_the_library_use_public_names(path: Path) -> None:
    """The shop and the benchmarks see the library as any other program does."""
    internal = ("replog.paxos", "replog.node", "replog.wire.codec", "replog.log.writer")
    for name in imported_modules(path):
        assert not _is_private(name), name
        if path.parts[-2] != "core" and not path.stem.startswith("inside_"):
            assert not name.startswith(internal), name


@pytest.mark.parametrize("path", files("replog"), ids=lambda path: str(path.relative_to(ROOT)))
def test_the_library_knows_nothing_of_its_users(path: Path) -> None:
    """Dependencies point one way."""
    roots = {name.split(".")[0] for name in imported_modules(path)}
    assert not roots & {"shop_sm", "bench", "tests"}


def test_the_library_never_configures_logging() -> None:
    """Only the commands decide where log lines go."""
    for path in files("replog"):
        if "cli" not in path.parts:
            assert "structlog.configure" not in path.read_text(), path


def test_optimised_python_is_refused() -> None:
    """The core's assertions are part of its safety, so it does not start without them."""
    import subprocess

    done = subprocess.run(
        [sys.executable, "-O", "-c", "import replog.paxos.replica"], capture_output=True, text=True, check=False
    )
    assert done.returncode != 0
    assert "refuses to run" in done.stderr
