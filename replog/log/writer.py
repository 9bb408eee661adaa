"""The log's one writer: what waits becomes one transaction, then one callback says how far it is durable.

A write takes as long as the disk takes, so it happens on a thread of its own that lives as long as the store. While one
transaction is under way everything submitted gathers and becomes the next: the slower the disk, the larger the groups
(group commit), without any delay made on purpose. Between writes the thread drops compacted slots, a bounded number at
a time.

It knows nothing of the protocol and decides nothing: order in is order out (P1 holds because the caller sends only what
``on_durable`` allows). After a failure it says so once and writes nothing more; an fsync is never tried twice. A full
disk is no failure: nothing was written, the group waits until there is space, and the replica sees a disk that is slow.

``is_threaded=False`` does the same on the caller's thread, inside ``submit``: for measuring what the thread costs and
gains.

Never: begin a transaction after a failure.
"""

from __future__ import annotations

import queue
import threading
import time
from collections.abc import Callable
from typing import Final

import msgspec

from ..errors import StorageFull
from ..histogram import Histogram, Quantiles
from ..paxos.ballot import BEFORE_LOG, Slot
from ..paxos.effects import LogWrite
from ..paxos.membership import Membership
from .contract import LogStore

GROUP_BYTES_MAX: Final = 64 * 2**20
"""A group is closed at this size, so that one transaction stays bounded."""
_STEP_BYTES: Final = 4 * 2**20
"""After so many bytes, too, a step of compaction is due: large slots must not outrun it."""


class WriterStatistics(msgspec.Struct, frozen=True):
    """Plain counts since the writer was made.

    Parameters
    ----------
    commits: synchronous transactions of writes.
    writes: turns of the replica in them; above ``commits`` by what group commit saved.
    records, record_bytes: acceptances stored, and the bytes of their values.
    compactions: transactions that only dropped slots.
    waits_for_space: how often a group found the disk full and waited.
    latencies_us: of the commits.
    """

    commits: int
    writes: int
    records: int
    record_bytes: int
    compactions: int
    waits_for_space: int
    latencies_us: Quantiles

    def latency_us(self, quantile: float) -> int:
        """Microseconds of the commit latency at ``quantile`` (0.99: p99), to 3.2 %; 0 before the first commit."""
        return self.latencies_us.at(quantile)


class _Submitted(msgspec.Struct, gc=False):
    ticket: int
    write: LogWrite


class _Floor(msgspec.Struct, gc=False):
    through: Slot
    membership: Membership
    on_installed: Callable[[], None]


class _Wake(msgspec.Struct, gc=False):
    """Something is wanted of an idle writer that is not in the queue."""

    is_last: bool


_Job = _Submitted | _Floor | _Wake


