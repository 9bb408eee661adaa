"""The power fails over journal and log together: what was acknowledged is there, whichever of the two it is in.

As in ``test_log_power_cut`` the moments are taken inside the file system, one after each of its operations, and one
within each write that is durable when it returns. The journal is so small that it is gone round all the time.
"""

from __future__ import annotations

import tarfile
from pathlib import Path

import pytest

from replog.directory.layout import LOG_FOLDER, STATE_FOLDER, open_directory
from replog.errors import ReplogError
from replog.log import journal_layout
from replog.log.journal_file import JOURNAL_FILE
from replog.log.report import open_pinned_log
from replog.log.space import MIB
from replog.paxos.ballot import Ballot, NodeId
from replog.state.store import LmdbStateStore
from tests.faults.acknowledged import JOURNALED, LIMITS, RING_BYTES, Acknowledged, check_log, check_state
from tests.faults.directories import adopt

from .power_cut import PowerCut
from .test_log_power_cut import MOMENTS_MIN, formatted, moments, work
from .test_old_formats import ARCHIVE_OF_FORMAT_4

pytestmark = pytest.mark.power_cut

SEEDS = (None, 1, 2)


@pytest.fixture(autouse=True)
def _small_ring(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(journal_layout, "JOURNAL_BYTES", RING_BYTES)


def check(directory: Path, said: Acknowledged) -> None:
    """As a node that goes on journaling finds it, and then, opened once more, as one does that doesn't."""
    first = check_log(directory, said, JOURNALED)
    assert check_log(directory, said, LIMITS) == first
    check_state(directory, said)


def is_open(directory: Path) -> bool:
    with open_pinned_log(directory / LOG_FOLDER) as log:
        return log.position().journal.is_open


def test_what_was_acknowledged_survives_a_power_cut_at_any_moment(power_cut: PowerCut, quick_path: Path) -> None:
    """Around records, checkpoints, the ring's end, compaction and records that are too large for it."""
    formatted(power_cut)
    assert work(power_cut, 3, "--journal").returncode == 0
    power_cut.command(watch="/node", into=str(quick_path), count=300, stride=1)
    done = work(power_cut, 45, "--journal")
    assert done.returncode == 0, done.stderr
    seen = set()
    ahead = 0
    for directory, said in moments(power_cut, quick_path):
        with open_pinned_log(directory / LOG_FOLDER) as log:
            ahead += bool(log.journal.groups)
        check(directory, said)
        seen.add(said)
    assert len(seen) >= MOMENTS_MIN
    assert ahead >= MOMENTS_MIN  # the journal alone had what was acknowledged


@pytest.mark.parametrize("seed", SEEDS)
def test_a_cut_during_an_opening_that_takes_a_journal_over_loses_nothing(
    power_cut: PowerCut, quick_path: Path, seed: int | None
) -> None:
    """The power fails, and once more at each storage call of the start after it (J13)."""
    formatted(power_cut)
    assert work(power_cut, 23, "--journal", "--killed").returncode == 0
    before = Acknowledged.read(power_cut.said.read_text())
    power_cut.command(cut=seed)
    power_cut.command(on=True)
    power_cut.command(watch="/node", into=str(quick_path), count=40, stride=1)
    assert work(power_cut, 2, "--journal", "--killed").returncode == 0
    found = list(moments(power_cut, quick_path))
    assert len(found) == 40 or len(found) >= 10
    for directory, said in found:
        check(directory, max(before, said, key=lambda one: one.slot))


def test_a_cut_during_the_first_start_or_a_clean_stop_leaves_either_state(
    power_cut: PowerCut, quick_path: Path
) -> None:
    """The journal is made before the log names it (J1), and given up after the log has everything (J19)."""
    formatted(power_cut)
    power_cut.command(watch="/node", into=str(quick_path), count=400, stride=1)
    assert work(power_cut, 2, "--journal").returncode == 0
    seen = set()
    for directory, said in moments(power_cut, quick_path):
        seen.add((is_open(directory), (directory / LOG_FOLDER / JOURNAL_FILE).exists()))
        check(directory, said)
    assert seen == {(False, False), (False, True), (True, True)}


@pytest.mark.parametrize("words", [("--journal",), ()], ids=["journal", "no journal"])
def test_a_cut_while_the_format_is_raised_leaves_either(
    power_cut: PowerCut, quick_path: Path, words: tuple[str, ...]
) -> None:
    """Identity and position change together, and both forms of the identity file are read (J19)."""
    with tarfile.open(ARCHIVE_OF_FORMAT_4) as archive:
        archive.extractall(power_cut.mount, filter="data")
    (power_cut.mount / "old").rename(power_cut.node)
    adopt(power_cut.node)
    LmdbStateStore.open(power_cut.node / STATE_FOLDER, map_step_bytes=MIB).close()
    open_directory(power_cut.node).close()
    limits = JOURNALED if words else LIMITS
    power_cut.command(watch="/node", into=str(quick_path), count=400, stride=1)
    held = open_directory(power_cut.node)
    store = held.open_log(limits)
    before = store.recover()
    store.close()
    held.close()
    assert before.promise == Ballot(7, NodeId(2))
    count = 0
    for directory, _said in moments(power_cut, quick_path):
        if not (directory / LOG_FOLDER / "data.mdb").exists():
            continue
        count += 1
        for again in (limits, LIMITS):
            held = open_directory(directory)
            store = held.open_log(again)
            assert store.recover() == before
            store.close()
            held.close()
    assert count >= 5


@pytest.mark.parametrize("seed", SEEDS)
def test_what_a_killed_process_left_unsynced_in_its_journal_is_settled_before_it_is_answered_on(
    power_cut: PowerCut, seed: int | None
) -> None:
    """A process that was killed within its last write left it to be read, and on no disk (P1)."""
    formatted(power_cut)
    assert work(power_cut, 4, "--journal").returncode == 0
    power_cut.command(sync=False)
    assert work(power_cut, 2, "--journal", "--killed").returncode == 0
    power_cut.command(sync=True)
    answered = check_log(power_cut.node, Acknowledged(slot=6), JOURNALED)
    power_cut.command(cut=seed)
    power_cut.command(on=True)
    assert check_log(power_cut.node, Acknowledged(slot=6), JOURNALED) == answered


def test_a_journal_without_syncs_is_caught(power_cut: PowerCut, quick_path: Path) -> None:
    """The harness can fail: a journal that is not durable when a write returns loses what was acknowledged."""
    formatted(power_cut)
    assert work(power_cut, 3, "--journal").returncode == 0
    power_cut.command(watch="/node", into=str(quick_path), count=60, stride=3)
    assert work(power_cut, 45, "--journal", "--careless").returncode == 0
    caught = 0
    for directory, said in moments(power_cut, quick_path):
        try:
            check_log(directory, said)
        except (AssertionError, ReplogError):
            caught += 1
    assert caught >= MOMENTS_MIN
