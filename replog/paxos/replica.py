"""The only door of the core: events go in, one ``Effects`` value comes out.

A turn of the driver: ``tick`` (it sets the time), then any number of events, then ``take_effects``. Many events may
go in before the effects are taken: that is how batches form.

It alone writes what the node knows of itself, hands every event to the roles it concerns, and keeps the ledger of
writes: which ticket holds which records, and which messages of the node to itself wait for it (P1 holds for one's own
vote as for anybody's).
"""

from __future__ import annotations

from typing import assert_never

from .ballot import BALLOT_ZERO, BEFORE_LOG, Ballot, NodeId, Slot
from .effects import Effects, NoticeKind, SendChunk
from .effects import Refusal as Refusal
from .membership import Membership
from .messages import (
    Accept,
    Accepted,
    AcceptedSlot,
    BelowFloor,
    Confirm,
    Confirmed,
    FetchSnapshot,
    Heartbeat,
    HeartbeatReply,
    Learn,
    LearnRequest,
    Message,
    Nack,
    Prepare,
    Promise,
    SnapshotChunk,
    TransferLeadership,
)
from .peers import Peer
from .proposer import Role
from .roles import ReplicaStatistics as ReplicaStatistics
from .roles import Roles
from .values import decode_membership, stamp_of

_PeerMessage = (
    Heartbeat | HeartbeatReply | LearnRequest | Learn | BelowFloor | FetchSnapshot | SnapshotChunk | TransferLeadership
)
"""What only another node says."""

if not __debug__:
    raise RuntimeError(
        "replog checks its own invariants with assert and refuses to run under python -O or PYTHONOPTIMIZE"
    )


