"""One simulated process: a replica, its disk, its state, and the driver between them.

It does what ``node.server`` does, in the same order, with the simulated network and disk: inbox -> step -> write ->
send -> apply -> reply. What survives a crash is the log store's durable part and the state's last flush; everything
else is made anew.
"""

from __future__ import annotations

import random as random_module
from collections import Counter, deque
from collections.abc import Callable
from typing import Any, Protocol

import attrs
import crc32c

from ..apply.applier import Applier, Outcome
from ..apply.outcomes import Refused, Replies
from ..apply.sessions import SessionOptions
from ..apply.submissions import first_sequence_of
from ..errors import Damaged, StorageError
from ..node.reconcile import reconcile
from ..paxos.ballot import NodeId, Slot, node_name
from ..paxos.describe import describe_notice, describe_write
from ..paxos.effects import Effects, NoticeKind, ReadSlots, Refusal, SendState, StoreStatePiece
from ..paxos.membership import Membership
from ..paxos.messages import AcceptedSlot, Message, StatePiece
from ..paxos.options import Options
from ..paxos.replica import Replica
from ..state.memory import MemorySnapshot, MemoryStateStore
from ..state_machine import StateMachine
from ..wire.client_messages import NodeMessage, NotLeader, Query, QueryAnswers, QueryRefused, Submit, admit
from .checkers import ProtocolChecker, Violation, ViolationFound
from .disk import SimLogStore
from .network import Network
from .workload import Unsteady, Workload
from .world import World


class Clients(Protocol):
    """Where answers go."""

    def deliver(self, client: int, node: NodeId, message: NodeMessage) -> None: ...


IMAGE_IDLE_MAX_S = 0.5
"""How long a state image is kept that nobody asks for."""
STACK_DEPTH_MAX = 60
"""How much deeper one replica may be in its stack than another when it applies the same slot."""


def _from_deeper(levels: int, call: Callable[..., Any], *arguments: Any) -> Any:
    return _from_deeper(levels - 1, call, *arguments) if levels else call(*arguments)


@attrs.define(kw_only=True)
class DiskWeather:
    """How one disk behaves."""

    write_s: float = 0.0004
    stall_rate: float = 0.0
    stall_s: float = 0.3
    crash_before_rate: float = 0.0
    """Crashes aimed between handled and durable."""
    crash_after_rate: float = 0.0
    """Crashes aimed between durable and answered."""
    unheard_rate: float = 0.5
    """Crashes during a write after which the write is found durable all the same."""
    is_full: bool = False
    """Nearly full: new commands are refused, the leadership is handed over."""
    is_state_hanging: bool = False
    """No flush of the state ends, so nothing more is applied."""


@attrs.frozen
class _Drop:
    """Slots up to ``through`` leave the log, in the turn of this job between the writes.

    ``membership``: of the floor of an installed state; None for a compaction.
    """

    through: Slot
    membership: Membership | None = None


@attrs.define(kw_only=True)
class HostOptions:
    """What all hosts of one simulation share."""

    paxos: Options
    sessions: SessionOptions
    flush_interval_s: float = 0.05
    flush_s: float = 0.001
    """How long the state's flush takes."""
    install_s: float = 0.0
    """How long a received state is checked before it is swapped in."""
    log_tail_slots: int = 50
    state_piece_bytes: int = 4096
    turn_delay_s: float = 0.0
    memory_lack_rate: float = 0.0
    """Commands that raise MemoryError the first time a replica runs them."""


