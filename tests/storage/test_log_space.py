"""The log's file stays within a derived bound, and a full disk is a wait, not a failure.

The bound, as ``docs/STORAGE.md`` derives it: pages in use for the retained slots and one compaction step, three times
what one transaction turns over, what is allocated ahead of use.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from crc32c import crc32c

from replog.directory.layout import LOG_FOLDER, format_directory, open_directory
from replog.disk.environment import DATA_FILE
from replog.disk.pages import PageReport, check_pages
from replog.errors import StorageFull
from replog.log.environment import LOG_LAYOUT
from replog.log.journaled import JournaledLogStore
from replog.log.records import PIECE_BYTES, SLOT_HEADER_BYTES, SLOT_KEY_BYTES
from replog.log.space import MIB, PATH_BYTES, LogLimits
from replog.log.writer import LogWriter
from replog.paxos.ballot import Ballot, Slot
from replog.paxos.effects import LogWrite
from replog.paxos.messages import AcceptedSlot
from tests.faults.acknowledged import CLUSTER, MEMBERSHIP, NODE
from tests.faults.directories import ROOT

PAGE_BYTES = 4096
BALLOT = Ballot(1, NODE)
WAIT_S = 30.0


def record(slot: int, size: int) -> AcceptedSlot:
    value = (b"%08d" % slot * (size // 8 + 1))[:size]
    return AcceptedSlot(Slot(slot), BALLOT, crc32c(value), value)


@contextmanager
def opened(path: Path, limits: LogLimits) -> Iterator[JournaledLogStore]:
    """The log of a new node in ``path``, or of the one that is there."""
    if not path.exists():
        format_directory(path, node=NODE, cluster=CLUSTER, membership=MEMBERSHIP)
    held = open_directory(path)
    store = held.open_log(limits)
    try:
        store.recover()
        yield store
    finally:
        store.close()
        held.close()


def pages(store: JournaledLogStore) -> PageReport:
    data = (store.log.path / DATA_FILE).read_bytes()
    return check_pages(lambda offset, length: data[offset : offset + length], len(data), LOG_LAYOUT)


def pages_for(slots: int, value_bytes: int) -> int:
    """Pages that ``slots`` appended records fill, with the branches above them."""
    pieces = pieces_of(value_bytes)
    node_bytes = 8 + SLOT_KEY_BYTES + SLOT_HEADER_BYTES + value_bytes
    nodes_a_page = 2 if pieces > 1 else (PAGE_BYTES - 16) // (node_bytes + node_bytes % 2 + 2)
    leaves = -(-slots * pieces // nodes_a_page)
    return leaves + leaves // 100 + 2


def pieces_of(value_bytes: int) -> int:
    return -(-(SLOT_HEADER_BYTES + value_bytes) // PIECE_BYTES)


def pages_bound(retained_slots: int, value_bytes: int, group_slots: int, drop_slots: int) -> int:
    """The highest page the file can get to: what is in use, and what two transactions freed and one takes."""
    kept = pages_for(retained_slots + group_slots + drop_slots, value_bytes)
    turned_over = pages_for(max(group_slots, drop_slots), value_bytes) + 12
    return 2 + 2 + kept + 3 * turned_over


def file_bound(pages: int, value_bytes: int, group_slots: int, drop_slots: int) -> int:
    """With what is allocated ahead: the larger transaction's estimate and one step."""
    record_bytes = PAGE_BYTES + 64
    need_bytes = max(group_slots * (value_bytes * 65 // 64 + record_bytes), drop_slots * record_bytes) + PATH_BYTES
    used_bytes = pages * PAGE_BYTES
    return used_bytes + need_bytes + MIB // 4


def run_through(store: JournaledLogStore, slots: int, *, retained: int, size: int, group: int, drop: int) -> int:
    """Write ``slots`` in groups, keep ``retained`` of them; returns the largest size the file had."""
    largest = 0
    compacted = 0
    for first in range(1, slots + 1, group):
        records = tuple(record(slot, size) for slot in range(first, first + group))
        store.write([LogWrite(None, records, Slot(first - 1))])
        while first - 1 - retained > compacted:
            compacted = store.compact(Slot(first - 1 - retained), slots_max=drop)
        largest = max(largest, store.file_bytes)
    return largest


@pytest.mark.parametrize(
    ("slots", "size", "group", "drop"),
    [
        pytest.param(100_000, 200, 100, 256, id="100,000 short ones"),
        pytest.param(4_000, 200, 1, 16, id="one at a time"),
        pytest.param(20_000, 1_500, 16, 256, id="two to a page"),
        pytest.param(10_000, 9_000, 50, 256, id="five pieces each"),
    ],
)
def test_a_log_that_retains_slots_stays_within_its_bound(
    quick_path: Path, slots: int, size: int, group: int, drop: int
) -> None:
    """However many slots go through, file and pages stay within what retained slots and transactions need."""
    retained = 1_000
    bound = pages_bound(retained, size, group, drop)
    with opened(quick_path / "node", LogLimits(journal=False)) as store:
        largest = run_through(store, slots, retained=retained, size=size, group=group, drop=drop)
        report = pages(store)
    assert report.entries <= (retained + group + drop) * pieces_of(size)
    assert report.last_page <= bound
    assert largest <= file_bound(bound, size, group, drop)


HOLD_A_VIEW = """
import pathlib, sys
from replog.log.report import open_pinned_log
with open_pinned_log(pathlib.Path(sys.argv[1])):
    print("pinned", flush=True)
    sys.stdin.read()
"""


def test_a_reader_that_never_ends_breaks_the_bound_until_it_is_gone(quick_path: Path) -> None:
    """The bound is not vacuous: a log held open keeps every freed page, and a killed one does not after a restart."""
    bound = pages_bound(1_000, 200, 100, 256)
    path = quick_path / "node"
    with opened(path, LogLimits(journal=False)) as store:
        run_through(store, 2_000, retained=1_000, size=200, group=100, drop=256)
        command = [sys.executable, "-c", HOLD_A_VIEW, str(path / LOG_FOLDER)]
        with subprocess.Popen(command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as child:
            assert child.stdout is not None
            assert child.stdout.readline() == "pinned\n"
            _go_on(store, 2_001, 12_000)
            held = pages(store).last_page
            child.kill()
        assert held > bound
    with opened(path, LogLimits(journal=False)) as store:
        _go_on(store, 12_001, 40_000)
        assert pages(store).last_page <= held + bound


def _go_on(store: JournaledLogStore, first: int, last: int) -> None:
    for start in range(first, last + 1, 100):
        records = tuple(record(slot, 200) for slot in range(start, start + 100))
        store.write([LogWrite(None, records, Slot(start - 1))])
        store.compact(Slot(start - 1_000), slots_max=256)


# --- full ---


def test_a_quota_refuses_early_keeps_promising_and_takes_writes_again(quick_path: Path) -> None:
    """New commands are refused before the log is full; promises and compaction go on; space made is space used."""
    limits = LogLimits(map_step_bytes=MIB, bytes_max=4 * MIB, journal=False)
    with opened(quick_path / "node", limits) as store:
        last, early = _fill(store)
        assert 0 < early < last
        assert store.file_bytes <= 4 * MIB
        with pytest.raises(StorageFull, match=re.escape(f"{store.log.path / DATA_FILE}: no space")):
            store.write([LogWrite(None, (record(last + 1, 4_000),), None)])
        promise = Ballot(7, NODE)
        store.write([LogWrite(promise, (), Slot(last))])
        compacted = Slot(0)
        while compacted < last:
            compacted = store.compact(Slot(last), slots_max=64)
        assert not store.is_nearly_full()
        again, _early = _fill(store, first=last + 1)
        assert again - last > last // 2
    with opened(quick_path / "node", limits) as store:
        recovered = store.recover()
        assert recovered.promise == promise
        assert recovered.damaged_reason == ""
        assert len(recovered.accepted) == again - last


def _fill(store: JournaledLogStore, first: int = 1) -> tuple[int, int]:
    """Write until there is no space: the last slot that went in, and the one at which it was nearly full."""
    early = 0
    for slot in range(first, first + 100_000):
        if not early and store.is_nearly_full():
            early = slot
        try:
            store.write([LogWrite(None, (record(slot, 4_000),), None)])
        except StorageFull:
            return slot - 1, early
    raise AssertionError("it never became full")


@contextmanager
def small_disk(path: Path, size: str) -> Iterator[Path]:
    """A tmpfs that is soon full; skips where none can be mounted."""
    path.mkdir()
    done = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", f"size={size}", "tmpfs", str(path)], capture_output=True, text=True, check=False
    )
    if done.returncode:
        pytest.skip(f"no tmpfs can be mounted here: {done.stderr.strip()}")
    try:
        yield path
    finally:
        subprocess.run(["umount", str(path)], check=True)


def test_a_full_disk_is_waited_for_and_left_behind_unaided(quick_path: Path) -> None:
    """The writer holds a group that finds no space, and writes it when somebody made some; nothing is lost."""
    with (
        small_disk(quick_path / "disk", "8m") as disk,
        opened(disk / "node", LogLimits(map_step_bytes=MIB, journal=False)) as store,
    ):
        ballast = disk / "ballast"
        durable: list[int] = []
        failures: list[BaseException] = []
        changed = threading.Condition()

        def on_durable(ticket: int) -> None:
            with changed:
                durable.append(ticket)
                changed.notify_all()

        writer = LogWriter(store, on_durable=on_durable, on_failure=failures.append, space_retry_s=0.01)
        writer.start()
        try:
            _fill_with_ballast(ballast, leave_bytes=PATH_BYTES)
            for slot in range(1, 601):
                writer.submit(slot, LogWrite(None, (record(slot, 4_000),), None))
            _wait(changed, lambda: writer.is_waiting_for_space)
            assert store.is_nearly_full()
            assert not failures
            ballast.unlink()
            _wait(changed, lambda: 600 in durable)
        finally:
            writer.close()
        assert not failures
        assert writer.statistics().waits_for_space >= 1
        assert len(store.recover().accepted) == 600


def _fill_with_ballast(path: Path, *, leave_bytes: int) -> None:
    disk = os.statvfs(path.parent)
    with path.open("wb") as file:
        os.posix_fallocate(file.fileno(), 0, disk.f_bavail * disk.f_frsize - leave_bytes)


def _wait(changed: threading.Condition, is_so: Callable[[], bool]) -> None:
    """Until it is so; what nobody announces is looked at again and again."""
    deadline = time.monotonic() + WAIT_S
    with changed:
        while not changed.wait_for(is_so, timeout=0.01):
            assert time.monotonic() < deadline, "it did not happen in time"


# --- how much of the log is kept ---


def keep_retained(store: JournaledLogStore, through: int, *, retained_bytes: int, retained_slots: int = 10**9) -> int:
    """Drop what should go now, as the writer does; returns the new ``compacted_through``."""
    while True:
        before = store.recover().compacted_through
        target = store.compaction_target(Slot(through), retained_slots=retained_slots, retained_bytes=retained_bytes)
        if target <= before:
            return before
        store.compact(target, slots_max=256)


def test_beyond_those_retained_slots_go_only_while_free_pages_are_few(quick_path: Path) -> None:
    """A file never shrinks, so with free pages enough more slots are kept."""
    with opened(quick_path / "node", LogLimits(journal=False)) as store:
        for slot in range(1, 41):
            store.write([LogWrite(None, (record(slot, MIB),), Slot(slot - 1))])
        assert store.compaction_target(Slot(39), retained_slots=50, retained_bytes=2**63) == 0
        assert store.compaction_target(Slot(39), retained_slots=10, retained_bytes=2**63) == 29
        compacted = keep_retained(store, 39, retained_slots=10, retained_bytes=2**63)
        assert 16 <= compacted <= 24  # 16 MiB are free, and it went 4 MiB at a time
        assert store.compaction_target(Slot(39), retained_slots=10, retained_bytes=2**63) == compacted
        assert store.compaction_target(Slot(39), retained_slots=10, retained_bytes=8 * MIB) == 39


def test_slots_beyond_those_retained_go_when_there_is_no_other_space(quick_path: Path) -> None:
    """Free pages enough for LMDB may be less than the reserve: keeping slots would refuse commands for ever."""
    with opened(quick_path / "node", LogLimits(journal=False)) as store:
        for slot in range(1, 41):
            store.write([LogWrite(None, (record(slot, MIB),), Slot(slot - 1))])
        compacted = keep_retained(store, 39, retained_slots=10, retained_bytes=2**63)
    with opened(quick_path / "node", LogLimits(bytes_max=40 * MIB, reserve_bytes=10 * MIB, journal=False)) as store:
        assert compacted < 29
        assert store.is_nearly_full()
        assert keep_retained(store, 39, retained_slots=10, retained_bytes=2**63) > compacted
        assert not store.is_nearly_full()


def test_a_step_drops_few_slots_if_they_are_large(quick_path: Path) -> None:
    with opened(quick_path / "node", LogLimits(journal=False)) as store:
        for slot in range(1, 41):
            store.write([LogWrite(None, (record(slot, MIB),), Slot(slot - 1))])
        assert store.compact(Slot(39), slots_max=256) == 4
        assert [found.slot for found in store.read(Slot(5), Slot(6), slots_max=2, bytes_max=4 * MIB)] == [5, 6]
        assert [store.compact(Slot(39), slots_max=256) for _ in range(9)] == [8, 12, 16, 20, 24, 28, 32, 36, 39]


def test_a_log_of_slots_of_changing_size_keeps_to_its_bytes(quick_path: Path) -> None:
    """Short ones, then long ones, again and again: what goes is as many bytes as came, and the file stops growing."""
    retained_bytes = 24 * MIB
    sizes = [250] * 800 + [13_000] * 500 + [50_000] * 150 + [MIB] * 20 + [5_000] * 400
    file_bytes: list[int] = []
    with opened(quick_path / "node", LogLimits(journal=False)) as store:
        for lap in range(5):
            for slot, size in enumerate(sizes, lap * len(sizes) + 1):
                store.write([LogWrite(None, (record(slot, size),), Slot(slot - 1))])
                if slot % 16 == 0:
                    keep_retained(store, slot - 1, retained_bytes=retained_bytes)
            file_bytes.append(store.file_bytes)
        assert pages(store).live_pages * PAGE_BYTES <= retained_bytes + MIB
    assert file_bytes[-1] <= 2 * retained_bytes
    assert file_bytes[-1] <= file_bytes[-3] + MIB


def test_what_was_written_beyond_the_estimate_is_not_overwritten(
    quick_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """However wrong an estimate is, blocks are taken ahead from the true end of the file on."""
    with opened(quick_path / "node", LogLimits(journal=False)) as store:
        with monkeypatch.context() as patch:
            prepare = store.log._space.prepare
            patch.setattr(
                store.log._space, "prepare", lambda _need_bytes, *, is_essential: prepare(1, is_essential=is_essential)
            )
            for slot in range(1, 9):
                store.write([LogWrite(None, (record(slot, MIB),), Slot(slot - 1))])
        for slot in range(9, 12):
            store.write([LogWrite(None, (record(slot, MIB // 2),), Slot(slot - 1))])
        assert pages(store).entries > 0
        assert [found.slot for found in store.read(Slot(1), Slot(11), slots_max=20, bytes_max=2**30)] == [*range(1, 12)]
