"""The only door of the core: events go in, one ``Effects`` value comes out.

A turn of the driver: ``tick`` (it sets the time), then any number of events, then ``take_effects``. Many events may
go in before the effects are taken: that is how batches form.

It composes the roles, which never see each other, and keeps the ledger of writes: which ticket holds which records,
and which messages of the node to itself wait for it (P1 holds for one's own vote as for anybody's).
"""

from __future__ import annotations

import random as random_module
from collections.abc import Callable
from typing import assert_never

import msgspec

from .acceptor import Acceptor
from .ballot import BALLOT_ZERO, Ballot, NodeId, Slot
from .divergence import Contradiction, Divergence
from .effects import Effects, NoHandOver, NoticeKind, ReadSlots, SendState
from .effects import Refusal as Refusal
from .election import Election
from .fitness import Fitness
from .learner import Learner
from .log_time import LogTime
from .messages import (
    Accept,
    Accepted,
    AcceptedSlot,
    BelowFloor,
    Confirm,
    Confirmed,
    FetchState,
    Heartbeat,
    HeartbeatReply,
    Learn,
    LearnRequest,
    Message,
    Nack,
    Prepare,
    Promise,
    StatePiece,
    TransferLeadership,
)
from .options import Options
from .outbox import Size, Turn
from .pending_writes import Ledger
from .proposer import Proposer, Role
from .reads import Reads
from .recovered import Recovered
from .values import decode_membership, stamp_of

_CLOCK_ROUNDS = 600
"""A leader whose clock is astray asks another one to lead at most once in so many rounds."""

if not __debug__:
    raise RuntimeError(
        "replog checks its own invariants with assert and refuses to run under python -O or PYTHONOPTIMIZE"
    )


class ReplicaStatistics(msgspec.Struct, frozen=True):
    """Plain counts since the replica was made."""

    ballots_begun: int
    times_leader: int
    slots_released: int
    damaged_received: int
    slots_in_flight: int
    submissions_waiting: int


