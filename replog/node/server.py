"""One running replica: the driver with real links, disks, threads and time under it.

It takes the driver's turns: at once for what a peer sends or a disk finishes, because somebody waits for what comes of
it; from a task of its own for what clients send, so that everybody who is ready puts an event in first. Turns and
queries have one entrance (``guarded``), and whatever comes out of it ends the node with its reason, in one place
(``fail``): half a node must not go on, so from then on nothing is said, applied or written.

Never: decide what an event means; do anything after a failure.
"""

from __future__ import annotations

import random
import time
from collections.abc import Awaitable, Callable, Sequence
from typing import Any, TypeVar

import structlog
import trio

from ..apply.applier import Applier
from ..apply.machine_terms import machine_terms
from ..errors import Unavailable
from ..log.contract import LogStore
from ..paxos.ballot import node_name
from ..paxos.replica import Replica
from ..process.forking import end_child, own
from ..state.contract import StateStore
from ..state_machine import StateMachine
from ..wire.budget import Budget
from ..wire.codec import Hello
from ..wire.status import NodeStatus, encode_status
from .admission import Admission, PeerMemory
from .alarm import Alarm
from .clients import Clients
from .doors import Doors
from .driver import Driver
from .events import (
    Event,
    HandOver,
    StopApplying,
)
from .fence import Around
from .forked_loop import separate_loop
from .life import Origin, begin_life
from .link_notes import LinkNotes
from .links import Transport
from .log_port import LogPort
from .long_turns import LONG_S, LongTurns
from .ports import Ports
from .reconcile import reconcile
from .recording import Recorder
from .report import report
from .settings import ReplicaConfig
from .state_port import StatePort

log = structlog.get_logger(__name__)

_T = TypeVar("_T")
_BUSY_WORD_INTERVAL_S = 0.1
_LEAVE_POLL_S = 0.005


