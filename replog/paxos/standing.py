"""What this node knows of itself: who it is, who else belongs, whether it votes, and how far it has come.

Each of these facts is kept once, here. The replica alone writes it, through the ``on_...`` doors; the roles hold the
same record and only read it, so none of them can be behind another. Rules protected: positions only rise, and what is
chosen is never beyond what is taught (P7, P8); a node that can't trust its memory does not vote (P9, P10); the rounds
that it may vote in are those of its membership's era (M3, M6).
"""

from __future__ import annotations

from .ballot import BEFORE_LOG, ERA_ROUNDS, NodeId, Slot
from .membership import Membership
from .position import Rising
from .recovered import Recovered


class Standing(Rising):
    """One node's own facts; read by every role, written by ``Replica``."""

    rising = frozenset({"chosen_through", "taught_through", "compacted_through", "applied_through"})

    def __init__(self, node: NodeId, recovered: Recovered) -> None:
        self.node = node
        self._incarnation = recovered.incarnation
        self._damaged_reason = recovered.damaged_reason
        self._follow(recovered.membership)
        self.damaged = frozenset(recovered.damaged_chosen)
        """Slots up to ``chosen_through`` whose records are damaged here (P10)."""
        self.chosen_through = recovered.chosen_through
        """Every slot up to here is known chosen and was durable here."""
        self.taught_through = recovered.chosen_through
        """Known chosen, and durable here once every write asked for is."""
        self.installing_through = BEFORE_LOG
        """A whole state up to here is being installed: all of it is chosen, and about to leave the log."""
        self.compacted_through = recovered.compacted_through
        self.applied_through = BEFORE_LOG
        """How far the state machine has come: what it has applied, it does not need from the log."""

    def _follow(self, membership: Membership) -> None:
        self.membership = membership
        self.rounds_begin = membership.era * ERA_ROUNDS
        """Ballots of rounds below this belong to memberships before the one in force."""
        self.rounds_end = self.rounds_begin + ERA_ROUNDS
        """Ballots of this round and above belong to a membership that is not released here yet."""
        self.abstain_reason = self._damaged_reason or self._foreign_reason
        """Empty, or why this node does not vote (P9, P10, M7)."""
        self.is_voting = self._may_vote

    @property
    def _foreign_reason(self) -> str:
        """M7: whose directory counts, the log says; a node must not answer for another one's promises."""
        known = self.membership.described_as(self.node).incarnation
        if not known or not self._incarnation or known == self._incarnation:
            return ""
        return f"the members know n{self.node} by another directory (incarnation {known.hex()[:8]})"

    @property
    def _may_vote(self) -> bool:
        return self.membership.is_voter(self.node) and not self.abstain_reason

    def check_invariants(self) -> None:
        """What holds between two inputs."""
        assert self.compacted_through <= self.chosen_through, (self.compacted_through, self.chosen_through)  # P7
        assert self.chosen_through <= self.taught_through, (self.chosen_through, self.taught_through)  # P8
        assert self.is_voting == self._may_vote, (self.membership, self.abstain_reason)  # P9
        for slot in self.damaged:
            assert self.compacted_through <= slot <= self.chosen_through, self.damaged

    def on_membership(self, membership: Membership) -> None:
        assert membership.version > self.membership.version, (membership, self.membership)
        self._follow(membership)

    def on_chosen(self, through: Slot) -> None:
        self.chosen_through = through
        if through > self.taught_through:
            self.taught_through = through

    def on_taught(self, through: Slot) -> None:
        self.taught_through = through

    def on_applied(self, through: Slot) -> None:
        self.applied_through = through

    def on_compacted(self, through: Slot) -> None:
        """What is gone can't be damaged any more."""
        self.compacted_through = max(self.compacted_through, through)
        if self.damaged:
            self.damaged = frozenset(slot for slot in self.damaged if slot > through)

    def on_installing(self, through: Slot) -> None:
        """A state is whole and about to be installed, or (``BEFORE_LOG``) none is any more."""
        self.installing_through = through

    def on_installed(self, through: Slot) -> None:
        """A state stands at ``through``: everything up to it is chosen, applied and gone from the log."""
        self.installing_through = BEFORE_LOG
        self.applied_through = max(self.applied_through, through)
        self.on_chosen(max(self.chosen_through, through))
        self.on_compacted(through)

    def on_damaged(self, slot: Slot) -> None:
        """Only a slot that is here can be damaged."""
        if self.compacted_through < slot <= self.chosen_through:
            self.damaged |= {slot}

    def on_repaired(self, slot: Slot) -> None:
        self.damaged -= {slot}