class Host:
    """A process that can be crashed, paused, and started again on what its disk still holds."""

    def __init__(
        self,
        world: World,
        network: Network,
        checker: ProtocolChecker,
        clients: Clients,
        workload: Workload,
        options: HostOptions,
        disk: SimLogStore,
    ) -> None:
        self.node = disk.identity.node
        self.disk = disk
        self.wall_skew_ms = 0
        """How far its wall clock is from the true time."""
        self.clock_rate = 1.0
        self.install_crash_rate = 0.0
        """Crashes aimed between a received state and the log's floor, which follows it."""
        self.life = 0
        self.replica: Replica | None = None
        self.is_paused = False
        self.peers: dict[NodeId, Host] = {}
        self.count: Counter[str] = Counter()
        """Faults that struck here by themselves, by kind."""
        self.commands_applied = 0
        self.commands_failed = 0
        self.elections = 0
        self._weather = DiskWeather()
        self._world = world
        self._network = network
        self._checker = checker
        self._clients = clients
        self._workload = workload
        self._options = options
        self._random = world.stream(f"host {self.node}")
        self._stack = world.stream(f"stack {self.node}")
        self._store = MemoryStateStore()
        self._applier = Applier(self._machine(), self._store, options.sessions)

    def _machine(self) -> StateMachine:
        """A fresh machine, in a process that is short of memory now and then or is not."""
        self._unsteady = Unsteady(self._workload.machine(), self._stack, self._options.memory_lack_rate)
        return self._unsteady

    # --- life and death ---

    @property
    def is_up(self) -> bool:
        return self.replica is not None

    @property
    def weather(self) -> DiskWeather:
        return self._weather

    @weather.setter
    def weather(self, weather: DiskWeather) -> None:
        before, self._weather = self._weather, weather
        if self.replica is None:
            return
        if weather.is_full != before.is_full:
            self.put(lambda replica: replica.on_storage_full(weather.is_full))
        if before.is_state_hanging and not weather.is_state_hanging:
            self.put(lambda replica: self._apply())

    @property
    def durable_through(self) -> Slot:
        """How far the state would stand after a crash."""
        return self._applier.durable_through

    @property
    def applied_through(self) -> Slot:
        return self._applier.applied_through

    def start(self) -> None:
        """Begin from what is durable."""
        assert self.replica is None
        self.life += 1
        self.is_paused = False
        self._store.crash()
        self._applier = Applier(self._machine(), self._store, self._options.sessions)
        try:
            chosen_before = self.disk.chosen_through
            recovered = reconcile(self.disk, self._applier.applied_through, self._store.installed_through)
        except StorageError:
            self.disk.replace()
            return
        self._checker.on_recovered(self.node, chosen_before, self.disk)
        self._started_at_s = self._measured_at_s = self._world.now_s
        self._sent = 0
        self.replica = Replica(
            node=self.node,
            options=self._options.paxos,
            recovered=recovered,
            random=random_module.Random(self._random.getrandbits(64)),
            checksum=crc32c.crc32c,
            now_s=self._local_s(),
            time_ms=self._wall_ms(),
        )
        self._writing: list[Effects | _Drop] = []
        self._to_write: deque[Effects | _Drop] = deque()
        self._is_flushing = False
        self._is_installing = False
        self._released: deque[AcceptedSlot] = deque()
        self._reads_waiting: list[tuple[Slot, tuple[int, ...]]] = []
        self._reads: dict[int, tuple[int, Query]] = {}
        self._next_read_id = 0
        self._routes: dict[bytes, int] = {}
        self._asked: set[int] = set()
        self._image: MemorySnapshot | None = None
        self._image_used_at_s = 0.0
        self._inbox: deque[Callable[[Replica], None]] = deque()
        self._is_turn_due = False
        self._tick_at_s = float("inf")
        self.replica.on_storage_full(self._weather.is_full)
        self._tell_applied(self.replica)
        self._apply()
        for peer in self.peers.values():
            if peer.is_up:
                self._later(self._network.weather.delay_s, self._link_opened, peer.node)
                peer._later(self._network.weather.delay_s, peer._link_opened, self.node)
        self._later(self._options.flush_interval_s, self._begin_flush)
        self._turn()

    def crash(self, reason: str) -> bool:
        """The process dies: what is not durable is gone, its links close. Whether there was anything to kill."""
        if self.replica is None:
            return False
        self._world.say(f"-- {node_name(self.node)} crashes: {reason}")
        self.replica = None
        if self._writing and self._random.random() < self._weather.unheard_rate:
            self.count["write_unheard"] += 1
            self._commit_unheard()
        for peer in self.peers.values():
            if peer.is_up and not self._network.is_cut(self.node, peer.node):
                peer._later(self._network.weather.delay_s, peer._link_closed, self.node)
        return True

    def _commit_unheard(self) -> None:
        """The transaction under way made it to the disk, and nobody was left to hear of it."""
        try:
            self._commit(self._writing)
        except StorageError:
            self.disk.replace()

    def _commit(self, group: list[Effects | _Drop]) -> None:
        """What is under way is durable. Raises ``StorageError``."""
        promise_before, chosen_before = self.disk.promise, self.disk.chosen_through
        writes = [job.write for job in group if isinstance(job, Effects) and job.write is not None]
        if writes:
            self.disk.write(writes)
        for job in group:
            if isinstance(job, _Drop) and job.membership is not None:
                self.disk.install_floor(job.through, job.membership)
            elif isinstance(job, _Drop):
                self.disk.compact(job.through, slots_max=40)
        for write in writes:
            self._checker.on_durable(self.node, promise_before, write, chosen_before)
            promise_before = max(promise_before, write.promise or promise_before)
            chosen_before = max(chosen_before, write.chosen_through or chosen_before)

    def pause(self) -> None:
        """The process is frozen; what is sent to it waits."""
        self.is_paused = True

    def resume(self) -> None:
        self.is_paused = False
        if self.replica is not None:
            self._wake()

    def _local_s(self) -> float:
        return self._world.now_s * self.clock_rate

    def _wall_ms(self) -> int:
        return max(0, int(self._world.true_ms) + self.wall_skew_ms)

    def _later(self, delay_s: float, act: Callable[..., None], *arguments: Any) -> None:
        """Call ``act`` unless this life of the process has ended by then."""
        self._world.after(delay_s, self._if_alive, self.life, act, arguments)

    def _if_alive(self, life: int, act: Callable[..., None], arguments: tuple[Any, ...]) -> None:
        if life == self.life and self.replica is not None:
            act(*arguments)

    def replace_disk(self, disk: SimLogStore) -> None:
        """Everything this node knew is gone, its state too."""
        self.disk = disk
        self._store = MemoryStateStore()

    # --- events ---

    def put(self, event: Callable[[Replica], None]) -> None:
        """One event for the replica; a frozen or slow process takes many of them in one turn."""
        self._inbox.append(event)
        self._wake()

    def _wake(self) -> None:
        if self.is_paused or self._is_turn_due:
            return
        if self._options.turn_delay_s:
            self._is_turn_due = True
            self._later(self._options.turn_delay_s * self._random.random(), self._turn)
        else:
            self._turn()

    def receive(self, life: int, sender: NodeId, incarnation: bytes, message: Message) -> None:
        """A peer's message arrives; one from another incarnation than first known is refused (P9)."""
        if self.replica is None or life != self.life or self._network.is_cut(sender, self.node):
            return
        if self.peers[sender].first_incarnation != incarnation or self.is_foreign:
            self.count["incarnation_refused"] += 1
            return
        told = self._checker.arrivals.get(type(message))
        if told is not None:
            told(self.node, sender, message)
        self.put(lambda replica: replica.on_message(sender, message))

    @property
    def is_foreign(self) -> bool:
        """Its disk was formatted anew under an old id: the others refuse it."""
        return self.disk.identity.incarnation != self.first_incarnation

    @property
    def first_incarnation(self) -> bytes:
        """The incarnation under which the others know this node."""
        return b"%d" % self.node

    def _link_opened(self, peer: NodeId) -> None:
        self.put(lambda replica: replica.on_link_opened(peer))

    def _link_closed(self, peer: NodeId) -> None:
        self.put(lambda replica: replica.on_link_closed(peer))

    def reset_link(self, peer: NodeId) -> None:
        """This end of a connection breaks and is made again at once."""
        self._later(0.0, self._link_closed, peer)
        self._later(0.002, self._link_opened, peer)

    def _tick_due(self, at_s: float) -> None:
        if at_s == self._tick_at_s:
            self._tick_at_s = float("inf")
            self._wake()

    def _turn(self) -> None:
        """Drain the inbox, step, do what is asked."""
        replica = self.replica
        self._is_turn_due = False
        if replica is None or self.is_paused:
            return
        replica.tick(self._local_s(), self._wall_ms())
        while self._inbox:
            self._inbox.popleft()(replica)
        self._obey(replica.take_effects())
        positions = (replica.chosen_through, replica.compacted_through, self._applier.applied_through)
        self._checker.on_positions(self.node, self.life, positions)

    # --- effects ---

    def _obey(self, effects: Effects) -> None:
        for record in effects.release:
            # What this node knows chosen it may say at once: the checker hears of it before it hears the messages.
            self._checker.on_released(self.node, record, self.disk)
            self._checker.on_stamped(record, self._world.true_ms)
        for outbound in effects.send:
            self._send(outbound.target, outbound.message)
        if effects.write is not None:
            if self._world.trace is not None:
                self._world.say(describe_write(self.node, effects.write))
            self._to_write.append(effects)
            self._write_next()
        if effects.notices:
            self._notice(effects)
        if effects.release:
            self._released.extend(effects.release)
            self._apply()
        if effects.reads or effects.reads_refused:
            self._answer_reads(effects)
        for slot_read in effects.slot_reads:
            self._later(0.0002, self._read_slots, slot_read)
        for state_send in effects.state_sends:
            self._later(0.0002, self._send_state, state_send)
        for piece in effects.state_pieces:
            self._later(0.0005, self._store_piece, piece)
        at_s = max(effects.deadline_s / self.clock_rate, self._world.now_s + 1e-6)
        if self.replica is not None and at_s < self._tick_at_s:
            self._tick_at_s = at_s
            self._later(at_s - self._world.now_s, self._tick_due, at_s)

    def _send(self, target: NodeId, message: Message) -> None:
        self._sent += 1
        self._checker.on_sent(self.node, self.life, self.disk, message)
        delays = self._network.delays(self.node, target, message)
        if self._world.trace is not None:
            self._network.say_sent(self.node, target, message, is_lost=not delays)
        peer = self.peers[target]
        for delay_s in delays:
            arriving = self._network.arriving(message)
            self._world.after(delay_s, peer.receive, peer.life, self.node, self.disk.identity.incarnation, arriving)

    def _notice(self, effects: Effects) -> None:
        for notice in effects.notices:
            self._world.say(describe_notice(self.node, notice))
            if notice.kind is NoticeKind.BECAME_LEADER:
                self.elections += 1
            elif notice.kind is NoticeKind.STEPPED_DOWN:
                self._tell_not_leader()
            elif notice.kind is NoticeKind.DAMAGE_REPAIRED:
                self.count["damage_repaired"] += 1
                self._later(0.0, self._apply)
            elif notice.kind is NoticeKind.STATE_TRANSFER_BEGAN:
                self.count["state_transfer"] += 1
            elif notice.kind is NoticeKind.STATE_DIVERGED:
                self.crash("its state diverged")

    # --- disk ---

    def _write_next(self) -> None:
        """Group commit: every write that waits becomes one transaction when the disk is free."""
        if self._writing or not self._to_write:
            return
        self._writing = [self._to_write.popleft()]
        while self._to_write and not any(isinstance(job, _Drop) for job in (self._writing[0], self._to_write[0])):
            self._writing.append(self._to_write.popleft())
        weather = self._weather
        seconds = weather.write_s * (0.5 + self._random.random())
        if weather.stall_rate and self._random.random() < weather.stall_rate:
            self.count["write_stalled"] += 1
            seconds += weather.stall_s * self._random.random()
        if weather.crash_before_rate and self._random.random() < weather.crash_before_rate:
            self._later(seconds * self._random.random(), self._aimed_crash, "between handled and durable")
        self._later(seconds, self._written)

    def _aimed_crash(self, where: str) -> None:
        if not self._weather.crash_before_rate:
            return  # the bad weather has ended before it struck
        self.count["aimed_crash"] += 1
        self.crash(where)

    def _written(self) -> None:
        """The transaction is durable: only now may what rests on it be said."""
        if self.is_paused:
            self._later(0.01, self._written)
            return
        writing, self._writing = self._writing, []
        try:
            self._commit(writing)
        except StorageError:
            self.disk.replace()
            self.count["write_failed"] += 1
            self.crash("a write failed")
            return
        if self._weather.crash_after_rate and self._random.random() < self._weather.crash_after_rate:
            self._aimed_crash("between durable and answered")
            return
        for job in writing:
            if isinstance(job, _Drop):
                self._dropped(job)
                continue
            for outbound in job.send_after_write:
                self._send(outbound.target, outbound.message)
        last = writing[-1]
        if isinstance(last, Effects):
            self.put(lambda replica: replica.on_written(last.ticket))
        self._write_next()

    def _dropped(self, job: _Drop) -> None:
        """Slots have left the log: after an install that is the moment at which the core hears of it (P6)."""
        if job.membership is None:
            compacted_through = self.disk.compacted_through
            self.put(lambda replica: replica.on_compacted(compacted_through))
            return
        self._is_installing = False
        self.put(self._tell_applied)
        self.put(lambda replica: replica.on_state_installed(job.through))
        self.put(lambda replica: self._apply())

    def _read_slots(self, asked: ReadSlots) -> None:
        try:
            slots = self.disk.read(asked.from_slot, asked.through, slots_max=asked.slots_max, bytes_max=asked.bytes_max)
        except Damaged:
            self._report_damage(asked.from_slot)
            slots = []
        self.put(lambda replica: replica.on_slots_read(asked.target, slots))

    # --- applying ---

    def _apply(self) -> None:
        """Apply released slots in order; what a crash left between state and log is read from the log first."""
        replica = self.replica
        if replica is None or self._is_installing or self._weather.is_state_hanging:
            return
        applier = self._applier
        while applier.applied_through < replica.chosen_through:
            slot = Slot(applier.applied_through + 1)
            if replica.is_damaged(slot):
                return
            while self._released and self._released[0].slot < slot:
                self._released.popleft()
            if self._released and self._released[0].slot == slot:
                record = self._released.popleft()
            else:
                try:
                    found = self.disk.read(slot, slot, slots_max=1, bytes_max=1)
                except Damaged:
                    self._report_damage(slot)
                    return
                if not found:
                    return
                record = found[0]
            self._apply_slot(slot, record.value)
        self._tell_applied(replica)
        self._answer_ready()

    def _tell_applied(self, replica: Replica) -> None:
        applier = self._applier
        replica.on_applied(applier.applied_through, *applier.checkpoint(), applier.log_time_ms)

    def _report_damage(self, slot: Slot) -> None:
        self.put(lambda replica: replica.on_slot_damaged(slot))

    def _apply_slot(self, slot: Slot, value: bytes) -> None:
        before, failed_before = self._applier.commands_applied, self._applier.commands_failed
        depth = int(self._stack.random() * STACK_DEPTH_MAX)
        outcomes: list[Outcome] = _from_deeper(depth, self._applier.apply, slot, value)
        if self._applier.misuse:
            raise ViolationFound(Violation("state machine", f"apply uses its state wrongly: {self._applier.misuse}"))
        if self._unsteady.moments:
            self.count["memory_lack"] += self._unsteady.moments
            self._unsteady.moments = 0
        self.commands_applied += self._applier.commands_applied - before
        self.commands_failed += self._applier.commands_failed - failed_before
        self._checker.on_applied(self.node, slot, self._applier.digest)
        for key, message, _ in outcomes:
            client = self._routes.get(key)
            if client is not None:
                if isinstance(message, Replies):
                    self._asked.discard(client)
                self._clients.deliver(client, self.node, message)

    def violations(self) -> list[str]:
        return self._applier.violations()

    # --- clients ---

    def on_submit(self, client: int, message: Submit) -> None:
        """A client's submission, if it may have it proposed."""
        submission = admit(message)
        if isinstance(submission, Refused):
            self._clients.deliver(client, self.node, submission)
            return
        self._routes[submission.key] = client
        self._asked.add(client)
        first_sequence = first_sequence_of(submission)

        def step(replica: Replica) -> None:
            refusal = replica.submit(message.submission)
            if refusal is None:
                self._checker.taken[message.submission] += 1
            else:
                self._refuse(client, Refused(message.session, first_sequence, refusal.value, "the node refused it"))

        self.put(step)

    def _refuse(self, client: int, refused: Refused) -> None:
        self._asked.discard(client)
        is_led = refused.code != Refusal.NOT_LEADER.value
        self._clients.deliver(client, self.node, refused if is_led else self._not_leader())

    def _not_leader(self) -> NotLeader:
        leader = self.replica.leader if self.replica is not None else None
        return NotLeader(leader if leader is not None and leader != self.node else NodeId(0), "")

    def _tell_not_leader(self) -> None:
        for client in sorted(self._asked):
            self._clients.deliver(client, self.node, self._not_leader())
        self._asked.clear()

    def on_query(self, client: int, message: Query) -> None:
        if message.is_stale:
            self._answer(client, message)
            return

        def step(replica: Replica) -> None:
            self._next_read_id += 1
            refusal = replica.read(self._next_read_id)
            if refusal is None:
                self._reads[self._next_read_id] = (client, message)
            else:
                self._clients.deliver(
                    client, self.node, QueryRefused(message.first_id, len(message.requests), refusal.value, "")
                )

        self.put(step)

    def _answer_reads(self, effects: Effects) -> None:
        for ready in effects.reads:
            self._reads_waiting.append((ready.slot, ready.read_ids))
        for read_id in effects.reads_refused:
            client, message = self._reads.pop(read_id)
            refused = QueryRefused(message.first_id, len(message.requests), "not_leader", "")
            self._clients.deliver(client, self.node, refused)
        self._answer_ready()

    def _answer_ready(self) -> None:
        if not self._reads_waiting:
            return
        waiting, self._reads_waiting = self._reads_waiting, []
        for slot, read_ids in waiting:
            if slot > self._applier.applied_through:
                self._reads_waiting.append((slot, read_ids))
                continue
            for read_id in read_ids:
                self._answer(*self._reads.pop(read_id))

    def _answer(self, client: int, message: Query) -> None:
        answers = [self._applier.query(request) for request in message.requests]
        self._clients.deliver(client, self.node, QueryAnswers(message.first_id, self._applier.applied_through, answers))

    # --- state: flush, compaction, transfer ---

    def _measure(self, replica: Replica) -> None:
        now_s = self._world.now_s
        self._checker.on_measured(self.node, replica.sizes(), self._sent, now_s - self._measured_at_s)
        self._sent = 0
        self._measured_at_s = now_s

    def _begin_flush(self) -> None:
        if self.replica is not None:
            self._measure(self.replica)
        self._later(self._options.flush_interval_s, self._begin_flush)
        if not self.is_paused and not self._is_installing and self._applier.begin_flush():
            self._is_flushing = True
            self._later(self._options.flush_s, self._flushed)

    def _flushed(self) -> None:
        if self._weather.is_state_hanging:
            self._later(0.05, self._flushed)
            return
        self._applier.flush()
        self._applier.end_flush()
        self._is_flushing = False
        assert self.replica is not None
        through = Slot(self._applier.durable_through - self._options.log_tail_slots)
        if through > self.disk.compacted_through and self._image is None:
            self._compact(min(through, self.replica.chosen_through))

    def _compact(self, through: Slot) -> None:
        """At once if the disk is idle, and otherwise in its turn."""
        job = _Drop(through)
        if self._writing or self._to_write:
            self._to_write.append(job)
            return
        self._commit([job])
        self._dropped(job)

    def _send_state(self, asked: SendState) -> None:
        """One image serves whoever asks, as in the node, until nobody has asked for a while."""
        if self._image is not None and not asked.image and self._image.applied_through < self._store.durable_through:
            self._image = self._store.open_snapshot()  # who begins may need what is above the open one
        if self._image is None:
            self._image = self._store.open_snapshot()
            self._later(IMAGE_IDLE_MAX_S, self._close_idle_image)
        image = self._image
        self._image_used_at_s = self._world.now_s
        position = asked.position if image.name == asked.image else 0
        data, is_last = image.read(position, self._options.state_piece_bytes)
        self._send(
            asked.target,
            StatePiece(image.name, image.applied_through, position, crc32c.crc32c(data), is_last, data),
        )

    def _close_idle_image(self) -> None:
        if self._world.now_s < self._image_used_at_s + IMAGE_IDLE_MAX_S:
            self._later(IMAGE_IDLE_MAX_S, self._close_idle_image)
        else:
            self._image = None

    def _store_piece(self, piece: StoreStatePiece) -> None:
        if self._is_flushing:
            self._later(0.001, self._store_piece, piece)  # one of the two at a time
            return
        if piece.position == 0:
            self._store.begin_install(piece.image)
        self._store.install_chunk(piece.position, piece.data)
        if not piece.is_last:
            position = piece.position + len(piece.data)
            self.put(lambda replica: replica.on_state_piece_stored(piece.image, position))
            return
        if piece.applied_through <= self._applier.applied_through:
            self.put(lambda replica: replica.on_state_skipped())
            return
        self._image = None
        self._is_installing = True
        self._later(self._options.install_s, self._swap_state, piece.applied_through)

    def _swap_state(self, applied_through: Slot) -> None:
        """The received state is durably in place; the log's floor follows in its turn between the writes."""
        if self.is_paused:
            self._later(0.01, self._swap_state, applied_through)
            return
        assert self.replica is not None
        self._store.finish_install(applied_through)
        self._applier = Applier(self._machine(), self._store, self._options.sessions)
        self._world.say(f"-- {node_name(self.node)} installed the state at slot {applied_through}")
        if self.install_crash_rate and self._random.random() < self.install_crash_rate:
            self.count["install_crash"] += 1
            self.crash("between state and floor")
            return
        self._to_write.append(_Drop(applied_through, self.replica.membership))
        self._write_next()
