"""The log's one writer: what waits becomes one group, then one callback says how far it is durable.

A write takes as long as the disk takes, so it happens on a thread of its own that lives as long as the store. While one
group is under way everything submitted gathers and becomes the next: the slower the disk, the larger the groups (group
commit), without any delay made on purpose. What comes next is decided in ``writer_turns``; here is the thread that does
it, and the waiting. Checkpoints are that thread's too: a log that hangs behind its journal shows as a stall.

It knows nothing of the protocol and decides nothing: order in is order out (P1 holds because the caller sends only what
``on_durable`` allows). After a failure it says so once and writes nothing more; an fsync is never tried twice. A full
disk is no failure: nothing was written, the group waits until there is space, and the replica sees a disk that is slow.

``is_threaded=False`` does the same on the caller's thread, inside ``submit``: for measuring what the thread costs and
gains.

Never: begin a transaction after a failure.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

from ..errors import StorageFull
from ..paxos.ballot import Slot
from ..paxos.effects import LogWrite
from ..paxos.membership import Membership
from .contract import LogStore
from .writer_turns import (
    SPACE_RETRY_S,
    Floor,
    Group,
    Job,
    Last,
    Submitted,
    WriterStatistics,
    WriterTurns,
)

__all__ = ["LogWriter", "WriterStatistics"]


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
        space_retry_s: float = SPACE_RETRY_S,
    ) -> None:
        self._store = store
        self._turns = WriterTurns(
            store,
            on_durable=on_durable,
            on_compacted=on_compacted,
            compaction_slots_max=compaction_slots_max,
            retained_slots=retained_slots,
            retained_bytes=retained_bytes,
            clock=time.perf_counter,
        )
        self._on_failure = on_failure
        self._space_retry_s = space_retry_s
        self._thread = threading.Thread(target=self._run, name="replog-log", daemon=True) if is_threaded else None
        self._in_turn = threading.Lock()
        """Held by whoever is inside a call of the store that writes: one at a time, whichever thread it is on."""
        self._closing = threading.Event()
        self._has_failed = False

    # --- from the event loop ---

    def start(self) -> None:
        """Start the thread; without one there is nothing to start."""
        if self._thread is not None:
            self._thread.start()

    def submit(self, ticket: int, write: LogWrite) -> None:
        """Make ``write`` durable after all submitted before it; tickets ascend. Never blocks, if there is a thread."""
        self._submit(Submitted(ticket, write))

    def write_here(self, write: LogWrite, *, is_fast_below_s: float) -> bool:
        """Make ``write`` durable on the caller's thread, if the writer is idle and the disk has been fast lately.

        Two hand-overs between threads cost half as much as a fast disk's commit. False: nothing was written, submit it.

        Raises ``StorageError`` if the commit failed; the process must end.
        """
        turns = self._turns
        if self._thread is None or not turns.may_write_here(is_fast_below_s):
            return False
        if not self._in_turn.acquire(blocking=False):
            return False  # a checkpoint is under way
        try:
            return turns.write_here(write)
        finally:
            self._in_turn.release()

    def request_compaction(self, through: Slot) -> None:
        """Slots up to ``through`` may go; those not retained go step by step, when writes leave time for it."""
        self._turns.request_compaction(through)
        self._do_here()

    def request_floor(self, through: Slot, membership: Membership, on_installed: Callable[[], None]) -> None:
        """``LogStore.install_floor`` in its turn between writes; then ``on_installed`` on the writer's thread.

        No compaction that goes as far is reported before it.
        """
        self._submit(Floor(through, membership, on_installed))

    def abandon(self) -> None:
        """Finish only the transaction that is under way; what waits is dropped, and what comes later."""
        self._has_failed = True
        self._closing.set()

    def close(self) -> None:
        """Finish what was submitted, bring all of it to the log, and stop.

        A group that waits for space is given up: it was never written.
        """
        self._closing.set()
        if self._thread is None:
            self._guarded(self._store.finish)
        elif self._thread.is_alive():
            self._turns.submit(Last())
            self._thread.join()

    @property
    def is_waiting_for_space(self) -> bool:
        """Whether a group waits because the disk is full."""
        return self._turns.is_waiting_for_space

    def statistics(self) -> WriterStatistics:
        """Counts so far; from any thread."""
        return self._turns.statistics()

    # --- on the writer's thread ---

    def _submit(self, job: Job) -> None:
        self._turns.submit(job)
        self._do_here()

    def _do_here(self) -> None:
        """What was submitted, where there is no thread to do it."""
        if self._thread is None:
            self._guarded(lambda: self._step(self._turns.next_job(0.0)))

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
            job = self._turns.next_job(self._turns.checkpoint_in_s)
            with self._in_turn:
                is_last = self._has_failed or self._step(job)
        if not self._has_failed:
            self._store.finish()

    def _step(self, job: Job | None) -> bool:
        """Do ``job`` and everything that may go with it, then what is due; True if it was the last one."""
        turns = self._turns
        work = turns.begin(job) if job is not None else None
        if isinstance(work, Group):
            if not self._write(work):
                return True
        elif work is not None:
            turns.perform(work)
        while not self._has_failed and (due := turns.after()) is not None:
            turns.perform(due)
        return isinstance(work, Last)

    def _write(self, group: Group) -> bool:
        """False: the writer was closed while the group waited for space; nothing after it may be written either."""
        while not self._turns.perform(group):
            if self._thread is None:
                raise StorageFull("the log's disk is full, and without a thread nothing waits for room.")
            if self._has_failed or not (self._turns.make_space() or not self._closing.wait(self._space_retry_s)):
                return False
        return True
