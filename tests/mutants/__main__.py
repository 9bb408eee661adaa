"""``python -m tests.mutants``: break the core in every known way and see each bug caught.

Each bug is applied to a copy of the package in a temporary folder; nothing in the tree is touched. The simulator and
the stories run against it, and count; so do the tests of the roles, which are shown and do not. A bug that behaves
like the original is explained in the catalogue and not counted.
"""

from __future__ import annotations

import json
import os
import resource
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
SEEDS_BESIDE_A_STORY_MAX = 200
"""Where a story has noticed the bug, or nobody can, the simulator is asked for so long whether it does, too."""
_TESTS_S_MAX = 300.0
"""Tests that take longer with a bug in the program have noticed it: they take some seconds."""
_MEMORY_BYTES_MAX = 4 * 2**30
STORIES = "tests/scenarios/test_stories.py"
ROLES = "tests/paxos"
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
    checker: str
    """The simulator's checker that noticed, or empty."""
    first_seed: int | None
    story: str
    """The first story that ended otherwise, or empty."""
    test: str
    """The first test of a role that failed, or empty."""
    equivalent: str
    """Why nobody can notice, or empty."""
    seconds: float

    @property
    def is_caught(self) -> bool:
        return bool(self.checker or self.story)


def plant(mutant: Mutant, folder: Path) -> None:
    """A copy of the package and its tests with the bug in it.

    There the core does not compare what it keeps with itself: the question is whether somebody outside notices.
    """
    for name in ("replog", "tests"):
        shutil.copytree(ROOT / name, folder / name, ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(ROOT / "pyproject.toml", folder)
    runner = folder / "replog/sim/runner.py"
    runner.write_text(runner.read_text().replace("are_invariants_checked=True", "are_invariants_checked=False"))
    for change in mutant.changes:
        path = folder / "replog" / change.path
        path.write_text(path.read_text().replace(change.old, change.new))


def judge(mutant: Mutant, seeds_max: int = SEEDS_MAX) -> Verdict:
    """Run the tests of the core and the simulator against one bug."""
    began_s = time.monotonic()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        plant(mutant, folder)
        story = _failed_test(folder, STORIES)
        test = _failed_test(folder, ROLES)
        is_decided = bool(story or mutant.equivalent)
        seed, checker = _first_violation(folder, min(seeds_max, SEEDS_BESIDE_A_STORY_MAX) if is_decided else seeds_max)
    seconds = time.monotonic() - began_s
    return Verdict(mutant.name, mutant.pitfall, checker, seed, story, test, mutant.equivalent, seconds)


def _environment(folder: Path) -> dict[str, str]:
    return {**os.environ, "PYTHONPATH": str(folder), "PYTHONDONTWRITEBYTECODE": "1"}


def _bounded() -> None:
    """A bug may make a test gather messages for ever."""
    resource.setrlimit(resource.RLIMIT_AS, (_MEMORY_BYTES_MAX, _MEMORY_BYTES_MAX))


def _failed_test(folder: Path, tests: str) -> str:
    try:
        done = subprocess.run(
            [sys.executable, "-m", "pytest", "-q", "-x", "-p", "no:cacheprovider", tests],
            cwd=folder,
            env=_environment(folder),
            capture_output=True,
            text=True,
            check=False,
            timeout=_TESTS_S_MAX,
            preexec_fn=_bounded,
        )
    except subprocess.TimeoutExpired:
        return f"{tests} does not end"
    if done.returncode == 0:
        return ""
    failed = [line for line in done.stdout.splitlines() if line.startswith("FAILED")]
    if not failed:
        raise RuntimeError(f"{tests} did not run: {done.stdout}{done.stderr}")
    # A story whose expectation failed says more than one that was only told in other words.
    line = next((line for line in failed if "StoryFailed" in line), failed[0])
    name = line.split("::")[-1].split(" - ")[0]
    return name.partition("[")[2].rstrip("]") or name


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
    if done.returncode != 0:
        raise RuntimeError(f"the simulator did not run: {done.stderr}")
    return None, ""


def main(arguments: Sequence[str]) -> int:
    """Judge all bugs, or those whose name holds one of ``arguments``; 0 only if each that can be was caught."""
    is_json = "--json" in arguments
    words = [word for word in arguments if word != "--json"]
    chosen = [one for one in MUTANTS if not words or any(word in one.name for word in words)]
    notes = Console(stderr=True)
    for tests in (STORIES, ROLES):
        if failed := _failed_test(ROOT, tests):
            notes.print(f"{failed} in {tests} fails without any bug: what it catches means nothing", style="bold red")
            return 2
    verdicts: list[Verdict] = []
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        for verdict in pool.map(judge, chosen):
            verdicts.append(verdict)
            notes.print(f"{len(verdicts)} of {len(chosen)}: {verdict.mutant}", style="dim", highlight=False)
    if is_json:
        print(json.dumps([verdict._asdict() | {"is_caught": verdict.is_caught} for verdict in verdicts], indent=2))
    else:
        console = Console()
        console = console if console.is_terminal else Console(width=200)
        console.print(_table(verdicts))
    return 0 if all(verdict.is_caught != bool(verdict.equivalent) for verdict in verdicts) else 1


def _table(verdicts: list[Verdict]) -> Table:
    counted = [verdict for verdict in verdicts if not verdict.equivalent]
    table = Table(title=f"{sum(v.is_caught for v in counted)} of {len(counted)} bugs caught")
    for heading in ("bug", "pitfall", "simulator", "first seed", "story", "test of a role", "seconds"):
        table.add_column(heading, justify="right" if heading in ("pitfall", "first seed", "seconds") else "left")
    for verdict in verdicts:
        table.add_row(
            verdict.mutant,
            str(verdict.pitfall or "-"),
            verdict.checker or (f"none: {verdict.equivalent}" if verdict.equivalent else "-"),
            "-" if verdict.first_seed is None else str(verdict.first_seed),
            verdict.story or "-",
            verdict.test or "-",
            f"{verdict.seconds:.0f}",
            style=None if verdict.is_caught else "dim" if verdict.equivalent else "bold red",
        )
    return table


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
