"""Drives one replica: inbox -> step -> write -> send -> apply -> reply, turn after turn.

One task owns the replica. Links and threads put events into its inbox and wake it; it takes everything that waits in
one turn, so a turn's cost is shared by all commands in it. What the core asks for is done in the order its contract
names: messages that rest on nothing leave first, beside the write; those that rest on the write leave from the writer's
call-back; released slots are applied while the disk works on the next ones.

Nothing here is done per command, and nothing here knows what a ballot is. A task that fails ends the node with its
reason: half a node must not go on.
"""

from __future__ import annotations

import random
import time
from collections import deque
from collections.abc import Callable, Iterable, Sequence
from importlib.metadata import version
from typing import Any, Protocol

import crc32c
import structlog
import trio

from .applier import Applier
from .client_desk import ClientDesk
from .codec import Hello, Welcome
from .config import ReplicaConfig
from .errors import Damaged, StateDiverged
from .link import Link
from .log_writer import LogWriter
from .paxos.ballot import NodeId, Slot, node_name
from .paxos.effects import Effects, Notice, NoticeKind, ReadSlots, Refusal
from .paxos.messages import AcceptedSlot, Message, Outbound, StatePiece
from .paxos.proposer import Role
from .paxos.replica import Replica
from .recovery import reconcile
from .requests import (
    ClientMessage,
    Follow,
    Ping,
    Pong,
    Query,
    Status,
    StatusRequest,
    Submit,
    TransferAnswer,
    TransferRequest,
)
from .state_keeper import StateKeeper
from .state_machine import StateMachine
from .status import NodeStatus, encode_status
from .storage import LogStore, StateStore
from .transport import Transport

log = structlog.get_logger(__name__)

_ROLE_NAMES = {
    Role.FOLLOWING: "follower",
    Role.PREPARING: "candidate",
    Role.CATCHING_UP: "candidate",
    Role.LEADING: "leader",
}
_WARNINGS = frozenset(
    {NoticeKind.STEPPED_DOWN, NoticeKind.ABSTAINED, NoticeKind.DISK_STALLED, NoticeKind.STATE_DIVERGED}
)
SCRUB_SLOTS = 64
"""Verified at a time: the interpreter is held for well under a millisecond."""
_ENVELOPE_BYTES = 64
"""What a submission may add to its payloads: session, numbers and lengths."""


class DurableLog(LogStore, Protocol):
    """What the node needs of the log beside ``storage.LogStore``."""

    def is_nearly_full(self) -> bool: ...

    def scrub(self, from_slot: Slot, *, slots_max: int) -> tuple[Slot, list[Slot]]: ...

    @property
    def file_bytes(self) -> int: ...


class DurableState(StateStore, Protocol):
    """What the node needs of the state beside ``storage.StateStore``."""

    @property
    def file_bytes(self) -> int: ...


class Admission(Protocol):
    """Remembers which peers were met."""

    def refusal_of(self, node: NodeId, incarnation: bytes) -> str: ...


