"""The simulated disks of one process: the driver's ports, with weather.

Each says what has happened by an event, later, as the real ones do; each can be cut short by a crash between any two
steps, which is what they are for.

Never: decide anything that the driver decides.
"""

from __future__ import annotations

import contextlib
import math
from collections.abc import Callable
from typing import TYPE_CHECKING

from ..errors import Damaged, StorageError, StorageFull
from ..log.writer_turns import (
    SPACE_RETRY_S,
    Checkpoint,
    Floor,
    Last,
    Look,
    Step,
    Submitted,
    Work,
    WriterTurns,
)
from ..log.writer_turns import Job as LogJob
from ..node.events import (
    Compacted,
    Event,
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
CHECKPOINT_WRITES = 3
"""A checkpoint takes as long as so many writes."""


class Killed(Exception):
    """The process died in the middle of a turn: the rest of it does not happen."""


class SimLogPort:
    """Satisfies ``driver.LogPort``: the log's writer on a disk that stalls, fails, fills up, and is cut off anywhere.

    What is done next, and how, the writer's turns say. Here is when it has been done.
    """

    def __init__(self, host: Host) -> None:
        self._host = host
        self._log = host.log
        self._random = host.random
        self._here = host.world.stream(f"durable here {host.node} {host.life}")
        self._own = host.world.stream(f"writer {host.node} {host.life}")
        """For what a log without a journal has not."""
        self._told: list[Event] = []
        """What the turns say has happened; the driver hears of it unless the process dies before."""
        self._turns = WriterTurns(
            self._log,
            on_durable=lambda ticket: self._told.append(Written(ticket)),
            on_compacted=lambda through: self._told.append(Compacted(through)),
            compaction_slots_max=COMPACT_SLOTS_MAX,
            retained_slots=host.options.node.log_tail_slots,
            retained_bytes=2**40,
            clock=lambda: host.world.now_s,
        )
        self._under_way: Work | None = None
        self._is_asleep = False

    # --- ``driver.LogPort`` ---

    def write(self, ticket: int, write: LogWrite, *, may_wait: bool) -> bool:
        host = self._host
        host.say(lambda: describe_write(host.node, write))
        if may_wait and self._may_write_here() and self._tell_checker(lambda: self._turns.write_here(write)):
            self._go_on()
            return True
        self._submit(Submitted(ticket, write))
        return False

    def _may_write_here(self) -> bool:
        is_idle = self._under_way is None and self._turns.may_write_here(math.inf)
        return is_idle and self._here.random() < self._host.options.durable_here_rate

    def read(self, first: Slot, last: Slot, *, slots_max: int, bytes_max: int) -> list[AcceptedSlot]:
        found: list[AcceptedSlot] = []
        try:
            found = self._log.read(first, last, slots_max=slots_max, bytes_max=bytes_max)
        finally:
            self._host.checker.on_read(self._host.node, self._host.disk, first, found)
        return found

    def read_for_peer(self, asked: ReadSlots) -> None:
        self._host.later(JOB_S, self._read, asked)

    def _read(self, asked: ReadSlots) -> None:
        try:
            slots = self.read(asked.from_slot, asked.through, slots_max=asked.slots_max, bytes_max=asked.bytes_max)
        except Damaged:
            self._host.put(SlotDamaged(asked.from_slot))
            slots = []
        self._host.put(SlotsRead(asked.target, slots))

    def compact(self, through: Slot) -> None:
        self._turns.request_compaction(through)
        self._go_on()

    def install_floor(self, through: Slot, membership: Membership) -> None:
        host = self._host
        host.say(lambda: f"-- {node_name(host.node)} installed the state at slot {through}")
        if host.install_crash_rate and self._random.random() < host.install_crash_rate:
            host.count["install_crash"] += 1
            host.crash("between state and floor")
            raise Killed
        self._submit(Floor(through, membership, lambda: self._told.append(FloorInstalled(through))))

    # --- the writer ---

    def _submit(self, job: LogJob) -> None:
        self._turns.submit(job)
        self._go_on()

    def _go_on(self) -> None:
        """Begin what is due, or the next job with all that may go along; without either, sleep until one is due."""
        turns = self._turns
        while self._under_way is None:
            work = self._next()
            if work is None:
                self._sleep()
                return
            if isinstance(work, Look):
                turns.perform(work)
            else:
                self._begin(work)

    def _next(self) -> Work | None:
        due = self._turns.after()
        if due is not None:
            return due
        job = self._turns.next_job(0.0)
        return None if job is None else self._turns.begin(job)

    def _sleep(self) -> None:
        wait_s = self._turns.checkpoint_in_s
        if wait_s < math.inf and not self._is_asleep:
            self._is_asleep = True
            self._host.later(max(wait_s, 1e-6), self._wake)

    def _wake(self) -> None:
        self._is_asleep = False
        self._go_on()

    def _begin(self, work: Work) -> None:
        self._under_way = work
        host, weather = self._host, self._host.weather
        random = self._own if isinstance(work, Step | Checkpoint) else self._random
        seconds = weather.write_s * (0.5 + random.random())
        if isinstance(work, Checkpoint):
            seconds *= CHECKPOINT_WRITES
        if weather.stall_rate and random.random() < weather.stall_rate:
            host.count["write_stalled"] += 1
            seconds += weather.stall_s * random.random()
        if weather.crash_before_rate and random.random() < weather.crash_before_rate:
            host.later(seconds * random.random(), self._aimed_crash, "between handled and durable")
        host.later(seconds, self._end)

    def _aimed_crash(self, where: str) -> None:
        if not self._host.weather.crash_before_rate:
            return  # the bad weather has ended before it struck
        self._host.count["aimed_crash"] += 1
        self._host.crash(where)

    def _end(self) -> None:
        """It is done: only now may what rests on it be said."""
        host, work = self._host, self._under_way
        assert work is not None
        if host.is_paused:
            host.later(0.01, self._end)
            return
        self._under_way = None
        was_waiting = self._turns.is_waiting_for_space
        try:
            is_done = self._perform(work)
            is_room_made = not is_done and self._turns.make_space()
        except StorageError:
            host.disk.replace()
            host.count["write_failed"] += 1
            host.crash("a write failed")
            return
        if not is_done:
            host.count["space_awaited"] += not was_waiting
            self._under_way = work
            host.later(host.weather.write_s if is_room_made else SPACE_RETRY_S, self._end)
        elif host.weather.crash_after_rate and self._random.random() < host.weather.crash_after_rate:
            self._aimed_crash("between durable and answered")
            return
        if isinstance(work, Checkpoint):
            host.say(lambda: f"-- {node_name(host.node)} brought its journal to the log")
        told, self._told = self._told, []
        for event in told:
            host.put(event)
        if host.is_up:
            self._go_on()

    def _perform(self, work: Work) -> bool:
        return self._tell_checker(lambda: self._turns.perform(work))

    def _tell_checker(self, act: Callable[[], bool]) -> bool:
        """``act``, which writes; the checker hears what has become durable by it, whatever else comes of it."""
        disk, checker, node = self._host.disk, self._host.checker, self._host.node
        promise_before, chosen_before = disk.promise, disk.chosen_through
        try:
            return act()
        finally:
            for write in disk.take_durable():
                checker.on_durable(node, promise_before, write, chosen_before)
                promise_before = max(promise_before, write.promise or promise_before)
                chosen_before = max(chosen_before, write.chosen_through or chosen_before)

    # --- the end of its process ---

    def cut(self) -> None:
        """The process dies: of what is under way all was done and nobody heard of it, or nothing, or a part."""
        work, host, disk = self._under_way, self._host, self._host.disk
        if work is None:
            return
        if self._random.random() < host.weather.unheard_rate:
            host.count["write_unheard"] += 1
        elif self._own.random() < host.weather.tear_rate:
            disk.cut_after(self._own.randrange(2))
        else:
            return
        with contextlib.suppress(StorageError):
            self._perform(work)
        host.count["checkpoint_cut"] += isinstance(work, Checkpoint)
        disk.power_on()

    def close(self, steps: float) -> None:
        """A clean stop: what was submitted is done, and brought to the log, as far as ``steps`` go."""
        turns, disk, work = self._turns, self._host.disk, self._under_way
        disk.cut_after(steps)
        turns.submit(Last())
        with contextlib.suppress(StorageError):
            while work is None or (self._perform(work) and not isinstance(work, Last)):
                work = self._next()
            self._log.finish()
        self._host.count["stop_cut"] += disk.has_struck
        disk.power_on()


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
