"""What a node knows of itself: only the replica writes it, and what it says only rises."""

from __future__ import annotations

import ast
from pathlib import Path

import msgspec
import pytest

import replog.paxos
from replog.paxos.ballot import Slot
from replog.paxos.membership import Member, Membership

from .build import N1, N2, N3, N4, THREE, recovered, standing

WRITERS = {"replica.py", "standing.py"}
CORE = Path(replog.paxos.__file__).parent


@pytest.mark.parametrize("name", ["chosen_through", "compacted_through", "taught_through", "applied_through"])
def test_no_position_is_set_back(name: str) -> None:
    """P7: a slot that is known chosen is never open again."""
    own = standing(recovered(chosen_through=9, compacted_through=4))
    own.on_applied(Slot(9))
    with pytest.raises(AssertionError, match=name):
        setattr(own, name, Slot(3))


def test_what_is_chosen_is_taught() -> None:
    """P8: nobody has to ask for what is known chosen, however it came to be known."""
    own = standing()
    own.on_chosen(Slot(3))
    own.on_taught(Slot(5))
    own.on_installed(Slot(4))
    assert (own.chosen_through, own.taught_through, own.compacted_through, own.applied_through) == (4, 5, 4, 4)
    own.check_invariants()


def test_a_node_votes_as_long_as_it_is_a_voter_that_can_trust_its_memory() -> None:
    """P9: a membership makes a voter of a node, but not of one that abstains."""
    own, damaged = standing(), standing(recovered(damaged_reason="the promise record is damaged"))
    assert (own.is_voting, damaged.is_voting) == (True, False)
    own.on_membership(Membership(2, (N2, N3), (N1,)))
    assert not own.is_voting
    for one in (own, damaged):
        one.on_membership(Membership(3, THREE.voters))
    assert (own.is_voting, damaged.is_voting) == (True, False)


@pytest.mark.parametrize("slot", [3, 12])
def test_only_slots_that_are_here_can_be_damaged(slot: int) -> None:
    """Compacted and unknown slots are not marked for repair."""
    own = standing(recovered(chosen_through=9, compacted_through=5))
    own.on_damaged(Slot(slot))
    assert own.damaged == set()


def _writes(tree: ast.Module) -> list[str]:
    """Assignments to a field of somebody's standing, and calls of its doors."""
    found = []
    for node in ast.walk(tree):
        targets = node.targets if isinstance(node, ast.Assign) else [getattr(node, "target", None)]
        called = [node.func] if isinstance(node, ast.Call) else []
        for one in [*targets, *called]:
            if (
                isinstance(one, ast.Attribute)
                and ast.unparse(one.value).removeprefix("self.").lstrip("_") == "standing"
            ):
                is_door = one.attr.startswith("on_")
                found += [ast.unparse(one)] if is_door or not called else []
    return found


@pytest.mark.parametrize("path", sorted(CORE.glob("*.py")), ids=lambda path: path.stem)
def test_only_the_replica_writes_it(path: Path) -> None:
    """A role that moved a position by itself would be ahead of the others."""
    assert bool(_writes(ast.parse(path.read_text()))) == (path.name == "replica.py")


def test_a_directory_that_the_members_do_not_know_has_no_vote() -> None:
    """M7: whose promises count, the log says; of a member of whom it says nothing, any directory counts."""
    known = Membership(2, THREE.voters, (), N4, (Member(N1, "a:1", b"first"),))
    for incarnation, is_voting in ((b"first", True), (b"second", False), (b"", True)):
        start = msgspec.structs.replace(recovered(membership=known), incarnation=incarnation)
        assert (own := standing(start)).is_voting == is_voting
        assert bool(own.abstain_reason) != is_voting
    own = standing(msgspec.structs.replace(recovered(), incarnation=b"second"))
    assert own.is_voting
    own.on_membership(known)
    assert (own.is_voting, "another directory" in own.abstain_reason) == (False, True)
    own.check_invariants()
