"""A lone command goes first to whom it needs; everybody gets everything, in order."""

from __future__ import annotations

from pathlib import Path

import pytest

from replog.node.thrifty import KEPT_MESSAGES_MAX, Thrifty
from replog.paxos.ballot import NodeId, Slot
from replog.paxos.messages import FetchSnapshot, Message

from .stage import DEADLINE_S, eventually, stage

KEEP_S = 0.002
PEERS = frozenset({NodeId(2), NodeId(3)})


def message(number: int) -> Message:
    """Any message: what it says is of no interest here."""
    return FetchSnapshot(b"", number)


class Wire:
    """What was sent to whom and when, and what is chosen."""

    def __init__(self, keep_s: float = KEEP_S) -> None:
        self.sent: list[tuple[int, list[Message]]] = []
        self.chosen_through = 0
        self.now_s = 10.0
        self.thrift = Thrifty(keep_s, lambda peer, batch: self.sent.append((peer, batch)), self._is_chosen)
        self.thrift.follow(sorted(PEERS))

    def _is_chosen(self, slot: Slot) -> bool:
        return slot <= self.chosen_through

    def propose(self, slot: int, reachable: frozenset[NodeId] = PEERS) -> set[int]:
        """Sends a lone command as the node does; returns who got it at once."""
        spared = self.thrift.spare(Slot(slot), reachable, 1, self.now_s)
        for peer in reachable:
            if peer in spared:
                self.thrift.keep(peer, [message(slot)])
        return set(reachable) - set(spared)

    def wait(self, seconds: float) -> None:
        """Time passes, and what is due is sent as the driver does."""
        end_s = self.now_s + seconds
        while self.thrift.deadline_s <= end_s:
            self.now_s = self.thrift.deadline_s
            self.thrift.send_due(self.now_s)
        self.now_s = end_s


@pytest.fixture
def wire() -> Wire:
    return Wire()


def test_the_others_get_everything_a_moment_later_in_one_frame(wire: Wire) -> None:
    assert wire.propose(1) == {2}
    wire.chosen_through = 1
    wire.wait(KEEP_S / 2)
    assert wire.propose(2) == {2}
    wire.chosen_through = 2
    assert wire.sent == []
    wire.wait(KEEP_S)
    assert wire.sent == [(3, [message(1), message(2)])]
    assert wire.propose(3) == {2}
    wire.wait(2 * KEEP_S)
    assert wire.sent[1:] == [(3, [message(3)])]


def test_nothing_overtakes_what_was_kept(wire: Wire) -> None:
    wire.propose(1)
    assert wire.thrift.with_kept(NodeId(3), [message(7)]) == [message(1), message(7)]
    assert wire.thrift.with_kept(NodeId(3), [message(8)]) == [message(8)]
    assert wire.thrift.with_kept(NodeId(2), [message(9)]) == [message(9)]
    wire.wait(2 * KEEP_S)
    assert wire.sent == []


def test_after_a_slow_answer_all_are_asked_and_then_others_first(wire: Wire) -> None:
    wire.propose(1)
    wire.wait(2 * KEEP_S)
    assert wire.sent == [(3, [message(1)])]
    assert wire.propose(2) == {2, 3}
    wire.wait(200 * KEEP_S)
    assert wire.propose(3) == {3}


@pytest.mark.parametrize("reachable", [frozenset({NodeId(2)}), frozenset({NodeId(3)}), frozenset[NodeId]()])
def test_whoever_is_needed_is_asked_at_once(wire: Wire, reachable: frozenset[NodeId]) -> None:
    assert wire.propose(1, reachable) == reachable


def test_it_can_be_switched_off() -> None:
    assert Wire(keep_s=0.0).propose(1) == PEERS


async def test_a_replica_that_is_spared_follows(tmp_path: Path) -> None:
    """Through real nodes: no further command comes, and still everybody has the last one soon."""
    async with stage(tmp_path) as cluster, cluster.client() as client:
        for number in range(5):
            await client.submit(b"%d" % number, timeout=DEADLINE_S)
        await cluster.settled()
        leader = await cluster.leader()
        goal = leader.node.applied_through
        await eventually(lambda: all(member.node.applied_through >= goal for member in cluster.running))


def test_when_much_is_kept_nobody_is_spared() -> None:
    """On a quick network many commands end within the time that one is kept: what is kept has a bound."""
    wire = Wire(keep_s=10.0)
    for slot in range(1, KEPT_MESSAGES_MAX + 1):
        assert wire.propose(slot) == {2}
        wire.chosen_through = slot
    assert wire.thrift.kept_count == KEPT_MESSAGES_MAX
    assert wire.propose(KEPT_MESSAGES_MAX + 1) == {2, 3}
    assert len(wire.thrift.with_kept(NodeId(3), [message(0)])) == KEPT_MESSAGES_MAX + 1


def test_peers_that_come_are_asked_last() -> None:
    """The members change: who stays keeps its place, who is gone is asked no more."""
    wire = Wire()
    wire.thrift.follow([NodeId(4), NodeId(3)])
    there = frozenset({NodeId(3), NodeId(4)})
    assert wire.propose(1, there) == {3}