class Node:
    """One replica with its disk, links and clients. Made by ``embedding``; ``run`` is its life.

    Parameters
    ----------
    config: settings.
    machine: the state machine.
    log_store, state_store: opened by the caller, who also closes them.
    memory: which incarnation of each peer is let in.
    is_write_threaded: False writes on the event loop, for stores that are memory.
    recorder: records this life; closed by the caller.
    """

    def __init__(
        self,
        config: ReplicaConfig,
        machine: StateMachine,
        log_store: LogStore,
        state_store: StateStore,
        memory: PeerMemory,
        *,
        is_write_threaded: bool = True,
        recorder: Recorder | None = None,
    ) -> None:
        identity = log_store.identity
        self.node = identity.node
        self.log = log.bind(node=node_name(self.node))
        self.identity = identity
        self.config = config
        self.options = config.node
        self.log_store = log_store
        self.state_store = state_store
        self._parked: trio.lowlevel.Task | None = None
        self._alarm = Alarm(self._on_alarm)
        self._failure: BaseException | None = None
        self._is_inside = False
        self.is_forked_off = False
        """Whether this is a child of the process that the node runs in."""
        self._life = trio.CancelScope(shield=True)
        self._began_s = trio.current_time()
        self._clock = _cheap_clock()
        self._long_turns = LongTurns(self.log)
        self.log_port = LogPort(log_store, config.node, self, is_threaded=is_write_threaded)
        self.state_port = StatePort(state_store, self.put)
        self._doors = Doors(self)
        self._notes = LinkNotes(self.log, trio.current_time)
        self.transport = Transport(
            Hello(identity.cluster, self.node, identity.incarnation, terms=machine_terms(config.sessions)),
            self._doors,
            config.transport,
            self._notes,
            Budget(config.node.clients_bytes_max),
            member_count=len(config.members),
        )
        self.driver, self._entrance = self._begin_life(machine, recorder)
        self._doors.open(Admission(identity, config, memory, self.driver.following.reach))
        own(self)

    def _begin_life(self, machine: StateMachine, recorder: Recorder | None) -> tuple[Driver, Driver | Recorder]:
        config, log_store, state_store = self.config, self.log_store, self.state_store

        def make_applier() -> Applier:
            return Applier(machine, state_store, config.sessions, node_log=self.log)

        around = Around(
            make_applier=make_applier,
            state_store=state_store,
            ports=Ports(log=self.log_port, state=self.state_port, peers=self.transport, clients=self._doors),
            clock=self._clock,
            log=self._notes,
            status=lambda: encode_status(self.status()),
        )
        origin = Origin(
            node=self.node,
            seeds=config.members,
            paxos=config.paxos,
            options=config.node,
            recovered=reconcile(
                log_store,
                (applier := make_applier()).applied_through,
                state_store.installed_through,
                applier.membership,
            ),
            seed=random.SystemRandom().getrandbits(64),
            now_s=self._began_s,
            time_ms=_wall_ms(),
        )
        return begin_life(origin, around, recorder)

    # --- life ---

    async def run(self, listeners: Sequence[trio.SocketListener], task_status: trio.TaskStatus[None]) -> None:
        """Until cancelled (then leave in order: hand over, flush), or until something fails (then raise it)."""
        self.log_port.start()
        if self.log_store.lack:
            self.log.warning("journal_not_made", reason=self.log_store.lack)
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
            if not self.is_forked_off:
                self.log_port.close()
                self.driver.jobs.close()
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
                    self._alarm.ring_forever,
                    self._doors.look_at_clients_forever,
                    self.log_port.run,
                    self.state_port.run,
                ):
                    nursery.start_soon(self._work, task, name=task)
                task_status.started()
                await is_stopping.wait()
                if self.is_forked_off:
                    self._life.cancel()
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
        driver = self.driver
        if driver.replica.is_leading:
            self.put(HandOver())
            with trio.move_on_after(self.options.stop_timeout_s / 4):
                while driver.replica.is_leading or driver.replica.leader in (None, self.node):  # noqa: ASYNC110
                    await trio.sleep(_LEAVE_POLL_S)
        self.put(StopApplying())
        while driver.is_due or not driver.jobs.is_durable:  # noqa: ASYNC110 - not worth an event a turn
            await trio.sleep(_LEAVE_POLL_S)
        self.log.info("stopped", applied_through=driver.applied_through)

    def fail(self, error: BaseException) -> None:
        """End the node with this reason; nothing is said, applied, or begun to be written any more.

        What the disks are writing at this moment they may finish: nothing rests on it.
        """
        if self._failure is not None:
            return
        if isinstance(error, trio.Cancelled):  # one that code kept for itself: raised again it would end nothing
            error = RuntimeError(f"out of a turn came {error!r}")
        self._failure = error
        self.log_port.abandon()
        self.transport.close()
        self._life.cancel()

    def on_forked(self) -> None:
        """This is a child, and the node runs in its parent: here it takes no turn and leaves nothing in order."""
        self._failure = RuntimeError("this replica runs in the process from which this one was forked off")
        self.is_forked_off = True
        self.log_port.on_forked()
        separate_loop()

    @trio.lowlevel.enable_ki_protection
    def guarded(self, act: Callable[..., _T], *arguments: Any) -> _T | None:
        """The one entrance to the driver's turns and queries; returns what ``act`` does.

        Refused after a failure; what comes out is one, whatever it is; None in both cases. An interrupt from the
        keyboard waits until this is over: it must never look like a command that fails. A child that ``apply`` or
        ``query`` forked off and let come back ends here, and runs nothing of its parent's program.
        """
        if self._failure is not None:
            return None
        assert not self._is_inside, act
        self._is_inside = True
        try:
            return act(*arguments)
        except BaseException as error:
            self.fail(error)
            return None
        finally:
            self._is_inside = False
            if self.is_forked_off:
                end_child()

    # --- turns ---

    def put(self, event: Event) -> None:
        """One event for the next turn."""
        self._entrance.put(event)
        self._wake()

    def put_at_once(self, event: Event) -> None:
        """One event, and a turn for it."""
        self._entrance.put(event)
        self.guarded(self._turn)

    def turn(self) -> None:
        """Take all that waits, do what is asked, answer."""
        self.guarded(self._turn)

    def _turn(self) -> None:
        driver, now_s = self.driver, trio.current_time()
        self._entrance.turn(now_s, time.time_ns() // 1_000_000)
        took_s = self._clock() - now_s
        if took_s >= LONG_S:
            self._long_turns.on_long(took_s, now_s, driver.applied_through)
        if driver.is_due:
            self._wake()
        alarm = self._alarm
        if driver.deadline_s < alarm.at_s or alarm.at_s <= now_s:
            alarm.set(driver.deadline_s)
        if self._doors.is_waiting_for_room:
            self._doors.on_turn_taken()

    def _on_alarm(self) -> None:
        self.driver.is_due = True
        self._wake()

    def _wake(self) -> None:
        if self._parked is not None:
            task, self._parked = self._parked, None
            trio.lowlevel.reschedule(task)

    async def _take_turns(self) -> None:
        """Everybody who is ready puts an event in before this task runs again."""
        while self._failure is None:
            if self.driver.is_due:
                await trio.lowlevel.checkpoint()
            else:
                self._parked = trio.lowlevel.current_task()
                await trio.lowlevel.wait_task_rescheduled(self._unpark)
            if self.driver.is_due:
                self.turn()

    def _unpark(self, _raise_cancel: object) -> trio.lowlevel.Abort:
        self._parked = None
        return trio.lowlevel.Abort.SUCCEEDED

    # --- ``log_port.Turns`` ---

    def is_full(self) -> bool:
        return self.driver.jobs.is_full

    # --- what is asked from inside the program ---

    def answer_stale(self, request: bytes) -> tuple[bytes, bool]:
        """The answer to a read by this node's own state as it stands, and whether the query failed; see ``queries``.

        Raises ``Unavailable`` if the node has failed, now or before.
        """
        answered = self.guarded(self.driver.answer_stale, request)
        if answered is None:
            raise Unavailable("this replica has failed; its own error says why") from self._failure
        return answered

    def status(self) -> NodeStatus:
        """What this node says of itself."""
        return report(self)

    @property
    def replica(self) -> Replica:
        return self.driver.replica

    @property
    def applier(self) -> Applier:
        return self.driver.applier

    @property
    def clients(self) -> Clients:
        return self.driver.clients

    @property
    def applied_through(self) -> int:
        return self.driver.applied_through

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


def _cheap_clock() -> Callable[[], float]:
    """What ``trio.current_time`` says, at a quarter of its cost: a turn asks several times how long it has taken."""
    shift_s = trio.current_time() - time.perf_counter()
    return lambda: time.perf_counter() + shift_s


def _wall_ms() -> int:
    return time.time_ns() // 1_000_000
