"""Where the others are, who dials whom, and whose link is taken; without a link."""

from __future__ import annotations

import math

import pytest

from replog.node.reach import SECOND_S, Reach, Way
from replog.paxos.ballot import NodeId
from replog.paxos.membership import Member, Membership

N1, N2, N3, N4, N5, N9 = (NodeId(number) for number in (1, 2, 3, 4, 5, 9))
SEEDS = {N1: "a:1", N3: "c:3", N2: "b:2"}
FOUNDERS = Membership(1, (N1, N2, N3))
LATER = Membership(3, (N2, N3, N4), (), N5, (Member(N3, "cc:3"), Member(N4, "d:4", b"fourth")))


def test_before_the_first_change_the_configuration_counts() -> None:
    """The lower id of two dials, and nobody else; a lone command asks the members in the configuration's order."""
    reach = Reach(N2, SEEDS, FOUNDERS)
    assert list(reach.addresses.items()) == list(SEEDS.items())
    assert reach.ways == {N1: Way("a:1", math.inf), N3: Way("c:3")}


def test_then_the_log_counts_where_it_says_something() -> None:
    """A member's own address is what the log has; where it has none, what the configuration has."""
    reach = Reach(N3, SEEDS, FOUNDERS)
    reach.follow(LATER)
    assert reach.addresses == {N3: "cc:3", N2: "b:2", N4: "d:4"}
    assert reach.ways == {N2: Way("b:2", SECOND_S), N4: Way("d:4")}


def test_a_member_without_an_address_is_waited_for() -> None:
    """Nobody can dial it; it can."""
    assert Reach(N2, {}, FOUNDERS).ways == {}
    assert Reach(N2, {}, FOUNDERS).addresses == {N1: "", N2: "", N3: ""}


def test_whom_to_ask_first_is_dialled_unless_it_was_removed() -> None:
    """A node that is named and unknown may have joined while this one was away (M6); an id is never used again (M8)."""
    assert Reach(N1, {**SEEDS, N9: "z:9"}, FOUNDERS).ways[N9] == Way("z:9")
    assert N1 not in Reach(N3, SEEDS, LATER).ways


@pytest.mark.parametrize(
    ("node", "membership", "peer", "is_taken"),
    [
        (N1, FOUNDERS, N2, True),
        (N1, FOUNDERS, N1, False),
        (N1, FOUNDERS, N4, False),
        (N4, FOUNDERS, N9, True),
        (N2, LATER, N1, True),
        (N2, LATER, N9, True),
    ],
    ids=["a member", "itself", "a stranger", "asked by a newcomer", "removed here", "unknown here"],
)
def test_whose_link_is_taken(node: NodeId, membership: Membership, peer: NodeId, is_taken: bool) -> None:
    """Before the first change a node that is no member is a mistake; then it may have to teach or to learn (M6)."""
    refusal = Reach(node, SEEDS, membership).refusal_of(peer, b"any")
    assert (refusal == "") == is_taken
    assert is_taken or "is not another member" in refusal


def test_a_member_under_another_incarnation_is_refused() -> None:
    """P9, M7: the log says which directory counts."""
    reach = Reach(N2, SEEDS, LATER)
    assert reach.refusal_of(N4, b"fourth") == ""
    assert "has another incarnation" in reach.refusal_of(N4, b"fifth")
    assert reach.refusal_of(N3, b"any") == ""
