"""``python -m tests.sim.failover``: how long a cluster is without a leader after one crashes, in simulated time.

The links of a crashed process close at once, as those of a killed one do. Measured from the crash until the next leader
has chosen its first slot, in heartbeat intervals and in ballots.
"""

from __future__ import annotations

import statistics
import sys
from typing import NamedTuple

from replog.apply.sessions import SessionOptions
from replog.node.settings import NodeOptions
from replog.paxos.ballot import NodeId
from replog.paxos.membership import Membership
from replog.paxos.options import PaxosOptions
from replog.sim.checkers import ProtocolChecker
from replog.sim.conditions import HostOptions
from replog.sim.host import Host
from replog.sim.log_disk import SimDisk
from replog.sim.network import Network, Weather
from replog.sim.workload import RegisterWorkload
from replog.sim.world import World


class Failover(NamedTuple):
    """One crash of a leader."""

    intervals: float
    """From the crash until a new leader's first own slot is chosen, in heartbeat intervals."""
    ballots: int
    """How many ballots that took."""


def crash_a_leader(seed: int, *, replicas: int, delay_s: float) -> Failover:
    """A quiet cluster with a settled leader; it is killed at a random moment."""
    world = World(seed)
    network = Network(world, Weather(delay_s=delay_s))
    membership = Membership(1, tuple(NodeId(n) for n in range(1, replicas + 1)))
    checker = ProtocolChecker(membership)
    options = HostOptions(paxos=PaxosOptions(), sessions=SessionOptions(), node=NodeOptions())
    hosts = {
        node: Host(
            world,
            network,
            checker,
            RegisterWorkload(),
            options,
            SimDisk(b"failover", node, b"%d" % node, membership, random=world.stream(f"disk {node}")),
        )
        for node in membership.members
    }
    for host in hosts.values():
        host.peers = {node: other for node, other in hosts.items() if node != host.node}
        host.start()
    world.run(3.0 + world.stream("crash").random())
    (old,) = [host for host in hosts.values() if host.replica is not None and host.replica.is_leading]
    others = [host for host in hosts.values() if host is not old]
    ballots_before = _ballots(others)
    chosen_before = checker.chosen_through
    crashed_at_s = world.now_s
    old.crash("killed")
    while checker.chosen_through == chosen_before:
        world.run(world.now_s + 0.0005)
    return Failover(
        (world.now_s - crashed_at_s) / PaxosOptions().heartbeat_interval_s, _ballots(others) - ballots_before
    )


def _ballots(hosts: list[Host]) -> int:
    return sum(host.replica.statistics().ballots_begun for host in hosts if host.replica is not None)


def measure(seeds: range, *, replicas: int, delay_s: float) -> list[Failover]:
    """One crash a seed."""
    return [crash_a_leader(seed, replicas=replicas, delay_s=delay_s) for seed in seeds]


def percentile(values: list[float], share: float) -> float:
    """The value that ``share`` of ``values`` do not exceed."""
    return sorted(values)[min(len(values) - 1, int(share * len(values)))]


def main(arguments: list[str]) -> int:
    """Print a line for each cluster size and network delay."""
    seeds = range(int(arguments[0]) if arguments else 500)
    print(f"{len(seeds)} crashes each; heartbeat intervals of {PaxosOptions().heartbeat_interval_s * 1000:.0f} ms")
    for replicas in (3, 5):
        for delay_s in (0.0001, 0.001, 0.01):
            found = measure(seeds, replicas=replicas, delay_s=delay_s)
            intervals = [one.intervals for one in found]
            ballots = [float(one.ballots) for one in found]
            print(
                f"{replicas} replicas, {delay_s * 1000:4.1f} ms one way: intervals median "
                f"{statistics.median(intervals):.2f}, p99 {percentile(intervals, 0.99):.2f}, "
                f"max {max(intervals):.2f}; ballots median {statistics.median(ballots):.0f}, "
                f"p99 {percentile(ballots, 0.99):.0f}, max {max(ballots):.0f}"
            )
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
