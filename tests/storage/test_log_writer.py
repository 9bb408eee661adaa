"""The log's writer: order, groups, one word a group, and silence after a failure.

``GatedLog`` is the simulator's disk, whose contract the LMDB log shares, with a gate before each call: a disk that is
as slow as the test wants.
"""

from __future__ import annotations

import math
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from crc32c import crc32c

from replog.directory.layout import open_directory
from replog.errors import StorageError, StorageFull
from replog.log import journal_layout
from replog.log.contract import LogStore
from replog.log.space import LogLimits
from replog.log.writer import LogWriter
from replog.paxos.ballot import Ballot, NodeId, Slot
from replog.paxos.effects import LogWrite
from replog.paxos.membership import Membership
from replog.paxos.messages import AcceptedSlot
from replog.sim.disk import SimLogStore
from tests.faults.acknowledged import JOURNALED, LIMITS, RING_BYTES
from tests.faults.directories import formatted

BALLOT = Ballot(2, NodeId(1))
MEMBERS = Membership(1, (NodeId(1), NodeId(2), NodeId(3)))
WAIT_S = 30.0


class GatedLog(SimLogStore):
    """Each call waits until the gate is open, and is noted when it is done."""

    def __init__(self) -> None:
        super().__init__(b"cluster of tests", NodeId(1), b"incarnation 0001", MEMBERS)
        self.gate = threading.Event()
        self.gate.set()
        self.arrived = threading.Event()
        self.is_full = False
        self.calls: list[tuple[str, int]] = []
        self.due_in_s = math.inf
        """How long after a write a checkpoint is due."""
        self.checkpoint_at_s = math.inf
        self.before_checkpoint: Callable[[], None] = lambda: None
        self.is_finished = False

    def write(self, writes: list[LogWrite]) -> None:
        self._pass()
        if self.is_full:
            raise StorageFull("the gated disk is full")
        super().write(writes)
        self.calls.append(("write", len(writes)))
        self.checkpoint_at_s = min(self.checkpoint_at_s, time.perf_counter() + self.due_in_s)

    def compact(self, through: Slot, *, slots_max: int) -> Slot:
        self._pass()
        reached = super().compact(through, slots_max=slots_max)
        self.calls.append(("compact", reached))
        return reached

    def install_floor(self, through: Slot, membership: Membership) -> None:
        self._pass()
        super().install_floor(through, membership)
        self.calls.append(("floor", through))

    def checkpoint(self) -> None:
        self.before_checkpoint()
        self._pass()
        self.checkpoint_at_s = math.inf
        self.calls.append(("checkpoint", 0))

    def finish(self) -> None:
        assert not self.is_finished
        self.is_finished = True

    def _pass(self) -> None:
        self.arrived.set()
        assert self.gate.wait(WAIT_S)


class Owner:
    """Hears what the writer says, on the writer's thread."""

    def __init__(self, store: LogStore, **options: float | int | bool) -> None:
        self.durable: list[int] = []
        self.failures: list[BaseException] = []
        self.compacted: list[int] = []
        self.writer = LogWriter(
            store,
            on_durable=self.durable.append,
            on_failure=self.failures.append,
            on_compacted=self.compacted.append,
            space_retry_s=0.001,
            **options,  # type: ignore[arg-type]
        )

    def wait_until(self, is_so: Callable[[], bool]) -> None:
        deadline = time.monotonic() + WAIT_S
        while not is_so():
            assert time.monotonic() < deadline, "it did not happen in time"
            time.sleep(0.001)


@pytest.fixture
def log() -> GatedLog:
    return GatedLog()


@pytest.fixture
def owner(log: GatedLog) -> Iterator[Owner]:
    made = Owner(log, compaction_slots_max=4)
    made.writer.start()
    yield made
    log.gate.set()
    made.writer.close()


def accept(slot: int, *, chosen_through: int | None = None) -> LogWrite:
    value = b"value %d" % slot
    record = AcceptedSlot(Slot(slot), BALLOT, crc32c(value), value)
    return LogWrite(None, (record,), None if chosen_through is None else Slot(chosen_through))


