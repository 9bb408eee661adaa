"""The floors of the house: who may stand on whom. What is imported is read, not run, but for the front page."""

from __future__ import annotations

from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest

from .imports import ROOT, files, imported_modules, module_of

LAYERS = (
    ("errors", "addresses", "ports", "safe_path"),
    ("process",),
    ("paxos",),
    ("disk", "state_machine"),
    ("log", "state"),
    ("apply", "directory"),
    ("wire",),
    ("client", "node"),
    ("embedding", "blocking", "config", "joining"),
    ("local_cluster", "sim", "cli_kit"),
    ("cli",),
    ("__main__",),
)
"""Packages and single modules, from the ground up: each imports itself and what stands on a line above its own."""

PUBLIC = {
    "replog", "replog.blocking", "replog.cli_kit", "replog.client", "replog.config", "replog.errors",
    "replog.local_cluster", "replog.ports", "replog.safe_path", "replog.sim", "replog.state_machine",
}  # fmt: skip
"""What a program that is built on the library may import."""

EXCEPTIONS = {
    "bench/inside/codec.py": "measures what a command's way through bytes costs, step by step",
    "bench/inside/storage.py": "measures what the stores alone cost on a disk",
}

TYPING_CIRCLES = {
    ("replog.node.report", "replog.node.server"),
    ("replog.sim.strangers", "replog.sim.clients"),
    ("replog.sim.client_doors", "replog.sim.host"),
    ("replog.sim.peer_links", "replog.sim.host"),
    ("replog.sim.ports", "replog.sim.host"),
    ("replog.sim.starting", "replog.sim.host"),
    ("replog.sim.watched", "replog.sim.host"),
}
"""Modules of one package where the first imports the second for the type checker alone."""

DOORS_MAX = 110
"""Pairs of rooms of which one imports the other."""

FLOORS = {name: floor for floor, names in enumerate(LAYERS) for name in names}
LIBRARY = [path for path in files("replog") if path != ROOT / "replog/__init__.py"]
MODULES = {module_of(path): path for path in LIBRARY}


def _room(module: str) -> str:
    return module.split(".")[1]


def _imports_inside(path: Path, *, is_typing_left_out: bool) -> set[str]:
    return (imported_modules(path, is_typing_left_out=is_typing_left_out) & MODULES.keys()) - {module_of(path)}


def test_every_room_has_a_floor() -> None:
    """A package or module that is new says where it stands, and one that is gone leaves no gap."""
    assert FLOORS.keys() == {_room(module) for module in MODULES}


@pytest.mark.parametrize("path", LIBRARY, ids=module_of)
def test_imports_point_down(path: Path) -> None:
    """Nothing imports what stands beside or above it, for the type checker neither."""
    own = _room(module_of(path))
    for module in _imports_inside(path, is_typing_left_out=False):
        assert _room(module) == own or FLOORS[_room(module)] < FLOORS[own], module


def test_the_house_has_few_doors() -> None:
    """A room that asks for one more neighbour may be asking for a wall to be moved."""
    doors = {
        (_room(module), _room(other))
        for module, path in MODULES.items()
        for other in _imports_inside(path, is_typing_left_out=False)
        if _room(module) != _room(other)
    }
    assert len(doors) < DOORS_MAX


def test_no_imports_go_in_a_circle() -> None:
    """Each module can be read after those it imports; what only a type checker imports may close the circles listed."""
    graph = {module: _imports_inside(path, is_typing_left_out=False) for module, path in MODULES.items()}
    for importer, imported in TYPING_CIRCLES:
        assert imported in graph[importer] - _imports_inside(MODULES[importer], is_typing_left_out=True), importer
        graph[importer].discard(imported)
    try:
        TopologicalSorter(graph).prepare()
    except CycleError as error:
        pytest.fail(" <- ".join(error.args[1]))


@pytest.mark.parametrize("path", files("shop_sm", "bench", "examples"), ids=module_of)
def test_programs_on_the_library_use_what_is_public(path: Path) -> None:
    """The shop, the benchmarks and the examples see the library as any other program does."""
    inside = {name for name in imported_modules(path) if name.split(".")[0] == "replog"} - PUBLIC
    assert not inside or str(path.relative_to(ROOT)) in EXCEPTIONS, inside


def test_every_exception_is_needed() -> None:
    """A file that takes nothing from inside is no exception."""
    for label in EXCEPTIONS:
        assert {name for name in imported_modules(ROOT / label) if name.startswith("replog.")} - PUBLIC, label


@pytest.mark.parametrize("path", files("replog"), ids=module_of)
def test_the_library_knows_nothing_of_its_users(path: Path) -> None:
    """Dependencies point one way."""
    roots = {name.split(".")[0] for name in imported_modules(path)}
    assert not roots & {"shop_sm", "bench", "tests"}


def test_the_front_page_brings_nothing_along() -> None:
    """The library's names are imported when they are used, and its client without the stores."""
    import subprocess
    import sys

    program = "import sys, replog; print(*sys.modules); import replog.client; print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    front, client = (set(line.split()) for line in done.stdout.splitlines())
    assert not {name for name in front if name.startswith("replog.")}
    assert not client & {"lmdb", "structlog", "rich", "cyclopts", "replog.node", "replog.log", "replog.state"}
