"""The power fails after any storage call of a state's flushes and installs: the state is whole when it is back.

The moments are taken inside the file system, as in ``test_log_power_cut``.
"""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from replog.disk.durable_files import sync_folder
from replog.errors import ReplogError

from .power_cut import ROOT, PowerCut
from .state_writer import Acknowledged, check

pytestmark = pytest.mark.power_cut

CUTS_MIN = 20
OLD, NEW = 4, 30
"""Where the state stands that is replaced, and the one that replaces it."""


def write(folder: Path, said: Path | str, count: int, *more: str | Path) -> None:
    """Run the writer to its end."""
    words = map(str, (folder, said, count, *more))
    command = [sys.executable, "-m", "tests.storage.state_writer", *words]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def moments(disk: PowerCut, folder: Path) -> Iterator[tuple[Path, Acknowledged]]:
    """Every moment kept: the state as it would be found, and what had been acknowledged."""
    for number in range(1, disk.command(report=True)["moments"] + 1):
        said = (folder / f"{number}.acknowledged").read_text()
        yield folder / str(number) / "state", Acknowledged.read(said)


@pytest.fixture
def node(power_cut: PowerCut) -> Path:
    """A data directory with a state that stands at slot ``OLD``, all of it durable."""
    power_cut.node.mkdir()
    sync_folder(power_cut.mount)
    write(power_cut.node / "state", "-", OLD)
    return power_cut.node


@pytest.fixture
def source(quick_path: Path) -> Path:
    """The state of another node, at slot ``NEW``."""
    write(quick_path / "source", "-", NEW)
    return quick_path / "source"


def test_state_and_position_agree_after_a_power_cut_at_any_moment(
    power_cut: PowerCut, node: Path, quick_path: Path
) -> None:
    """What was flushed is there, rows and records are those of the position, wherever the power fails."""
    power_cut.command(watch="/node", into=str(quick_path), count=160, stride=2)
    write(node / "state", power_cut.said, 40)
    seen = set()
    for state, said in moments(power_cut, quick_path):
        check(state, said)
        seen.add(said)
    assert len(seen) >= CUTS_MIN


def test_a_power_cut_while_a_snapshot_is_installed_leaves_the_old_state_or_the_new_one(
    power_cut: PowerCut, node: Path, source: Path, quick_path: Path
) -> None:
    """Never a mixture, and the new one from the moment at which installing returned."""
    power_cut.command(watch="/node", into=str(quick_path), count=400, stride=1)
    write(node / "state", power_cut.said, 3, source)
    found: dict[bool, list[int]] = {False: [], True: []}
    for state, said in moments(power_cut, quick_path):
        found[bool(said.installed)].append(check(state, said))
    assert len(found[False]) >= CUTS_MIN
    assert set(found[False]) == {OLD, NEW}
    assert found[False] == sorted(found[False])
    assert len(found[True]) > 3
    assert min(found[True]) >= NEW


@pytest.mark.parametrize("seed", [None, 1])
def test_an_installed_state_survives_a_power_cut_right_after_it(
    power_cut: PowerCut, node: Path, source: Path, seed: int | None
) -> None:
    """Whoever is told that it is in place drops the log below it, so it may not be in memory only."""
    write(node / "state", power_cut.said, 0, source)
    said = Acknowledged.read(power_cut.said.read_text())
    assert said.installed == NEW
    power_cut.command(cut=seed)
    power_cut.command(on=True)
    assert check(node / "state", said) == NEW


def test_a_state_that_leaves_out_syncs_is_caught(power_cut: PowerCut, node: Path, source: Path) -> None:
    """The harness can fail: without syncs, what was acknowledged is lost or in pieces, and the checks say so."""
    write(node / "state", power_cut.said, 5, source, "--careless")
    said = Acknowledged.read(power_cut.said.read_text())
    power_cut.command(cut=None)
    power_cut.command(on=True)
    with pytest.raises((AssertionError, ReplogError)):
        check(node / "state", said)
    assert (node / "state" / "data.mdb").exists()
