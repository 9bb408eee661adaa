"""Drives one replica: inbox -> step -> write -> send -> apply -> reply, turn after turn.

One task owns the replica. Links and threads put events into its inbox and wake it; it takes everything that waits in
one turn, so a turn's cost is shared by all commands in it. What the core asks for is done in the order its contract
names: messages that rest on nothing leave first, beside the write; those that rest on the write leave from the writer's
call-back; released slots are applied while the disk works on the next ones.

Nothing here is done per command, and nothing here knows what a ballot is. Whatever fails ends the node with its reason,
in one place (``guarded``, ``fail``): half a node must not go on, so from then on nothing is said, applied or written.
What goes wrong for one client alone, or comes from one link, ends that link.
"""

from __future__ import annotations

import random
import time
from collections import deque
from collections.abc import Awaitable, Callable, Collection, Iterable, Sequence
from typing import Any, Protocol, TypeVar

import crc32c
import structlog
import trio

from ..addresses import split_address
from ..apply.applier import Applier
from ..apply.machine_terms import difference, machine_terms
from ..apply.outcomes import Refused
from ..apply.submissions import ENVELOPE_BYTES
from ..errors import StateDiverged, Unavailable
from ..paxos.ballot import NodeId, Slot, node_name
from ..paxos.effects import Effects, LogWrite, Notice, NoticeKind, Refusal
from ..paxos.messages import AcceptedSlot, Message, Outbound, StatePiece
from ..paxos.replica import Replica
from ..state.contract import StateStore
from ..state_machine import StateMachine
from ..wire.client_messages import (
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
    admit,
)
from ..wire.codec import Hello, Kind, Welcome, encode_frame
from ..wire.link import Link
from ..wire.status import NodeStatus, encode_status
from .clients import ClientDesk
from .links import Transport
from .log_port import DurableLog, LogKeeper
from .message_checks import check_peer_messages, check_query
from .queries import answer_query
from .reconcile import reconcile
from .report import report
from .settings import ReplicaConfig
from .state_port import StateKeeper
from .thrifty import Thrift

log = structlog.get_logger(__name__)

_T = TypeVar("_T")

_WARNINGS = frozenset(
    {
        NoticeKind.STEPPED_DOWN,
        NoticeKind.ABSTAINED,
        NoticeKind.DISK_STALLED,
        NoticeKind.APPLYING_STALLED,
        NoticeKind.STATE_DIVERGED,
        NoticeKind.STATE_CONTRADICTED,
        NoticeKind.CLOCK_ASTRAY,
        NoticeKind.LOG_TIME_AHEAD,
    }
)
_BUSY_WORD_INTERVAL_S = 0.1
LONE_COMMAND_BYTES = 512


class DurableState(StateStore, Protocol):
    """What the node needs of the state beside ``state.contract.StateStore``."""

    @property
    def file_bytes(self) -> int: ...


class Admission(Protocol):
    """Remembers which peers were met."""

    def refusal_of(self, node: NodeId, incarnation: bytes) -> str: ...