class LogWriter:
    """Owns the writing side of one log store.

    Parameters
    ----------
    on_durable: called on the writer's thread with a ticket: its write and all before it are durable. One call a group.
    on_failure: called once, on the writer's thread; what was not reported durable is of unknown outcome, and the
        process must end.
    on_compacted: called on the writer's thread with the new ``compacted_through``.
    compaction_slots_max: slots dropped in one transaction.
    retained_slots, retained_bytes: what is kept of the slots that may go, see ``LmdbLogStore.compaction_target``.
    space_retry_s: how long a group that found the disk full waits before it is tried again.
    """

    def __init__(
        self,
        store: LogStore,
        *,
        on_durable: Callable[[int], None],
        on_failure: Callable[[BaseException], None],
        on_compacted: Callable[[Slot], None] = lambda _through: None,
        is_threaded: bool = True,
        compaction_slots_max: int = 256,
        retained_slots: int = 0,
        retained_bytes: int = 2**63,
        space_retry_s: float = 0.25,
    ) -> None:
        self._store = store
        self._on_durable = on_durable
        self._on_failure = on_failure
        self._on_compacted = on_compacted
        self._compaction_slots_max = compaction_slots_max
        self._retained_slots = retained_slots
        self._retained_bytes = retained_bytes
        self._space_retry_s = space_retry_s
        self._jobs: queue.SimpleQueue[_Job] = queue.SimpleQueue()
        self._held: _Job | None = None
        self._thread = threading.Thread(target=self._run, name="replog-log", daemon=True) if is_threaded else None
        self._closing = threading.Event()
        self._has_failed = False
        self._submitted = self._finished = 0
        self._recent_s = 0.0
        self._may_go_through = BEFORE_LOG
        self._compact_through = BEFORE_LOG
        self._compacted_through = BEFORE_LOG
        self._records_since_compaction = self._bytes_since_compaction = 0
        self._is_waiting_for_space = False
        self._commits = self._writes = self._records = self._record_bytes = 0
        self._compactions = self._waits_for_space = 0
        self._latencies_us = Histogram()

    # --- from the event loop ---

    def start(self) -> None:
        """Start the thread; without one there is nothing to start."""
        if self._thread is not None:
            self._thread.start()

    def submit(self, ticket: int, write: LogWrite) -> None:
        """Make ``write`` durable after all submitted before it; tickets ascend. Never blocks, if there is a thread."""
        self._submit(_Submitted(ticket, write))

    def write_here(self, write: LogWrite, *, is_fast_below_s: float) -> bool:
        """Make ``write`` durable on the caller's thread, if the writer is idle and the disk has been fast lately.

        Two hand-overs between threads cost half as much as a fast disk's commit. False: nothing was written, submit it.

        Raises ``StorageError`` if the commit failed; the process must end.
        """
        if self._thread is None or self._submitted != self._finished or self._recent_s > is_fast_below_s:
            return False
        started_s = time.perf_counter()
        try:
            self._store.write([write])
        except StorageFull:
            return False
        self._count([write], time.perf_counter() - started_s)
        if self._is_compaction_wanted and self._has_written_a_step:
            self._submit(_Wake(is_last=False))
        return True

    def request_compaction(self, through: Slot) -> None:
        """Slots up to ``through`` may go; those not retained go step by step, when writes leave time for it."""
        self._may_go_through = max(self._may_go_through, through)
        self._submit(_Wake(is_last=False))

    def request_floor(self, through: Slot, membership: Membership, on_installed: Callable[[], None]) -> None:
        """``LogStore.install_floor`` in its turn between writes; then ``on_installed`` on the writer's thread.

        No compaction that goes as far is reported before it.
        """
        self._submit(_Floor(through, membership, on_installed))

    def abandon(self) -> None:
        """Finish only the transaction that is under way; what waits is dropped, and what comes later."""
        self._has_failed = True
        self._closing.set()

    def close(self) -> None:
        """Finish what was submitted and stop. A group that waits for space is given up: it was never written."""
        self._closing.set()
        if self._thread is not None and self._thread.is_alive():
            self._jobs.put(_Wake(is_last=True))
            self._thread.join()

    @property
    def is_waiting_for_space(self) -> bool:
        """Whether a group waits because the disk is full."""
        return self._is_waiting_for_space

    def statistics(self) -> WriterStatistics:
        """Counts so far; from any thread."""
        return WriterStatistics(
            self._commits,
            self._writes,
            self._records,
            self._record_bytes,
            self._compactions,
            self._waits_for_space,
            self._latencies_us.quantiles(),
        )

    # --- on the writer's thread ---

    def _submit(self, job: _Job) -> None:
        self._submitted += 1
        self._jobs.put(job)
        if self._thread is None:
            self._guarded(lambda: self._step(self._jobs.get()))

    def _run(self) -> None:
        self._guarded(self._loop)

    def _guarded(self, work: Callable[[], object]) -> None:
        """Whatever goes wrong here ends the process: half a node must not go on."""
        if self._has_failed:
            return
        try:
            work()
        except BaseException as error:
            self._has_failed = True
            self._on_failure(error)

    def _loop(self) -> None:
        is_last = False
        while not is_last:
            job = self._held or self._jobs.get()
            self._held = None
            is_last = self._has_failed or self._step(job)
            self._finished += 1

    def _step(self, job: _Job) -> bool:
        """Do ``job`` and everything that may go with it; True if it was the last one."""
        match job:
            case _Submitted():
                if not self._write(self._gather(job)):
                    return True
            case _Floor():
                self._store.install_floor(job.through, job.membership)
                job.on_installed()
            case _Wake():
                if job.is_last:
                    return True
                self._look_at_retained()
        while self._is_compaction_due():
            self._compact()
        return False

    def _gather(self, first: _Submitted) -> list[_Submitted]:
        """Everything that waits, in order, up to a job of another kind."""
        group = [first]
        size = 0
        while size < GROUP_BYTES_MAX:
            size += sum(len(record.value) for record in group[-1].write.slots)
            try:
                job = self._jobs.get_nowait()
            except queue.Empty:
                break
            if not isinstance(job, _Submitted):
                self._held = job
                break
            group.append(job)
        self._finished += len(group) - 1
        return group

    def _write(self, group: list[_Submitted]) -> bool:
        """False: the writer was closed while the group waited for space; nothing after it may be written either."""
        writes = [submitted.write for submitted in group]
        started_s = time.perf_counter()
        while True:
            try:
                self._store.write(writes)
                break
            except StorageFull:
                if self._thread is None:
                    raise
                if not self._wait_for_space():
                    return False
                started_s = time.perf_counter()
        self._is_waiting_for_space = False
        self._count(writes, time.perf_counter() - started_s)
        self._on_durable(group[-1].ticket)
        return True

    def _wait_for_space(self) -> bool:
        """Nothing was written: drop what may go, wait a little; False if the writer is closing."""
        if self._has_failed:
            return False
        if not self._is_waiting_for_space:
            self._is_waiting_for_space = True
            self._waits_for_space += 1
        self._look_at_retained()
        if self._is_compaction_wanted:
            self._compact()
            return True
        return not self._closing.wait(self._space_retry_s)

    def _is_compaction_due(self) -> bool:
        """When nothing waits, and under load once for as much as a step drops."""
        if not self._is_compaction_wanted or self._has_failed:
            return False
        is_idle = self._held is None and self._jobs.empty()
        return is_idle or self._has_written_a_step

    @property
    def _is_compaction_wanted(self) -> bool:
        return self._compact_through > self._compacted_through

    @property
    def _has_written_a_step(self) -> bool:
        return (
            self._records_since_compaction >= self._compaction_slots_max or self._bytes_since_compaction >= _STEP_BYTES
        )

    def _look_at_retained(self) -> None:
        self._compact_through = self._store.compaction_target(
            self._may_go_through, retained_slots=self._retained_slots, retained_bytes=self._retained_bytes
        )

    def _compact(self) -> None:
        self._compacted_through = self._store.compact(self._compact_through, slots_max=self._compaction_slots_max)
        self._look_at_retained()
        self._records_since_compaction = self._bytes_since_compaction = 0
        self._compactions += 1
        self._on_compacted(self._compacted_through)

    def _count(self, writes: list[LogWrite], seconds: float) -> None:
        records = [record for write in writes for record in write.slots]
        self._commits += 1
        self._writes += len(writes)
        self._records += len(records)
        self._records_since_compaction += len(records)
        record_bytes = sum([len(record.value) for record in records])
        self._record_bytes += record_bytes
        self._bytes_since_compaction += record_bytes
        self._recent_s += (seconds - self._recent_s) / 8
        self._latencies_us.add(int(seconds * 1e6))
