"""Linearizable reads without a log write: one confirmation round shared by all waiting reads.

Rule protected: a read is answered from a state that holds everything acknowledged before the read began. The leader
notes how far it knows the log chosen, *then* asks whether it still leads; a quorum that has promised nothing above
its ballot says that no later leader had finished phase 1 when they answered (ReadIndex: Ongaro, "Consensus: Bridging
Theory and Practice", section 6.4).

A round's reads are fixed when it begins; its number is never used for other reads at the same ballot, so a
late answer can only confirm reads that were waiting when the question left.
"""

from __future__ import annotations

from collections.abc import Collection

from .ballot import BALLOT_ZERO, BEFORE_LOG, Ballot, NodeId, Slot
from .effects import ReadReady, Refusal
from .messages import Confirm, Confirmed
from .options import PaxosOptions
from .outbox import Outbox, Size
from .standing import Standing


class Reads:
    """Waiting reads of a leader; at most one round is under way."""

    def __init__(self, options: PaxosOptions, outbox: Outbox, standing: Standing) -> None:
        self._options = options
        self._outbox = outbox
        self._standing = standing
        self._ballot = BALLOT_ZERO
        self._round = 0
        self._waiting: list[int] = []
        self._asked: list[int] = []
        self._asked_at_s = 0.0
        self._slot = BEFORE_LOG
        self._votes: set[NodeId] = set()

    @property
    def is_waiting(self) -> bool:
        return bool(self._asked)

    @property
    def is_busy(self) -> bool:
        """Whether any read is owed an answer."""
        return bool(self._asked or self._waiting)

    def sizes(self) -> list[Size]:
        return [Size("reads", len(self._waiting) + len(self._asked), self._options.reads_waiting_max)]

    def begin_ballot(self, ballot: Ballot) -> None:
        assert ballot > self._ballot, (ballot, self._ballot)
        assert not self._waiting, len(self._waiting)
        assert not self._asked, len(self._asked)
        self._ballot = ballot
        self._round = 0

    def read(self, read_id: int) -> Refusal | None:
        if len(self._waiting) + len(self._asked) >= self._options.reads_waiting_max:
            return Refusal.OVERLOADED
        self._waiting.append(read_id)
        return None

    def begin_round(self, chosen_through: Slot, now_s: float) -> None:
        """Note how far the log is chosen and ask everybody, for all reads that wait."""
        if self._asked or not self._waiting:
            return
        self._asked, self._waiting = self._waiting, []
        self._asked_at_s = now_s
        assert chosen_through >= self._slot, (chosen_through, self._slot)  # P5: nothing read before is gone
        self._slot = chosen_through
        self._round += 1
        self._votes = set()
        self._ask(self._standing.membership.voters)

    def on_confirmed(self, sender: NodeId, message: Confirmed) -> None:
        if message.ballot != self._ballot or message.round != self._round or not self._asked:
            return
        if self._standing.membership.is_voter(sender):
            self._votes.add(sender)
        if self._standing.membership.is_quorum(self._votes):
            self._outbox.reads.append(ReadReady(self._slot, tuple(self._asked)))
            self._asked = []

    def resend(self, now_s: float) -> None:
        """The same question again to those who have not answered: the round's reads have not changed."""
        if self._asked and self._asked_at_s <= now_s - self._options.resend_interval_s:
            self._asked_at_s = now_s
            self._ask([voter for voter in self._standing.membership.voters if voter not in self._votes])

    def refuse_all(self) -> None:
        """Leadership is gone: none of these can be answered here."""
        self._outbox.reads_refused.extend(self._asked)
        self._outbox.reads_refused.extend(self._waiting)
        self._asked = []
        self._waiting = []

    def _ask(self, voters: Collection[NodeId]) -> None:
        for voter in voters:
            self._outbox.send(voter, Confirm(self._ballot, self._round))
