"""What a log's writer does next, and how: groups, steps of compaction, checkpoints, in their turn. No thread, no clock.

Jobs come in order and leave in order. Everything that waits becomes one group, up to a job of another kind (group
commit); between groups compacted slots are dropped, a bounded number at a time, and what is durable in the journal
alone is brought to the log when that is due. ``LogWriter`` does it on a thread of its own, and waits there; the
simulator says when each is done, and where it is cut.

Never: begin anything after a failure; give a word about a write before the store has returned from it.
"""

from __future__ import annotations

import math
import queue
from collections.abc import Callable
from typing import Final

import msgspec

from ..errors import StorageFull
from ..paxos.ballot import BEFORE_LOG, Slot
from ..paxos.effects import LogWrite
from ..paxos.membership import Membership
from .contract import LogStore
from .histogram import Histogram, Quantiles

GROUP_BYTES_MAX: Final = 64 * 2**20
"""A group is closed at this size, so that one transaction stays bounded."""
SPACE_RETRY_S: Final = 0.25
"""How long a group that found the disk full waits before it is tried again."""
_STEP_BYTES: Final = 4 * 2**20
"""After so many bytes, too, a step of compaction is due: large slots must not outrun it."""


class WriterStatistics(msgspec.Struct, frozen=True):
    """Plain counts since the writer was made.

    Parameters
    ----------
    commits: groups that were made durable, each by one call of the store.
    writes: turns of the replica in them; above ``commits`` by what group commit saved.
    records, record_bytes: acceptances stored, and the bytes of their values.
    compactions: transactions that only dropped slots.
    checkpoints: transactions that brought to the log what was durable in the journal.
    waits_for_space: how often a group found the disk full and waited.
    latencies_us: of the commits.
    """

    commits: int
    writes: int
    records: int
    record_bytes: int
    compactions: int
    checkpoints: int
    waits_for_space: int
    latencies_us: Quantiles

    def latency_us(self, quantile: float) -> int:
        """Microseconds of the commit latency at ``quantile`` (0.99: p99), to 3.2 %; 0 before the first commit."""
        return self.latencies_us.at(quantile)


class Submitted(msgspec.Struct, frozen=True, gc=False):
    """A turn's write, and the number by which its durability is told."""

    ticket: int
    write: LogWrite


class Floor(msgspec.Struct, frozen=True, gc=False):
    """``LogStore.install_floor``, in its turn."""

    through: Slot
    membership: Membership
    on_installed: Callable[[], None]


class Look(msgspec.Struct, frozen=True, gc=False):
    """Something is wanted of an idle writer that is not in the queue: look what is due."""

    is_compaction_asked: bool = False


class Last(msgspec.Struct, frozen=True, gc=False):
    """Nothing comes after it."""


class Group(msgspec.Struct, frozen=True, gc=False):
    """Writes that become durable together, by one call of the store."""

    submitted: list[Submitted]

    @property
    def writes(self) -> list[LogWrite]:
        """In the order in which they were submitted."""
        return [submitted.write for submitted in self.submitted]


class Step(msgspec.Struct, frozen=True, gc=False):
    """A bounded number of slots is dropped."""


class Checkpoint(msgspec.Struct, frozen=True, gc=False):
    """``LogStore.checkpoint`` is due."""


Job = Submitted | Floor | Look | Last
Work = Group | Floor | Step | Checkpoint | Look | Last


