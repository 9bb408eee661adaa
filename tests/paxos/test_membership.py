"""Quorums."""

from __future__ import annotations

from itertools import combinations

import pytest

from replog.paxos.ballot import NodeId
from replog.paxos.membership import ADDRESS_CHARACTERS_MAX, Member, Membership, joined
from replog.paxos.values import NO_OP, Batch, decode_membership, decode_value, encode_value


@pytest.mark.parametrize("count", range(1, 10))
def test_any_two_quorums_share_a_voter(count: int) -> None:
    """Quorum intersection, on which P5 rests, holds for every membership of up to nine voters."""
    voters = tuple(NodeId(n) for n in range(1, count + 1))
    membership = Membership(1, voters)
    minimal = [set(nodes) for nodes in combinations(voters, membership.quorum_count)]
    assert all(membership.is_quorum(nodes) for nodes in minimal)
    assert all(one & other for one in minimal for other in minimal)
    assert not any(membership.is_quorum(nodes) for nodes in combinations(voters, membership.quorum_count - 1))


def test_strangers_and_learners_do_not_make_a_quorum() -> None:
    """Only voters count, however many others answered."""
    membership = Membership(1, (NodeId(1), NodeId(2), NodeId(3)), (NodeId(4), NodeId(5)))
    assert not membership.is_quorum([NodeId(1), NodeId(4), NodeId(5), NodeId(9)])
    assert membership.is_quorum([NodeId(1), NodeId(4), NodeId(3)])


@pytest.mark.parametrize(
    ("version", "voters", "learners"),
    [(0, (1,), ()), (1, (), ()), (1, (2, 1), ()), (1, (1, 1), ()), (1, (1, 2), (2,)), (1, (1,), (3, 2))],
)
def test_an_impossible_membership_is_refused(version: int, voters: tuple[int, ...], learners: tuple[int, ...]) -> None:
    """Empty, unordered, doubled or contradictory memberships can't be made."""
    with pytest.raises(ValueError, match=r"membership|members|voter"):
        Membership(version, tuple(map(NodeId, voters)), tuple(map(NodeId, learners)))


def test_only_a_membership_is_decoded_as_one() -> None:
    """The tag alone tells a membership from a batch and a no-op."""
    membership = Membership(4, (NodeId(1), NodeId(2)), (NodeId(7),))
    assert decode_membership(encode_value(membership)) == membership
    assert decode_membership(NO_OP) is None
    assert decode_membership(encode_value(Batch(7, [b"x"]))) is None
    assert decode_membership(b"") is None
    bent = encode_value(membership).replace(b"\x92\x01\x02", b"\x92\x02\x01")  # it begins as one, and can't be made
    assert bent != encode_value(membership)
    assert decode_membership(bent) is None


def test_values_survive_their_bytes() -> None:
    """What a leader encodes is what the Applier decodes."""
    batch = Batch(1_700_000_000_000, [b"", b"\x00" * 300])
    assert decode_value(encode_value(batch)) == batch


def test_what_is_said_of_members_is_said_of_members() -> None:
    """Once each, ascending, within bounds; of whom nothing is said, an empty description is all there is."""
    one, two = Member(NodeId(1), "a:1"), Member(NodeId(2), "b:2", b"i" * 16)
    membership = Membership(2, (NodeId(1), NodeId(2)), (NodeId(3),), NodeId(4), (one, two))
    assert [membership.described_as(NodeId(node)) for node in (1, 2, 3)] == [one, two, Member(NodeId(3))]
    assert decode_value(encode_value(membership)) == membership
    wrong = [(two, one), (one, one), (Member(NodeId(9), "c:3"),)]
    wrong += [(Member(NodeId(1), "a" * (ADDRESS_CHARACTERS_MAX + 1)),), (Member(NodeId(1), "", b"i" * 17),)]
    for described in wrong:
        with pytest.raises(ValueError, match=r"member|address|incarnation"):
            Membership(2, (NodeId(1), NodeId(2)), (NodeId(3),), NodeId(4), described)


def test_what_is_told_anew_stands_in_the_place_of_what_was_known() -> None:
    """An address alone leaves the incarnation; whoever is no member any more is not described."""
    known = (Member(NodeId(1), "a:1", b"i"), Member(NodeId(2), "b:2"))
    told = (Member(NodeId(1), "c:3"), Member(NodeId(3)))
    assert joined(known, told, {NodeId(1), NodeId(3)}) == (Member(NodeId(1), "c:3", b"i"),)
