"""Digests that differ: the odd node ends, and where nobody is odd everybody tells, for as long as it is so."""

from __future__ import annotations

from replog.paxos.ballot import NodeId, Slot
from replog.paxos.divergence import Divergence
from replog.paxos.effects import Notice, NoticeKind
from replog.paxos.membership import Membership
from replog.paxos.outbox import Outbox

from .build import FIVE, N1, N2, N3, N4, N5, THREE, members

DIVERGED, CONTRADICTED = NoticeKind.STATE_DIVERGED, NoticeKind.STATE_CONTRADICTED
Digests = dict[NodeId, bytes]


def divergence(node: NodeId, membership: Membership) -> Divergence:
    return Divergence(Outbox(node), *members(membership, node))


class Bench:
    """Every node's divergence role; digests go from everybody to everybody."""

    def __init__(self, membership: Membership = THREE) -> None:
        self.membership = membership
        self.roles = {node: divergence(node, membership) for node in membership.members}

    def restart(self, node: NodeId) -> None:
        self.roles[node] = divergence(node, self.membership)

    def checkpoint(self, slot: int, digests: Digests) -> None:
        """The nodes in ``digests`` come to ``slot``, tell each other, and end a round."""
        for node, digest in digests.items():
            self.roles[node].on_digest(Slot(slot), digest)
        for node, role in self.roles.items():
            for other in digests if node in digests else ():
                if other != node:
                    role.on_peer_digest(role._peers[other], self.roles[other].own_slot, self.roles[other].own_digest)
        for role in self.roles.values():
            role.judge()

    def notices(self, node: NodeId) -> list[Notice]:
        turn = self.roles[node]._outbox
        notices = list(turn.notices)
        turn.clear()
        return notices

    def told(self) -> dict[NodeId, list[NoticeKind]]:
        found = {node: [notice.kind for notice in self.notices(node)] for node in self.roles}
        return {node: kinds for node, kinds in found.items() if kinds}

    @property
    def contradicted(self) -> set[NodeId]:
        return {node for node, role in self.roles.items() if role.contradiction is not None}


def test_the_odd_one_of_three_is_told_and_nobody_else() -> None:
    """A quorum holds another digest than it does."""
    bench = Bench()
    bench.checkpoint(16, {N1: b"a", N2: b"b", N3: b"a"})
    assert bench.told()[N2][0] is DIVERGED
    assert bench.contradicted == {N2}
    assert bench.roles[N1].contradiction is None


def test_three_different_states_are_told_by_all_three() -> None:
    """Nobody is odd, so nobody ends; who differs is named."""
    bench = Bench()
    bench.checkpoint(16, {N1: b"a", N2: b"b", N3: b"c"})
    (notice,) = bench.notices(N1)
    assert notice.kind is CONTRADICTED
    assert notice.facts == {"slot": 16, "digest": b"a".hex(), "against": ["n2 62", "n3 63"]}
    assert bench.told() == {N2: [CONTRADICTED], N3: [CONTRADICTED]}
    assert bench.contradicted == {N1, N2, N3}


def test_a_contradiction_stays_and_is_told_once() -> None:
    """A hundred checkpoints later it is as true as at the first one."""
    bench = Bench()
    for slot in range(16, 1600, 16):
        bench.checkpoint(slot, {node: b"%d/%d" % (node, slot) for node in bench.roles})
    assert bench.told() == {node: [CONTRADICTED] for node in (N1, N2, N3)}
    assert bench.contradicted == {N1, N2, N3}


def test_two_that_differ_while_the_third_is_down() -> None:
    """Nobody can say who is right until it comes back; then the odd one ends and the other is calm."""
    bench = Bench()
    bench.checkpoint(16, dict.fromkeys((N1, N2, N3), b"a"))
    assert not bench.told()
    bench.checkpoint(32, {N1: b"b", N2: b"c"})
    assert bench.told() == {N1: [CONTRADICTED], N2: [CONTRADICTED]}
    bench.checkpoint(48, {N1: b"d", N2: b"e", N3: b"d"})
    assert DIVERGED in bench.told()[N2]
    assert bench.contradicted == {N2}


def test_two_of_two_go_on_and_tell() -> None:
    """Ending one of them would be an outage, and it may be the right one."""
    bench = Bench(Membership(1, (N1, N2)))
    bench.checkpoint(16, {N1: b"a", N2: b"b"})
    assert bench.told() == {N1: [CONTRADICTED], N2: [CONTRADICTED]}


