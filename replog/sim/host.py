"""One simulated process: the driver that production runs, over simulated ports.

What survives a crash is the log store's durable part and the state's last flush; everything else is made anew. A
process takes its turns as the real one does: at once for what has happened, again at once while something is due, and
when the driver's deadline comes. It can be slow, frozen, or dead.

Never: do what the driver does.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable
from typing import Any

from ..errors import StateDiverged, StorageError
from ..log.journaled import JournaledLogStore
from ..node.driver import Driver
from ..node.events import Event, LogFull, PeerClosed, PeerOpened
from ..node.fence import Around
from ..node.life import Origin, begin_life
from ..node.ports import Ports
from ..node.recording import Recorder
from ..paxos.ballot import NodeId, Slot, node_name
from ..paxos.messages import Message
from ..paxos.replica import Replica
from ..state.memory import MemoryStateStore
from .checkers import ProtocolChecker, Violation, ViolationFound
from .client_doors import FarEnd, SimClients, SimLink
from .conditions import DiskWeather, HostOptions
from .log_disk import SimDisk
from .network import Network
from .peer_links import SimPeers
from .ports import Killed, SimLogPort, SimStatePort
from .starting import Starts
from .watched import SpinWatch, StoryLog, WatchedApplier, WatchedReplica, sizes_of
from .workload import Workload
from .world import World


def address_of(node: NodeId) -> str:
    """Where clients reach it."""
    return f"{node_name(node)}:1"


class Host:
    """A process that can be crashed, paused, and started again on what its disks still hold."""

    def __init__(
        self,
        world: World,
        network: Network,
        checker: ProtocolChecker,
        workload: Workload,
        options: HostOptions,
        disk: SimDisk,
    ) -> None:
        self.node = disk.identity.node
        self.address = address_of(self.node)
        self.world = world
        self.network = network
        self.checker = checker
        self.workload = workload
        self.options = options
        self.disk = disk
        self.store = MemoryStateStore()
        self.random = world.stream(f"host {self.node}")
        self.stack = world.stream(f"stack {self.node}")
        self.cuts = world.stream(f"cuts {self.node}")
        self.peers: dict[NodeId, Host] = {}
        self.life = 0
        self.is_up = False
        self.is_paused = False
        self._spin = SpinWatch(self.node)
        self.wall_skew_ms = 0
        """How far its wall clock is from the true time."""
        self.clock_rate = options.clock_rate
        self.install_crash_rate = options.install_crash_rate
        self.start_cut_rate = options.start_cut_rate
        self.count: Counter[str] = Counter()
        """Faults that struck here by themselves, by kind."""
        self.commands_applied = 0
        self.commands_failed = 0
        self.elections = 0
        self.messages_sent = 0
        self.spent_s = 0.0
        """What this turn has taken so far."""
        self.new_recorder: Callable[[], Recorder | None] = lambda: None
        """Makes what records the next life, if it is recorded."""
        self.violation: Violation | None = None
        """Found where the driver would keep what is raised to itself; raised behind the turn."""
        self._weather = DiskWeather()
        self._busy_until_s = 0.0
        self._starts = Starts(self)
        self.log: JournaledLogStore
        self.links: SimClients
        self.peer_links: SimPeers
        self.driver: Driver

    # --- what it is ---

    @property
    def replica(self) -> Replica | None:
        return self.driver.replica if self.is_up else None

    @property
    def applied_through(self) -> Slot:
        return self.driver.applied_through

    @property
    def durable_through(self) -> Slot:
        """How far the state would stand after a crash."""
        return self.store.durable_through

    @property
    def weather(self) -> DiskWeather:
        return self._weather

    @weather.setter
    def weather(self, weather: DiskWeather) -> None:
        before, self._weather = self._weather, weather
        if weather.has_no_room != before.has_no_room:
            self.disk.log.slots_free = 0 if weather.has_no_room else math.inf
        if self.is_up and weather.is_full != before.is_full:
            self.put(LogFull(weather.is_full))

    @property
    def is_foreign(self) -> bool:
        """Its disk was formatted anew under an old id: the others refuse it."""
        return self.disk.identity.incarnation != self.first_incarnation

    @property
    def first_incarnation(self) -> bytes:
        """The incarnation under which the others know this node."""
        return b"%d" % self.node

    def say(self, words: Callable[[], str]) -> None:
        if self.world.trace is not None:
            self.world.say(words())

    # --- life and death ---

    def start(self) -> None:
        """Begin from what is durable."""
        assert not self.is_up
        self.life += 1
        self.is_paused = False
        self.store.crash()
        found = self._starts.recover()
        if found is None:
            return
        self.log, recovered = found
        self.is_up = True
        self._is_inside = self._is_turn_due = False
        self._tick_at_s = float("inf")
        self._busy_until_s = self._measured_at_s = self.world.now_s
        self.messages_sent = 0
        self._log_port, self.links, self.peer_links = SimLogPort(self), SimClients(self), SimPeers(self)
        origin = Origin(
            node=self.node,
            seeds={node: address_of(node) for node in self.disk.identity.membership.members},
            paxos=self.options.paxos,
            options=self.options.node,
            recovered=recovered,
            seed=self.random.getrandbits(64),
            now_s=self._local_s(),
            time_ms=self._wall_ms(),
        )
        around = Around(
            make_applier=lambda: WatchedApplier(self),
            state_store=self.store,
            ports=Ports(log=self._log_port, state=SimStatePort(self), peers=self.peer_links, clients=self.links),
            clock=lambda: self._local_s() + self.spent_s,
            log=StoryLog(self),
            status=lambda: b"{}",
        )
        self.driver, self._doors = begin_life(
            origin, around, self.new_recorder(), lambda **made_of: WatchedReplica(self, **made_of)
        )
        if self._weather.is_full:
            self._doors.put(LogFull(True))
        self.peer_links.meet_all()
        self.later(self.options.node.flush_interval_s, self._measure)
        self.wake()

    def crash(self, reason: str) -> bool:
        """The process dies: what is not durable is gone, its links close. Whether there was anything to kill."""
        return self._end(f"crashes: {reason}", lambda: self._log_port.cut())

    def stop(self, steps: float = math.inf) -> bool:
        """The process ends in order, as far as the power lasts for so many steps on the disk. Whether there was one."""
        return self._end("stops", lambda: self._log_port.close(steps))

    def _end(self, words: str, finish: Callable[[], None]) -> bool:
        if not self.is_up:
            return False
        self.world.say(f"-- {node_name(self.node)} {words}")
        self.is_up = False
        finish()
        self.links.on_killed()
        for peer in self.peers.values():
            if peer.is_up and not self.network.is_cut(self.node, peer.node):
                peer.later(self.network.weather.delay_s, peer.on_link_closed, self.node)
        return True

    def aimed_crash(self, where: str) -> None:
        self.count["aimed_crash"] += 1
        self.crash(where)

    def pause(self) -> None:
        """The process is frozen; what is sent to it waits."""
        self.is_paused = True

    def resume(self) -> None:
        self.is_paused = False
        if self.is_up:
            self.wake()

    def replace_disk(self, incarnation: bytes) -> None:
        """Everything this node knew is gone, its state too: an empty disk under its old id."""
        self.disk = self.disk.emptied(incarnation)
        self.store = MemoryStateStore()

    # --- time ---

    def _local_s(self) -> float:
        return self.world.now_s * self.clock_rate

    def _wall_ms(self) -> int:
        return max(0, int(self.world.true_ms) + self.wall_skew_ms)

    def later(self, delay_s: float, act: Callable[..., None], *arguments: Any) -> None:
        """Call ``act`` unless this life of the process has ended by then."""
        self.world.after(delay_s, self._if_alive, self.life, act, arguments)

    def _if_alive(self, life: int, act: Callable[..., None], arguments: tuple[Any, ...]) -> None:
        if life == self.life and self.is_up:
            act(*arguments)

    # --- turns ---

    def put(self, event: Event) -> None:
        """One event for the driver; a frozen or slow process takes many of them in one turn."""
        if self.is_up:
            self._doors.put(event)
            self.wake()

    def wake(self) -> None:
        if self.is_paused or self._is_turn_due or self._is_inside:
            return
        delay_s = self._busy_until_s - self.world.now_s
        if self.options.turn_delay_s:
            delay_s = max(delay_s, self.options.turn_delay_s * self.random.random())
        if delay_s > 0:
            self._is_turn_due = True
            self.later(delay_s, self._turn)
        else:
            self._turn()

    def _tick_due(self, at_s: float) -> None:
        if at_s == self._tick_at_s:
            self._tick_at_s = float("inf")
            self.wake()

    def _turn(self) -> None:
        self._is_turn_due = False
        if self.is_paused:
            return
        driver = self.driver
        self._is_inside, self.spent_s = True, 0.0
        try:
            self._doors.turn(self._local_s(), self._wall_ms())
        except Killed:
            assert not self.is_up
        except StateDiverged:
            self.crash("its state diverged")
        except StorageError as error:
            self.disk.replace()
            self.count["write_failed"] += 1
            self.crash(f"its disk failed: {type(error).__name__}")
        finally:
            self._is_inside = False
        if self.is_up:
            self._after_turn(driver)

    def _after_turn(self, driver: Driver) -> None:
        if self.violation is not None:
            raise ViolationFound(self.violation)
        positions = (driver.replica.chosen_through, driver.replica.compacted_through, driver.applied_through)
        self.checker.on_positions(self.node, self.life, positions)
        self.checker.members.on_followed(self.node, driver.replica.membership)
        self._busy_until_s = self.world.now_s + self.spent_s
        self.count["turn_cut"] += driver.is_due and self.spent_s >= self.options.node.turn_s_max
        if driver.is_due:
            self._is_turn_due = True
            self.later(max(self.spent_s, 1e-6), self._turn)
        self._spin.on_turn(driver, self._local_s())
        at_s = max(driver.deadline_s / self.clock_rate, self.world.now_s + 1e-6)
        if at_s < self._tick_at_s:
            self._tick_at_s = at_s
            self.later(at_s - self.world.now_s, self._tick_due, at_s)

    # --- links ---

    def receive(self, life: int, sender: NodeId, incarnation: bytes, message: Message) -> None:
        """A peer's message arrives; one from another incarnation than first known is refused (P9)."""
        if not self.is_up or life != self.life or self.network.is_cut(sender, self.node):
            return
        if self.peers[sender].first_incarnation != incarnation or self.is_foreign:
            self.count["incarnation_refused"] += 1
            return
        told = self.checker.arrivals.get(type(message))
        if told is not None:
            told(self.node, sender, message)
        self.peer_links.receive(sender, message)

    def open_client(self, far: FarEnd) -> SimLink:
        """A client connects."""
        return self.links.open(far)

    def on_link_opened(self, peer: NodeId) -> None:
        self.peer_links.on_opened(peer)
        self.put(PeerOpened(peer))

    def on_link_closed(self, peer: NodeId) -> None:
        self.put(PeerClosed(peer))

    def reset_link(self, peer: NodeId) -> None:
        """This end of a connection breaks and is made again at once."""
        self.later(0.0, self.on_link_closed, peer)
        self.later(0.002, self.on_link_opened, peer)

    # --- what is measured ---

    def _measure(self) -> None:
        seconds = self.world.now_s - self._measured_at_s
        self.checker.on_measured(self.node, sizes_of(self.driver), self.messages_sent, seconds)
        self.messages_sent, self._measured_at_s = 0, self.world.now_s
        self.later(self.options.node.flush_interval_s, self._measure)

    def violations(self) -> list[str]:
        return self.driver.applier.violations()
