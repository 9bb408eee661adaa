"""``python -m tests.mutants``: break the core in every known way and see each bug caught.

Each bug is applied to a copy of the package in a temporary folder; nothing in the tree is touched. First the tests of
the roles and the scenarios run against it, then the simulator. A bug that only the tests of the roles notice counts
as caught by them.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import NamedTuple

from rich.console import Console
from rich.table import Table

from .catalogue import MUTANTS, Mutant

ROOT = Path(__file__).parent.parent.parent
SEEDS_MAX = 2_000
_SIMULATE = """
import sys
from replog.sim import run_seed
for seed in range(int(sys.argv[1]), int(sys.argv[2])):
    result = run_seed(seed)
    if result.violation is not None:
        print(seed, result.violation.checker, sep="\\t", flush=True)
        break
"""


class Verdict(NamedTuple):
    """What became of one bug."""

    mutant: str
    pitfall: int
    tests: str
    """The first test that failed, or empty."""
    checker: str
    """The simulator's checker that noticed, or empty."""
    first_seed: int | None
    seconds: float

    @property
    def is_caught(self) -> bool:
        return bool(self.tests or self.checker)


def plant(mutant: Mutant, folder: Path) -> None:
    """A copy of the package and its tests with the bug in it."""
    for name in ("replog", "tests"):
        shutil.copytree(ROOT / name, folder / name, ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(ROOT / "pyproject.toml", folder)
    for change in mutant.changes:
        path = folder / "replog" / change.path
        path.write_text(path.read_text().replace(change.old, change.new))


def judge(mutant: Mutant, seeds_max: int = SEEDS_MAX) -> Verdict:
    """Run the tests of the core and the simulator against one bug."""
    began_s = time.monotonic()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        plant(mutant, folder)
        failed = _failed_test(folder)
        seed, checker = _first_violation(folder, seeds_max)
    return Verdict(mutant.name, mutant.pitfall, failed, checker, seed, time.monotonic() - began_s)


def _environment(folder: Path) -> dict[str, str]:
    return {**os.environ, "PYTHONPATH": str(folder), "PYTHONDONTWRITEBYTECODE": "1"}


def _failed_test(folder: Path) -> str:
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-x", "-p", "no:cacheprovider", "tests/paxos", "tests/scenarios"],
        cwd=folder,
        env=_environment(folder),
        capture_output=True,
        text=True,
        check=False,
    )
    for line in done.stdout.splitlines():
        if line.startswith(("FAILED", "ERROR")):
            return line.split("::")[-1].split(" - ")[0]
    return "" if done.returncode == 0 else done.stdout.strip().splitlines()[-1]


def _first_violation(folder: Path, seeds_max: int) -> tuple[int | None, str]:
    done = subprocess.run(
        [sys.executable, "-c", _SIMULATE, "0", str(seeds_max)],
        cwd=folder,
        env=_environment(folder),
        capture_output=True,
        text=True,
        check=False,
    )
    if done.stdout.strip():
        seed, checker = done.stdout.strip().split("\t")
        return int(seed), checker
    return None, "" if done.returncode == 0 else done.stderr.strip().splitlines()[-1]


def main(arguments: Sequence[str]) -> int:
    """Judge all bugs, or those whose name holds one of ``arguments``; 0 only if every one was caught."""
    is_json = "--json" in arguments
    words = [word for word in arguments if word != "--json"]
    chosen = [one for one in MUTANTS if not words or any(word in one.name for word in words)]
    notes = Console(stderr=True)
    verdicts: list[Verdict] = []
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        for verdict in pool.map(judge, chosen):
            verdicts.append(verdict)
            notes.print(f"{len(verdicts)} of {len(chosen)}: {verdict.mutant}", style="dim", highlight=False)
    if is_json:
        print(json.dumps([verdict._asdict() | {"is_caught": verdict.is_caught} for verdict in verdicts]))
    else:
        Console().print(_table(verdicts))
    return 0 if all(verdict.is_caught for verdict in verdicts) else 1


def _table(verdicts: list[Verdict]) -> Table:
    table = Table(title=f"{sum(v.is_caught for v in verdicts)} of {len(verdicts)} bugs caught")
    for heading in ("bug", "pitfall", "simulator", "first seed", "test", "seconds"):
        table.add_column(heading, justify="right" if heading in ("pitfall", "first seed", "seconds") else "left")
    for verdict in verdicts:
        table.add_row(
            verdict.mutant,
            str(verdict.pitfall or "-"),
            verdict.checker or "-",
            "-" if verdict.first_seed is None else str(verdict.first_seed),
            verdict.tests or "-",
            f"{verdict.seconds:.0f}",
            style=None if verdict.is_caught else "bold red",
        )
    return table


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