class Node:
    """One replica with its disk, links and clients. Made by ``embedding``; ``run`` is its life.

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
        self.log_store = log_store
        self.state_store = state_store
        self._admission = admission
        self._terms = machine_terms(config.sessions)
        recovered = reconcile(log_store, self.applier.applied_through, state_store.installed_through)
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
        self._tell_applied()
        self.log_keeper = LogKeeper(log_store, config.node, self, is_threaded=is_write_threaded)
        self.desk = ClientDesk(self)
        self.keeper = StateKeeper(state_store, config.node, self)
        self.transport = Transport(
            Hello(identity.cluster, self.node, identity.incarnation, terms=self._terms),
            {peer: split_address(address) for peer, address in config.members.items() if peer != self.node},
            self,
            config.transport,
        )
        self._thrift = Thrift(
            (peer for peer in config.members if peer != self.node),
            config.node.thrift_s,
            self.transport.send,
            lambda slot: slot <= self.replica.chosen_through,
        )
        self._inbox: list[tuple[Callable[..., object], tuple[Any, ...]]] = []
        self._released: deque[AcceptedSlot] = deque()
        self._inbox_submissions = 0
        self._inbox_bytes = 0
        self._parked: trio.lowlevel.Task | None = None
        self._is_due = True
        self._alarm = trio.CancelScope()
        self._alarm_at_s = 0.0
        self._room: trio.Event | None = None
        self._is_applying_paused = False
        self._failure: BaseException | None = None
        self._is_inside = False
        self._life = trio.CancelScope(shield=True)
        self.turns = 0
        self.submissions = 0
        self.submissions_refused = 0

    # --- life ---

    async def run(self, listeners: Sequence[trio.SocketListener], task_status: trio.TaskStatus[None]) -> None:
        """Until cancelled (then leave in order: hand over, flush), or until something fails (then raise it)."""
        self.log_keeper.start()
        is_stopping = trio.Event()
        try:
            async with trio.open_nursery() as nursery:
                await nursery.start(self._live, listeners, is_stopping, nursery.cancel_scope)
                try:
                    task_status.started()
                    await trio.sleep_forever()
                finally:
                    is_stopping.set()
        finally:
            self.log_keeper.close()
            if self._failure is not None:
                raise self._failure

    async def _live(
        self,
        listeners: Sequence[trio.SocketListener],
        is_stopping: trio.Event,
        outer: trio.CancelScope,
        *,
        task_status: trio.TaskStatus[None],
    ) -> None:
        """All tasks of the node, cancelled together: by a failure at once, else when it has left."""
        with self._life:
            async with trio.open_nursery() as nursery:
                await nursery.start(self._work, self.transport.run, listeners, name=self.transport.run)
                for task in (
                    self._take_turns,
                    self._ring_forever,
                    self._drop_idle_forever,
                    self._thrift.run,
                    self.log_keeper.run,
                    self.keeper.run,
                ):
                    nursery.start_soon(self._work, task, name=task)
                task_status.started()
                await is_stopping.wait()
                with trio.move_on_after(self.options.stop_timeout_s):
                    await self._work(self._leave)
                self._life.cancel()
        outer.cancel()

    async def _work(self, task: Callable[..., Awaitable[object]], *arguments: Any, **named: Any) -> None:
        """Run one of the node's tasks; it fails for all of them."""
        try:
            await task(*arguments, **named)
        except trio.Cancelled:
            raise
        except BaseException as error:
            self.fail(unwrapped(error))

    async def _leave(self) -> None:
        """Hand over, so that clients are told where to go instead of waiting; then flush, to replay nothing."""
        if self.guarded(self._hand_over):
            with trio.move_on_after(self.options.stop_timeout_s / 4):
                while self.replica.leader in (None, self.replica.node):  # noqa: ASYNC110 - not worth an event a turn
                    await trio.sleep(0.005)
        self.set_applying(is_paused=True)
        await self.keeper.flush()
        log.info("stopped", applied_through=self.applier.applied_through)

    def _hand_over(self) -> bool:
        """Whether somebody was asked to take over."""
        is_asked = self.replica.transfer_leadership(None) is None
        if is_asked:
            self._wake()
        return is_asked

    def fail(self, error: BaseException) -> None:
        """End the node with this reason; nothing is said, applied, or begun to be written any more.

        What the disks are writing at this moment they may finish: nothing rests on it.
        """
        if self._failure is not None:
            return
        if isinstance(error, trio.Cancelled):  # one that code kept for itself: raised again it would end nothing
            error = RuntimeError(f"out of a turn came {error!r}")
        self._failure = error
        self.log_keeper.abandon()
        self.transport.close()
        self._life.cancel()

    @trio.lowlevel.enable_ki_protection
    def guarded(self, act: Callable[..., _T], *arguments: Any) -> _T | None:
        """The one entrance for everything that touches the replica or speaks for it; returns what ``act`` does.

        Refused after a failure; what comes out is one, whatever it is; None in both cases. An interrupt from the
        keyboard waits until this is over: it must never look like a command that fails.
        """
        if self._failure is not None:
            return None
        assert not self._is_inside, act  # a turn inside a turn would see a half-done one
        self._is_inside = True
        try:
            return act(*arguments)
        except BaseException as error:
            self.fail(error)
            return None
        finally:
            self._is_inside = False

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
            if self._is_due:
                self.turn()

    def _unpark(self, _raise_cancel: object) -> trio.lowlevel.Abort:
        self._parked = None
        return trio.lowlevel.Abort.SUCCEEDED

    def turn(self) -> None:
        """Take all that waits, do what is asked, answer."""
        self.guarded(self._turn)

    def _turn(self) -> None:
        self._is_due = False
        self.turns += 1
        self.replica.tick(trio.current_time(), _wall_ms())
        self._step()
        if self._inbox:
            self._step()  # a write was durable at once
            if self._inbox:
                self._wake()
        if self.desk.has_followers and self.desk.feed_followers(self.log_keeper.read_here):
            self._wake()
        self.desk.send()
        if self._room is not None and not self._is_crowded:
            self._room.set()
            self._room = None

    def _step(self) -> None:
        """Drain the inbox, step the core, do what it asks."""
        inbox, self._inbox = self._inbox, []
        self._inbox_submissions = self._inbox_bytes = 0
        for event, arguments in inbox:
            event(*arguments)
        self._obey(self.replica.take_effects())

    def _obey(self, effects: Effects) -> None:
        """What the core asks for, in the order of its contract."""
        if effects.write is None:
            self.send(effects.send)
        else:
            is_lone = self.replica.is_leading and _is_lone(effects.write)
            self.send(effects.send, self._spared(effects.write) if is_lone else ())
            may_wait = is_lone or not self.replica.is_leading
            if self.log_keeper.write(effects.ticket, effects.write, effects.send_after_write, may_wait=may_wait):
                self._inbox.append((self.on_written, (effects.ticket,)))
        for notice in effects.notices:
            self._on_notice(notice)
        if effects.release:
            self._released.extend(effects.release)
        self._apply()
        if effects.reads:
            self.desk.on_reads_confirmed(effects.reads)
        for read_id in effects.reads_refused:
            self.desk.refuse_read(read_id, Refusal.NOT_LEADER)
        if self.desk.answer_reads(self._answer_query):
            self._wake()
        for slot_read in effects.slot_reads:
            self.log_keeper.read_for_peer(slot_read)
        for state_send in effects.state_sends:
            self.keeper.send(state_send)
        for piece in effects.state_pieces:
            self.keeper.store(piece)
        self._set_alarm(effects.deadline_s)

    def _spared(self, write: LogWrite) -> Collection[NodeId]:
        """Whom a lone command need not reach at once."""
        membership = self.replica.membership
        reachable = self.transport.peers_connected.intersection(membership.voters)
        return self._thrift.spare(write.slots[0].slot, reachable, membership.quorum_count - 1)

    def send(self, outbounds: Iterable[Outbound], spared: Collection[NodeId] = ()) -> None:
        """One frame a peer; those to ``spared`` peers a moment later."""
        messages: dict[NodeId, list[Message]] = {}
        for outbound in outbounds:
            messages.setdefault(outbound.target, []).append(outbound.message)
        for peer, batch in messages.items():
            if peer in spared:
                self._thrift.keep(peer, batch)
            else:
                self.transport.send(peer, self._thrift.with_kept(peer, batch))

    # --- what the log's keeper says ---

    def on_written(self, ticket: int) -> None:
        self.replica.on_written(ticket)

    def on_compacted(self, through: Slot) -> None:
        self.replica.on_compacted(through)

    def on_floor_installed(self, through: Slot) -> None:
        self._tell_applied()
        self.replica.on_state_installed(through)

    def on_slots_read(self, target: NodeId, slots: list[AcceptedSlot]) -> None:
        self.replica.on_slots_read(target, slots)

    def on_slot_damaged(self, slot: Slot) -> None:
        self.replica.on_slot_damaged(slot)

    def on_storage_full(self, is_full: bool) -> None:
        self.replica.on_storage_full(is_full)

    def is_state_full(self) -> bool:
        return self.keeper.is_full

    # --- reading ---

    def _answer_query(self, request: bytes) -> tuple[bytes, bool]:
        return answer_query(self.applier, request)

    def answer_stale(self, request: bytes) -> tuple[bytes, bool]:
        """The answer to a read by this node's own state as it stands, and whether the query failed; see ``queries``.

        Raises ``Unavailable`` if the node has failed, now or before.
        """
        answered = self.guarded(self._answer_query, request)
        if answered is None:
            raise Unavailable("this replica has failed; its own error says why") from self._failure
        return answered

    # --- applying ---

    def _apply(self) -> None:
        """Apply what is released, a bounded number of slots a turn; what an earlier life left is read from the log."""
        applier = self.applier
        goal = self.replica.chosen_through
        if applier.applied_through >= goal or self._is_applying_paused:
            return
        if self.replica.is_damaged(Slot(applier.applied_through + 1)):
            return  # until it is repaired, or a state that goes over it is installed
        last = min(goal, applier.applied_through + self.options.apply_slots_max)
        while applier.applied_through < last and not self.keeper.is_behind():
            record = self._next_to_apply(Slot(applier.applied_through + 1))
            if record is None:
                return
            self.desk.on_outcomes(applier.apply(record.slot, record.value))
        self._tell_applied()
        if applier.applied_through < goal and not self.keeper.is_behind():
            self._wake()

    def _tell_applied(self) -> None:
        applier = self.applier
        self.replica.on_applied(applier.applied_through, *applier.checkpoint(), applier.log_time_ms)

    def _next_to_apply(self, slot: Slot) -> AcceptedSlot | None:
        released = self._released
        while released and released[0].slot < slot:
            released.popleft()
        if released and released[0].slot == slot:
            return released.popleft()
        last = Slot(released[0].slot - 1) if released else self.replica.chosen_through
        found = self.log_keeper.read_here(slot, last, self.options.apply_slots_max)
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

    def on_install_skipped(self) -> None:
        self.put(self.replica.on_state_skipped)

    def on_flush_begun(self) -> None:
        """What was changed is set aside: applying may have waited for that."""
        self._wake()

    def on_flushed(self) -> None:
        """The state is durable further: the log may be shorter, unless a peer still needs it."""
        through = min(self.applier.durable_through, self.replica.chosen_through)
        if through > self.replica.compacted_through and not self.keeper.is_sending:
            self.log_keeper.compact(through)

    async def adopt_state(self, applied_through: Slot) -> None:
        """Begin anew over a state that came from a peer, and drop the log below it; then the core hears of it."""
        self.applier = Applier(self._machine, self.state_store, self.config.sessions)
        self._released.clear()
        await self.log_keeper.install_floor(applied_through, self.replica.membership)
        log.info("state_installed", applied_through=applied_through)

    # --- notices ---

    def _on_notice(self, notice: Notice) -> None:
        (log.warning if notice.kind in _WARNINGS else log.info)(notice.kind.value, **notice.facts)
        match notice.kind:
            case NoticeKind.STEPPED_DOWN:
                self.desk.on_stepped_down()
            case NoticeKind.BECAME_LEADER | NoticeKind.LEADER_CHANGED:
                self.desk.on_leader_changed()
            case NoticeKind.DAMAGE_REPAIRED:
                self._wake()
            case NoticeKind.STATE_DIVERGED:
                raise StateDiverged(
                    f"this replica's state differs from the others' at slot {notice.facts['slot']} (digest "
                    f"{notice.facts['digest']}, theirs {notice.facts['other']}): the state machine is not "
                    "deterministic; or its code, a library of it, Python or a setting of [sessions] differs between "
                    "the nodes; or this node's stored state is damaged."
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

    # --- links: ``links.Handler`` ---

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
        differs = difference(self._terms, hello.terms)
        if differs:
            return (
                f"{node_name(peer)} and {node_name(self.node)} would make different states of one log: {differs}; run "
                "the same release, the same Python and the same [sessions] on all members"
            )
        return self._admission.refusal_of(peer, hello.incarnation)

    def welcome(self, refusal: str) -> Welcome:
        return Welcome(
            self.identity.cluster,
            self.node,
            self.identity.incarnation,
            refusal,
            tuple(self.config.members.items()),
            min(self.options.command_bytes_max + ENVELOPE_BYTES, self.config.paxos.batch_bytes_max),
            self._terms,
        )

    def on_peer_opened(self, peer: NodeId) -> None:
        log.info("peer_connected", peer=node_name(peer))
        self.put(self.replica.on_link_opened, peer)

    def on_peer_messages(self, peer: NodeId, messages: list[Message]) -> None:
        """A peer waits for what comes of this, so the turn is taken at once; what clients send gathers.

        Raises ``FrameError`` at a message that can't be meant; nothing of its frame is taken.
        """
        check_peer_messages(peer, messages, self.replica.promise)
        self._inbox.append((self._take_peer_messages, (peer, messages)))
        self.turn()

    def _take_peer_messages(self, peer: NodeId, messages: list[Message]) -> None:
        on_message = self.replica.on_message
        for message in messages:
            on_message(peer, message)

    def on_peer_closed(self, peer: NodeId) -> None:
        log.info("peer_disconnected", peer=node_name(peer))
        self.put(self.replica.on_link_closed, peer)

    def on_client_opened(self, link: Link) -> None:
        link.on_drained = self._wake
        self.desk.open(link)

    def on_client_closed(self, link: Link) -> None:
        self.desk.close(link)

    def on_client_messages(self, link: Link, messages: list[ClientMessage]) -> None:
        """Raises ``FrameError`` at a message that can't be answered; nothing of its frame is taken."""
        for message in messages:
            if type(message) is Submit:
                self._inbox_submissions += 1
                self._inbox_bytes += len(message.submission)
            elif type(message) is Query:
                check_query(message)
        self._inbox.append((self._take_client_messages, (link, messages)))
        if self.desk.has_one_client:
            self.turn()  # there is nobody to wait for
        else:
            self._wake()

    def _take_client_messages(self, link: Link, messages: list[ClientMessage]) -> None:
        for message in messages:
            match message:
                case Submit():
                    self._submit(link, message)
                case Query():
                    self._query(link, message)
                case Follow():
                    self.desk.attempt(link, self.desk.follow, link, message, self.options.follow_credit_max)
                case StatusRequest():
                    self.desk.attempt(link, self._say_status, link, message)
                case TransferRequest():
                    self._transfer(link, message)
                case Ping():
                    self.desk.say(link, Pong(message.nonce))

    def _say_status(self, link: Link, message: StatusRequest) -> None:
        self.desk.say(link, Status(message.request, encode_status(self.status())))

    def _submit(self, link: Link, message: Submit) -> None:
        self.submissions += 1
        submission = admit(message)
        if isinstance(submission, Refused):
            self.submissions_refused += 1
            self.desk.say(link, submission)
            return
        refusal = self.replica.submit(message.submission)
        self.submissions_refused += refusal is not None
        self.desk.attempt(link, self.desk.on_submit, link, message, submission, refusal)

    def _query(self, link: Link, message: Query) -> None:
        if message.is_stale:
            self.desk.answer_soon(link, message)
            return
        read_id = self.desk.begin_read(link, message)
        refusal = self.replica.read(read_id)
        if refusal is not None:
            self.desk.refuse_read(read_id, refusal)

    def _transfer(self, link: Link, message: TransferRequest) -> None:
        if not self.replica.is_leading:
            self.desk.say_not_leader(link)
            return
        target = NodeId(message.target) if message.target else None
        refusal = None if target == self.replica.node else self.replica.transfer_leadership(target)
        reason, may_pass = (refusal.reason, refusal.may_pass) if refusal else ("", False)
        self.desk.say(link, TransferAnswer(message.request, refusal is None, reason, may_pass))

    async def _drop_idle_forever(self) -> None:
        """A client that says nothing for long may be gone without a word; it connects again when it has something."""
        while True:
            await trio.sleep(self.options.idle_timeout_s / 4)
            for link in self.desk.idle_links(trio.current_time() - self.options.idle_timeout_s, trio.current_time()):
                log.info("client_idle", other=link.peer_address)
                link.close()

    @property
    def _is_crowded(self) -> bool:
        """More submissions wait than the next batches will take: let clients wait instead of refusing them."""
        return (
            self._inbox_submissions > self.options.inbox_submissions_max
            or self._inbox_bytes > self.options.inbox_bytes_max
            or self.replica.submissions_waiting > self.config.paxos.queue_submissions_max // 2
        )

    async def wait_for_room(self, link: Link) -> None:
        """The client hears now and then that this node lives: it must not take one that is busy for one that hangs."""
        while self._is_crowded:
            if self._room is None:
                self._room = trio.Event()
            with trio.move_on_after(_BUSY_WORD_INTERVAL_S) as waiting:
                await self._room.wait()
            if waiting.cancelled_caught:
                link.write(encode_frame(Kind.NODE, [Pong(0)]))

    # --- ``clients.Book``, and what the node says of itself ---

    @property
    def applied_through(self) -> Slot:
        return self.applier.applied_through

    @property
    def compacted_through(self) -> Slot:
        return self.replica.compacted_through

    def leader_address(self) -> tuple[NodeId, str]:
        leader = self.replica.leader
        return (NodeId(0), "") if leader is None else (leader, self.config.members.get(leader, ""))

    def status(self) -> NodeStatus:
        """What this node says of itself."""
        return report(self)

    @property
    def uptime_s(self) -> float:
        return trio.current_time() - self._began_s


def unwrapped(error: BaseException) -> BaseException:
    """The one exception that nurseries wrapped, or the group if there are several; cancellations are no causes."""
    inner = error
    while isinstance(inner, BaseExceptionGroup):
        causes = [cause for cause in inner.exceptions if not isinstance(cause, trio.Cancelled)]
        if len(causes) != 1:
            return error
        inner = causes[0]
    return inner


def _is_lone(write: LogWrite) -> bool:
    """Whether a leader's write is about one command, so that nothing is gained by gathering more beside it."""
    return write.promise is None and len(write.slots) == 1 and len(write.slots[0].value) <= LONE_COMMAND_BYTES


def _wall_ms() -> int:
    return time.time_ns() // 1_000_000
