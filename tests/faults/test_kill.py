"""A process is killed in the middle of its commits, again and again."""

from __future__ import annotations

import random
import signal
import subprocess
from pathlib import Path

import pytest

from .acknowledged import Acknowledged, check_log, check_state
from .directories import ROOT, formatted, workload

ROUNDS = 24


@pytest.mark.parametrize("words", [(), ("--journal",)], ids=["lmdb", "journal"])
def test_nothing_acknowledged_is_lost_when_the_process_is_killed_again_and_again(
    quick_path: Path, words: tuple[str, ...]
) -> None:
    """After every SIGKILL each acknowledged record is there, no promise is forgotten, and state and position agree."""
    directory = formatted(quick_path / "node")
    chance = random.Random(3)
    said = Acknowledged()
    for _round in range(ROUNDS):
        text = _work_until_killed(directory, words, lines=1 + chance.randrange(40))
        said = Acknowledged.read("".join((_lines(said), text)))
        recovered = check_log(directory, said)
        check_state(directory, said)
    assert said.slot > ROUNDS
    assert recovered.compacted_through > 0


def _work_until_killed(directory: Path, words: tuple[str, ...], *, lines: int) -> str:
    with subprocess.Popen(
        workload(directory, 100_000, words=words), cwd=ROOT, stdout=subprocess.PIPE, text=True
    ) as child:
        assert child.stdout is not None
        text = "".join(child.stdout.readline() for _line in range(lines))
        child.kill()
        text += child.stdout.read()
    assert child.returncode == -signal.SIGKILL
    return text


def _lines(said: Acknowledged) -> str:
    """What held before holds after: a later round may say less than an earlier one."""
    return f"promise {said.promise}\nslot {said.slot}\nstate {said.state}\n"