def test_what_gathers_behind_a_slow_disk_becomes_one_transaction_and_one_word(log: GatedLog, owner: Owner) -> None:
    """While the first write is under way the others wait together; the last ticket speaks for all of them."""
    log.gate.clear()
    owner.writer.submit(1, accept(1))
    assert log.arrived.wait(WAIT_S)
    for ticket in range(2, 51):
        owner.writer.submit(ticket, accept(ticket))
    assert owner.durable == []
    log.gate.set()
    owner.wait_until(lambda: 50 in owner.durable)
    assert owner.durable == [1, 50]
    assert log.calls == [("write", 1), ("write", 49)]
    statistics = owner.writer.statistics()
    assert (statistics.commits, statistics.writes, statistics.records) == (2, 50, 50)
    assert statistics.latencies_us.count == 2


def test_an_idle_writer_of_a_fast_disk_writes_on_the_callers_thread(log: GatedLog, owner: Owner) -> None:
    """It is durable when the call returns, in order with what the thread wrote, and nobody is called back."""
    owner.writer.submit(1, accept(1))
    owner.wait_until(lambda: owner.durable == [1])
    written = False
    while not written:  # the thread may still be on its way to its next job
        written = owner.writer.write_here(accept(2), is_fast_below_s=10.0)
    assert log.calls == [("write", 1), ("write", 1)]
    assert owner.durable == [1]
    assert owner.writer.statistics().commits == 2


def test_a_busy_writer_a_slow_disk_and_a_full_one_leave_the_write_to_the_thread(log: GatedLog, owner: Owner) -> None:
    """Nothing is written out of turn, and nothing waits on the caller's thread."""
    log.gate.clear()
    owner.writer.submit(1, accept(1))
    assert log.arrived.wait(WAIT_S)
    assert not owner.writer.write_here(accept(2), is_fast_below_s=10.0)
    log.gate.set()
    owner.wait_until(lambda: owner.durable == [1])
    assert not owner.writer.write_here(accept(2), is_fast_below_s=0.0)
    log.is_full = True
    assert not owner.writer.write_here(accept(2), is_fast_below_s=10.0)
    assert log.calls == [("write", 1)]


def test_a_failed_write_is_said_once_and_is_the_last(log: GatedLog, owner: Owner) -> None:
    """What was durable before it stays so; nothing submitted after it is written or acknowledged (P1)."""
    owner.writer.submit(1, accept(1))
    owner.wait_until(lambda: owner.durable == [1])
    log.fail_next_write()
    owner.writer.submit(2, accept(2))
    owner.wait_until(lambda: bool(owner.failures))
    log.replace()
    owner.writer.submit(3, accept(3))
    owner.writer.close()
    assert owner.durable == [1]
    assert [type(error) for error in owner.failures] == [StorageError]
    assert set(log.slots) == {1}


def test_a_full_disk_is_waited_for_in_order(log: GatedLog, owner: Owner) -> None:
    """Nothing overtakes the group that waits, and it is written when there is space."""
    log.is_full = True
    owner.writer.submit(1, accept(1))
    owner.wait_until(lambda: owner.writer.is_waiting_for_space)
    owner.writer.submit(2, accept(2))
    assert owner.durable == []
    log.is_full = False
    owner.wait_until(lambda: owner.durable == [1, 2])
    assert not owner.writer.is_waiting_for_space
    assert owner.writer.statistics().waits_for_space == 1
    assert not owner.failures


def test_closing_gives_up_what_waits_for_space(log: GatedLog, owner: Owner) -> None:
    """It was never written, so giving it up loses nothing that was acknowledged."""
    log.is_full = True
    owner.writer.submit(1, accept(1))
    owner.wait_until(lambda: owner.writer.is_waiting_for_space)
    owner.writer.close()
    assert owner.durable == []
    assert log.slots == {}


def test_a_full_disk_lets_compaction_make_space(log: GatedLog, owner: Owner) -> None:
    """What may be dropped is dropped while the group waits."""
    for slot in range(1, 9):
        owner.writer.submit(slot, accept(slot, chosen_through=slot))
    owner.wait_until(lambda: 8 in owner.durable)
    log.is_full = True
    owner.writer.submit(9, accept(9))
    owner.wait_until(lambda: owner.writer.is_waiting_for_space)
    owner.writer.request_compaction(Slot(8))
    log.is_full = False
    owner.wait_until(lambda: 9 in owner.durable and owner.compacted[-1:] == [8])
    assert set(log.slots) == {9}


