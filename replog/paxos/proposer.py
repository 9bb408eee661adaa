"""The proposer: one ballot, phase 1 once over all open slots, then phase 2 slot after slot.

It owns the ballot it leads or tries to lead at, the queue of submissions, the proposals in flight and their votes. It
does not know what its own acceptor has promised, how a peer is reached, or who ought to lead. Rules it protects: it
proposes at its ballot what phase 1 found before anything new (P4); a slot is chosen only by a quorum at this ballot,
each vote counted once (P5).

State table
    FOLLOWING    --begin-------------------------> PREPARING
    PREPARING    --promises of a quorum----------> CATCHING_UP  (some slot is chosen there and unknown here)
                                              `--> LEADING      (nothing is)
    CATCHING_UP  --learned them------------------> LEADING
    any          --higher ballot / step_down-----> FOLLOWING
"""

from __future__ import annotations

import enum
from collections import deque
from collections.abc import Callable

import attrs

from .ballot import BALLOT_ZERO, BEFORE_LOG, Ballot, NodeId, Slot
from .effects import NoticeKind, Refusal
from .membership import Membership
from .messages import Accept, Accepted, AcceptedSlot, Nack, Prepare, Promise
from .options import Options
from .outbox import Size, Turn
from .values import NO_OP, Batch, encode_value


class Role(enum.Enum):
    """What the proposer is doing."""

    FOLLOWING = "following"
    PREPARING = "preparing"
    CATCHING_UP = "catching_up"
    LEADING = "leading"


@attrs.define(eq=False)
class _Reported:
    """One acceptor's Promise, piece by piece."""

    piece_count: int
    chosen_through: Slot
    pieces: set[int]
    accepted: list[AcceptedSlot]

    @property
    def is_complete(self) -> bool:
        return len(self.pieces) == self.piece_count


@attrs.define(eq=False)
class _Proposal:
    """A value in flight and who voted for it at the proposer's ballot."""

    accept: Accept
    votes: set[NodeId]
    sent_at_s: float


