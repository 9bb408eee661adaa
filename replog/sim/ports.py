"""The simulated disks of one process: the driver's ports, with weather.

Each says what has happened by an event, later, as the real ones do; each can be cut short by a crash between any two
steps, which is what they are for.

Never: decide anything that the driver decides.
"""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING

import attrs

from ..errors import Damaged, StorageError, StorageFull
from ..node.events import (
    Compacted,
    FloorInstalled,
    SlotDamaged,
    SlotsRead,
    StateJobDone,
    Written,
)
from ..node.state_jobs import BeginInstall, Flush, Job, PrepareInstall, StoreChunk
from ..paxos.ballot import Slot, node_name
from ..paxos.describe import describe_write
from ..paxos.effects import LogWrite, ReadSlots
from ..paxos.membership import Membership
from ..paxos.messages import AcceptedSlot

if TYPE_CHECKING:
    from .host import Host

JOB_S = 0.0005
"""What a job on the state's disk takes that has no time of its own."""
COMPACT_SLOTS_MAX = 40


class Killed(Exception):
    """The process died in the middle of a turn: the rest of it does not happen."""


@attrs.frozen
class _Write:
    ticket: int
    write: LogWrite


@attrs.frozen
class _Drop:
    """Slots up to ``through`` leave the log, in the turn of this job between the writes.

    ``membership``: of the floor of an installed state; None for a compaction.
    """

    through: Slot
    membership: Membership | None = None


class SimLogPort:
    """Satisfies ``driver.LogPort``: group commit on a disk that stalls, fails, and loses what it was writing."""

    def __init__(self, host: Host) -> None:
        self._host = host
        self._random = host.random
        self._here = host.world.stream(f"durable here {host.node} {host.life}")
        self._under_way: list[_Write | _Drop] = []
        self._waiting: deque[_Write | _Drop] = deque()

    @property
    def is_writing(self) -> bool:
        return bool(self._under_way)

    # --- ``driver.LogPort`` ---

    def write(self, ticket: int, write: LogWrite, *, may_wait: bool) -> bool:
        host = self._host
        host.say(lambda: describe_write(host.node, write))
        job = _Write(ticket, write)
        if (
            may_wait
            and not self._under_way
            and not self._waiting
            and self._here.random() < host.options.durable_here_rate
        ):
            self._commit([job])
            return True
        self._waiting.append(job)
        self._begin_next()
        return False

    def read(self, first: Slot, last: Slot, *, slots_max: int, bytes_max: int) -> list[AcceptedSlot]:
        return self._host.disk.read(first, last, slots_max=slots_max, bytes_max=bytes_max)

    def read_for_peer(self, asked: ReadSlots) -> None:
        self._host.later(JOB_S, self._read, asked)

    def compact(self, through: Slot) -> None:
        disk, tail = self._host.disk, self._host.options.node.log_tail_slots
        target = disk.compaction_target(through, retained_slots=tail, retained_bytes=2**40)
        if target <= disk.compacted_through:
            return
        if self._under_way or self._waiting:
            self._waiting.append(_Drop(target))
        else:
            self._commit([_Drop(target)])
            self._host.put(Compacted(disk.compacted_through))

    def install_floor(self, through: Slot, membership: Membership) -> None:
        host = self._host
        host.say(lambda: f"-- {node_name(host.node)} installed the state at slot {through}")
        if host.install_crash_rate and self._random.random() < host.install_crash_rate:
            host.count["install_crash"] += 1
            host.crash("between state and floor")
            raise Killed
        self._waiting.append(_Drop(through, membership))
        self._begin_next()

    # --- the disk ---

    def _begin_next(self) -> None:
        """Group commit: every write that waits becomes one transaction when the disk is free."""
        if self._under_way or not self._waiting:
            return
        group = self._under_way = [self._waiting.popleft()]
        while self._waiting and not any(isinstance(job, _Drop) for job in (group[0], self._waiting[0])):
            group.append(self._waiting.popleft())
        host, weather = self._host, self._host.weather
        seconds = weather.write_s * (0.5 + self._random.random())
        if weather.stall_rate and self._random.random() < weather.stall_rate:
            host.count["write_stalled"] += 1
            seconds += weather.stall_s * self._random.random()
        if weather.crash_before_rate and self._random.random() < weather.crash_before_rate:
            host.later(seconds * self._random.random(), self._aimed_crash, "between handled and durable")
        host.later(seconds, self._end)

    def _aimed_crash(self, where: str) -> None:
        if not self._host.weather.crash_before_rate:
            return  # the bad weather has ended before it struck
        self._host.count["aimed_crash"] += 1
        self._host.crash(where)

    def _end(self) -> None:
        """The transaction is durable: only now may what rests on it be said."""
        host = self._host
        if host.is_paused:
            host.later(0.01, self._end)
            return
        group, self._under_way = self._under_way, []
        try:
            self._commit(group)
        except StorageError:
            host.disk.replace()
            host.count["write_failed"] += 1
            host.crash("a write failed")
            return
        if host.weather.crash_after_rate and self._random.random() < host.weather.crash_after_rate:
            self._aimed_crash("between durable and answered")
            return
        for job in group:
            if isinstance(job, _Drop):
                through = host.disk.compacted_through
                host.put(FloorInstalled(job.through) if job.membership is not None else Compacted(through))
        last = group[-1]
        if isinstance(last, _Write):
            host.put(Written(last.ticket))
        if host.is_up:
            self._begin_next()

    def _commit(self, group: list[_Write | _Drop]) -> None:
        """What is under way is durable. Raises ``StorageError``."""
        disk, checker, node = self._host.disk, self._host.checker, self._host.node
        promise_before, chosen_before = disk.promise, disk.chosen_through
        writes = [job.write for job in group if isinstance(job, _Write)]
        if writes:
            disk.write(writes)
        for job in group:
            if isinstance(job, _Drop) and job.membership is not None:
                disk.install_floor(job.through, job.membership)
            elif isinstance(job, _Drop):
                disk.compact(job.through, slots_max=COMPACT_SLOTS_MAX)
        for write in writes:
            checker.on_durable(node, promise_before, write, chosen_before)
            promise_before = max(promise_before, write.promise or promise_before)
            chosen_before = max(chosen_before, write.chosen_through or chosen_before)

    def commit_unheard(self) -> None:
        """The transaction under way made it to the disk, and nobody was left to hear of it."""
        try:
            self._commit(self._under_way)
        except StorageError:
            self._host.disk.replace()

    def _read(self, asked: ReadSlots) -> None:
        try:
            slots = self.read(asked.from_slot, asked.through, slots_max=asked.slots_max, bytes_max=asked.bytes_max)
        except Damaged:
            self._host.put(SlotDamaged(asked.from_slot))
            slots = []
        self._host.put(SlotsRead(asked.target, slots))


