"""Whether anybody notices one bug: stories, tests, the simulator."""

from __future__ import annotations

import os
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import msgspec

from .planting import ROOT, Mutant, plant

SEEDS_MAX = 2_000
SEEDS_BESIDE_A_STORY_MAX = 200
"""Where a story has noticed the bug, or nobody can, the simulator is asked for so long whether it does, too."""
STORIES = "tests/scenarios/test_stories.py"
ROLES = "tests/paxos"
_TESTS_S_MAX = 600.0
"""Tests that take longer with a bug in the program have noticed it: the longest file takes a minute."""
_MEMORY_BYTES_MAX = 4 * 2**30
_SIMULATE = """
import sys
from replog.sim import run_seed
for seed in range(int(sys.argv[1])):
    result = run_seed(seed, changes=sys.argv[2] == "members")
    if result.violation is not None:
        print(seed, result.violation.checker, sep="\\t", flush=True)
        break
"""


class Verdict(msgspec.Struct, frozen=True):
    """What became of one bug."""

    mutant: str
    area: str
    pitfall: int
    checker: str
    """The simulator's checker that noticed, or empty."""
    first_seed: int | None
    story: str
    """The first story that ended otherwise, or empty."""
    test: str
    """The first test that failed, or empty."""
    is_caught: bool
    """By the stories or the simulator; where a bug is none of the core's, by the tests of its place."""
    equivalent: str
    """Why nobody can notice, or empty."""
    seconds: float

    @property
    def is_right(self) -> bool:
        """Caught where it can be, and only there."""
        return self.is_caught != bool(self.equivalent)


def judge(mutant: Mutant, area: str) -> Verdict:
    """Run against one bug what is to notice it; nothing in the tree is touched."""
    began_s = time.monotonic()
    seed, checker, story, test = None, "", "", ""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        plant(mutant, folder)
        if mutant.tests:
            test = next(filter(None, (failed_test(folder, tests) for tests in mutant.tests)), "")
        else:
            story = failed_test(folder, STORIES)
            test = failed_test(folder, ROLES)
            seeds_max = SEEDS_BESIDE_A_STORY_MAX if story or mutant.equivalent else SEEDS_MAX
            seed, checker = _first_violation(folder, seeds_max, area)
    is_caught = bool(test if mutant.tests else story or checker)
    seconds = round(time.monotonic() - began_s, 1)
    return Verdict(mutant.name, area, mutant.pitfall, checker, seed, story, test, is_caught, mutant.equivalent, seconds)


def failed_test(folder: Path, tests: str) -> str:
    """The first of ``tests`` that fails in ``folder``, or nothing.

    Raises
    ------
    RuntimeError: they did not run.
    """
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
    failed = [line for line in done.stdout.splitlines() if line.startswith(("FAILED", "ERROR"))]
    if not failed:
        raise RuntimeError(f"{tests} did not run: {done.stdout}{done.stderr}")
    # A story whose expectation failed says more than one that was only told in other words.
    line = next((line for line in failed if "StoryFailed" in line), failed[0])
    name = line.split("::")[-1].split(" - ")[0]
    return name.partition("[")[2].rstrip("]") or name


def what_fails_without_a_bug() -> str:
    """A test of the core that fails in the tree as it is, with its file, or nothing: then a verdict means nothing."""
    for tests in (STORIES, ROLES):
        if failed := failed_test(ROOT, tests):
            return f"{failed} in {tests}"
    return ""


def _environment(folder: Path) -> dict[str, str]:
    return {**os.environ, "PYTHONPATH": str(folder), "PYTHONDONTWRITEBYTECODE": "1"}


def _bounded() -> None:
    """A bug may make a test gather messages for ever."""
    resource.setrlimit(resource.RLIMIT_AS, (_MEMORY_BYTES_MAX, _MEMORY_BYTES_MAX))


def _first_violation(folder: Path, seeds_max: int, area: str) -> tuple[int | None, str]:
    done = subprocess.run(
        [sys.executable, "-c", _SIMULATE, str(seeds_max), area],
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