class Replica:
    """One member of the cluster, without its clock, disk and network."""

    def __init__(
        self,
        *,
        node: NodeId,
        options: Options,
        recovered: Recovered,
        random: random_module.Random,
        checksum: Callable[[bytes], int],
        now_s: float,
        time_ms: int,
    ) -> None:
        self.node = node
        self.options = options
        self.membership = recovered.membership
        is_voter = self.membership.is_voter(node)
        self._now_s = now_s
        self._time_ms = time_ms
        self._turn = Turn(node, self.membership.version)
        self._acceptor = Acceptor(options, recovered, self._turn, checksum, is_voter=is_voter)
        self._proposer = Proposer(node, options, self._turn, checksum, self.membership)
        self._learner = Learner(options, recovered, self._turn, checksum, random)
        self._reads = Reads(options, self._turn, self.membership)
        self._election = Election(node, options, self._turn, self.membership, random, now_s)
        self._divergence = Divergence(self._turn, self.membership)
        self._log_time = LogTime(options, self._turn, self.membership, now_s, time_ms)
        self._log_time.on_stamp(recovered.log_time_ms)
        self._clock_asked_at_s = float("-inf")
        self._fitness = Fitness(options, self._turn)
        self._ledger = Ledger(node)
        self._reading_for: set[NodeId] = set()
        self._leader_told: NodeId | None = None
        self._ballots_begun = 0
        self._times_leader = 0
        self._slots_released = 0
        if recovered.damaged_reason:
            self._turn.notice(NoticeKind.ABSTAINED, reason=recovered.damaged_reason)

    # --- questions ---

    @property
    def is_storage_full(self) -> bool:
        """Whether new commands are refused here for want of room; what ``on_storage_full`` said last."""
        return self._fitness.is_full

    @property
    def is_leading(self) -> bool:
        return self._proposer.is_leading

    @property
    def is_voting(self) -> bool:
        return self._acceptor.is_voting

    @property
    def abstain_reason(self) -> str:
        """Empty, or why this node does not vote (P9, P10)."""
        return self._acceptor.abstain_reason

    @property
    def problem(self) -> str:
        """Empty, or why this node is not fully at work."""
        return self._acceptor.abstain_reason or self._fitness.problem

    def is_damaged(self, slot: Slot) -> bool:
        """Whether the record of ``slot`` is known damaged here; reading it again before it is repaired is of no use."""
        return slot in self._learner.damaged

    @property
    def leader(self) -> NodeId | None:
        """The node this one follows (maybe itself), or None while it knows of none that is alive."""
        return self.node if self._proposer.is_leading else self._election.leader

    @property
    def promise(self) -> Ballot:
        return self._acceptor.promise

    @property
    def chosen_through(self) -> Slot:
        return self._learner.chosen_through

    @property
    def contradiction(self) -> Contradiction | None:
        """Who contradicts this node's state while no majority is known to hold it."""
        return self._divergence.contradiction

    @property
    def clock_offset_ms(self) -> int | None:
        """How far this node's wall clock is ahead of a quorum's; None while that is not known (P11)."""
        return self._log_time.offset_ms

    @property
    def is_clock_astray(self) -> bool:
        return self.node in self._log_time.astray

    @property
    def log_time_ahead_ms(self) -> int:
        """How far log time is ahead of a quorum's clock; 0 unless it is more than ``clock_offset_max_s``."""
        return self._log_time.ahead_ms if self._log_time.is_ahead else 0

    @property
    def compacted_through(self) -> Slot:
        return self._learner.compacted_through

    @property
    def goal(self) -> Slot:
        """The highest slot anybody is known to know chosen."""
        return self._learner.goal

    @property
    def role(self) -> Role:
        return self._proposer.role

    @property
    def submissions_waiting(self) -> int:
        """Submissions that have no slot yet."""
        return self._proposer.submissions_waiting

    def statistics(self) -> ReplicaStatistics:
        return ReplicaStatistics(
            ballots_begun=self._ballots_begun,
            times_leader=self._times_leader,
            slots_released=self._slots_released,
            damaged_received=sum(
                role.damaged_received_count for role in (self._acceptor, self._proposer, self._learner)
            ),
            slots_in_flight=self._proposer.slots_in_flight,
            submissions_waiting=self._proposer.submissions_waiting,
        )

    def sizes(self) -> list[Size]:
        """What is kept in memory, with its bounds: the options', whatever the peers, the clients and the disk do."""
        return [
            *self._acceptor.sizes(),
            *self._proposer.sizes(),
            *self._learner.sizes(),
            *self._reads.sizes(),
        ]

    # --- time ---

    def tick(self, now_s: float, time_ms: int) -> None:
        """Time passed: ``now_s`` monotonic seconds, ``time_ms`` wall clock since the Unix epoch. First in each turn."""
        assert now_s >= self._now_s, (now_s, self._now_s)
        self._now_s = now_s
        self._time_ms = self._acceptor.time_ms = time_ms
        self._log_time.tick(now_s, time_ms)
        if now_s >= self._election.round_at_s:
            self._end_round()
        self._take_over_if_due()
        self._proposer.resend(now_s)
        self._reads.resend(now_s)
        self._watch_disk()

    def _end_round(self) -> None:
        self._fitness.end_round(self._learner.chosen_through)
        self._divergence.judge()
        self._log_time.judge()
        self._election.astray = self._log_time.astray
        self._judge()
        if self._proposer.is_leading:
            if self._election.should_step_down():
                self._step_down("it reached no quorum for one election timeout")
            elif self._election.should_rise():
                self._step_down("a voter is stuck above its ballot")
                self._take_over()
        elif self._proposer.role is not Role.FOLLOWING and self._election.should_step_down():
            self._step_down("phase 1 came to nothing for one election timeout")
            self._election.on_abandoned()
        self._give_way()
        self._watch_clock()
        leading = self._proposer.ballot if self._proposer.is_leading else BALLOT_ZERO
        chosen_through = self._proposer.chosen_through if self._proposer.is_leading else self._learner.chosen_through
        self._election.begin_round(leading, chosen_through, self._now_s)

    def _judge(self) -> None:
        self._election.judge(self._acceptor.promise, is_leading=self._proposer.is_leading)
        if self._can_lead and self._proposer.role is Role.FOLLOWING:
            self._election.consider(
                self._acceptor.accepted_through,
                self._learner.chosen_through,
                self._now_s,
                is_able=self._fitness.is_able,
            )

    @property
    def _can_lead(self) -> bool:
        return self._acceptor.is_voting and not self._fitness.is_disk_stalled

    def _give_way(self) -> None:
        """A leader that can't serve asks somebody who can to take over, in every round until it is heard."""
        if self._proposer.is_leading and not self._fitness.is_able:
            self.transfer_leadership(None)

    def _take_over_if_due(self) -> None:
        due_s = self._election.take_over_at_s
        if due_s is None or self._now_s < due_s:
            return
        self._election.take_over_at_s = None
        if self._can_lead and self._election.can_take_over(self._learner.chosen_through):
            self._take_over()

    def _take_over(self) -> None:
        if not self._acceptor.is_voting or self._proposer.role is not Role.FOLLOWING:
            return
        above = max(self._acceptor.promise, self._election.highest_seen, self._proposer.ballot)
        self._ballots_begun += 1
        self._proposer.begin(above.next_for(self.node), Slot(self._learner.chosen_through + 1), self._now_s)
        self._handle_local()

    def _step_down(self, reason: str) -> None:
        self._reads.refuse_all()
        self._proposer.step_down(reason)

    def _watch_disk(self) -> None:
        """A leader whose disk hangs hands over; a follower whose disk hangs does not take over."""
        self._fitness.watch_disk(self._ledger.oldest_age_s(self._now_s))
        if self._fitness.is_disk_stalled and self._proposer.is_leading:
            self._give_way()
            self._step_down("its disk has not finished a write in time")

    def _watch_clock(self) -> None:
        """A leader whose clock is astray hands over to a voter whose clock is not.

        Log time is a quorum's whoever leads (P11), so this is only worth asking now and then: the other one may not
        reach a quorum.
        """
        if not self._proposer.is_leading or not self.is_clock_astray:
            return
        successor = self._election.best_successor()
        due_s = self._clock_asked_at_s + _CLOCK_ROUNDS * self.options.heartbeat_interval_s
        if successor is not None and successor not in self._log_time.astray and self._now_s >= due_s:
            self._clock_asked_at_s = self._now_s
            self.transfer_leadership(successor)

    # --- messages ---

    def on_message(self, sender: NodeId, message: Message) -> None:
        """A message from ``sender``, in any order, any number of times; strangers are ignored."""
        if sender not in self.membership.members:
            return
        self._handle(sender, message)
        self._handle_local()

    def _handle_local(self) -> None:
        while self._turn.local:
            self._handle(self.node, self._turn.local.popleft())

    def _handle(self, sender: NodeId, message: Message) -> None:
        match message:
            case Accept():
                self._on_accept(sender, message)
            case Accepted():
                self._on_accepted(sender, message)
            case Heartbeat():
                self._on_heartbeat(sender, message)
            case HeartbeatReply():
                self._on_heartbeat_reply(sender, message)
            case Prepare():
                self._on_prepare(sender, message)
            case Promise():
                self._learner.on_peer_position(sender, message.chosen_through, message.compacted_through)
                if not self._log_time.is_known(sender):
                    self._log_time.on_clock(sender, message.time_ms)  # it waited for a write: a reply's is fresher
                self._proposer.on_promise(sender, message)
                self._lead_if_ready()
            case Nack():
                self._on_nack(sender, message)
            case Confirm():
                self._acceptor.on_confirm(sender, message)
            case Confirmed():
                self._reads.on_confirmed(sender, message)
            case LearnRequest():
                self._on_learn_request(sender, message)
            case Learn():
                self._learner.on_learn(sender, message)
                self._acceptor.taught_through = self._learner.taught_through
            case BelowFloor():
                self._learner.on_below_floor(sender, message)
            case FetchState():
                self._turn.state_sends.append(SendState(sender, message.image, message.position))
            case StatePiece():
                self._learner.on_state_piece(sender, message, self._now_s)
            case TransferLeadership():
                is_superseded = message.ballot < self._election.highest_seen and sender != self._election.leader
                is_late = message.ballot < self._acceptor.promise or is_superseded
                self._election.note_ballot(message.ballot)
                if self._can_lead and self._fitness.is_able and not is_late:
                    self._take_over()
            case _:
                assert_never(message)

    def _on_accept(self, sender: NodeId, message: Accept) -> None:
        promise_before = self._acceptor.promise
        self._acceptor.on_accept(sender, message)
        self._after_promise(promise_before)
        if sender != self.node:
            self._hear_leader(sender, message.ballot, message.chosen_through)

    def _on_accepted(self, sender: NodeId, message: Accepted) -> None:
        before = self._proposer.chosen_through
        self._proposer.on_accepted(sender, message)
        if self._proposer.chosen_through > before:
            self._learner.on_hint(self._proposer.ballot, self._proposer.chosen_through)
            self._advance()

    def _on_heartbeat(self, sender: NodeId, message: Heartbeat) -> None:
        if message.ballot > BALLOT_ZERO:
            self._hear_leader(sender, message.ballot, message.chosen_through)
        self._turn.send(
            sender,
            HeartbeatReply(
                message.round,
                self._acceptor.promise,
                self._proposer.is_leading,
                self._election.is_happy and not self._fitness.is_disk_stalled,
                self._acceptor.is_voting,
                self._learner.chosen_through,
                self._acceptor.accepted_through,
                self._learner.applied_through,
                self._learner.compacted_through,
                self._divergence.own_slot,
                self._divergence.own_digest,
                not self._fitness.is_able,
                self._election.is_led,
                self._time_ms,
            ),
        )

    def _hear_leader(self, sender: NodeId, ballot: Ballot, chosen_through: Slot) -> None:
        """A hint at a ballot that is not promised here speaks of no slot that was accepted here (P6), and must not
        hide those of the ballot that is followed."""
        if ballot <= self._acceptor.promise:
            self._learner.on_hint(ballot, chosen_through)
        self._learner.on_peer_position(sender, chosen_through, None)
        if ballot >= self._acceptor.promise and not self._proposer.is_leading:
            self._election.on_leader_heard(sender)
        self._advance()

    def _on_heartbeat_reply(self, sender: NodeId, message: HeartbeatReply) -> None:
        self._election.on_reply(sender, message)
        self._learner.on_peer_position(sender, message.chosen_through, message.compacted_through)
        self._divergence.on_peer_digest(sender, message.digest_slot, message.digest)
        if message.round == self._election.round:
            self._log_time.on_clock(sender, message.time_ms)  # a late answer would tell a late clock
        if self._election.is_ready_to_judge:
            self._judge()
            self._take_over_if_due()

    def _on_prepare(self, sender: NodeId, message: Prepare) -> None:
        promise_before = self._acceptor.promise
        self._acceptor.on_prepare(sender, message)
        self._after_promise(promise_before)

    def _after_promise(self, promise_before: Ballot) -> None:
        """The own acceptor may have promised somebody else's ballot: then this node's own is over."""
        promise = self._acceptor.promise
        if promise == promise_before:
            return
        if promise != self._proposer.ballot:
            self._step_down(f"it promised {promise}")
        self._election.on_promised(promise, self._now_s)

    def _on_nack(self, sender: NodeId, message: Nack) -> None:
        self._election.note_ballot(message.promise)
        before = self._proposer.role
        self._proposer.on_nack(sender, message)
        if before is not Role.FOLLOWING and self._proposer.role is Role.FOLLOWING:
            self._reads.refuse_all()
            self._election.on_abandoned()

    def _on_learn_request(self, sender: NodeId, message: LearnRequest) -> None:
        """Teach what is known chosen (P8), one piece at a time; below the floor say so."""
        if message.from_slot <= self._learner.compacted_through:
            self._turn.send(sender, BelowFloor(self._learner.compacted_through, self._learner.chosen_through))
        elif message.from_slot <= self._learner.chosen_through and sender not in self._reading_for:
            self._reading_for.add(sender)
            self._turn.slot_reads.append(
                ReadSlots(
                    sender,
                    message.from_slot,
                    min(message.through, self._learner.chosen_through),
                    self.options.piece_slots_max,
                    self.options.piece_bytes_max,
                )
            )

    def _lead_if_ready(self) -> None:
        if self._proposer.role is not Role.CATCHING_UP:
            return
        if self._learner.chosen_through < self._proposer.catch_up_through:
            self._learner.goal = max(self._learner.goal, self._proposer.catch_up_through)
            return
        self._proposer.lead(self._learner.chosen_through, self._now_s)
        for value in self._proposer.values_in_flight:
            self._log_time.on_stamp(stamp_of(value))
        self._times_leader += 1
        self._reads.begin_ballot(self._proposer.ballot)
        self._election.on_leading()

    # --- clients ---

    def submit(self, submission: bytes) -> Refusal | None:
        """Order one opaque submission; None: taken. Not taken: definitely not done."""
        return self._proposer.submit(submission)

    def read(self, read_id: int) -> Refusal | None:
        """Ask for a linearizable read; it comes back in ``Effects.reads`` or ``Effects.reads_refused``."""
        if not self._proposer.is_leading:
            return Refusal.NOT_LEADER
        return self._reads.read(read_id)

    def transfer_leadership(self, target: NodeId | None) -> NoHandOver | None:
        """Hand over to ``target`` (None: the most up to date); returns None, or why it is refused."""
        if not self._proposer.is_leading:
            return NoHandOver(f"n{self.node} does not lead")
        if len(self.membership.voters) == 1:
            return NoHandOver("this cluster has no other voter")
        successor = self._election.best_successor() if target is None else target
        if successor is None:
            return NoHandOver("no other voter is reachable and able to lead", may_pass=True)
        if successor == self.node:
            return NoHandOver(f"n{self.node} leads already")
        if not self.membership.is_voter(successor):
            return NoHandOver(f"n{successor} is not a voter of this cluster")
        if not self._election.is_reachable(successor):
            return NoHandOver(f"n{successor} has not answered lately", may_pass=True)
        if not self._election.is_able(successor):
            return NoHandOver(f"n{successor} can't lead: its disk is full, hangs or is not trusted yet", may_pass=True)
        self._turn.send(successor, TransferLeadership(self._proposer.ballot))
        return None

    # --- disk and links ---

    def on_written(self, ticket: int) -> None:
        """The write of ``ticket`` and all before it are durable."""
        for written in self._ledger.settle(ticket):
            self._learner.on_durable(written.records)
            self._turn.sends.extend(written.held)
            self._turn.local.extend(written.local)
        self._handle_local()
        self._advance()

    def on_link_opened(self, peer: NodeId) -> None:
        self._election.on_link_opened(peer)
        self._learner.on_link_opened(peer)
        self._proposer.on_link_opened(peer)

    def on_link_closed(self, peer: NodeId) -> None:
        """Suspicion at once: the peer may be dead."""
        self._proposer.forget_in_flight(peer)
        self._reading_for.discard(peer)
        self._learner.on_link_closed(peer, self._now_s)
        self._election.on_link_closed(peer, self._now_s, is_leading=self._proposer.is_leading)
        if self._now_s >= self._election.round_at_s:
            self._end_round()

    def on_slots_read(self, target: NodeId, slots: list[AcceptedSlot]) -> None:
        """Answer to ``Effects.slot_reads`` (empty: nothing could be read)."""
        self._reading_for.discard(target)
        self._turn.send(target, Learn(self._learner.chosen_through, tuple(slots)))

    def on_slot_damaged(self, slot: Slot) -> None:
        """A record of the log failed its checksum when it was read (P10)."""
        self._learner.on_slot_damaged(slot)

    def on_applied(self, applied_through: Slot, digest_slot: Slot, digest: bytes, log_time_ms: int = 0) -> None:
        """The state machine applied up to ``applied_through``; ``apply.digest`` is its digest after ``digest_slot``.

        ``log_time_ms`` is the log time it has come to.
        """
        self._learner.applied_through = applied_through
        self._log_time.on_stamp(log_time_ms)
        self._fitness.on_applied(applied_through)
        self._divergence.on_digest(digest_slot, digest)

    def on_compacted(self, compacted_through: Slot) -> None:
        """The log's slots up to here are gone.

        What is gone above ``chosen_through`` is the floor of a state that is being installed: ``on_state_installed``
        says so, with what makes it true.
        """
        self._learner.on_compacted(min(compacted_through, self._learner.chosen_through))
        self._acceptor.compacted_through = self._learner.compacted_through

    def on_state_piece_stored(self, image: bytes, position: int) -> None:
        """Bytes of ``image`` below ``position`` are stored; the next piece may be asked for."""
        self._learner.on_state_piece_stored(image, position, self._now_s)

    def on_state_installed(self, applied_through: Slot) -> None:
        """A received state is in place, and the log below it is gone; both are durable."""
        self._learner.on_state_installed(applied_through)
        self._fitness.on_applied(self._learner.applied_through)
        self._acceptor.taught_through = self._learner.taught_through
        self._acceptor.compacted_through = self._learner.compacted_through
        self._acceptor.forget_through(self._learner.chosen_through)
        self._advance()
        self._lead_if_ready()

    def on_state_skipped(self) -> None:
        """The state that was fetched is no newer than what was applied here meanwhile; nothing was installed."""
        self._learner.end_transfer()

    def on_storage_full(self, is_full: bool) -> None:
        """The disk is nearly full (refuse new commands, hand over) or has room again."""
        self._fitness.is_full = is_full
        self._proposer.is_full = is_full
        self._give_way()

    # --- what to do ---

    def take_effects(self) -> Effects:
        """Everything this turn asks of the driver, once."""
        if self._proposer.can_propose:
            self._proposer.fill_window(self._now_s, self._log_time.next_stamp_ms())
        if self._proposer.is_leading:
            self._reads.begin_round(max(self._proposer.chosen_through, self._proposer.barrier_slot), self._now_s)
        self._settle()
        if self._learner.is_behind:
            held = self._acceptor.accepted.get(self._learner.next_wanted)
            holds_next = held is not None and held.ballot == self._acceptor.promise
            self._learner.catch_up(self._now_s, holds_next=holds_next)
        self._tell_leader()
        return self._gather()

    def _settle(self) -> None:
        """Handle what this node says to itself until the rest of it waits for a write."""
        self._handle_local()
        self._acceptor.send_acks()
        while not self._turn.needs_write and self._ledger.is_settled:
            local = [outbound for outbound in self._turn.after_write if outbound.target == self.node]
            if not local:
                return
            self._turn.after_write = [outbound for outbound in self._turn.after_write if outbound.target != self.node]
            for outbound in local:
                self._handle(self.node, outbound.message)
            self._handle_local()
            self._acceptor.send_acks()

    def _advance(self) -> None:
        before = self._learner.chosen_through
        self._learner.advance()
        if self._learner.chosen_through == before:
            return
        for record in self._turn.release[-(self._learner.chosen_through - before) :]:
            self._adopt_membership(record)
            self._log_time.on_stamp(stamp_of(record.value))
        self._acceptor.forget_through(self._learner.chosen_through)
        self._lead_if_ready()
        self._handle_local()

    def _adopt_membership(self, record: AcceptedSlot) -> None:
        membership = decode_membership(record.value)
        if membership is None or membership.version <= self.membership.version:
            return
        self.membership = membership
        self._turn.store_membership(membership)
        for role in (self._proposer, self._reads, self._election, self._divergence, self._log_time):
            role.membership = membership
        self._acceptor.is_voting = membership.is_voter(self.node) and not self._acceptor.abstain_reason
        self._turn.notice(NoticeKind.MEMBERSHIP_CHANGED, version=membership.version, slot=record.slot)

    def _tell_leader(self) -> None:
        leader = self.leader
        if leader != self._leader_told:
            self._leader_told = leader
            self._turn.notice(NoticeKind.LEADER_CHANGED, leader=leader)

    def _gather(self) -> Effects:
        turn = self._turn
        ticket, write, after_write = self._ledger.enter(turn, self._now_s)
        self._slots_released += len(turn.release)
        effects = Effects(
            ticket=ticket,
            send=turn.sends,
            write=write,
            send_after_write=after_write,
            release=turn.release,
            reads=turn.reads,
            reads_refused=turn.reads_refused,
            slot_reads=turn.slot_reads,
            state_sends=turn.state_sends,
            state_pieces=turn.state_pieces,
            notices=turn.notices,
            deadline_s=self._deadline_s(),
        )
        turn.clear()
        return effects

    def _deadline_s(self) -> float:
        deadline_s = self._election.round_at_s
        if self._election.take_over_at_s is not None:
            deadline_s = min(deadline_s, self._election.take_over_at_s)
        if self._proposer.is_waiting or self._reads.is_waiting or self._learner.is_behind:
            deadline_s = min(deadline_s, self._now_s + self.options.resend_interval_s)
        return deadline_s
