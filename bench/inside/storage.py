"""What the log and the state cost on this disk, beside plain LMDB doing the least that could do.

The rooms are opened from inside, without a replica around them; that is why this module may import them.
"""

from __future__ import annotations

import functools
import itertools
import os
import queue
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import Any

import lmdb
from crc32c import crc32c

from replog.directory.layout import format_directory, open_directory
from replog.log.journaled import JournaledLogStore
from replog.log.space import LogLimits
from replog.log.writer import LogWriter
from replog.paxos.ballot import Ballot, NodeId, Slot
from replog.paxos.effects import LogWrite
from replog.paxos.membership import Membership
from replog.paxos.messages import AcceptedSlot
from replog.state.store import LmdbStateStore

from ..load.latencies import Latencies

RECORD_BYTES = 200
BALLOT = Ballot(1, NodeId(1))
_MAP_BYTES = 8 * 2**30
_VALUE = b"v" * RECORD_BYTES
_STOP_S = 30.0
_SECTORS_WRITTEN = 6
"""Its place in the kernel's counters of a disk."""

Commit = Callable[[int], Callable[[], None]]
"""Take so many records in hand; what it returns makes them durable, and only that is measured."""


@contextmanager
def opened_log(folder: Path) -> Iterator[JournaledLogStore]:
    """A freshly formatted log, ready to be written."""
    node = NodeId(1)
    format_directory(folder, node=node, cluster=bytes(16), membership=Membership(version=1, voters=(node,)))
    directory = open_directory(folder)
    log = directory.open_log(LogLimits())
    try:
        log.recover()
        yield log
    finally:
        log.close()
        directory.close()


class Writes:
    """The writes of a leader that is never interrupted: ascending slots, each round chosen with the next."""

    def __init__(self) -> None:
        self._next = 1

    def next(self, records: int) -> LogWrite:
        first = self._next
        self._next += records
        slots = tuple(AcceptedSlot(Slot(number), BALLOT, crc32c(_VALUE), _VALUE) for number in range(first, self._next))
        return LogWrite(BALLOT if first == 1 else None, slots, Slot(first - 1))


@contextmanager
def log_commits(folder: Path) -> Iterator[Commit]:
    """Commits of our log store."""
    with opened_log(folder) as log:
        writes = Writes()

        def commit(records: int) -> Callable[[], None]:
            write = writes.next(records)
            return lambda: log.write([write])

        yield commit


@contextmanager
def plain_commits(folder: Path, *, is_joined: bool) -> Iterator[Commit]:
    """Commits of LMDB with the same records under ascending keys and nothing else: no checksum, no position.

    ``is_joined``: all records in one call, the least that can be done; otherwise a call a record, as most programs do.
    """
    folder.mkdir()
    env = lmdb.open(str(folder), map_size=_MAP_BYTES, sync=True, metasync=True, writemap=False)
    numbers = itertools.count()

    def commit(records: int) -> Callable[[], None]:
        pairs = [(number.to_bytes(8, "big"), _VALUE) for number in itertools.islice(numbers, records)]

        def put() -> None:
            with env.begin(write=True) as transaction:
                if is_joined:
                    transaction.cursor().putmulti(pairs, append=True)
                    return
                for key, value in pairs:
                    transaction.put(key, value, append=True)

        return put

    try:
        yield commit
    finally:
        env.close()


STORES: dict[str, Callable[[Path], AbstractContextManager[Commit]]] = {
    "replog log": log_commits,
    "plain LMDB, put": functools.partial(plain_commits, is_joined=False),
    "plain LMDB, putmulti": functools.partial(plain_commits, is_joined=True),
}


def measure_commits(store: str, folder: Path, records: int, seconds: float) -> dict[str, Any]:
    """Commit for so many seconds; what a commit takes, and what reaches the disk for a record."""
    with STORES[store](folder) as commit:
        for _ in range(20):
            commit(records)()
        written, durations, cpu_s = _written_bytes(folder), [], 0.0
        spent_s = 0.0
        while spent_s < seconds:
            make_durable = commit(records)
            cpu_began, began = time.process_time(), time.perf_counter()
            make_durable()
            durations.append(time.perf_counter() - began)
            spent_s += durations[-1]
            cpu_s += time.process_time() - cpu_began
        return {
            "store": store,
            "records_a_commit": records,
            **_commit_figures(durations, sum(durations)),
            "cpu_us_a_record": cpu_s * 1e6 / (len(durations) * records),
            "bytes_a_record": (_written_bytes(folder) - written) / (len(durations) * records),
        }


