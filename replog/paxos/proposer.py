"""The proposer: one ballot, phase 1 once over all open slots, then phase 2 slot after slot.

It owns the ballot it leads or tries to lead at, the proposals in flight and their votes. It does not know what its own
acceptor has promised, how a peer is reached, or who ought to lead. Rules it protects: it proposes at its ballot what
phase 1 found before anything new (P4); a slot is chosen only by a quorum at this ballot, each vote counted once (P5);
it proposes nothing above a change of members, and its ballot ends with the membership that counts it (M1, M2).

State table
    FOLLOWING    --begin-------------------------> PREPARING
    PREPARING    --promises of a quorum----------> CATCHING_UP  (some slot is chosen there and unknown here)
                                              `--> LEADING      (nothing is)
    CATCHING_UP  --learned them------------------> LEADING
    any          --higher ballot / step_down-----> FOLLOWING
"""

from __future__ import annotations

import enum
from collections.abc import Callable

from .ballot import BEFORE_LOG, Ballot, NodeId, Slot
from .effects import NoticeKind
from .membership import Membership
from .messages import Accepted, Nack, Prepare, Promise
from .options import PaxosOptions
from .outbox import Outbox
from .peers import Peer, Peers
from .promises import Promises
from .proposals import Proposals
from .standing import Standing
from .values import NO_OP, Batch, encode_value
from .waiting_submissions import WaitingSubmissions


class Role(enum.Enum):
    """What the proposer is doing."""

    FOLLOWING = "following"
    PREPARING = "preparing"
    CATCHING_UP = "catching_up"
    LEADING = "leading"