class Proposer:
    """Proposes at one ballot at a time; told by the election when to begin and by the replica when to stop."""

    def __init__(
        self,
        node: NodeId,
        options: Options,
        turn: Turn,
        checksum: Callable[[bytes], int],
        membership: Membership,
    ) -> None:
        self._node = node
        self._options = options
        self._turn = turn
        self._checksum = checksum
        self.membership = membership
        self.role = Role.FOLLOWING
        self.ballot = BALLOT_ZERO
        self.chosen_through = BEFORE_LOG
        """While leading: every slot up to here is chosen."""
        self.barrier_slot = BEFORE_LOG
        """The first slot of this ballot's own; a read waits until it is applied."""
        self.catch_up_through = BEFORE_LOG
        """While catching up: what must be learned before leading (P4)."""
        self.is_full = False
        self.damaged_received_count = 0
        self._queue: deque[bytes] = deque()
        self._queue_bytes = 0
        self._reset()

    def _reset(self) -> None:
        self._reported: dict[NodeId, _Reported] = {}
        self._nacked_by: set[NodeId] = set()
        self._prepare = Prepare(self.ballot, Slot(1))
        self._prepare_sent_at_s = 0.0
        self._proposals: dict[Slot, _Proposal] = {}
        self._proposals_bytes = 0
        self._undurable: set[Slot] = set()
        self._next_slot = Slot(1)
        self._in_flight: dict[NodeId, dict[Slot, int]] = {}
        self._in_flight_bytes: dict[NodeId, int] = {}
        self._withheld_from: set[NodeId] = set()
        """Peers that were not sent a proposal because too much was unanswered; they get it with their next answer."""

    # --- questions ---

    @property
    def is_leading(self) -> bool:
        return self.role is Role.LEADING

    @property
    def is_waiting(self) -> bool:
        """Whether something it sent may have to be sent again."""
        return self.role is Role.PREPARING or bool(self._proposals)

    @property
    def slots_in_flight(self) -> int:
        return len(self._proposals)

    @property
    def values_in_flight(self) -> list[bytes]:
        return [proposal.accept.value for proposal in self._proposals.values()]

    @property
    def submissions_waiting(self) -> int:
        return len(self._queue)

    def sizes(self) -> list[Size]:
        options = self._options
        in_flight = max(map(len, self._in_flight.values()), default=0)
        return [
            Size("proposals", len(self._proposals), options.open_slots_max),
            Size("proposals in flight to a peer", in_flight, options.accept_ahead_slots_max),
            Size("queued submissions", len(self._queue), options.queue_submissions_max),
            Size("queued bytes", self._queue_bytes, options.queue_bytes_max),
        ]

    # --- phase 1 ---

    def begin(self, ballot: Ballot, from_slot: Slot, now_s: float) -> None:
        """Phase 1a at ``ballot`` for every slot from ``from_slot`` on (P3)."""
        assert ballot > self.ballot, (ballot, self.ballot)
        assert ballot.node == self._node, (ballot, self._node)
        self.ballot = ballot
        self._reset()
        self.role = Role.PREPARING
        self._prepare = Prepare(ballot, from_slot)
        self._prepare_sent_at_s = now_s
        self._turn.notice(NoticeKind.BECAME_CANDIDATE, ballot=str(ballot), from_slot=from_slot)
        self._turn.send(self._node, self._prepare)
        for peer in self._peers():
            self._turn.send_after_write(peer, self._prepare)  # P1: the own acceptor has promised it durably

    def on_promise(self, sender: NodeId, message: Promise) -> None:
        """Gather one piece of phase 1b; with a quorum complete, adopt what was reported.

        A piece with a damaged value is as good as lost: the question is asked again (P10).
        """
        if self.role is not Role.PREPARING or message.ballot != self.ballot:
            return
        if any(self._checksum(record.value) != record.crc for record in message.accepted):
            self.damaged_received_count += 1
            return
        reported = self._reported.get(sender)
        if (
            reported is None
            or reported.piece_count != message.piece_count
            or reported.chosen_through != message.chosen_through
        ):
            reported = _Reported(message.piece_count, message.chosen_through, set(), [])
            self._reported[sender] = reported
        if message.piece not in reported.pieces:
            reported.pieces.add(message.piece)
            reported.accepted.extend(message.accepted)
        complete = {node for node, promise in self._reported.items() if promise.is_complete}
        if self.membership.is_quorum(complete):
            self.role = Role.CATCHING_UP
            self.catch_up_through = max(self._reported[node].chosen_through for node in complete)

    def lead(self, learned_through: Slot, now_s: float) -> None:
        """Phase 2 begins: first what phase 1 found, gaps filled with no-ops, then this ballot's own barrier (P4)."""
        assert self.role is Role.CATCHING_UP, self.role
        assert learned_through >= self.catch_up_through, (learned_through, self.catch_up_through)
        self.role = Role.LEADING
        self.chosen_through = learned_through
        self._next_slot = Slot(learned_through + 1)
        found = self._highest_reported(above=learned_through)
        no_op_crc = self._checksum(NO_OP)
        for number in range(learned_through + 1, max(found, default=learned_through) + 1):
            record = found.get(Slot(number))
            if record is None:
                self._propose(NO_OP, no_op_crc, now_s)
            else:
                self._propose(record.value, record.crc, now_s)
        self._reported.clear()
        self.barrier_slot = self._next_slot
        barrier = encode_value(self.membership)
        self._propose(barrier, self._checksum(barrier), now_s)
        self._turn.notice(
            NoticeKind.BECAME_LEADER, ballot=str(self.ballot), chosen_through=learned_through, adopted_count=len(found)
        )

    def _highest_reported(self, *, above: Slot) -> dict[Slot, AcceptedSlot]:
        """For each slot the acceptance with the highest ballot (Paxos Made Simple, section 2.2, phase 2 a)."""
        found: dict[Slot, AcceptedSlot] = {}
        for reported in self._reported.values():
            if not reported.is_complete:
                continue
            for record in reported.accepted:
                held = found.get(record.slot)
                if record.slot > above and (held is None or record.ballot > held.ballot):
                    found[record.slot] = record
        return found

    # --- phase 2 ---

    def submit(self, submission: bytes) -> Refusal | None:
        """Put one submission in the queue; it gets its slot in ``fill_window``. A candidate queues too."""
        if self.role is Role.FOLLOWING:
            return Refusal.NOT_LEADER
        if len(submission) > self._options.batch_bytes_max:
            return Refusal.TOO_LARGE
        if self.is_full:
            return Refusal.STORAGE_FULL
        if (
            len(self._queue) >= self._options.queue_submissions_max
            or self._queue_bytes + len(submission) > self._options.queue_bytes_max
        ):
            return Refusal.OVERLOADED
        self._queue.append(submission)
        self._queue_bytes += len(submission)
        return None

    def fill_window(self, now_s: float, time_ms: int) -> None:
        """Join waiting submissions into batches while the window has room.

        No delay is added: a batch waits only for the leader's own previous write, so it grows while the disk works.
        ``time_ms`` is the log time they are stamped with.
        """
        while self.can_propose:
            value = encode_value(Batch(time_ms, self._next_batch()))
            self._propose(value, self._checksum(value), now_s)

    @property
    def can_propose(self) -> bool:
        """Whether something waits for a slot and the window has room for it."""
        return (
            bool(self._queue)
            and self.role is Role.LEADING
            and len(self._undurable) < self._options.undurable_slots_max
            and len(self._proposals) < self._options.window_slots
            and self._proposals_bytes + self._options.batch_bytes_max <= self._options.window_bytes
        )

    def _next_batch(self) -> list[bytes]:
        submissions: list[bytes] = []
        size = 0
        while self._queue and len(submissions) < self._options.batch_submissions_max:
            if submissions and size + len(self._queue[0]) > self._options.batch_bytes_max:
                break
            submission = self._queue.popleft()
            size += len(submission)
            submissions.append(submission)
        self._queue_bytes -= size
        return submissions

    def _propose(self, value: bytes, crc: int, now_s: float) -> None:
        slot = self._next_slot
        self._next_slot = Slot(slot + 1)
        accept = Accept(self.ballot, slot, crc, value, self.chosen_through)
        self._proposals[slot] = _Proposal(accept, set(), now_s)
        self._proposals_bytes += len(value)
        self._undurable.add(slot)
        self._turn.send(self._node, accept)
        for peer in self._peers():
            self._send_accept(peer, accept)

    def on_accepted(self, sender: NodeId, message: Accepted) -> None:
        """Phase 2b: count each voter once a slot, at this ballot only (P5)."""
        if self.role is not Role.LEADING or message.ballot != self.ballot or not self.membership.is_voter(sender):
            return
        if sender == self._node:
            self._undurable = {slot for slot in self._undurable if not message.first_slot <= slot <= message.last_slot}
        in_flight = self._in_flight.get(sender)
        lowest = max(message.first_slot, Slot(self.chosen_through + 1))
        if in_flight:
            for slot in [slot for slot in in_flight if message.first_slot <= slot <= message.last_slot]:
                self._in_flight_bytes[sender] -= in_flight.pop(slot)
            if sender in self._withheld_from:
                self._send_withheld(sender, in_flight)
        for number in range(lowest, min(message.last_slot, Slot(self._next_slot - 1)) + 1):
            proposal = self._proposals[Slot(number)]
            proposal.votes.add(sender)
        self._advance()

    def _send_withheld(self, peer: NodeId, in_flight: dict[Slot, int]) -> None:
        """A peer has answered something: the next ones that it was not sent, as far as its bound allows."""
        self._withheld_from.discard(peer)
        for slot, proposal in self._proposals.items():
            if slot not in in_flight and peer not in proposal.votes:
                self._send_accept(peer, self._with_chosen_through(proposal.accept))
                if peer in self._withheld_from:
                    return

    def _advance(self) -> None:
        """Move over the chosen slots, in order, without gaps."""
        while (proposal := self._proposals.get(Slot(self.chosen_through + 1))) is not None:
            if not self.membership.is_quorum(proposal.votes):
                return
            self.chosen_through = proposal.accept.slot
            self._proposals_bytes -= len(proposal.accept.value)
            del self._proposals[self.chosen_through]

    # --- over lossy links ---

    def resend(self, now_s: float) -> None:
        """Repeat what has gone unanswered for ``resend_interval_s``."""
        before_s = now_s - self._options.resend_interval_s
        if self.role is Role.PREPARING and self._prepare_sent_at_s <= before_s:
            self._prepare_sent_at_s = now_s
            for peer in self._peers():
                if peer not in self._reported or not self._reported[peer].is_complete:
                    self._turn.send_after_write(peer, self._prepare)
        stale = [proposal for proposal in self._proposals.values() if proposal.sent_at_s <= before_s]
        if not stale:
            return
        for peer in self._peers():
            self.forget_in_flight(peer)
        for proposal in stale:
            proposal.sent_at_s = now_s
            for peer in self._peers():
                if peer not in proposal.votes:
                    self._send_accept(peer, self._with_chosen_through(proposal.accept))

    def on_link_opened(self, peer: NodeId) -> None:
        """What was under way on the old link is lost: send it on the new one."""
        self.forget_in_flight(peer)
        if peer == self._node or not self.membership.is_voter(peer):
            return
        if self.role is Role.PREPARING and (peer not in self._reported or not self._reported[peer].is_complete):
            self._turn.send_after_write(peer, self._prepare)
        for proposal in self._proposals.values():
            if peer not in proposal.votes:
                self._send_accept(peer, self._with_chosen_through(proposal.accept))

    def forget_in_flight(self, peer: NodeId) -> None:
        self._in_flight.pop(peer, None)
        self._in_flight_bytes.pop(peer, None)
        self._withheld_from.discard(peer)

    def _with_chosen_through(self, accept: Accept) -> Accept:
        return Accept(accept.ballot, accept.slot, accept.crc, accept.value, self.chosen_through)

    def _send_accept(self, peer: NodeId, accept: Accept) -> None:
        """Send unless the peer has too much unanswered: then with its next answer, or from the log when it asks."""
        in_flight = self._in_flight.setdefault(peer, {})
        size = self._in_flight_bytes.get(peer, 0) + len(accept.value)
        if in_flight and (
            size > self._options.peer_in_flight_bytes_max or len(in_flight) >= self._options.accept_ahead_slots_max
        ):
            self._withheld_from.add(peer)
            return
        if accept.slot not in in_flight:
            in_flight[accept.slot] = len(accept.value)
            self._in_flight_bytes[peer] = size
        self._turn.send(peer, accept)

    # --- the end of a ballot ---

    def on_nack(self, sender: NodeId, message: Nack) -> None:
        """A voter promised more; without a quorum of others this ballot can go no further."""
        if self.role is Role.FOLLOWING or message.ballot != self.ballot:
            return
        self._nacked_by.add(sender)
        others = set(self.membership.voters) - self._nacked_by
        if not self.membership.is_quorum(others):
            self.step_down(f"a quorum is out of reach: {message.promise} was promised")

    def step_down(self, reason: str) -> None:
        """Give the ballot up. Queued submissions were definitely not done; those in flight may be chosen yet."""
        if self.role is Role.FOLLOWING:
            return
        self._turn.notice(
            NoticeKind.STEPPED_DOWN,
            ballot=str(self.ballot),
            was=self.role.value,
            reason=reason,
            dropped=len(self._queue),
        )
        self.role = Role.FOLLOWING
        self._queue.clear()
        self._queue_bytes = 0
        self._reset()

    def _peers(self) -> list[NodeId]:
        return [voter for voter in self.membership.voters if voter != self._node]
