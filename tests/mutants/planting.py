"""A known bug as text, and a copy of the package with the bug in it."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).parent.parent.parent
_COPIED = ("replog", "tests")
_BESIDE = ("shop_sm", "bench", "examples", "docs")
"""What tests of the edges import or read; nothing is planted there."""


class Change(NamedTuple):
    """Replace ``old``, which stands exactly once in ``path`` (below the package), by ``new``."""

    path: str
    old: str
    new: str


class Mutant(NamedTuple):
    """One bug.

    Parameters
    ----------
    name: what the broken program does.
    pitfall: the numbered mistake it repeats, or 0 for one of our own.
    changes: the bug as text.
    equivalent: empty, or why the changed program does the same: such a one is explained and not counted.
    tests: the files of tests that are to notice it; none where the stories and the simulator are.
    """

    name: str
    pitfall: int
    changes: tuple[Change, ...]
    equivalent: str = ""
    tests: tuple[str, ...] = ()


def plant(mutant: Mutant, folder: Path) -> None:
    """A copy of the package and its tests with the bug in it.

    There the core does not compare what it keeps with itself: the question is whether somebody outside notices.
    """
    for name in _COPIED:
        shutil.copytree(ROOT / name, folder / name, ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(ROOT / "pyproject.toml", folder)
    for name in _BESIDE:
        (folder / name).symlink_to(ROOT / name)
    runner = folder / "replog/sim/runner.py"
    runner.write_text(runner.read_text().replace("are_invariants_checked=True", "are_invariants_checked=False"))
    for change in mutant.changes:
        path = folder / "replog" / change.path
        path.write_text(path.read_text().replace(change.old, change.new))
