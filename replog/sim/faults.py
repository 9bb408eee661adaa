"""The faults: each seed picks its own mix and strengths (swarm testing: Groce et al., ISSTA 2012), and when each one
strikes.

A minority of the nodes at most may be lost for good (a wiped disk, a damaged promise or acceptance), and of what is
damaged in the chosen part somebody keeps an intact copy or a state beyond it; any number may crash, hang or be cut off
for a while. At the end ``end`` heals a random majority and leaves the rest broken, each in a way of its own.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable

from ..node.events import HandOver
from ..paxos.ballot import NodeId, node_name
from ..paxos.membership import Membership
from .disk import SimLogStore
from .host import DiskWeather, Host
from .network import Network
from .world import World

_TEN_YEARS_MS = 10 * 365 * 86_400_000


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
        self._set_right_s: dict[NodeId, float] = {}
        """When a wrong clock was set right again."""
        self.count: Counter[str] = Counter()
        """Faults that struck, by kind."""
        self._kinds: dict[str, Callable[[], bool]] = {
            "crash": self._crash,
            "crash_all": self._crash_all,
            "pause": self._pause,
            "partition": self._partition,
            "one_way_cut": self._one_way_cut,
            "isolate_one_link": self._partial_cut,
            "chain": self._chain,
            "flap": self._flap,
            "unheard_leader": self._unheard_leader,
            "slow_disk": self._slow_disk,
            "stalled_disk": self._stalled_disk,
            "full_disk": self._full_disk,
            "failing_write": self._failing_write,
            "aimed_crashes": self._aimed_crashes,
            "damaged_record": self._damaged_record,
            "damaged_promise": self._damaged_promise,
            "damaged_acceptance": self._damaged_acceptance,
            "wiped_disk": self._wiped_disk,
            "clock_jump": self._clock_jump,
            "hand_over": self._hand_over,
        }
        self._lasting: dict[str, Callable[[], bool]] = {
            "full_everywhere": self._full_everywhere,
            "hanging_state": self._hanging_state,
            "full_state": self._full_state,
            "cut_jobs": self._cut_jobs,
        }
        """Faults that keep clients waiting for as long as they last, and so belong to fewer lives."""
        lasting = world.stream("faults that last")
        chosen = [kind for kind in self._kinds if self._random.random() < 0.45]
        chosen += [kind for kind in self._lasting if lasting.random() < 0.3]
        self._mix = chosen or ["crash"]
        self._mean_gap_s = self._random.choice((0.05, 0.1, 0.2, 0.5))

    def start(self) -> None:
        self._world.after(self._random.expovariate(1 / self._mean_gap_s), self._strike)

    def _strike(self) -> None:
        if self._is_over:
            return
        kind = self._random.choice(self._mix)
        self.count[kind] += (self._kinds | self._lasting)[kind]()
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

    def _crash(self) -> bool:
        host = self._some_host()
        self._after(self._while(), self._restart, host)
        return host.crash("killed")

    def _crash_all(self) -> bool:
        for host in self._hosts.values():
            host.crash("power is lost everywhere")
            self._after(self._while(), self._restart, host)
        return True

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

    def _pause(self) -> bool:
        host = self._some_host()
        host.pause()
        self._world.say(f"-- {node_name(host.node)} is frozen")
        self._after(self._while(), host.resume)
        return host.is_up

    def _clock_jump(self) -> bool:
        """By years too, but only on a minority of the voters; a cluster of one has one clock, and that may be wrong."""
        host = self._some_host()
        skew_ms = self._random.choice((-_TEN_YEARS_MS, -3_600_000, -500, 0, 500, 60_000, _TEN_YEARS_MS))
        others = [node for node in self._membership.voters if node != host.node]
        right = [
            node
            for node in others
            if abs(self._hosts[node].wall_skew_ms) <= 500
            and self._world.now_s - self._set_right_s.get(node, -1.0) > 1.0  # what others heard before counts a while
        ]
        if others and abs(skew_ms) > 500 and not self._membership.is_quorum(right):
            return False
        if abs(skew_ms) <= 500 < abs(host.wall_skew_ms):
            self._set_right_s[host.node] = self._world.now_s
        host.wall_skew_ms = skew_ms
        return True

    def _hand_over(self) -> bool:
        leading = [host for host in self._hosts.values() if host.replica is not None and host.replica.is_leading]
        for host in leading:
            host.put(HandOver())
        return bool(leading)

    # --- links ---

    def _cut(self, sender: NodeId, target: NodeId) -> None:
        self._network.cut(sender, target)
        self._network.say_cut(sender, target, is_cut=True)

    def _cut_for_a_while(self, pairs: list[tuple[NodeId, NodeId]]) -> bool:
        for sender, target in pairs:
            self._cut(sender, target)
        self._after(self._while(), self._heal, pairs)
        return bool(pairs)

    def _heal(self, pairs: list[tuple[NodeId, NodeId]]) -> None:
        for sender, target in pairs:
            self._network.heal(sender, target)
            self._network.say_cut(sender, target, is_cut=False)

    def _partition(self) -> bool:
        members = self._membership.members
        side = {node for node in members if self._random.random() < 0.5}
        return self._cut_for_a_while(
            [(one, other) for one in members for other in members if (one in side) != (other in side)]
        )

    def _one_way_cut(self) -> bool:
        return self._cut_for_a_while(self._pair()[:1])

    def _partial_cut(self) -> bool:
        return self._cut_for_a_while(self._pair())

    def _chain(self) -> bool:
        """Everybody sees only its neighbours in some order."""
        order = list(self._membership.members)
        self._random.shuffle(order)
        return self._cut_for_a_while(
            [(one, other) for i, one in enumerate(order) for j, other in enumerate(order) if abs(i - j) > 1]
        )

    def _flap(self) -> bool:
        pairs = [(one, other) for one, other in self._pair() if self._hosts[one].is_up and self._hosts[other].is_up]
        for one, other in pairs:
            self._hosts[one].reset_link(other)
        return bool(pairs)

    def _unheard_leader(self) -> bool:
        """A leader hears late answers only, and nobody hears it: the others elect another one before it knows."""
        leading = [host for host in self._hosts.values() if host.replica is not None and host.replica.is_leading]
        if not leading or len(self._membership.voters) < 2:
            return False
        leader = leading[0].node
        others = [node for node in self._membership.members if node != leader]
        cut_in_s = 0.02 * self._random.random()
        for other in others:
            begins_in_s = cut_in_s * self._random.random()
            self._after(begins_in_s, self._network.hold, other, leader, self._random.choice((0.05, 0.1, 0.2, 0.3)))
        self._after(cut_in_s, self._silence, leader, others)
        return True

    def _silence(self, leader: NodeId, others: list[NodeId]) -> None:
        self._cut_for_a_while([(leader, other) for other in others])
        for other in others:
            if self._hosts[other].is_up:
                self._hosts[other].reset_link(leader)

    def _pair(self) -> list[tuple[NodeId, NodeId]]:
        """Some link, in both directions; a cluster of one has none."""
        members = self._membership.members
        if len(members) < 2:
            return []
        one, other = self._random.sample(members, 2)
        return [(one, other), (other, one)]

    # --- disks ---

    def _weather_for_a_while(self, host: Host, weather: DiskWeather) -> bool:
        host.weather = weather
        self._after(self._while(), self._calm, host)
        return True

    def _calm(self, host: Host) -> None:
        host.weather = DiskWeather()

    def _slow_disk(self) -> bool:
        return self._weather_for_a_while(self._some_host(), DiskWeather(write_s=self._random.choice((0.005, 0.05))))

    def _stalled_disk(self) -> bool:
        return self._weather_for_a_while(
            self._some_host(), DiskWeather(stall_rate=0.5, stall_s=self._random.choice((0.5, 3.0)))
        )

    def _full_disk(self) -> bool:
        return self._weather_for_a_while(self._some_host(), DiskWeather(is_full=True))

    def _full_everywhere(self) -> bool:
        """Equal disks under equal load; room comes back node by node. Rarely: meanwhile no command is taken."""
        if self._random.random() < 0.8:
            return False
        for host in self._hosts.values():
            self._weather_for_a_while(host, DiskWeather(is_full=True))
        return True

    def _hanging_state(self) -> bool:
        return self._weather_for_a_while(self._some_host(), DiskWeather(is_state_hanging=True))

    def _full_state(self) -> bool:
        return self._weather_for_a_while(self._some_host(), DiskWeather(is_state_full=True))

    def _cut_jobs(self) -> bool:
        """Crashes before or after any step of a flush, a transfer or an install."""
        return self._weather_for_a_while(
            self._some_host(), DiskWeather(job_crash_rate=self._random.choice((0.05, 0.3)))
        )

    def _failing_write(self) -> bool:
        self._some_host().disk.fail_next_write()
        return True

    def _aimed_crashes(self) -> bool:
        rate = self._random.choice((0.05, 0.3))
        return self._weather_for_a_while(self._some_host(), DiskWeather(crash_before_rate=rate, crash_after_rate=rate))

    def _damaged_record(self) -> bool:
        """In the chosen part, where it can be repaired."""
        host = self._some_host()
        disk = host.disk
        slots = sorted(slot for slot in disk.slots if disk.is_intact(slot))
        if host.node in self._lost or not slots:
            return False
        slot = self._random.choice(slots)
        disk.damage(slot)
        if not self._is_recoverable(self._healthy):
            disk.undamage(slot)
            return False
        self._world.say(f"-- slot {slot} of {node_name(host.node)} is damaged")
        return True

    @property
    def _healthy(self) -> set[NodeId]:
        return set(self._membership.members) - self._lost

    def _is_recoverable(self, nodes: set[NodeId]) -> bool:
        """Whether ``nodes`` can go on among themselves: what is damaged on one is intact on another, or applied."""
        hosts = [self._hosts[node] for node in nodes]
        return self._membership.is_quorum(nodes) and all(
            any(other.disk.is_intact(slot) or other.durable_through >= slot for other in hosts)
            for host in hosts
            for slot in host.disk.damaged
        )

    def _lose(self, host: Host, reason: str, act: Callable[[], None]) -> bool:
        """A node loses what it can't do without, unless too many have."""
        if not self._is_recoverable(self._healthy - {host.node}):
            return False
        self._lost.add(host.node)
        host.crash(reason)
        act()
        self._after(0.05, self._restart, host)
        return True

    def _damaged_promise(self) -> bool:
        host = self._some_host()
        return self._lose(host, "its promise is damaged", host.disk.damage_promise)

    def _damaged_acceptance(self) -> bool:
        """Above what is known chosen: nobody can say what the node had voted for."""
        host = self._some_host()
        slots = sorted(slot for slot in host.disk.slots if slot > host.disk.chosen_through)
        return bool(slots) and self._lose(
            host, f"its acceptance of slot {slots[0]} is damaged", lambda: host.disk.damage(slots[0])
        )

    def _wiped_disk(self) -> bool:
        """A node comes back with an empty disk under its old id: the others must refuse it."""
        host = self._some_host()
        identity = host.disk.identity
        empty = SimLogStore(identity.cluster, host.node, b"wiped", identity.membership)
        return self._lose(host, "its disk is wiped", lambda: host.replace_disk(empty))

    # --- the end ---

    def end(self) -> set[NodeId]:
        """Heal a random majority, leave the rest broken; returns who is healed."""
        self._is_over = True
        healed = self._choose_healed()
        self._world.say(f"-- the faults end for {', '.join(node_name(node) for node in sorted(healed))}")
        self._network.heal_all()
        for node, host in self._hosts.items():
            if node not in healed:
                self._leave_broken(host)
        full = self._choose_full(healed)
        is_state_full = full is not None and self._random.random() < 0.5 and self._membership.is_quorum(healed - {full})
        for node in sorted(healed):
            host = self._hosts[node]
            host.weather = DiskWeather(is_full=node == full, is_state_full=node == full and is_state_full)
            host.install_crash_rate = 0.0
            host.disk.replace()
            host.resume()
            self._restart(host)
        return healed

    def _choose_full(self, healed: set[NodeId]) -> NodeId | None:
        """One of the healed voters may stay full for ever, if another has room: it votes, and must not lead."""
        voters = sorted(healed.intersection(self._membership.voters))
        if len(voters) < 2 or self._random.random() < 0.5:
            return None
        full = self._random.choice(voters)
        self._world.say(f"-- {node_name(full)} stays full")
        return full

    def _choose_healed(self) -> set[NodeId]:
        healthy = self._healthy
        voters = sorted(healthy.intersection(self._membership.voters))
        learners = sorted(healthy.intersection(self._membership.learners))
        for _ in range(10):
            count = self._random.randint(self._membership.quorum_count, len(voters))
            healed = {*self._random.sample(voters, count), *(n for n in learners if self._random.random() < 0.5)}
            if self._is_recoverable(healed):
                return healed
        return healthy

    def _leave_broken(self, host: Host) -> None:
        """Dead, frozen, cut off, or heard by nobody, or hearing nobody."""
        others = [node for node in self._membership.members if node != host.node]
        to_it = [(other, host.node) for other in others]
        from_it = [(host.node, other) for other in others]
        way = self._random.choice(("dead", "frozen", "cut off", "mute", "deaf"))
        if not host.is_up or way == "dead":
            host.crash("it stays broken")
        elif way == "frozen":
            host.pause()
        for one, other in {"cut off": to_it + from_it, "mute": from_it, "deaf": to_it}.get(way, []):
            self._network.cut(one, other)
        self._world.say(f"-- {node_name(host.node)} stays {way if host.is_up else 'dead'}")
