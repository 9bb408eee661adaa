"""A state machine that is not deterministic, under faults: what the nodes say of it, without the checkers' help."""

from __future__ import annotations

from collections import defaultdict

import attrs
import pytest

from replog.paxos.ballot import NodeId, Slot
from replog.sim.conditions import DiskWeather
from replog.sim.host import Host
from replog.sim.runner import Simulation
from replog.sim.workload import Register, RegisterWorkload
from replog.state_machine import Command, State


class Signed(Register):
    """Writes beside each command whose hand it was, where the hand is not the usual one."""

    def __init__(self, hand: bytes) -> None:
        self._hand = hand

    def apply(self, state: State, command: Command) -> bytes:
        reply = super().apply(state, command)
        if self._hand:
            state.put(b"hand", self._hand)
        return reply


class SignedWorkload(RegisterWorkload):
    """One replica's machine; each has its own workload."""

    def __init__(self, hand: bytes) -> None:
        self._hand = hand

    def machine(self) -> Signed:
        return Signed(self._hand)


def life(seed: int, hands: dict[int, bytes]) -> tuple[dict[NodeId, set[str]], dict[NodeId, Host]]:
    """What each of three nodes told of its state in one life, and how they stand a while after its faults have ended.

    ``hands`` are by node, the usual one where there is none.
    """
    told: dict[NodeId, set[str]] = defaultdict(set)

    def hear(line: str) -> None:
        words = line.split(" ms  ", 1)[1].split()
        if len(words) > 1 and words[1].startswith("state_"):
            told[NodeId(int(words[0][1:]))].add(words[1])

    def look_away(_node: NodeId, _slot: Slot, _digest: bytes) -> None:
        """States differ: that is what the nodes have to find."""

    simulation = Simulation(seed, replicas=3, workload=RegisterWorkload(), steps=0, trace=hear)
    simulation.checker.on_applied = look_away  # type: ignore[method-assign]
    faults, hosts, world = simulation.faults, simulation.hosts, simulation.world
    faults._mix = ["crash", "crash_all", "pause", "partition", "one_way_cut", "flap", "slow_disk", "hand_over"]
    for node, host in hosts.items():
        host.workload = SignedWorkload(hands.get(node, b""))
        host.options.node = attrs.evolve(
            host.options.node, log_tail_slots=10_000
        )  # a state that is fetched would make two odd ones of one
        host.start()
    for client in simulation.clients:
        client.start()
    faults.start()
    faults.revive()
    world.run(2.0)
    faults.end()
    simulation.network.heal_all()
    for host in hosts.values():
        host.weather = DiskWeather()
        host.resume()
        if not host.is_up:
            host.start()
    world.run(world.now_s + 8.0)
    return told, hosts


@pytest.mark.parametrize("seed", range(6))
def test_the_odd_one_ends_after_every_fault(seed: int) -> None:
    """And only it; the others know that they are right."""
    told, hosts = life(seed, {2: b"n2"})
    assert "state_diverged" in told[NodeId(2)]
    replicas = {node: host.replica for node, host in hosts.items()}
    assert replicas.pop(NodeId(2)) is None
    assert [replica is not None and replica.contradiction for replica in replicas.values()] == [None] * len(replicas)


@pytest.mark.parametrize("seed", range(6))
def test_three_states_are_told_after_every_fault(seed: int) -> None:
    """By all three, for as long as it is so."""
    told, hosts = life(seed, {1: b"n1", 2: b"n2", 3: b"n3"})
    assert all("state_contradicted" in told[NodeId(node)] for node in (1, 2, 3))
    up = [replica for node in (1, 2, 3) if (replica := hosts[NodeId(node)].replica) is not None]
    assert len(up) == 3
    assert all(replica.contradiction is not None for replica in up)