class Node:
    """One replica with its disk, links and clients. Made by ``replica_life``; ``run`` is its life.

    Parameters
    ----------
    config: settings.
    machine: the state machine.
    log_store, state_store: opened by the caller, who also closes them.
    admission: which incarnation of each peer is let in.
    is_write_threaded: False writes on the event loop, for stores that are memory.
    """

    def __init__(
        self,
        config: ReplicaConfig,
        machine: StateMachine,
        log_store: DurableLog,
        state_store: DurableState,
        admission: Admission,
        *,
        is_write_threaded: bool = True,
    ) -> None:
        identity = log_store.identity
        self.node = identity.node
        self.identity = identity
        self.config = config
        self.options = config.node
        self.applier = Applier(machine, state_store, config.sessions)
        self._machine = machine
        self._log = log_store
        self._state = state_store
        self._admission = admission
        recovered = reconcile(log_store, self.applier.applied_through)
        self._began_s = trio.current_time()
        self.replica = Replica(
            node=self.node,
            options=config.paxos,
            recovered=recovered,
            random=random.Random(),
            checksum=crc32c.crc32c,
            now_s=self._began_s,
            time_ms=_wall_ms(),
        )
        self._writer = LogWriter(
            log_store,
            on_durable=self._durable_in_thread if is_write_threaded else self._durable_at_once,
            on_failure=self._failed_in_thread if is_write_threaded else self.fail,
            on_compacted=self._compacted_in_thread,
            is_threaded=is_write_threaded,
        )
        self.desk = ClientDesk(self)
        self.keeper = StateKeeper(state_store, config.node, self)
        self.transport = Transport(
            Hello(identity.cluster, self.node, identity.incarnation),
            {peer: _host_port(address) for peer, address in config.members.items() if peer != self.node},
            self,
            config.transport,
        )
        self._token: trio.lowlevel.TrioToken | None = None
        self._inbox: list[tuple[Callable[..., object], tuple[Any, ...]]] = []
        self._held: deque[tuple[int, list[Outbound]]] = deque()
        self._released: deque[AcceptedSlot] = deque()
        self._slot_reads: deque[ReadSlots] = deque()
        self._has_slot_reads = trio.Event()
        self._parked: trio.lowlevel.Task | None = None
        self._is_due = True
        self._alarm = trio.CancelScope()
        self._alarm_at_s = 0.0
        self._room: trio.Event | None = None
        self._is_applying_paused = False
        self._is_waiting_for_repair = False
        self._failure: BaseException | None = None
        self._compacted_through = recovered.compacted_through
        self.turns = 0
        self.submissions = 0
        self.submissions_refused = 0

    # --- life ---

    async def run(self, listeners: Sequence[trio.SocketListener], task_status: trio.TaskStatus[None]) -> None:
        """Until cancelled (then leave in order: hand over, flush), or until something fails (then raise it)."""
        self._token = trio.lowlevel.current_trio_token()
        self._writer.start()
        work = trio.CancelScope(shield=True)
        try:
            async with trio.open_nursery() as nursery:
                await nursery.start(self._work, listeners, work)
                try:
                    task_status.started()
                    await trio.sleep_forever()
                finally:
                    if self._failure is None and not work.cancel_called:
                        with trio.move_on_after(self.options.stop_timeout_s, shield=True):
                            await self._leave()
                    work.cancel()
        finally:
            self._writer.close()

    async def _work(
        self, listeners: Sequence[trio.SocketListener], scope: trio.CancelScope, *, task_status: trio.TaskStatus[None]
    ) -> None:
        with scope:
            async with trio.open_nursery() as nursery:
                await nursery.start(self.transport.run, listeners)
                nursery.start_soon(self._take_turns)
                nursery.start_soon(self._ring_forever)
                nursery.start_soon(self._read_slots_forever)
                nursery.start_soon(self._watch_storage_forever)
                nursery.start_soon(self._scrub_forever)
                nursery.start_soon(self.keeper.run)
                task_status.started()

    async def _leave(self) -> None:
        """Hand over leadership, so that clients wait for a message instead of a timeout; then flush."""
        if self.replica.is_leading:
            self.put(self.replica.transfer_leadership, None)
            with trio.move_on_after(self.options.stop_timeout_s / 4):
                while self.replica.is_leading:  # noqa: ASYNC110 - a stop is not worth an event in every turn
                    await trio.sleep(0.005)
        await self.keeper.flush()
        log.info("stopped", applied_through=self.applier.applied_through)

    def fail(self, error: BaseException) -> None:
        """End the node with this reason."""
        if self._failure is None:
            self._failure = error
        self._wake()

    # --- turns ---

    def put(self, event: Callable[..., object], *arguments: Any) -> None:
        """One event for the next turn."""
        self._inbox.append((event, arguments))
        self._wake()

    def _wake(self) -> None:
        self._is_due = True
        if self._parked is not None:
            task, self._parked = self._parked, None
            trio.lowlevel.reschedule(task)

    async def _take_turns(self) -> None:
        """The task that owns the replica. Everybody who is ready puts an event in before it runs again."""
        while True:
            if self._is_due:
                await trio.lowlevel.checkpoint()
            else:
                self._parked = trio.lowlevel.current_task()
                await trio.lowlevel.wait_task_rescheduled(self._unpark)
            if self._failure is not None:
                raise self._failure
            if self._is_due:
                self._turn()

    def _unpark(self, _raise_cancel: object) -> trio.lowlevel.Abort:
        self._parked = None
        return trio.lowlevel.Abort.SUCCEEDED

    def _turn(self) -> None:
        """Drain the inbox, step, do what is asked, answer."""
        self._is_due = False
        self.turns += 1
        replica = self.replica
        replica.tick(trio.current_time(), _wall_ms())
        inbox, self._inbox = self._inbox, []
        for event, arguments in inbox:
            event(*arguments)
        self._obey(replica.take_effects())
        if self.desk.has_followers and self.desk.feed_followers(self._read_for_follower):
            self._wake()
        self.desk.send()
        if self._room is not None and not self._is_crowded:
            self._room.set()
            self._room = None

    def _obey(self, effects: Effects) -> None:
        """What the core asks for, in the order of its contract."""
        self._send(effects.send)
        if effects.write is not None:
            if effects.send_after_write:
                self._held.append((effects.ticket, effects.send_after_write))
            self._writer.submit(effects.ticket, effects.write)
        for notice in effects.notices:
            self._on_notice(notice)
        if effects.release:
            self._released.extend(effects.release)
        self._apply()
        if effects.reads:
            self.desk.on_reads_confirmed(effects.reads)
        for read_id in effects.reads_refused:
            self.desk.refuse_read(read_id, Refusal.NOT_LEADER)
        self.desk.answer_reads(self.applier.query)
        for slot_read in effects.slot_reads:
            self._slot_reads.append(slot_read)
            self._has_slot_reads.set()
        for state_send in effects.state_sends:
            self.keeper.send(state_send)
        for piece in effects.state_pieces:
            self.keeper.store(piece)
        self._set_alarm(effects.deadline_s)

    def _send(self, outbounds: Iterable[Outbound]) -> None:
        """One frame a peer."""
        messages: dict[NodeId, list[Message]] = {}
        for outbound in outbounds:
            messages.setdefault(outbound.target, []).append(outbound.message)
        for peer, batch in messages.items():
            self.transport.send(peer, batch)

    # --- the disk ---

    def _durable_in_thread(self, ticket: int) -> None:
        assert self._token is not None
        self._token.run_sync_soon(self._on_durable, ticket)

    def _durable_at_once(self, ticket: int) -> None:
        self.put(self._settle, ticket)

    def _on_durable(self, ticket: int) -> None:
        """From the writer's thread: what rests on the write may leave at once, and the turn needs no task switch."""
        if self._failure is not None:
            return
        try:
            self._settle(ticket)
            self._turn()
        except BaseException as error:
            self.fail(error)

    def _settle(self, ticket: int) -> None:
        ready: list[Outbound] = []
        while self._held and self._held[0][0] <= ticket:
            ready += self._held.popleft()[1]
        self._send(ready)
        self.replica.on_written(ticket)

    def _failed_in_thread(self, error: BaseException) -> None:
        assert self._token is not None
        self._token.run_sync_soon(self.fail, error)

    def _compacted_in_thread(self, through: Slot) -> None:
        assert self._token is not None
        self._token.run_sync_soon(self.put, self._on_compacted, through)

    def _on_compacted(self, through: Slot) -> None:
        self._compacted_through = max(self._compacted_through, through)
        self.replica.on_compacted(through)

    async def _read_slots_forever(self) -> None:
        """Old slots for peers that are behind, in a thread: a cold page must not hold up a turn."""
        limiter = trio.CapacityLimiter(1)
        while True:
            await self._has_slot_reads.wait()
            self._has_slot_reads = trio.Event()
            while self._slot_reads:
                asked = self._slot_reads.popleft()
                slots = await trio.to_thread.run_sync(self._read_slots, asked, limiter=limiter)
                self.put(self.replica.on_slots_read, asked.target, slots)

    def _read_slots(self, asked: ReadSlots) -> list[AcceptedSlot]:
        try:
            return self._log.read(asked.from_slot, asked.through, slots_max=asked.slots_max, bytes_max=asked.bytes_max)
        except Damaged:
            assert self._token is not None
            self._token.run_sync_soon(self.put, self.replica.on_slot_damaged, asked.from_slot)
            return []

    async def _scrub_forever(self) -> None:
        """Read the chosen log back, piece by piece, so that damage is found while the peers still have the slots."""
        limiter = trio.CapacityLimiter(1)
        next_slot = Slot(1)
        while True:
            await trio.sleep(self.options.scrub_interval_s)
            next_slot, damaged = await trio.to_thread.run_sync(
                lambda first: self._log.scrub(first, slots_max=SCRUB_SLOTS), next_slot, limiter=limiter
            )
            for slot in damaged:
                log.warning("slot_damaged", slot=slot, found_by="scrub")
                self.put(self.replica.on_slot_damaged, slot)

    async def _watch_storage_forever(self) -> None:
        """Refuse new commands in time, and say so no longer when there is room again."""
        is_full = False
        while True:
            await trio.sleep(self.options.storage_check_interval_s)
            was_full, is_full = is_full, self._log.is_nearly_full() or self.keeper.is_full
            if is_full != was_full:
                log.warning("storage_full" if is_full else "storage_has_room")
                self.put(self.replica.on_storage_full, is_full)

    # --- applying ---

    def _apply(self) -> None:
        """Apply what is released, a bounded number of slots a turn; what an earlier life left is read from the log."""
        applier = self.applier
        goal = self.replica.chosen_through
        if applier.applied_through >= goal or self._is_applying_paused or self._is_waiting_for_repair:
            return
        last = min(goal, applier.applied_through + self.options.apply_slots_max)
        while applier.applied_through < last:
            record = self._next_to_apply(Slot(applier.applied_through + 1))
            if record is None:
                return
            self.desk.on_outcomes(applier.apply(record.slot, record.value))
        self.replica.on_applied(applier.applied_through, *applier.checkpoint())
        if applier.applied_through < goal:
            self._wake()

    def _next_to_apply(self, slot: Slot) -> AcceptedSlot | None:
        released = self._released
        while released and released[0].slot < slot:
            released.popleft()
        if released and released[0].slot == slot:
            return released.popleft()
        try:
            last = Slot(released[0].slot - 1) if released else self.replica.chosen_through
            found = self._log.read(slot, last, slots_max=self.options.apply_slots_max, bytes_max=2**20)
        except Damaged as error:
            log.warning("slot_damaged", slot=slot, reason=str(error))
            self._is_waiting_for_repair = True
            self.put(self.replica.on_slot_damaged, slot)
            return None
        if not found:
            return None
        self._released.extendleft(reversed(found[1:]))
        return found[0]

    def set_applying(self, *, is_paused: bool) -> None:
        self._is_applying_paused = is_paused
        if not is_paused:
            self._wake()

    # --- what the keeper asks and says ---

    def send_piece(self, target: NodeId, piece: StatePiece) -> None:
        self.transport.send(target, [piece])

    def on_piece_stored(self, image: bytes, position: int) -> None:
        self.put(self.replica.on_state_piece_stored, image, position)

    def on_install_skipped(self, applied_through: Slot) -> None:
        self.put(self.replica.on_state_installed, applied_through)

    def on_flushed(self) -> None:
        """The state is durable further: the log may be shorter, unless a peer still needs it."""
        through = Slot(min(self.applier.durable_through, self.replica.chosen_through) - self.options.log_tail_slots)
        if through > self._compacted_through and not self.keeper.is_sending:
            self._writer.request_compaction(through)

    async def adopt_state(self, applied_through: Slot) -> None:
        """Begin anew over a state that came from a peer; the log below it is dropped first."""
        self.applier = Applier(self._machine, self._state, self.config.sessions)
        self._released.clear()
        is_floor_in = trio.Event()
        token = self._token
        assert token is not None
        self._writer.request_floor(
            applied_through, self.replica.membership, lambda: token.run_sync_soon(is_floor_in.set)
        )
        await is_floor_in.wait()
        log.info("state_installed", applied_through=applied_through)
        self._compacted_through = max(self._compacted_through, applied_through)
        self.put(self.replica.on_state_installed, applied_through)
        self.put(self.replica.on_compacted, applied_through)

    # --- notices ---

    def _on_notice(self, notice: Notice) -> None:
        (log.warning if notice.kind in _WARNINGS else log.info)(notice.kind.value, **notice.facts)
        match notice.kind:
            case NoticeKind.STEPPED_DOWN:
                self.desk.on_stepped_down()
            case NoticeKind.BECAME_LEADER | NoticeKind.LEADER_CHANGED:
                self.desk.on_leader_changed()
            case NoticeKind.DAMAGE_REPAIRED:
                self._is_waiting_for_repair = False
                self._wake()
            case NoticeKind.STATE_DIVERGED:
                self.fail(
                    StateDiverged(
                        f"this replica's state differs from the others' at slot {notice.facts['slot']} (digest "
                        f"{notice.facts['digest']}, theirs {notice.facts['other']}): the state machine is not "
                        "deterministic, or its code differs between nodes."
                    )
                )

    # --- the alarm: the core says when it wants to be called ---

    def _set_alarm(self, at_s: float) -> None:
        """An alarm that comes early costs a turn and is set anew, so it is moved only forward in time."""
        if at_s < self._alarm_at_s or self._alarm_at_s <= trio.current_time():
            self._alarm_at_s = at_s
            self._alarm.deadline = at_s

    async def _ring_forever(self) -> None:
        while True:
            with trio.CancelScope(deadline=self._alarm_at_s) as self._alarm:
                await trio.sleep_forever()
            self._wake()
            await trio.lowlevel.checkpoint()

    # --- links: ``transport.Handler`` ---

    def admit(self, hello: Hello) -> str:
        if not hello.node and not hello.cluster:
            return ""
        if hello.cluster != self.identity.cluster:
            return (
                f"{node_name(self.node)} belongs to cluster {self.identity.cluster.hex()}, not {hello.cluster.hex()}; "
                "one of the two has a wrong address"
            )
        if not hello.node:
            return ""
        peer = NodeId(hello.node)
        if peer == self.node or peer not in self.replica.membership.members:
            return f"{node_name(peer)} is not another member of this cluster"
        return self._admission.refusal_of(peer, hello.incarnation)

    def welcome(self, refusal: str) -> Welcome:
        return Welcome(
            self.identity.cluster,
            self.node,
            self.identity.incarnation,
            refusal,
            tuple(self.config.members.items()),
            min(self.options.command_bytes_max + _ENVELOPE_BYTES, self.config.paxos.batch_bytes_max),
        )

    def on_peer_opened(self, peer: NodeId) -> None:
        log.info("peer_connected", peer=node_name(peer))
        self.put(self.replica.on_link_opened, peer)

    def on_peer_messages(self, peer: NodeId, messages: list[Message]) -> None:
        self.put(self._take_peer_messages, peer, messages)

    def _take_peer_messages(self, peer: NodeId, messages: list[Message]) -> None:
        on_message = self.replica.on_message
        for message in messages:
            on_message(peer, message)

    def on_peer_closed(self, peer: NodeId) -> None:
        log.info("peer_disconnected", peer=node_name(peer))
        self.put(self.replica.on_link_closed, peer)

    def on_client_opened(self, link: Link) -> None:
        self.desk.open(link)

    def on_client_closed(self, link: Link) -> None:
        self.desk.close(link)

    def on_client_messages(self, link: Link, messages: list[ClientMessage]) -> None:
        self.put(self._take_client_messages, link, messages)

    def _take_client_messages(self, link: Link, messages: list[ClientMessage]) -> None:
        for message in messages:
            match message:
                case Submit():
                    self._submit(link, message)
                case Query():
                    self._query(link, message)
                case Follow():
                    self.desk.follow(link, message, self.options.follow_credit_max)
                case StatusRequest():
                    self.desk.say(link, Status(message.request, encode_status(self.status())))
                case TransferRequest():
                    self._transfer(link, message)
                case Ping():
                    self.desk.say(link, Pong(message.nonce))

    def _submit(self, link: Link, message: Submit) -> None:
        refusal = self.replica.submit(message.submission)
        self.submissions += 1
        self.submissions_refused += refusal is not None
        self.desk.on_submit(link, message, refusal)

    def _query(self, link: Link, message: Query) -> None:
        if message.is_stale:
            self.desk.answer(link, message, self.applier.query)
            return
        read_id = self.desk.begin_read(link, message)
        refusal = self.replica.read(read_id)
        if refusal is not None:
            self.desk.refuse_read(read_id, refusal)

    def _transfer(self, link: Link, message: TransferRequest) -> None:
        target = NodeId(message.target) if message.target else None
        reason = self.replica.transfer_leadership(target)
        address = self.leader_address()[1] if reason is not None and not self.replica.is_leading else ""
        self.desk.say(link, TransferAnswer(message.request, reason is None, reason or "", address))

    @property
    def _is_crowded(self) -> bool:
        """More submissions wait than the next batches will take: let clients wait instead of refusing them."""
        return (
            len(self._inbox) > self.options.inbox_submissions_max
            or self.replica.submissions_waiting > self.config.paxos.queue_submissions_max // 2
        )

    async def wait_for_room(self) -> None:
        while self._is_crowded:
            if self._room is None:
                self._room = trio.Event()
            await self._room.wait()

    # --- ``client_desk.Book``, and what the node says of itself ---

    @property
    def applied_through(self) -> Slot:
        return self.applier.applied_through

    @property
    def compacted_through(self) -> Slot:
        return self._compacted_through

    def leader_address(self) -> tuple[NodeId, str]:
        leader = self.replica.leader
        return (NodeId(0), "") if leader is None else (leader, self.config.members.get(leader, ""))

    def _read_for_follower(self, first: Slot, last: Slot, slots_max: int, bytes_max: int) -> list[AcceptedSlot]:
        try:
            return self._log.read(first, last, slots_max=slots_max, bytes_max=bytes_max)
        except Damaged:
            self.put(self.replica.on_slot_damaged, first)
            return []

    def status(self) -> NodeStatus:
        """What this node says of itself."""
        replica, applier, membership = self.replica, self.applier, self.replica.membership
        leader, leader_address = self.leader_address()
        writes, counts = self._writer.statistics(), replica.statistics()
        checkpoint_slot, checkpoint_digest = applier.checkpoint()
        is_voter = membership.is_voter(self.node)
        return NodeStatus(
            node=node_name(self.node),
            cluster_id=self.identity.cluster.hex(),
            incarnation=self.identity.incarnation.hex(),
            role=_ROLE_NAMES[replica.role] if is_voter else "learner",
            ballot=str(replica.promise),
            leader=node_name(leader) if leader else "",
            leader_address=leader_address,
            chosen_through=replica.chosen_through,
            applied_through=applier.applied_through,
            compacted_through=self._compacted_through,
            durable_through=applier.durable_through,
            digest=applier.digest.hex(),
            checkpoint_slot=checkpoint_slot,
            checkpoint_digest=checkpoint_digest.hex(),
            is_voter=is_voter,
            is_voting=replica.is_voting,
            is_storage_full=self._writer.is_waiting_for_room or self.keeper.is_full or self._log.is_nearly_full(),
            problem=replica.abstain_reason,
            log_bytes=self._log.file_bytes,
            state_bytes=self._state.file_bytes,
            sync_p50_ms=writes.latency_us(0.5) / 1000 if writes.commits else None,
            sync_p99_ms=writes.latency_us(0.99) / 1000 if writes.commits else None,
            version=version("replog"),
            uptime_s=round(trio.current_time() - self._began_s, 3),
            membership_version=membership.version,
            members={node_name(node): address for node, address in self.config.members.items()},
            voters=[node_name(node) for node in membership.voters],
            learners=[node_name(node) for node in membership.learners],
            sessions_open=applier.sessions_open,
            counters={
                "turns": self.turns,
                "submissions": self.submissions,
                "submissions_refused": self.submissions_refused,
                "commands_applied": applier.commands_applied,
                "commands_failed": applier.commands_failed,
                "commands_repeated": applier.commands_repeated,
                "submissions_malformed": applier.submissions_malformed,
                "commits": writes.commits,
                "writes": writes.writes,
                "records": writes.records,
                "record_bytes": writes.record_bytes,
                "compactions": writes.compactions,
                "flushes": self.keeper.flushes,
                "state_pieces_sent": self.keeper.pieces_sent,
                "state_pieces_stored": self.keeper.pieces_stored,
                "ballots_begun": counts.ballots_begun,
                "times_leader": counts.times_leader,
                "damaged_received": counts.damaged_received,
                **{f"link_{name}": count for name, count in sorted(self.transport.counts.items())},
            },
        )


def _wall_ms() -> int:
    return time.time_ns() // 1_000_000


def _host_port(address: str) -> tuple[str, int]:
    host, _, port = address.rpartition(":")
    return host.strip("[]"), int(port)