def test_compaction_drops_a_bounded_number_at_a_time_and_lets_writes_in_between(log: GatedLog, owner: Owner) -> None:
    """A write that arrives does not wait for all of it."""
    for slot in range(1, 21):
        owner.writer.submit(slot, accept(slot, chosen_through=slot))
    owner.wait_until(lambda: 20 in owner.durable)
    log.gate.clear()
    log.arrived.clear()
    owner.writer.request_compaction(Slot(16))
    assert log.arrived.wait(WAIT_S)
    owner.writer.submit(21, accept(21))
    log.gate.set()
    owner.wait_until(lambda: owner.compacted[-1:] == [16] and 21 in owner.durable)
    assert owner.compacted == [4, 8, 12, 16]
    between = log.calls[log.calls.index(("compact", 4)) : log.calls.index(("compact", 16))]
    assert ("write", 1) in between


def test_a_floor_is_installed_in_its_turn(log: GatedLog, owner: Owner) -> None:
    """What was submitted before it is durable before it, and what comes after it comes after."""
    log.gate.clear()
    owner.writer.submit(1, accept(1))
    assert log.arrived.wait(WAIT_S)
    owner.writer.submit(2, accept(2))
    installed: list[list[int]] = []
    owner.writer.request_floor(Slot(10), MEMBERS, lambda: installed.append(list(owner.durable)))
    owner.writer.submit(3, accept(11))
    log.gate.set()
    owner.wait_until(lambda: 3 in owner.durable)
    assert installed == [[1, 2]]
    assert [call for call, _number in log.calls if call != "compact"] == ["write", "write", "floor", "write"]
    assert set(log.slots) == {11}


def test_closing_finishes_what_was_submitted(log: GatedLog, owner: Owner) -> None:
    """A clean stop leaves nothing behind that was promised to be written."""
    for ticket in range(1, 101):
        owner.writer.submit(ticket, accept(ticket))
    owner.writer.close()
    assert owner.durable[-1] == 100
    assert len(log.slots) == 100
    assert log.is_finished


# --- checkpoints ---


def test_a_checkpoint_comes_by_itself_when_it_is_due(log: GatedLog, owner: Owner) -> None:
    """Nothing else has to happen, and nothing is said of it: what it holds was durable before."""
    log.due_in_s = 0.01
    owner.writer.submit(1, accept(1))
    owner.wait_until(lambda: ("checkpoint", 0) in log.calls)
    assert log.calls == [("write", 1), ("checkpoint", 0)]
    assert owner.durable == [1]
    owner.wait_until(lambda: owner.writer.statistics().checkpoints == 1)


def test_an_idle_writer_makes_no_checkpoint_before_it_is_due(log: GatedLog, owner: Owner) -> None:
    """Or every lone write would cost both flushes again (J12)."""
    log.due_in_s = 1e6
    for ticket in range(1, 20):
        owner.writer.submit(ticket, accept(ticket))
        owner.wait_until(lambda ticket=ticket: owner.durable[-1:] == [ticket])  # type: ignore[misc]
    owner.writer.close()
    assert {call for call, _number in log.calls} == {"write"}


def test_a_write_on_the_callers_thread_starts_the_time_to_the_checkpoint(log: GatedLog, owner: Owner) -> None:
    """The thread sleeps meanwhile, and has to be told."""
    log.due_in_s = 0.01
    owner.wait_until(lambda: owner.writer.write_here(accept(1), is_fast_below_s=10.0))
    owner.wait_until(lambda: ("checkpoint", 0) in log.calls)


def test_nothing_is_written_on_the_callers_thread_while_a_checkpoint_is_under_way(log: GatedLog, owner: Owner) -> None:
    """One call of the store at a time, whichever thread it is on (J5); the caller does not wait for it."""
    log.due_in_s = 0.0
    log.before_checkpoint = log.gate.clear
    owner.writer.submit(1, accept(1))
    owner.wait_until(lambda: not log.gate.is_set())
    assert not owner.writer.write_here(accept(2), is_fast_below_s=10.0)
    log.gate.set()
    owner.wait_until(lambda: ("checkpoint", 0) in log.calls)
    assert [call for call, _number in log.calls] == ["write", "checkpoint"]


def test_a_store_that_failed_is_not_finished(log: GatedLog, owner: Owner) -> None:
    """A clean stop is one after which nothing is unknown."""
    log.fail_next_write()
    owner.writer.submit(1, accept(1))
    owner.wait_until(lambda: bool(owner.failures))
    owner.writer.close()
    assert not log.is_finished