class WriterTurns:
    """Owned by one writer. What it does, it does on one thread at a time; ``submit`` and ``is_idle`` are for the thread
    that asks for it.

    Parameters
    ----------
    on_durable: called with a ticket: its write and all before it are durable. One call a group.
    on_compacted: called with the new ``compacted_through``.
    compaction_slots_max: slots dropped in one transaction.
    retained_slots, retained_bytes: what is kept of the slots that may go, see ``LmdbLogStore.compaction_target``.
    clock: seconds, by which the commits are measured and checkpoints are due.
    """

    def __init__(
        self,
        store: LogStore,
        *,
        on_durable: Callable[[int], None],
        on_compacted: Callable[[Slot], None],
        compaction_slots_max: int,
        retained_slots: int,
        retained_bytes: int,
        clock: Callable[[], float],
    ) -> None:
        self._store = store
        self._on_durable = on_durable
        self._on_compacted = on_compacted
        self._compaction_slots_max = compaction_slots_max
        self._retained_slots = retained_slots
        self._retained_bytes = retained_bytes
        self._clock = clock
        self.is_waiting_for_space = False
        """A group has found the disk full."""
        self._jobs: queue.SimpleQueue[Job] = queue.SimpleQueue()
        self._held: Job | None = None
        """Taken from the queue and left for the next turn."""
        self._submitted = self._finished = 0
        self._recent_s = 0.0
        """What a commit has taken lately."""
        self._may_go_through = BEFORE_LOG
        self._compact_through = BEFORE_LOG
        self._compacted_through = BEFORE_LOG
        self._records_since_compaction = self._bytes_since_compaction = 0
        self._commits = self._writes = self._records = self._record_bytes = 0
        self._compactions = self._checkpoints = self._waits_for_space = 0
        self._latencies_us = Histogram()

    # --- what is asked for ---

    def submit(self, job: Job) -> None:
        """Behind everything submitted before."""
        self._submitted += 1
        self._jobs.put(job)

    def request_compaction(self, through: Slot) -> None:
        """Slots up to ``through`` may go."""
        self._may_go_through = max(self._may_go_through, through)
        self.submit(Look(is_compaction_asked=True))

    def may_write_here(self, is_fast_below_s: float) -> bool:
        """Whether nothing waits or is under way, and the disk has been fast lately."""
        return self._submitted == self._finished and self._recent_s <= is_fast_below_s

    # --- what comes next ---

    def next_job(self, wait_s: float) -> Job | None:
        """The next one in order; None: none came within ``wait_s`` seconds."""
        job, self._held = self._held, None
        if job is not None:
            return job
        try:
            return self._jobs.get(timeout=None if wait_s == math.inf else max(wait_s, 0.0))
        except queue.Empty:
            return None

    def begin(self, job: Job) -> Work:
        """What is done for this job, together with everything that waits behind it and may go along."""
        return self._gather(job) if isinstance(job, Submitted) else job

    def _gather(self, first: Submitted) -> Group:
        """Everything that waits, in order, up to a job of another kind."""
        group = [first]
        size = 0
        while size < GROUP_BYTES_MAX:
            size += sum([len(record.value) for record in group[-1].write.slots])
            try:
                job = self._jobs.get_nowait()
            except queue.Empty:
                break
            if not isinstance(job, Submitted):
                self._held = job
                break
            group.append(job)
        return Group(group)

    def after(self) -> Step | Checkpoint | None:
        """What is due before the next job: of compaction a step when nothing waits, and under load now and then."""
        if self._store.checkpoint_at_s <= self._clock():
            return Checkpoint()
        if not self._is_compaction_wanted:
            return None
        is_idle = self._held is None and self._jobs.empty()
        return Step() if is_idle or self._has_written_a_step else None

    @property
    def checkpoint_in_s(self) -> float:
        """Seconds until a checkpoint is due, below 0 if it is; infinity: nothing waits for one."""
        return self._store.checkpoint_at_s - self._clock()

    @property
    def _is_compaction_wanted(self) -> bool:
        return self._compact_through > self._compacted_through

    @property
    def _has_written_a_step(self) -> bool:
        """Whether as much was written since the last step as one drops."""
        return (
            self._records_since_compaction >= self._compaction_slots_max or self._bytes_since_compaction >= _STEP_BYTES
        )

    # --- doing it ---

    def perform(self, work: Work) -> bool:
        """Do it, and say what has become durable; False: the disk is full, and nothing of it was written.

        Then it is the next that is performed, once ``make_space`` or somebody else has made room.

        Raises
        ------
        StorageError: the outcome is unknown; nothing may be performed any more.
        """
        match work:
            case Group():
                try:
                    self._write(work.writes)
                except StorageFull:
                    self._waits_for_space += not self.is_waiting_for_space
                    self.is_waiting_for_space = True
                    return False
                self.is_waiting_for_space = False
                self._on_durable(work.submitted[-1].ticket)
                self._finished += len(work.submitted)
            case Floor():
                self._store.install_floor(work.through, work.membership)
                work.on_installed()
                self._finished += 1
            case Look():
                if work.is_compaction_asked:
                    self._look_at_retained()
                self._finished += 1
            case Last():
                self._finished += 1
            case Step():
                self._compact()
            case Checkpoint():
                self._store.checkpoint()
                self._checkpoints += 1
        return True

    def write_here(self, write: LogWrite) -> bool:
        """Make ``write`` durable at once, where ``may_write_here``; False: the disk is full, nothing was written.

        Where somebody has to learn that a checkpoint comes to be due, or that a step of compaction is, a ``Look``
        follows. Raises ``StorageError``.
        """
        before_s = self._store.checkpoint_at_s
        try:
            self._write([write])
        except StorageFull:
            return False
        is_step_due = self._is_compaction_wanted and self._has_written_a_step
        if is_step_due or self._store.checkpoint_at_s < before_s:
            self.submit(Look())
        return True

    def make_space(self) -> bool:
        """Drop a step of what may go, though it is not due; False if nothing may. Raises ``StorageError``."""
        self._look_at_retained()
        if not self._is_compaction_wanted:
            return False
        self._compact()
        return True

    def _write(self, writes: list[LogWrite]) -> None:
        began_s = self._clock()
        self._store.write(writes)
        self._count(writes, self._clock() - began_s)

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

    def statistics(self) -> WriterStatistics:
        """Counts so far; from any thread."""
        return WriterStatistics(
            self._commits,
            self._writes,
            self._records,
            self._record_bytes,
            self._compactions,
            self._checkpoints,
            self._waits_for_space,
            self._latencies_us.quantiles(),
        )
