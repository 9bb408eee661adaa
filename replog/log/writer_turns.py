"""What a log's writer does next, and how: groups, steps of compaction, checkpoints, in their turn. No thread, no clock.

Jobs come in order and leave in order. Everything that waits becomes one group, up to a job of another kind (group
commit); between groups compacted slots are dropped, a bounded number at a time, and what is durable in the journal
alone is brought to the log when that is due. ``LogWriter`` does it on a thread of its own, and waits there.

Never: begin anything after a failure; give a word about a write before the store has returned from it.
"""

from __future__ import annotations

import queue
from collections.abc import Callable
from typing import Final

import msgspec

from ..paxos.ballot import BEFORE_LOG, Slot
from ..paxos.effects import LogWrite
from ..paxos.membership import Membership
from .contract import LogStore
from .histogram import Histogram, Quantiles

GROUP_BYTES_MAX: Final = 64 * 2**20
"""A group is closed at this size, so that one transaction stays bounded."""
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
    """Owned by one writer; ``begin``, ``perform`` and ``after`` are called by one thread at a time.

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
        self.jobs: queue.SimpleQueue[Job] = queue.SimpleQueue()
        self.held: Job | None = None
        """Taken from the queue and left for the next turn."""
        self.recent_s = 0.0
        """What a commit has taken lately."""
        self._may_go_through = BEFORE_LOG
        self._compact_through = BEFORE_LOG
        self._compacted_through = BEFORE_LOG
        self._records_since_compaction = self._bytes_since_compaction = 0
        self._commits = self._writes = self._records = self._record_bytes = 0
        self._compactions = self._checkpoints = 0
        self._latencies_us = Histogram()

    def may_go(self, through: Slot) -> None:
        """Slots up to ``through`` may go; a ``Look`` that asks for compaction has to follow."""
        self._may_go_through = max(self._may_go_through, through)

    # --- what comes next ---

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
                job = self.jobs.get_nowait()
            except queue.Empty:
                break
            if not isinstance(job, Submitted):
                self.held = job
                break
            group.append(job)
        return Group(group)

    def after(self) -> Step | Checkpoint | None:
        """What is due before the next job: of compaction a step when nothing waits, and under load now and then."""
        if self.is_checkpoint_due:
            return Checkpoint()
        if not self.is_compaction_wanted:
            return None
        is_idle = self.held is None and self.jobs.empty()
        return Step() if is_idle or self.has_written_a_step else None

    @property
    def is_checkpoint_due(self) -> bool:
        return self._store.checkpoint_at_s <= self._clock()

    @property
    def checkpoint_in_s(self) -> float:
        """Seconds until a checkpoint is due, below 0 if it is; infinity: nothing waits for one."""
        return self._store.checkpoint_at_s - self._clock()

    @property
    def is_compaction_wanted(self) -> bool:
        return self._compact_through > self._compacted_through

    @property
    def has_written_a_step(self) -> bool:
        """Whether as much was written since the last step as one drops."""
        return (
            self._records_since_compaction >= self._compaction_slots_max or self._bytes_since_compaction >= _STEP_BYTES
        )

    # --- doing it ---

    def perform(self, work: Work) -> None:
        """Do it, and say what has become durable.

        Raises
        ------
        StorageFull: nothing of the group was written; it may be performed again.
        StorageError: the outcome is unknown; nothing may be performed any more.
        """
        match work:
            case Group():
                self.write(work.writes)
                self._on_durable(work.submitted[-1].ticket)
            case Floor():
                self._store.install_floor(work.through, work.membership)
                work.on_installed()
            case Step():
                self._compact()
            case Checkpoint():
                self._store.checkpoint()
                self._checkpoints += 1
            case Look():
                if work.is_compaction_asked:
                    self._look_at_retained()
            case Last():
                pass

    def write(self, writes: list[LogWrite]) -> None:
        """Make ``writes`` durable now; raises as ``perform``."""
        began_s = self._clock()
        self._store.write(writes)
        self._count(writes, self._clock() - began_s)

    def make_space(self) -> bool:
        """Drop a step of what may go, though it is not due; False if nothing may."""
        self._look_at_retained()
        if not self.is_compaction_wanted:
            return False
        self._compact()
        return True

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
        self.recent_s += (seconds - self.recent_s) / 8
        self._latencies_us.add(int(seconds * 1e6))

    def statistics(self, waits_for_space: int) -> WriterStatistics:
        """Counts so far; from any thread."""
        return WriterStatistics(
            self._commits,
            self._writes,
            self._records,
            self._record_bytes,
            self._compactions,
            self._checkpoints,
            waits_for_space,
            self._latencies_us.quantiles(),
        )