def _commit_figures(durations: list[float], seconds: float) -> dict[str, Any]:
    latencies = Latencies.of_seconds(durations)
    return {
        "commits_per_s": len(durations) / seconds,
        "p50_ms": latencies.percentile_ms(50),
        "p99_ms": latencies.percentile_ms(99),
        "max_ms": latencies.max_ms,
    }


def _written_bytes(folder: Path) -> int:
    """Bytes that reached the disk below ``folder`` so far, whoever wrote them; 0 where it has no counter (memory).

    What the kernel counts for a process won't do: with large folios it counts all of one for a page written in it.
    """
    device = folder.stat().st_dev
    counters = Path(f"/sys/dev/block/{os.major(device)}:{os.minor(device)}/stat")
    return int(counters.read_text().split()[_SECTORS_WRITTEN]) * 512 if counters.exists() else 0


# --- the writer's thread beside a busy event loop ---


def measure_hand_over(
    folder: Path, *, switch_interval_s: float, is_threaded: bool, is_busy: bool, seconds: float
) -> dict[str, Any]:
    """One write at a time through the log's writer, while this thread computes (or waits).

    ``computed`` is how much of the busy work was done beside the commits, against having the thread to itself.
    """
    alone_per_s = _computed_per_s() if is_busy else 0.0
    before = sys.getswitchinterval()
    sys.setswitchinterval(switch_interval_s)
    try:
        with opened_log(folder) as log:
            durations, computed = _write_one_by_one(log, seconds, is_threaded=is_threaded, is_busy=is_busy)
    finally:
        sys.setswitchinterval(before)
    return {
        "writer": "thread" if is_threaded else "inline",
        "event_loop": "busy" if is_busy else "idle",
        "switch_interval_ms": switch_interval_s * 1e3,
        **_commit_figures(durations, seconds),
        "computed_share": computed / seconds / alone_per_s if is_busy else None,
    }


def _write_one_by_one(
    log: JournaledLogStore, seconds: float, *, is_threaded: bool, is_busy: bool
) -> tuple[list[float], int]:
    """Durations from submission to the moment this thread knows that the write is durable, and units of work done."""
    answers: queue.SimpleQueue[int] = queue.SimpleQueue()
    failures: list[BaseException] = []
    writer = LogWriter(log, on_durable=answers.put, on_failure=failures.append, is_threaded=is_threaded)
    writer.start()
    writes, durations, computed = Writes(), [], 0
    until = time.perf_counter() + seconds
    for ticket in itertools.count(1):
        began = time.perf_counter()
        if began >= until or failures:
            break
        writer.submit(ticket, writes.next(1))
        while is_busy and answers.empty():
            _compute()
            computed += 1
        answers.get(timeout=_STOP_S)
        durations.append(time.perf_counter() - began)
    writer.close()
    if failures:
        raise failures[0]
    return durations, computed


def _compute() -> None:
    """About ten microseconds of what an event loop does."""
    for number in range(100):
        number.bit_length()


def _computed_per_s() -> float:
    until, count = time.perf_counter() + 0.2, 0
    while time.perf_counter() < until:
        _compute()
        count += 1
    return count / 0.2


# --- the state ---


def measure_flush(folder: Path, changed: int, rounds: int) -> list[dict[str, Any]]:
    """Change so many keys of a state, then make them durable; a row a round."""
    folder.mkdir()
    store = LmdbStateStore.open(folder)
    found = []
    try:
        for number in range(1, rounds + 1):
            found.append({"changed_keys": changed, **_flush_once(store, folder, changed, number)})
    finally:
        store.close()
    return found


def _flush_once(store: LmdbStateStore, folder: Path, changed: int, number: int) -> dict[str, Any]:
    began = time.perf_counter()
    for key in range(changed):
        store.write({b"key-%08d" % key: b"%08d" % number + _VALUE})
    put_s = time.perf_counter() - began
    written, cpu, began = _written_bytes(folder), time.process_time(), time.perf_counter()
    assert store.begin_flush(Slot(number))
    thread = threading.Thread(target=store.flush)
    thread.start()
    thread.join()
    store.end_flush()
    return {
        "put_us_a_key": put_s * 1e6 / changed,
        "flush_ms": (time.perf_counter() - began) * 1e3,
        "flush_cpu_us_a_key": (time.process_time() - cpu) * 1e6 / changed,
        "bytes_a_key": (_written_bytes(folder) - written) / changed,
    }
