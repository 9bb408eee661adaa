"""The power fails after any storage call: what was acknowledged is there when it is back.

The moments are taken inside the file system, one after each of its operations, so they cover what lies between two
writes of one commit, and what had been acknowledged by then is known exactly.
"""

from __future__ import annotations

import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from replog.directory.layout import format_directory, open_directory
from replog.errors import Refused, ReplogError, StorageError
from tests.faults.acknowledged import CLUSTER, MEMBERSHIP, NODE, Acknowledged, check_log, check_state
from tests.faults.directories import adopt

from .power_cut import ROOT, PowerCut

pytestmark = pytest.mark.power_cut

MOMENTS_MIN = 20


def work(disk: PowerCut, slots: int, *words: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "tests.faults.workload", str(disk.node), str(disk.said), str(slots), *words]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)


def formatted(disk: PowerCut) -> None:
    format_directory(disk.node, node=NODE, cluster=CLUSTER, membership=MEMBERSHIP)


def moments(disk: PowerCut, folder: Path) -> Iterator[tuple[Path, Acknowledged]]:
    """Every moment kept: what would be found, and what had been acknowledged."""
    for number in range(1, disk.command(report=True)["moments"] + 1):
        said = (folder / f"{number}.acknowledged").read_text()
        adopt(folder / str(number) / "node")
        adopt(folder / str(number))
        yield folder / str(number), Acknowledged.read(said)


def test_what_was_acknowledged_survives_a_power_cut_at_any_moment(power_cut: PowerCut, quick_path: Path) -> None:
    """Acceptances, promises and flushes that were acknowledged are found after a cut behind every storage call."""
    formatted(power_cut)
    assert work(power_cut, 3).returncode == 0  # takes blocks ahead of use, which is many small writes on this disk
    power_cut.command(watch="/node", into=str(quick_path), count=240, stride=1)
    done = work(power_cut, 45)
    assert done.returncode == 0, done.stderr
    assert power_cut.command(report=True)["moments"] == 240
    seen = set()
    for directory, said in moments(power_cut, quick_path):
        check_log(directory, said)
        check_state(directory, said)
        seen.add(said)
    assert len(seen) >= MOMENTS_MIN
    assert max(said.slot for said in seen) > 10
    assert max(said.state for said in seen) > 5


def test_a_power_cut_while_blocks_are_taken_ahead_loses_nothing(power_cut: PowerCut, quick_path: Path) -> None:
    """Zeros written ahead of use and lost again are beyond everything that is used."""
    formatted(power_cut)
    power_cut.command(watch="/node", into=str(quick_path), count=40, stride=2)
    assert work(power_cut, 8).returncode == 0
    found = list(moments(power_cut, quick_path))
    for directory, said in found:
        check_log(directory, said)
        check_state(directory, said)
    assert len(found) == 40
    assert len({said for _directory, said in found}) < MOMENTS_MIN  # most of them lie between two of the zeros


def test_a_power_cut_while_formatting_leaves_a_whole_node_or_none(power_cut: PowerCut, quick_path: Path) -> None:
    """After a cut during ``init`` the directory opens with a sound log, or is refused as not formatted."""
    power_cut.command(watch="/", into=str(quick_path), count=200, stride=1)
    formatted(power_cut)
    refusals = []
    whole = 0
    for directory, _said in moments(power_cut, quick_path):
        try:
            open_directory(directory / "node").close()
        except Refused as error:
            refusals.append(str(error))
            continue
        check_log(directory / "node", Acknowledged())
        whole += 1
    assert len(refusals) >= MOMENTS_MIN // 2
    assert all("replog init" in text for text in refusals)
    assert whole >= 1


def test_a_node_goes_on_after_its_power_was_cut_again_and_again(power_cut: PowerCut) -> None:
    """Work that meets a dead disk says nothing more; started again on what is left, it goes on from there."""
    formatted(power_cut)
    for seed in range(5):
        text = _work_until_cut(power_cut, lines=60 + 7 * seed, seed=seed or None)
        power_cut.command(on=True)
        said = Acknowledged.read(text)
        assert said.slot > 0
        check_log(power_cut.node, said)
        check_state(power_cut.node, said)


def _work_until_cut(disk: PowerCut, *, lines: int, seed: int | None) -> str:
    """Let the workload say ``lines`` lines, cut the power, and return everything that it said."""
    command = [sys.executable, "-m", "tests.faults.workload", str(disk.node), "-", "100000"]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as child:
        assert child.stdout is not None
        assert child.stderr is not None
        text = "".join(child.stdout.readline() for _line in range(lines))
        disk.command(cut=seed)
        text += child.stdout.read()
        errors = child.stderr.read()
    # A read that fails is a signal to whoever mapped the file; a write that fails is an error.
    assert child.returncode in (StorageError.exit_code, -signal.SIGBUS), errors
    return text


def test_a_log_that_leaves_out_syncs_is_caught(power_cut: PowerCut, quick_path: Path) -> None:
    """The harness can fail: without synchronous commits, acknowledged acceptances are lost and it says so."""
    formatted(power_cut)
    assert work(power_cut, 3).returncode == 0
    power_cut.command(watch="/node", into=str(quick_path), count=60, stride=3)
    done = work(power_cut, 45, "--careless")
    assert done.returncode == 0, done.stderr
    caught = 0
    for directory, said in moments(power_cut, quick_path):
        try:
            check_log(directory, said)
        except (AssertionError, ReplogError):
            caught += 1
    assert caught >= MOMENTS_MIN
