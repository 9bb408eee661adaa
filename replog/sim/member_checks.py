"""Which membership counts what: judged by what was released, proposed and voted for, whatever the nodes think.

A ballot's votes are counted by the set of its era; a slot by the one that is in force there, which follows from the
slots below it. Both have to be the same one.
"""

from __future__ import annotations

from collections.abc import Collection
from typing import NamedTuple

from ..paxos.ballot import BEFORE_LOG, Ballot, NodeId, Slot, node_name
from ..paxos.membership import Membership
from ..paxos.messages import Accept, AcceptedSlot
from ..paxos.values import decode_membership
from .violations import violation


class _Decided(NamedTuple):
    """What a quorum made chosen, first."""

    ballot: Ballot
    crc: int


class MembershipChecker:
    """The memberships of one life, in order."""

    def __init__(self, founders: Membership) -> None:
        self.released = [founders]
        """By era: those that somebody has released."""
        self._seen: dict[NodeId, Membership] = {}
        self._proposed: set[Membership] = set()
        self._stops: dict[Ballot, Slot] = {}
        self._highest: dict[Ballot, Slot] = {}
        self._decided: dict[Slot, _Decided] = {}

    @property
    def newest(self) -> Membership:
        return self.released[-1]

    @property
    def in_sight(self) -> list[Membership]:
        """Those without whose quorums a cluster may not go on: the newest, the one before, and what may be the next."""
        return [*self.released[-2:], *(one for one in self._proposed if _follows(one, self.newest))]

    def of(self, ballot: Ballot) -> Membership:
        """Whose quorums count at ``ballot``: linked to the one before by a released change (M3)."""
        if ballot.era >= len(self.released):
            raise violation("eras are linked", f"{ballot} is in use, and nobody has released its membership (M3)")
        return self.released[ballot.era]

    def on_released(self, record: AcceptedSlot) -> None:
        """The first release of a slot, after all below it."""
        membership = decode_membership(record.value)
        if membership is not None and _follows(membership, self.newest):
            self.released.append(membership)

    def on_followed(self, node: NodeId, membership: Membership) -> None:
        """What a node takes for the one in force: compare-and-set was decided by the order of the log alone."""
        if self._seen.get(node) is membership:
            return
        self._seen[node] = membership
        if membership.version > len(self.released) or self.released[membership.version - 1] != membership:
            raise violation(
                "one set a version",
                f"{node_name(node)} follows {membership}, which is not what was released as that version (CAS)",
            )

    def on_accept_sent(self, message: Accept) -> None:
        """A leader proposes nothing above its change of members (M1)."""
        ballot, slot = message.ballot, message.slot
        highest = self._highest[ballot] = max(self._highest.get(ballot, BEFORE_LOG), slot)
        membership = decode_membership(message.value)
        if membership is not None and _follows(membership, self.of(ballot)):
            self._stops[ballot] = slot
            self._proposed.add(membership)
        if highest > self._stops.get(ballot, highest):
            raise violation(
                "nothing above a stop",
                f"{ballot} proposes slot {highest} above its change in {self._stops[ballot]} (M1)",
            )

    def on_voted(self, record: AcceptedSlot, holders: Collection[NodeId]) -> None:
        """Somebody has just come to hold ``record`` as a vote; over all votes a slot has one value and one set."""
        if not self.of(record.ballot).is_quorum(holders):
            return
        first = self._decided.setdefault(record.slot, _Decided(record.ballot, record.crc))
        if first.crc != record.crc:
            raise violation(
                "one value a slot",
                f"slot {record.slot} is chosen at {first.ballot} and, with another value, at {record.ballot} (P5)",
            )
        if first.ballot.era != record.ballot.era:
            raise violation(
                "one set a slot", f"slot {record.slot} is chosen at {first.ballot} and again at {record.ballot} (M2)"
            )

    def is_chosen(self, slot: Slot) -> bool:
        """Whether a quorum of the set in force holds ``slot``; asked when all below it are released."""
        decided = self._decided.get(slot)
        return decided is not None and decided.ballot.era == self.newest.era


def _follows(membership: Membership, current: Membership) -> bool:
    """Compare-and-set, as it is meant and not as the core asks it."""
    return membership.version == current.version + 1
