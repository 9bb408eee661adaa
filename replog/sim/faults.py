"""The faults: each seed picks its own mix and strengths (swarm testing: Groce et al., ISSTA 2012), and when each one
strikes.

A minority of the nodes at most may be lost for good (a wiped disk, a damaged promise or acceptance); any number may
crash, hang or be cut off for a while. At the end ``end`` heals a random majority and leaves the rest broken, each in a
way of its own.
"""

from __future__ import annotations

from collections import Counter

from ..paxos.ballot import NodeId, node_name
from ..paxos.membership import Membership
from .conditions import DiskWeather
from .disk_faults import DiskFaults
from .ground import Ground
from .host import Host
from .link_faults import LinkFaults
from .member_faults import MemberFaults
from .network import Network
from .process_faults import ProcessFaults
from .world import World


class Faults:
    """Strikes hosts, disks, clocks and links until it is told to end."""

    def __init__(self, world: World, network: Network, hosts: dict[NodeId, Host], membership: Membership) -> None:
        self._ground = ground = Ground(world, network, hosts, membership)
        self._world = world
        self._network = network
        self._hosts = hosts
        self._random = ground.random
        self._disks = DiskFaults(ground)
        links = LinkFaults(ground)
        kinds = ProcessFaults(ground).kinds | links.kinds | self._disks.kinds
        lasting_kinds = self._disks.lasting | links.lasting
        self._kinds = kinds | lasting_kinds
        random, lasting = ground.random, world.stream("faults that last")
        mix = [kind for kind in kinds if random.random() < 0.45]
        mix += [kind for kind in lasting_kinds if lasting.random() < 0.3]
        if ground.has_changes:
            changes = MemberFaults(ground, self._disks)
            changes.start()
        self._mix = mix or ["crash"]
        self._mean_gap_s = random.choice((0.05, 0.1, 0.2, 0.5))

    @property
    def count(self) -> Counter[str]:
        """Faults that struck, by kind."""
        return self._ground.count

    def start(self) -> None:
        self._world.after(self._random.expovariate(1 / self._mean_gap_s), self._strike)

    def _strike(self) -> None:
        if self._ground.is_over:
            return
        kind = self._random.choice(self._mix)
        self._ground.count[kind] += self._kinds[kind]()
        self.start()

    def revive(self) -> None:
        """Start again whatever an aimed crash or a failed write has ended."""
        if self._ground.is_over:
            return
        for host in self._hosts.values():
            if not host.is_up and self._random.random() < 0.5:
                self._ground.restart(host)
        self._world.after(0.2, self.revive)

    # --- the end ---

    def end(self) -> set[NodeId]:
        """Heal a random majority, leave the rest broken; returns who is healed."""
        self._ground.is_over = True
        healed = self._choose_healed()
        self._world.say(f"-- the faults end for {', '.join(node_name(node) for node in sorted(healed))}")
        self._network.heal_all()
        for node, host in self._hosts.items():
            if node not in healed:
                self._leave_broken(host)
        full = self._choose_full(healed)
        is_state_full = (
            full is not None and self._random.random() < 0.5 and self._ground.membership.is_quorum(healed - {full})
        )
        for node in sorted(healed):
            host = self._hosts[node]
            host.weather = DiskWeather(is_full=node == full, is_state_full=node == full and is_state_full)
            host.install_crash_rate = host.start_cut_rate = 0.0
            host.disk.replace()
            host.resume()
            self._ground.restart(host)
        return healed

    def _choose_full(self, healed: set[NodeId]) -> NodeId | None:
        """One of the healed voters may stay full for ever, if another has room: it votes, and must not lead."""
        voters = sorted(healed.intersection(self._ground.membership.voters))
        if self._ground.has_changes or len(voters) < 2 or self._random.random() < 0.5:
            return None
        full = self._random.choice(voters)
        self._world.say(f"-- {node_name(full)} stays full")
        return full

    def _choose_healed(self) -> set[NodeId]:
        healthy = self._disks.healthy
        if self._ground.has_changes:
            return self._choose_some_of(sorted(healthy))
        voters = sorted(healthy.intersection(self._ground.membership.voters))
        learners = sorted(healthy.intersection(self._ground.membership.learners))
        for _ in range(10):
            count = self._random.randint(self._ground.membership.quorum_count, len(voters))
            healed = {
                *self._random.sample(voters, count),
                *(n for n in learners if self._random.random() < 0.5),
            }
            if self._disks.is_recoverable(healed):
                return healed
        return healthy

    def _choose_some_of(self, healthy: list[NodeId]) -> set[NodeId]:
        for _ in range(10):
            healed = {node for node in healthy if self._random.random() < 0.8}
            if self._disks.is_recoverable(healed):
                return healed
        return set(healthy)

    def _leave_broken(self, host: Host) -> None:
        """Dead, frozen, cut off, or heard by nobody, or hearing nobody."""
        others = [node for node in self._hosts if node != host.node]
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
