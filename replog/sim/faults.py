"""The faults: each seed picks its own mix and strengths (swarm testing: Groce et al., ISSTA 2012), and when each one
strikes.

A minority of the nodes at most may be lost for good (a wiped disk, a damaged promise); any number may crash, hang or
be cut off for a while. At the end ``end`` heals a random majority and leaves the rest broken.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable

from ..paxos.ballot import NodeId, node_name
from ..paxos.membership import Membership
from .disk import SimLogStore
from .host import DiskWeather, Host
from .network import Network
from .world import World


class Faults:
    """Strikes hosts, disks, clocks and links until it is told to end."""

    def __init__(self, world: World, network: Network, hosts: dict[NodeId, Host], membership: Membership) -> None:
        self._world = world
        self._network = network
        self._hosts = hosts
        self._membership = membership
        self._random = world.stream("faults")
        self._lost: set[NodeId] = set()
        self._is_over = False
        self.count: Counter[str] = Counter()
        self._kinds: dict[str, Callable[[], None]] = {
            "crash": self._crash,
            "crash_all": self._crash_all,
            "pause": self._pause,
            "partition": self._partition,
            "one_way_cut": self._one_way_cut,
            "isolate_one_link": self._partial_cut,
            "chain": self._chain,
            "flap": self._flap,
            "slow_disk": self._slow_disk,
            "stalled_disk": self._stalled_disk,
            "failing_write": self._failing_write,
            "aimed_crashes": self._aimed_crashes,
            "damaged_record": self._damaged_record,
            "damaged_promise": self._damaged_promise,
            "wiped_disk": self._wiped_disk,
            "clock_jump": self._clock_jump,
            "hand_over": self._hand_over,
        }
        chosen = [kind for kind in self._kinds if self._random.random() < 0.45]
        self._mix = chosen or ["crash"]
        self._mean_gap_s = self._random.choice((0.05, 0.1, 0.2, 0.5))

    def start(self) -> None:
        self._world.after(self._random.expovariate(1 / self._mean_gap_s), self._strike)

    def _strike(self) -> None:
        if self._is_over:
            return
        kind = self._random.choice(self._mix)
        self.count[kind] += 1
        self._kinds[kind]()
        self._world.after(self._random.expovariate(1 / self._mean_gap_s), self._strike)

    def _some_host(self) -> Host:
        return self._hosts[self._random.choice(self._membership.members)]

    def _while(self) -> float:
        """How long something lasts: mostly short, now and then long."""
        return self._random.choice((0.02, 0.1, 0.4, 1.5)) * (0.5 + self._random.random())

    def _after(self, delay_s: float, act: Callable[..., None], *arguments: object) -> None:
        """Undo a fault later, unless the end has come before."""
        self._world.after(delay_s, self._unless_over, act, arguments)

    def _unless_over(self, act: Callable[..., None], arguments: tuple[object, ...]) -> None:
        if not self._is_over:
            act(*arguments)

    # --- processes ---

    def _crash(self) -> None:
        host = self._some_host()
        host.crash("killed")
        self._after(self._while(), self._restart, host)

    def _crash_all(self) -> None:
        for host in self._hosts.values():
            host.crash("power is lost everywhere")
            self._after(self._while(), self._restart, host)

    def _restart(self, host: Host) -> None:
        if not host.is_up:
            self._world.say(f"-- {node_name(host.node)} starts again")
            host.start()

    def revive(self) -> None:
        """Start again whatever an aimed crash or a failed write has ended."""
        if self._is_over:
            return
        for host in self._hosts.values():
            if not host.is_up and self._random.random() < 0.5:
                self._restart(host)
        self._world.after(0.2, self.revive)

    def _pause(self) -> None:
        host = self._some_host()
        host.pause()
        self._world.say(f"-- {node_name(host.node)} is frozen")
        self._after(self._while(), host.resume)

    def _clock_jump(self) -> None:
        host = self._some_host()
        host.wall_skew_ms += self._random.choice((-3_600_000, -500, 500, 60_000))

    def _hand_over(self) -> None:
        host = self._some_host()
        host.put(lambda replica: self._transfer(replica.transfer_leadership))

    def _transfer(self, transfer: Callable[[NodeId | None], str | None]) -> None:
        transfer(None)

    # --- links ---

    def _cut(self, sender: NodeId, target: NodeId) -> None:
        self._network.cut(sender, target)
        self._network.say_cut(sender, target, is_cut=True)

    def _cut_for_a_while(self, pairs: list[tuple[NodeId, NodeId]]) -> None:
        for sender, target in pairs:
            self._cut(sender, target)
        self._after(self._while(), self._heal, pairs)

    def _heal(self, pairs: list[tuple[NodeId, NodeId]]) -> None:
        for sender, target in pairs:
            self._network.heal(sender, target)
            self._network.say_cut(sender, target, is_cut=False)

    def _partition(self) -> None:
        members = self._membership.members
        side = {node for node in members if self._random.random() < 0.5}
        self._cut_for_a_while(
            [(one, other) for one in members for other in members if (one in side) != (other in side)]
        )

    def _one_way_cut(self) -> None:
        one, other = self._pair()
        self._cut_for_a_while([(one, other)])

    def _partial_cut(self) -> None:
        one, other = self._pair()
        self._cut_for_a_while([(one, other), (other, one)])

    def _chain(self) -> None:
        """Everybody sees only its neighbours in some order."""
        order = list(self._membership.members)
        self._random.shuffle(order)
        self._cut_for_a_while(
            [(one, other) for i, one in enumerate(order) for j, other in enumerate(order) if abs(i - j) > 1]
        )

    def _flap(self) -> None:
        one, other = self._pair()
        if self._hosts[one].is_up and self._hosts[other].is_up:
            self._hosts[one].reset_link(other)
            self._hosts[other].reset_link(one)

    def _pair(self) -> tuple[NodeId, NodeId]:
        members = self._membership.members
        if len(members) < 2:
            return members[0], members[0]
        one, other = self._random.sample(members, 2)
        return one, other

    # --- disks ---

    def _weather_for_a_while(self, host: Host, weather: DiskWeather) -> None:
        host.weather = weather
        self._after(self._while(), self._calm, host)

    def _calm(self, host: Host) -> None:
        host.weather = DiskWeather()

    def _slow_disk(self) -> None:
        self._weather_for_a_while(self._some_host(), DiskWeather(write_s=self._random.choice((0.005, 0.05))))

    def _stalled_disk(self) -> None:
        self._weather_for_a_while(
            self._some_host(), DiskWeather(stall_rate=0.5, stall_s=self._random.choice((0.5, 3.0)))
        )

    def _failing_write(self) -> None:
        self._some_host().disk.fail_next_write()

    def _aimed_crashes(self) -> None:
        rate = self._random.choice((0.05, 0.3))
        self._weather_for_a_while(self._some_host(), DiskWeather(crash_before_rate=rate, crash_after_rate=rate))

    def _damaged_record(self) -> None:
        """In the chosen part it is repaired from a peer that has the slot; so only one node's copy is hurt."""
        host = self._some_host()
        disk = host.disk
        if self._lost:
            return
        others = [other.disk for other in self._hosts.values() if other is not host]
        slots = [
            slot
            for slot in disk.slots
            if slot <= disk.chosen_through
            and any(slot in other.slots and slot <= other.chosen_through for other in others)
        ]
        if slots:
            slot = self._random.choice(sorted(slots))
            disk.damage(slot)
            self._world.say(f"-- slot {slot} of {node_name(host.node)} is damaged")

    def _may_lose(self, host: Host) -> bool:
        lost = self._lost | {host.node}
        return self._membership.is_quorum([node for node in self._membership.voters if node not in lost])

    def _damaged_promise(self) -> None:
        host = self._some_host()
        if self._may_lose(host):
            self._lost.add(host.node)
            host.disk.damage_promise()
            host.crash("its promise is damaged")
            self._after(0.05, self._restart, host)

    def _wiped_disk(self) -> None:
        """A node comes back with an empty disk under its old id: the others must refuse it."""
        host = self._some_host()
        if self._may_lose(host):
            self._lost.add(host.node)
            host.crash("its disk is wiped")
            identity = host.disk.identity
            host.replace_disk(SimLogStore(identity.cluster, host.node, b"wiped", identity.membership))
            self._after(0.05, self._restart, host)

    # --- the end ---

    def end(self) -> set[NodeId]:
        """Heal a random majority, leave the rest broken; returns who is healed."""
        self._is_over = True
        healthy = [node for node in self._membership.voters if node not in self._lost]
        count = self._random.randint(self._membership.quorum_count, len(healthy))
        healed = set(self._random.sample(healthy, count))
        self._world.say(f"-- the faults end for {', '.join(node_name(node) for node in sorted(healed))}")
        self._network.heal_all()
        for node, host in self._hosts.items():
            if node not in healed:
                host.crash("it stays broken")
        for node in sorted(healed):
            host = self._hosts[node]
            host.weather = DiskWeather()
            host.disk.replace()
            host.resume()
            self._restart(host)
        return healed