class Proposer(Proposals):
    """Proposes at one ballot at a time; told by the election when to begin and by the replica when to stop."""

    def __init__(
        self,
        options: PaxosOptions,
        outbox: Outbox,
        standing: Standing,
        peers: Peers,
        waiting: WaitingSubmissions,
        checksum: Callable[[bytes], int],
    ) -> None:
        super().__init__(options, outbox, standing, peers)
        self._waiting = waiting
        self._checksum = checksum
        self._become(Role.FOLLOWING)
        self.barrier_slot = BEFORE_LOG
        """The first slot of this ballot's own; a read waits until it is applied."""
        self.catch_up_through = BEFORE_LOG
        """While catching up: what must be learned before leading (P4)."""
        self.damaged_received_count = 0
        self._reset()

    def _reset(self) -> None:
        self._promises = Promises()
        self._nacked_by: set[NodeId] = set()
        self._prepare = Prepare(self.ballot, Slot(1))
        self._prepare_sent_at_s = 0.0
        self.stop_slot = BEFORE_LOG
        """Where this ballot's change of members stands, if it has proposed one: nothing is proposed above it (M1)."""
        self._drop_proposals()

    def _become(self, role: Role) -> None:
        self.role = role
        self.is_leading = role is Role.LEADING

    # --- questions ---

    @property
    def is_waiting(self) -> bool:
        """Whether something it sent may have to be sent again."""
        return self.role is Role.PREPARING or bool(self._proposals)

    @property
    def is_stopped(self) -> bool:
        """Whether its votes have made a change of members chosen: the ballot is over but for that word (M5)."""
        return BEFORE_LOG < self.stop_slot <= self.chosen_through

    # --- phase 1 ---

    def begin(self, ballot: Ballot, from_slot: Slot, now_s: float) -> None:
        """Phase 1a at ``ballot`` for every slot from ``from_slot`` on (P3)."""
        assert ballot > self.ballot, (ballot, self.ballot)
        assert ballot.node == self._node, (ballot, self._node)
        self.ballot = ballot
        self._reset()
        self._become(Role.PREPARING)
        self._waiting.is_open = True
        self._prepare = Prepare(ballot, from_slot)
        self._prepare_sent_at_s = now_s
        self._outbox.notice(NoticeKind.BECAME_CANDIDATE, ballot=str(ballot), from_slot=from_slot)
        self._outbox.send(self._node, self._prepare)
        for peer in self._peers.voters:
            self._outbox.send_after_write(peer.node, self._prepare)  # P1: the own acceptor has promised it

    def on_promise(self, sender: NodeId, message: Promise) -> None:
        """Gather one piece of phase 1b; with a quorum complete, adopt what was reported.

        A piece with a damaged value is as good as lost: the question is asked again (P10).
        """
        if self.role is not Role.PREPARING or message.ballot != self.ballot:
            return
        if any(self._checksum(record.value) != record.crc for record in message.accepted):
            self.damaged_received_count += 1
            return
        self._promises.on_promise(sender, message)
        complete = self._promises.complete
        if self._standing.membership.is_quorum(complete):
            self._become(Role.CATCHING_UP)
            self.catch_up_through = self._promises.chosen_through(complete)

    def lead(self, learned_through: Slot, now_s: float) -> None:
        """Phase 2 begins: first what phase 1 found, gaps filled with no-ops, then this ballot's own barrier (P4)."""
        assert self.role is Role.CATCHING_UP, self.role
        assert learned_through >= self.catch_up_through, (learned_through, self.catch_up_through)
        self._become(Role.LEADING)
        self.chosen_through = learned_through
        self._next_slot = Slot(learned_through + 1)
        plan = self._promises.plan(self._standing.membership, above=learned_through)
        no_op_crc = self._checksum(NO_OP)
        for record in plan.values:
            if record is None:
                self._propose(NO_OP, no_op_crc, now_s)
            else:
                self._propose(record.value, record.crc, now_s)
        self._promises = Promises()
        if plan.has_stop:
            self.barrier_slot = self.stop_slot = Slot(self._next_slot - 1)
        else:
            self.barrier_slot = self._next_slot
            self._propose_members(self._standing.membership, now_s)
        self._outbox.notice(
            NoticeKind.BECAME_LEADER,
            ballot=str(self.ballot),
            chosen_through=learned_through,
            adopted_count=plan.found_count,
        )

    def _propose_members(self, membership: Membership, now_s: float) -> None:
        value = encode_value(membership)
        self._propose(value, self._checksum(value), now_s)

    # --- phase 2 ---

    @property
    def can_change_members(self) -> bool:
        """Whether its barrier is chosen, and no change of members is open (M1)."""
        is_free = self._next_slot > self._standing.installing_through
        return self.is_leading and not self.stop_slot and self.chosen_through >= self.barrier_slot and is_free

    def change_members(self, membership: Membership, now_s: float) -> None:
        """The last proposal of this ballot; the slots below it may be in flight (M1)."""
        assert self.can_change_members, (self.role, self.stop_slot, self.chosen_through, self.barrier_slot)  # M1
        assert membership.follows(self._standing.membership), (membership, self._standing.membership)
        self.stop_slot = self._next_slot
        self._propose_members(membership, now_s)

    def fill_window(self, now_s: float, time_ms: int) -> None:
        """Join waiting submissions into batches while the window has room.

        A batch waits for the leader's own previous write, so it grows while the disk works, and maybe a moment more
        (``WaitingSubmissions``). ``time_ms`` is the log time they are stamped with.
        """
        while self.can_propose:
            value = encode_value(Batch(time_ms, self._waiting.next_batch()))
            self._propose(value, self._checksum(value), now_s)

    @property
    def can_propose(self) -> bool:
        """Whether something waits for a slot and the window has room for it."""
        return (
            self.is_leading
            and len(self._waiting.queue) > 0
            and not self.stop_slot
            and len(self._undurable) < self._options.undurable_slots_max
            and len(self._proposals) < self._options.window_slots
            and self._proposals_bytes + self._options.batch_bytes_max <= self._options.window_bytes
            and self._next_slot > self._standing.installing_through  # else others have chosen what comes next
        )

    def on_accepted(self, sender: NodeId, message: Accepted) -> None:
        """Phase 2b: count each voter once a slot, at this ballot only (P5)."""
        membership = self._standing.membership
        if self.role is not Role.LEADING or message.ballot != self.ballot or not membership.is_voter(sender):
            return
        if sender == self._node:
            self._undurable = {slot for slot in self._undurable if not message.first_slot <= slot <= message.last_slot}
        peer = self._peers.get(sender)
        lowest = max(message.first_slot, Slot(self.chosen_through + 1))
        if peer is not None and peer.in_flight:
            for slot in [slot for slot in peer.in_flight if message.first_slot <= slot <= message.last_slot]:
                peer.in_flight_bytes -= peer.in_flight.pop(slot)
        for number in range(lowest, min(message.last_slot, Slot(self._next_slot - 1)) + 1):
            proposal = self._proposals[Slot(number)]
            proposal.votes.add(sender)
        if peer is not None and peer.is_withheld_from:
            self._send_withheld(peer)
        self._advance()

    def _advance(self) -> None:
        """Move over the chosen slots, in order, without gaps."""
        while (proposal := self._proposals.get(Slot(self.chosen_through + 1))) is not None:
            if not self._standing.membership.is_quorum(proposal.votes):
                return
            self.chosen_through = proposal.accept.slot
            self._proposals_bytes -= len(proposal.accept.value)
            del self._proposals[self.chosen_through]

    # --- over lossy links ---

    def resend(self, now_s: float) -> None:
        """Repeat what has gone unanswered for ``resend_interval_s``."""
        if not self._proposals and self.role is not Role.PREPARING:
            return
        before_s = now_s - self._options.resend_interval_s
        if self.role is Role.PREPARING and self._prepare_sent_at_s <= before_s:
            self._prepare_sent_at_s = now_s
            for peer in self._peers.voters:
                self._ask_to_promise(peer)
        self._send_again(before_s, now_s)

    def _ask_to_promise(self, peer: Peer) -> None:
        if not self._promises.is_complete_from(peer.node):
            self._outbox.send_after_write(peer.node, self._prepare)

    def on_link_opened(self, peer: Peer) -> None:
        """What was under way on the old link is lost: send it on the new one."""
        peer.end_flight()
        if not peer.is_voter:
            return
        if self.role is Role.PREPARING:
            self._ask_to_promise(peer)
        for proposal in self._proposals.values():
            if peer.node not in proposal.votes:
                self._send_accept(peer, self._with_chosen_through(proposal.accept))

    # --- the end of a ballot ---

    def on_nack(self, sender: NodeId, message: Nack) -> None:
        """A voter promised more; without a quorum of others this ballot can go no further."""
        if self.role is Role.FOLLOWING or message.ballot != self.ballot:
            return
        self._nacked_by.add(sender)
        membership = self._standing.membership
        others = set(membership.voters) - self._nacked_by
        if not membership.is_quorum(others):
            self.step_down(f"a quorum is out of reach: {message.promise} was promised")

    def step_down(self, reason: str) -> None:
        """Give the ballot up. Queued submissions were definitely not done; those in flight may be chosen yet."""
        if self.role is Role.FOLLOWING:
            return
        self._outbox.notice(
            NoticeKind.STEPPED_DOWN,
            ballot=str(self.ballot),
            was=self.role.value,
            reason=reason,
            dropped=self._waiting.close(),
        )
        self._become(Role.FOLLOWING)
        self._reset()

    def end_era(self) -> None:
        """The membership that counted this ballot is over (M2); what waits for a slot is kept for the next ballot."""
        if self.is_stopped:
            assert self._next_slot == self.stop_slot + 1, (self._next_slot, self.stop_slot)  # M2
        self._become(Role.FOLLOWING)
        self._reset()

    def drop_waiting(self, was: Role, reason: str) -> None:
        """No ballot follows the one that ``end_era`` ended: what waited for it was definitely not done."""
        assert self.role is Role.FOLLOWING, self.role
        dropped = self._waiting.close()
        self._outbox.notice(
            NoticeKind.STEPPED_DOWN, ballot=str(self.ballot), was=was.value, reason=reason, dropped=dropped
        )

    def check_invariants(self) -> None:
        """What holds between two inputs."""
        proposals = self._proposals
        assert self._waiting.is_open == (self.role is not Role.FOLLOWING), self.role
        assert self.ballot.node == self._node or self.role is Role.FOLLOWING, self.ballot
        first, after = self.chosen_through + 1, self._next_slot
        assert self.role is Role.FOLLOWING or self.ballot.era == self._standing.membership.era, self.ballot  # M2
        assert not self.stop_slot or after == self.stop_slot + 1, (self.stop_slot, after)  # M1
        if self.is_leading:
            assert list(proposals) == list(range(first, after)), (first, after, list(proposals))  # P4: without gaps
            assert max(self._undurable, default=BEFORE_LOG) < after, (after, sorted(self._undurable))
        else:
            assert not proposals, (self.role, sorted(proposals))
        for proposal in proposals.values():
            assert proposal.accept.ballot == self.ballot, (proposal.accept.ballot, self.ballot)  # P5
        size = sum([len(proposal.accept.value) for proposal in proposals.values()])
        assert self._proposals_bytes == size, (self._proposals_bytes, size)
        for peer in self._peers.values():
            if peer.in_flight:
                assert self.is_leading and peer.is_voter and not peer.is_link_closed, (self.role, peer)  # noqa: PT018
                assert max(peer.in_flight) < after, (peer.node, sorted(peer.in_flight))
            assert peer.in_flight_bytes == sum(peer.in_flight.values()), (peer.node, peer.in_flight_bytes)