class Replica(Roles):
    """One member of the cluster, without its clock, disk and network."""

    # --- time ---

    def tick(self, now_s: float, time_ms: int) -> None:
        """Time passed: ``now_s`` monotonic seconds, ``time_ms`` wall clock since the Unix epoch. First in each turn."""
        assert now_s >= self._now_s, (now_s, self._now_s)
        self._now_s = now_s
        self._time_ms = self._acceptor.time_ms = time_ms
        self._log_time.tick(now_s, time_ms)
        self._leadership.tick(now_s, self._pending_writes.oldest_age_s(now_s))
        if self._outbox.local:
            self._handle_local()
        self._proposer.resend(now_s)
        self._reads.resend(now_s)
        if self._is_checked:
            self.check_invariants()

    # --- messages ---

    def on_message(self, sender: NodeId, message: Message) -> None:
        """A message from ``sender``, in any order, any number of times; strangers have no voice."""
        if sender in self._peers:
            self._handle(sender, message)
        elif guest := self._members.hear_stranger(sender, message, self._now_s, self._time_ms):
            self._hear(guest, message)  # type: ignore[arg-type]  # it is none that belongs to a ballot
        if self._outbox.local:
            self._handle_local()
        if self._is_checked:
            self.check_invariants()

    def _handle_local(self) -> None:
        while self._outbox.local:
            self._handle(self.node, self._outbox.local.popleft())

    def _handle(self, sender: NodeId, message: Message) -> None:
        """What belongs to a ballot, a node says to itself as well."""
        match message:
            case Accept():
                self._on_accept(sender, message)
            case Accepted():
                self._on_accepted(sender, message)
            case Prepare():
                promise_before = self._acceptor.promise
                self._acceptor.on_prepare(sender, message)
                self._leadership.on_promised(promise_before, self._now_s)
                if message.ballot.round >= self._standing.rounds_end:
                    self._catch_up.on_position(self._peers[sender], Slot(message.from_slot - 1))  # M6: it knows more
            case Promise():
                self._on_promise(sender, message)
            case Nack():
                self._leadership.on_nack(sender, message)
            case Confirm():
                self._acceptor.on_confirm(sender, message)
            case Confirmed():
                self._reads.on_confirmed(sender, message)
            case _:
                self._hear(self._peers[sender], message)

    def _hear(self, peer: Peer, message: _PeerMessage) -> None:
        match message:
            case Heartbeat():
                if message.ballot > BALLOT_ZERO:
                    self._hear_leader(peer, message.ballot, message.chosen_through)
                self._leadership.on_heartbeat(peer, message, self._time_ms)
            case HeartbeatReply():
                self._catch_up.on_position(peer, message.chosen_through, message.compacted_through)
                self._divergence.on_peer_digest(peer, message.digest_slot, message.digest)
                self._leadership.on_heartbeat_reply(peer, message, self._now_s)
            case LearnRequest():
                self._teacher.on_learn_request(peer, message)
            case Learn():
                self._standing.on_taught(self._learner.on_learn(message))
                self._catch_up.on_learn(peer, message)
            case BelowFloor():
                self._catch_up.on_below_floor(peer, message)
            case FetchSnapshot():
                self._outbox.chunks_to_send.append(SendChunk(peer.node, message.snapshot, message.position))
            case SnapshotChunk():
                self._catch_up.on_snapshot_chunk(peer, message)
                if (taken := self._outbox.chunks_received) and taken[-1].is_last:
                    self._standing.on_installing(taken[-1].applied_through)
            case TransferLeadership():
                self._leadership.on_transfer(peer, message, self._now_s)
            case _:
                assert_never(message)

    def _on_accept(self, sender: NodeId, message: Accept) -> None:
        promise_before = self._acceptor.promise
        self._acceptor.on_accept(sender, message)
        self._leadership.on_promised(promise_before, self._now_s)
        if sender != self.node:
            self._hear_leader(self._peers[sender], message.ballot, message.chosen_through)

    def _hear_leader(self, peer: Peer, ballot: Ballot, chosen_through: Slot) -> None:
        """A hint at a ballot that is not promised here speaks of no slot that was accepted here (P6), and must not
        hide those of the ballot that is followed."""
        if ballot <= self._acceptor.promise:
            self._learner.on_hint(ballot, chosen_through)
        self._catch_up.on_position(peer, chosen_through)
        self._leadership.on_leader_heard(peer, ballot)
        self._advance()

    def _on_accepted(self, sender: NodeId, message: Accepted) -> None:
        before = self._proposer.chosen_through
        self._proposer.on_accepted(sender, message)
        if self._proposer.is_stopped:
            self._leadership.on_stopped()
        if self._proposer.chosen_through > before:
            self._learner.on_hint(self._proposer.ballot, self._proposer.chosen_through)
            self._catch_up.on_chosen_elsewhere(self._proposer.chosen_through)
            self._advance()

    def _on_promise(self, sender: NodeId, message: Promise) -> None:
        peer = self._peers.get(sender)
        if peer is not None:
            self._catch_up.on_position(peer, message.chosen_through, message.compacted_through)
            if not self._log_time.is_known(peer):
                self._log_time.on_clock(peer, message.time_ms)  # it waited for a write: a reply's is fresher
        before = self._proposer.role
        self._proposer.on_promise(sender, message)
        if self._proposer.role is Role.CATCHING_UP and before is not Role.CATCHING_UP:
            self._election.on_quorum_promised()
            self._lead_if_ready()

    def _lead_if_ready(self) -> None:
        if self._proposer.role is Role.CATCHING_UP:
            self._catch_up.on_chosen_elsewhere(self._proposer.catch_up_through)
            self._leadership.lead_if_ready(self._now_s)

    # --- links and disk ---

    def on_link_opened(self, peer: NodeId) -> None:
        """A link to ``peer`` is there; of a stranger's nothing is kept."""
        if peer in self._peers:
            self._peers[peer].is_link_closed = False
            self._peers[peer].silent_quarters = 0
            self._proposer.on_link_opened(self._peers[peer])

    def on_link_closed(self, peer: NodeId) -> None:
        """Suspicion at once: the peer may be dead."""
        if peer in self._peers:
            self._close(self._peers[peer])
            self._leadership.end_round_if_due(self._now_s)
            self._handle_local()
        elif peer in self._peers.guests:
            self._members.forget_guest(self._peers.guests[peer], self._now_s)

    def _close(self, peer: Peer) -> None:
        peer.close_link()
        self._catch_up.on_link_closed(peer, self._now_s)
        self._election.on_link_closed(peer, self._now_s, is_leading=self._proposer.is_leading)

    def on_written(self, ticket: int) -> None:
        """The write of ``ticket`` and all before it are durable."""
        for written in self._pending_writes.settle(ticket):
            self._learner.on_durable(written.records)
            self._note_repaired(written.records)
            self._outbox.sends.extend(written.held)
            self._outbox.local.extend(written.local)
        if self._outbox.local:
            self._handle_local()
        self._advance()
        if self._is_checked:
            self.check_invariants()

    def _note_repaired(self, records: tuple[AcceptedSlot, ...]) -> None:
        repaired = self._standing.damaged and self._standing.damaged.intersection(record.slot for record in records)
        for slot in sorted(repaired):
            self._standing.on_repaired(slot)
            self._catch_up.forget_lacking()
            self._outbox.notice(NoticeKind.DAMAGE_REPAIRED, slot=slot)

    def on_slots_read(self, target: NodeId, slots: list[AcceptedSlot]) -> None:
        """Answer to ``Effects.slot_reads`` (empty: nothing could be read)."""
        peer = self._peers.get(target) or self._peers.guests.get(target)
        if peer is not None:
            self._teacher.on_slots_read(peer, slots)

    def on_slot_damaged(self, slot: Slot) -> None:
        """A record of the log failed its checksum when it was read (P10)."""
        self._standing.on_damaged(slot)

    def on_applied(self, applied_through: Slot, digest_slot: Slot, digest: bytes, log_time_ms: int = 0) -> None:
        """The state machine applied up to ``applied_through``; ``apply.digest`` is its digest after ``digest_slot``.

        ``log_time_ms`` is the log time it has come to.
        """
        self._fitness.on_applied(has_progressed=applied_through != self._standing.applied_through)
        self._standing.on_applied(applied_through)
        self._log_time.on_stamp(log_time_ms)
        self._divergence.on_digest(digest_slot, digest)

    def on_compacted(self, compacted_through: Slot) -> None:
        """The log's slots up to here are gone; above ``chosen_through`` only below a state that is being installed."""
        self._standing.on_compacted(min(compacted_through, self._standing.chosen_through))
        self._catch_up.forget_lacking()

    def on_chunk_stored(self, snapshot: bytes, position: int) -> None:
        """Bytes of ``snapshot`` below ``position`` are stored, none of one that was damaged; ask for what follows."""
        self._standing.on_installing(BEFORE_LOG)
        self._catch_up.on_chunk_stored(snapshot, position, self._now_s)

    def on_state_installed(self, applied_through: Slot, membership: Membership | None = None) -> None:
        """A received state is in place, and the log below it is gone; both are durable.

        ``membership``: the one in force there, if there has been a change (M12).
        """
        before, applied_before = self._standing.chosen_through, self._standing.applied_through
        self._standing.on_installed(applied_through)
        self._fitness.on_applied(has_progressed=self._standing.applied_through != applied_before)
        if self._standing.chosen_through > before:
            self._learner.on_installed()
            self._acceptor.forget_chosen(before)
        self._catch_up.end_transfer()
        if membership is not None and membership.version > self._standing.membership.version:
            self._adopt(membership, applied_through)
            self._members.go_on(self._now_s)
        self._advance()
        self._lead_if_ready()
        self._handle_local()

    def on_state_skipped(self) -> None:
        """The state that was fetched is no newer than what was applied here meanwhile; nothing was installed."""
        self._standing.on_installing(BEFORE_LOG)
        self._catch_up.end_transfer()

    def on_storage_full(self, is_full: bool) -> None:
        """The disk is nearly full (refuse new commands, hand over) or has room again."""
        self._fitness.is_full = is_full
        self._waiting.is_full = is_full
        self._leadership.give_way()

    # --- what to do ---

    def take_effects(self) -> Effects:
        """Everything this turn asks of the driver, once."""
        if self._proposer.is_leading:
            if self._proposer.can_propose and self._waiting.is_ripe(self._now_s):
                self._proposer.fill_window(self._now_s, self._log_time.next_stamp_ms())
            self._reads.begin_round(max(self._proposer.chosen_through, self._proposer.barrier_slot), self._now_s)
        self._settle()
        is_behind = self._catch_up.is_behind
        if is_behind:
            held = self._acceptor.accepted.get(self._catch_up.next_wanted)
            holds_next = held is not None and held.ballot == self._acceptor.promise
            self._catch_up.ask(self._now_s, holds_next=holds_next)
        self._leadership.tell_leader()
        ticket, write, after_write = self._pending_writes.enter(self._outbox, self._now_s)
        self._slots_released += len(self._outbox.release)
        effects = self._outbox.take(ticket, write, after_write, self._next_deadline_s(self._now_s, is_behind=is_behind))
        if self._is_checked:
            self.check_invariants()
        return effects

    def _settle(self) -> None:
        """Handle what this node says to itself until the rest of it waits for a write."""
        if self._outbox.local:
            self._handle_local()
        self._acceptor.send_acks()
        while self._outbox.after_write and not self._outbox.needs_write and self._pending_writes.is_settled:
            local = [outbound for outbound in self._outbox.after_write if outbound.target == self.node]
            if not local:
                return
            self._outbox.after_write = [
                outbound for outbound in self._outbox.after_write if outbound.target != self.node
            ]
            for outbound in local:
                self._handle(self.node, outbound.message)
            self._handle_local()
            self._acceptor.send_acks()

    def _advance(self) -> None:
        """Hand out what has become chosen and durable here, and what follows from it."""
        before = self._standing.chosen_through
        through = self._learner.advance()
        if through == before:
            return
        self._standing.on_chosen(through)
        for record in self._outbox.release[-(through - before) :]:
            membership = decode_membership(record.value)
            if membership is not None and membership.follows(self._standing.membership):
                self._adopt(membership, record.slot)
            self._log_time.on_stamp(stamp_of(record.value))
        self._acceptor.forget_chosen(before)
        self._members.go_on(self._now_s)
        self._lead_if_ready()
        if self._outbox.local:
            self._handle_local()

    def _adopt(self, membership: Membership, slot: Slot) -> None:
        self._members.leave(membership, slot, self._close)
        self._standing.on_membership(membership)
        self._members.enter(slot)