def test_without_a_thread_a_write_is_durable_when_submit_returns(log: GatedLog) -> None:
    """The same steps on the caller's thread, to measure what the thread costs."""
    owner = Owner(log, is_threaded=False)
    owner.writer.start()
    for ticket in (1, 2, 3):
        owner.writer.submit(ticket, accept(ticket))
        assert owner.durable == list(range(1, ticket + 1))
    owner.writer.request_compaction(Slot(2))
    assert owner.compacted == [2]
    owner.writer.close()


@pytest.mark.parametrize("limits", [LIMITS, JOURNALED], ids=["lmdb", "journal"])
def test_reads_go_on_beside_the_writer(quick_path: Path, monkeypatch: pytest.MonkeyPatch, limits: LogLimits) -> None:
    """Slots are read from the real log while it is written, checkpointed and compacted, and are whole or gone."""
    monkeypatch.setattr(journal_layout, "JOURNAL_BYTES", RING_BYTES)
    held = open_directory(formatted(quick_path / "node"))
    store = held.open_log(limits)
    store.recover()
    owner = Owner(store)
    owner.writer.start()
    try:
        for slot in range(1, 3001):
            owner.writer.submit(slot, accept(slot, chosen_through=slot - 1))
            if slot % 100 == 0:
                owner.writer.request_compaction(Slot(slot - 99))
            if owner.durable and slot % 7 == 0:
                last = owner.durable[-1]
                found = store.read(Slot(last), Slot(last), slots_max=1, bytes_max=100)
                assert found == [accept(last).slots[0]] or (not found and last <= slot - slot % 100 - 99)
        owner.wait_until(lambda: 3000 in owner.durable)
    finally:
        owner.writer.close()
        store.close()
        held.close()
    assert not owner.failures


class NeverIdle(GatedLog):
    """While one write is under way the next one comes."""

    def __init__(self, last: int, size: int) -> None:
        super().__init__()
        self.last = last
        self.value = bytes(size)
        self.next = 1
        self.submit: Callable[[int, LogWrite], None] = lambda _ticket, _write: None

    def write(self, writes: list[LogWrite]) -> None:
        super().write(writes)
        self.go_on()

    def go_on(self) -> None:
        slot, self.next = self.next, self.next + 1
        if slot <= self.last:
            record = AcceptedSlot(Slot(slot), BALLOT, 0, self.value)
            self.submit(slot, LogWrite(None, (record,), Slot(slot - 1)))


@pytest.mark.parametrize(("size", "is_outrun"), [(2**20, False), (2**10, True)])
def test_large_slots_do_not_outrun_compaction(size: int, *, is_outrun: bool) -> None:
    """Under load a step is due after 4 MiB, however few slots that were; short ones can wait for more of them."""
    log = NeverIdle(20, size)
    owner = Owner(log, compaction_slots_max=1_000)
    log.submit = owner.writer.submit
    owner.writer.request_compaction(Slot(8))
    log.go_on()
    owner.writer.start()
    owner.wait_until(lambda: 20 in owner.durable and owner.compacted[-1:] == [8])
    owner.writer.close()
    calls = [call for call, _number in log.calls]
    assert (calls.index("compact") == 20) is is_outrun


def test_some_of_what_may_go_is_retained(log: GatedLog) -> None:
    owner = Owner(log, retained_slots=5)
    owner.writer.start()
    for slot in range(1, 21):
        owner.writer.submit(slot, accept(slot, chosen_through=slot))
    owner.wait_until(lambda: 20 in owner.durable)
    owner.writer.request_compaction(Slot(16))
    owner.wait_until(lambda: owner.compacted[-1:] == [11])
    owner.writer.close()
    assert log.compacted_through == 11


def test_what_is_retained_is_looked_at_again_when_asked(log: GatedLog) -> None:
    """A log that became nearly full lets go of what it kept beyond its retained slots, though nothing new may go."""
    owner = Owner(log, retained_slots=10)
    owner.writer.start()
    for slot in range(1, 21):
        owner.writer.submit(slot, accept(slot, chosen_through=slot))
    owner.wait_until(lambda: 20 in owner.durable)
    keep, log.compaction_target = log.compaction_target, lambda *_args, **_retained: log.compacted_through  # type: ignore[method-assign]
    owner.writer.request_compaction(Slot(16))
    owner.writer.submit(21, accept(21))
    owner.wait_until(lambda: 21 in owner.durable)
    assert owner.compacted == []
    log.compaction_target = keep  # type: ignore[method-assign]
    owner.writer.request_compaction(Slot(0))
    owner.wait_until(lambda: owner.compacted[-1:] == [6])
    owner.writer.close()
