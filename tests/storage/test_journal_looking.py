"""Looking at a directory whose journal is ahead of its log: what a start would make of it, and without writing.

``inspect`` and ``verify`` run beside the node, too: nothing that a writer is at may look like damage (J20).
"""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from replog.directory.inspection import inspect, verify
from replog.directory.layout import LOG_FOLDER
from replog.log import journal_layout
from replog.log.journal_file import JOURNAL_FILE
from replog.log.journal_layout import BLOCK_BYTES
from replog.log.report import open_pinned_log
from replog.paxos.ballot import NodeId, Slot
from replog.paxos.effects import LogWrite
from replog.paxos.membership import Membership
from tests.faults.acknowledged import RING_BYTES, ballot_of, record_of
from tests.faults.directories import ROOT, formatted, workload

from .test_journal_opening import contents, journal, killed, mark, opened, recovered, stopped, write

LOOKS = 40


@pytest.fixture
def directory(quick_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(journal_layout, "JOURNAL_BYTES", RING_BYTES)
    return formatted(quick_path / "node")


def test_what_only_the_journal_has_is_told_as_a_start_would_find_it(directory: Path) -> None:
    """Promise, positions, membership and slots; and nothing is written by looking."""
    killed(directory)
    with opened(directory) as store:
        store.recover()
        write(store, 6, 7, chosen_through=5)
        newer = Membership(2, (NodeId(1), NodeId(2)))
        store.write([LogWrite(None, (record_of(3),), None, newer)])
    before = contents(directory)
    log = inspect(directory).log
    assert (log.promise, log.chosen_through, log.last_slot, log.accepted_count) == (ballot_of(7), 5, 7, 2)
    assert log.membership == newer
    assert [slot.slot for slot in log.slots] == [1, 2, 3, 4, 5, 6, 7]
    assert [slot.record for slot in log.slots] == [record_of(slot) for slot in range(1, 8)]
    assert [slot.is_chosen for slot in log.slots] == [True] * 5 + [False] * 2
    assert log.journaled_count == 3
    assert log.journal_bytes == RING_BYTES + BLOCK_BYTES
    assert log.problems == ()
    assert verify(directory).findings == ()
    assert contents(directory) == before
    found = recovered(directory)
    assert (found.promise, found.chosen_through, found.membership) == (log.promise, log.chosen_through, log.membership)
    assert [record.slot for record in found.accepted] == [6, 7]


def test_a_damaged_journal_and_a_missing_one_are_findings(directory: Path) -> None:
    """Each with what comes of it; after a clean stop neither is one."""
    killed(directory)
    data = bytearray(journal(directory).read_bytes())
    data[mark(directory).end * BLOCK_BYTES + 100] ^= 1
    journal(directory).write_bytes(data)
    (finding,) = verify(directory).findings
    assert finding.place == f"{LOG_FOLDER}/{JOURNAL_FILE}"
    assert "is damaged" in finding.problem
    assert "without a vote" in finding.consequence
    assert inspect(directory).log.problems == (finding.problem,)
    journal(directory).unlink()
    (finding,) = verify(directory).findings
    assert "it is missing" in finding.problem
    assert finding.consequence == "the node does not start"


def test_a_stopped_nodes_journal_is_no_finding_whatever_became_of_it(directory: Path) -> None:
    """The log has everything."""
    stopped(directory)
    journal(directory).unlink()
    assert verify(directory).findings == ()
    log = inspect(directory).log
    assert (log.last_slot, log.journal_bytes, log.problems) == (3, 0, ())


def test_nothing_looks_damaged_beside_a_node_that_writes(directory: Path) -> None:
    """The journal goes round and round while it is read, and the log is checkpointed behind it."""
    words = [*workload(directory, 100_000), "--journal"]
    with subprocess.Popen(words, cwd=ROOT, stdout=subprocess.PIPE, text=True) as child:
        assert child.stdout is not None
        try:
            ahead = 0
            last = Slot(0)
            for _look in range(LOOKS):
                for _line in range(30):
                    assert child.stdout.readline()
                with open_pinned_log(directory / LOG_FOLDER) as log:
                    assert (log.journal.damage, log.journal.refusal) == ("", "")
                    ahead += bool(log.journal.groups)
                    now = log.last_slot() or Slot(0)
                    assert now >= last
                    last = now
        finally:
            child.kill()
    assert ahead > 0