def test_five_in_three_camps_all_tell() -> None:
    """2, 2 and 1: no digest has a majority."""
    bench = Bench(FIVE)
    bench.checkpoint(16, {N1: b"a", N2: b"a", N3: b"b", N4: b"b", N5: b"c"})
    assert bench.told() == {node: [CONTRADICTED] for node in (N1, N2, N3, N4, N5)}


def test_two_of_five_that_agree_with_each_other_are_odd() -> None:
    """Being backed by one does not help against a quorum."""
    bench = Bench(FIVE)
    bench.checkpoint(16, {N1: b"a", N2: b"a", N3: b"a", N4: b"b", N5: b"b"})
    assert {node for node, kinds in bench.told().items() if DIVERGED in kinds} == {N4, N5}
    assert not bench.contradicted & {N1, N2, N3}


def test_a_learner_that_differs_is_odd_and_troubles_no_voter() -> None:
    """It has no voice, so the voters stay calm even if they have not compared with each other."""
    bench = Bench(Membership(1, (N1, N2, N3), (N4,)))
    bench.checkpoint(16, {N1: b"a", N4: b"b"})
    assert bench.contradicted == {N4}
    bench.checkpoint(32, {N1: b"c", N2: b"c", N3: b"c", N4: b"d"})
    assert {node for node, kinds in bench.told().items() if DIVERGED in kinds} == {N4}


def test_a_restarted_node_finds_out_again() -> None:
    """Its digest is stored with its state, and its peers say theirs in every round."""
    bench = Bench()
    bench.checkpoint(16, {N1: b"a", N2: b"b", N3: b"a"})
    bench.told()
    bench.restart(N2)
    bench.checkpoint(16, {N2: b"b", N1: b"a", N3: b"a"})
    assert DIVERGED in bench.told()[N2]


def test_a_new_contradiction_is_told_though_an_old_one_was() -> None:
    """Another one joins: what an operator knows has changed."""
    bench = Bench(FIVE)
    bench.checkpoint(16, {N1: b"a", N2: b"b"})
    assert bench.told()[N1] == [CONTRADICTED]
    bench.checkpoint(32, {N1: b"c", N2: b"d", N3: b"e"})
    (notice,) = bench.notices(N1)
    assert [said.split()[0] for said in notice.facts["against"]] == ["n2", "n3"]


def test_a_state_that_is_replaced_ends_the_contradiction() -> None:
    """The others' state was fetched anew: they agree at a later slot, and all is well."""
    bench = Bench()
    bench.checkpoint(16, {N1: b"a", N2: b"b", N3: b"c"})
    bench.told()
    bench.checkpoint(32, dict.fromkeys((N1, N2, N3), b"d"))
    assert (bench.told(), bench.contradicted) == ({}, set())


def test_a_peer_that_is_ahead_is_compared_when_this_node_arrives() -> None:
    """The slow one has to find out by itself: the others have forgotten that slot by then."""
    role = divergence(N1, THREE)
    for peer in (N2, N3):
        role.on_peer_digest(role._peers[peer], Slot(160), b"theirs")
    role.on_digest(Slot(160), b"mine")
    assert [notice.kind for notice in role._outbox.notices] == [DIVERGED]


def test_an_agreement_from_before_a_contradiction_backs_nobody() -> None:
    """n3 agreed at slot 16, which says nothing about slot 32; at slot 48 it says something about both."""
    role = divergence(N1, THREE)
    for slot in (16, 32, 48):
        role.on_digest(Slot(slot), b"%d" % slot)
    role.on_peer_digest(role._peers[N3], Slot(16), b"16")
    role.on_peer_digest(role._peers[N2], Slot(32), b"other")
    assert role.contradiction is not None
    role.on_peer_digest(role._peers[N3], Slot(48), b"48")
    assert role.contradiction is None


def test_memory_is_bounded() -> None:
    """Whatever slots peers name."""
    role = divergence(N1, THREE)
    for slot in range(16, 160_000, 16):
        role.on_digest(Slot(slot), b"a")
        role.on_peer_digest(role._peers[N2], Slot(slot + 8), b"a")
    assert (len(role._own), len(role._heard)) == (1024, 1024)