class SimStatePort:
    """Satisfies ``driver.StatePort``: jobs take time, find the disk full or hanging, and are cut short."""

    def __init__(self, host: Host) -> None:
        self._host = host
        self._random = host.world.stream(f"state disk {host.node} {host.life}")

    def perform(self, job: Job) -> None:
        options = self._host.options
        seconds = JOB_S
        if isinstance(job, Flush):
            seconds = options.flush_s
        elif isinstance(job, PrepareInstall):
            seconds = options.install_s
        self._host.later(seconds, self._end, job)

    def _end(self, job: Job) -> None:
        host = self._host
        if host.is_paused or (isinstance(job, Flush) and host.weather.is_state_hanging):
            host.later(0.01, self._end, job)
            return
        name, aimed = type(job).__name__, self._aim()
        if aimed in ("before", f"before {name}"):
            host.aimed_crash(f"before {name} was done")
            return
        try:
            if host.weather.is_state_full and isinstance(job, Flush | BeginInstall | StoreChunk | PrepareInstall):
                raise StorageFull("the simulated state's disk is full")  # as the store would
            done = StateJobDone(job, job.perform(host.store), None)
        except (StorageError, StorageFull) as error:
            done = StateJobDone(job, None, error)
        if aimed in ("after", f"after {name}"):
            host.aimed_crash(f"after {name} was done")
            return
        host.put(done)

    def _aim(self) -> str:
        """When a job is cut short: ``before``, ``after``, of a kind or of any; or never."""
        weather = self._host.weather
        if weather.job_crash_rate and self._random.random() < weather.job_crash_rate:
            return self._random.choice(("before", "after"))
        return weather.crash_at_job
