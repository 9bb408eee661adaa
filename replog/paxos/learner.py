"""The learner: what is known chosen, and how this node comes to know the rest.

It owns ``chosen_through`` and hands out slots in order, without gaps (P7), each durable in this node's own log
before. It does not vote and does not know how a value came to be chosen. It learns in two ways only: the leader at
ballot b says "chosen through s" and this node accepted those slots at b (P6); or a peer teaches a value it knows
chosen (P8).

What it lacks or holds damaged it asks for, one question at a time, from any peer that has it; what no peer's log can
give any more, because it is compacted or damaged there too, it replaces by a peer's state.
"""

from __future__ import annotations

import random as random_module
from collections.abc import Callable, Sequence
from typing import NamedTuple

import attrs

from .ballot import BALLOT_ZERO, BEFORE_LOG, Ballot, NodeId, Slot
from .effects import NoticeKind, StoreStatePiece
from .messages import AcceptedSlot, BelowFloor, FetchState, Learn, LearnRequest, StatePiece
from .options import Options
from .outbox import Size, Turn
from .position import Rising
from .recovered import Recovered
from .values import decode_membership


@attrs.define(eq=False)
class _Peer:
    """What a peer has said it can teach."""

    chosen_through: Slot = BEFORE_LOG
    compacted_through: Slot = BEFORE_LOG


class _Question(NamedTuple):
    """A LearnRequest that is not answered yet."""

    peer: NodeId
    slot: Slot


@attrs.define(eq=False)
class _Transfer:
    """A state on its way here, one piece at a time."""

    peer: NodeId
    image: bytes = b""
    applied_through: Slot = BEFORE_LOG
    position: int = 0
    is_storing: bool = False
    failures: int = 0


class Learner:
    """Learns slots in order and catches up when it is behind."""

    chosen_through = Rising()
    compacted_through = Rising()
    applied_through = Rising()
    """How far the state machine has come: what it has applied, it does not need from the log."""
    goal = Rising()
    """The highest slot anybody is known to know chosen."""
    taught_through = Rising()
    """Known chosen, and durable here once every write asked for is."""

    def __init__(
        self,
        options: Options,
        recovered: Recovered,
        turn: Turn,
        checksum: Callable[[bytes], int],
        random: random_module.Random,
    ) -> None:
        self._options = options
        self._turn = turn
        self._checksum = checksum
        self._random = random
        self.chosen_through = recovered.chosen_through
        self.compacted_through = recovered.compacted_through
        self.applied_through = BEFORE_LOG
        self.damaged: set[Slot] = set(recovered.damaged_chosen)
        self.damaged_received_count = 0
        self.goal = self.chosen_through
        self._durable: dict[Slot, AcceptedSlot] = {record.slot: record for record in recovered.accepted}
        self._taught: dict[Slot, AcceptedSlot] = {}
        self.taught_through = self.chosen_through
        self._hint_ballot = BALLOT_ZERO
        self._hint_through = BEFORE_LOG
        self._peers: dict[NodeId, _Peer] = {}
        self._question: _Question | None = None
        self._unanswered: set[NodeId] = set()
        """Peers that let a question or a transfer go unanswered."""
        self._without: dict[Slot, set[NodeId]] = {}
        """Peers that had to answer a question about this slot with nothing: it is damaged there too."""
        self._closed: set[NodeId] = set()
        self._retry_at_s = 0.0
        self._wanted = BEFORE_LOG
        self._wanted_since_s = 0.0
        self._repair_at_s = 0.0
        self._transfer: _Transfer | None = None

    def sizes(self) -> list[Size]:
        lessons_max = 2 * self._options.piece_slots_max
        return [
            Size("lessons", len(self._taught), lessons_max),
            Size("records above what is chosen", len(self._durable), self._options.open_slots_max + lessons_max),
            Size("slots that peers lack", len(self._without), len(self.damaged) + 1),
        ]

    # --- learning ---

    def on_hint(self, ballot: Ballot, chosen_through: Slot) -> None:
        """The leader at ``ballot`` knows every slot up to ``chosen_through`` chosen (P6)."""
        if ballot > self._hint_ballot:
            self._hint_ballot = ballot
            self._hint_through = chosen_through
        elif ballot == self._hint_ballot:
            self._hint_through = max(self._hint_through, chosen_through)
        if chosen_through > self.goal:
            self.goal = chosen_through

    def on_durable(self, records: Sequence[AcceptedSlot]) -> None:
        """These records are in this node's log."""
        for record in records:
            if record.slot > self.chosen_through:
                held = self._durable.get(record.slot)
                if held is None or self._taught.get(record.slot) is not held:
                    self._durable[record.slot] = record
            elif record.slot in self.damaged:
                self.damaged.discard(record.slot)
                self._forget_lacking()
                self._turn.notice(NoticeKind.DAMAGE_REPAIRED, slot=record.slot)

    def advance(self) -> None:
        """Release every next slot that is both chosen and durable here, in order (P7)."""
        start = self.chosen_through
        while (record := self._durable.get(Slot(self.chosen_through + 1))) is not None:
            is_hinted = record.ballot == self._hint_ballot and record.slot <= self._hint_through  # P6
            if not is_hinted and self._taught.get(record.slot) is not record:  # P8
                break
            self.chosen_through = record.slot
            self._turn.release.append(record)
            del self._durable[record.slot]
            self._taught.pop(record.slot, None)
        if self.chosen_through > start:
            self._turn.store_chosen_through(self.chosen_through)
            if self.chosen_through > self.taught_through:
                self.taught_through = self.chosen_through
            if self.chosen_through > self.goal:
                self.goal = self.chosen_through

    def on_learn(self, sender: NodeId, message: Learn) -> None:
        """Store values known chosen, the next ones in order only; repair damaged ones wherever they are (P8, P10)."""
        taught_before = self.taught_through
        self.on_peer_position(sender, message.chosen_through, None)
        for record in message.slots:
            is_next = record.slot == self.taught_through + 1
            if not is_next and record.slot not in self.damaged:
                continue
            if self._checksum(record.value) != record.crc:
                self.damaged_received_count += 1
                continue
            if is_next:
                self._taught[record.slot] = record
                self.taught_through = record.slot
                if (membership := decode_membership(record.value)) is not None:
                    self._turn.store_membership(membership)
            self._turn.store(record)
        if self.taught_through > taught_before:
            # Everything up to here is durable once this write is, so the same transaction may say so.
            self._turn.store_chosen_through(self.taught_through)
        self._close_question(sender, message)

    def _close_question(self, sender: NodeId, message: Learn) -> None:
        question = self._question
        if question is None or question.peer != sender:
            return
        self._question = None
        if any(record.slot == question.slot for record in message.slots):
            self._unanswered.clear()
            self._without.pop(question.slot, None)
        elif message.slots:
            self._unanswered.add(sender)
        else:
            self._without.setdefault(question.slot, set()).add(sender)
            self._forget_lacking()

    def _forget_lacking(self) -> None:
        """Who lacks a slot matters only while this node wants it."""
        self._without = {
            slot: peers for slot, peers in self._without.items() if slot > self.taught_through or slot in self.damaged
        }

    # --- what peers have ---

    def on_peer_position(self, peer: NodeId, chosen_through: Slot, compacted_through: Slot | None) -> None:
        """A peer said how far it knows the log chosen and (unless None) how much of it is gone there."""
        if peer == self._turn.node:
            return
        known = self._peers.setdefault(peer, _Peer())
        known.chosen_through = max(known.chosen_through, chosen_through)
        if compacted_through is not None:
            known.compacted_through = max(known.compacted_through, compacted_through)
        if chosen_through > self.goal:
            self.goal = chosen_through

    def on_below_floor(self, sender: NodeId, message: BelowFloor) -> None:
        self.on_peer_position(sender, message.chosen_through, message.compacted_through)
        if self._question is not None and self._question.peer == sender:
            self._question = None

    def on_link_opened(self, peer: NodeId) -> None:
        self._closed.discard(peer)

    def on_link_closed(self, peer: NodeId, now_s: float) -> None:
        self._closed.add(peer)
        if self._question is not None and self._question.peer == peer:
            self._give_up_question()
        if self._transfer is not None and self._transfer.peer == peer and not self._transfer.is_storing:
            self._transfer.failures += 1
            self._retry_at_s = now_s

    # --- catching up ---

    @property
    def next_wanted(self) -> Slot:
        """The first slot that is neither known chosen nor on its way to the disk as taught."""
        return Slot(self.taught_through + 1)

    @property
    def is_behind(self) -> bool:
        return self.goal > self.chosen_through or bool(self.damaged)

    def catch_up(self, now_s: float, *, holds_next: bool) -> None:
        """Ask for what is missing.

        ``holds_next``: the next slot was accepted here at the followed ballot, so the leader's word will do and
        nothing is asked until it has been missing for a while.
        """
        if self._transfer is not None:
            self._continue_transfer(now_s)
            return
        if self.next_wanted != self._wanted:
            self._wanted = self.next_wanted
            self._wanted_since_s = now_s
        if self._question is not None:
            if now_s < self._retry_at_s:
                return
            self._give_up_question()
            holds_next = False
        if self.damaged and now_s >= self._repair_at_s and self._ask_repair(now_s):
            return
        if self.goal > self.taught_through and (
            not holds_next or now_s >= self._wanted_since_s + self._options.resend_interval_s
        ):
            self._ask_next(now_s)

    def _give_up_question(self) -> None:
        assert self._question is not None
        self._unanswered.add(self._question.peer)
        self._question = None

    def _ask_next(self, now_s: float) -> None:
        if self.taught_through - self.chosen_through >= self._options.piece_slots_max:
            return  # bounded memory: first let the disk take what has come
        self._ask(self.next_wanted, self.goal, now_s)

    def _ask_repair(self, now_s: float) -> bool:
        """Ask for the lowest damaged slot that somebody may have, or that the state machine can't go on without."""
        for slot in sorted(self.damaged):
            if slot > self.applied_through or self._able(slot, self._ahead(slot)):
                is_asked = self._ask(slot, slot, now_s)
                if is_asked:
                    self._repair_at_s = now_s + 2 * self._options.resend_interval_s  # in between the log goes on
                return is_asked
        return False

    def _ahead(self, slot: Slot) -> list[NodeId]:
        return [
            peer for peer, known in self._peers.items() if known.chosen_through >= slot and peer not in self._closed
        ]

    def _able(self, slot: Slot, ahead: list[NodeId]) -> list[NodeId]:
        if slot <= self.compacted_through:
            return []  # the state machine lacks what is gone from the log: only a state goes over that
        without = self._without.get(slot, ())
        return [peer for peer in ahead if self._peers[peer].compacted_through < slot and peer not in without]

    def _ask(self, slot: Slot, through: Slot, now_s: float) -> bool:
        """Ask a peer that has ``slot``; if none that answers has it, fetch the state of one that is past it.

        Returns whether anybody was asked.
        """
        ahead = self._ahead(slot)
        able = self._able(slot, ahead)
        fresh = [peer for peer in able if peer not in self._unanswered]
        if not fresh:
            if now_s < self._retry_at_s:
                return False  # everybody able has failed to answer: pause before asking again
            if self._unanswered.issuperset(ahead):
                self._unanswered.clear()
                fresh = able
        if not fresh:
            if ahead:
                self._begin_transfer(ahead, now_s)
            return bool(ahead)
        peer = self._random.choice(fresh)
        self._question = _Question(peer, slot)
        self._retry_at_s = now_s + self._options.resend_interval_s
        self._turn.send(peer, LearnRequest(slot, through))
        return True

    # --- state transfer: the core decides and carries positions, the bytes come from storage ---

    def _begin_transfer(self, ahead: list[NodeId], now_s: float) -> None:
        """Fetch the state of the best of ``ahead``: whoever is past a slot has a state that holds it, or soon will."""
        peer = max(ahead, key=lambda p: (p not in self._unanswered, self._peers[p].chosen_through, p))
        self._transfer = _Transfer(peer)
        self._turn.notice(NoticeKind.STATE_TRANSFER_BEGAN, peer=peer, chosen_through=self.chosen_through)
        self._fetch(now_s)

    def _fetch(self, now_s: float) -> None:
        assert self._transfer is not None
        self._retry_at_s = now_s + self._options.resend_interval_s
        self._turn.send(self._transfer.peer, FetchState(self._transfer.image, self._transfer.position))

    def _continue_transfer(self, now_s: float) -> None:
        assert self._transfer is not None
        if self._transfer.is_storing or now_s < self._retry_at_s:
            return
        self._transfer.failures += 1
        if self._transfer.failures > self._options.election_rounds:
            self._unanswered.add(self._transfer.peer)
            self._transfer = None
        else:
            self._fetch(now_s)

    def on_state_piece(self, sender: NodeId, message: StatePiece, now_s: float) -> None:
        """Take the piece that is next; a sender that lost the image begins another one at position 0."""
        transfer = self._transfer
        if transfer is None or transfer.peer != sender or transfer.is_storing:
            return
        is_next = message.image == transfer.image and message.position == transfer.position
        is_other = message.image != transfer.image and message.position == 0
        if not (is_next or is_other):
            return
        if self._checksum(message.data) != message.crc:
            self.damaged_received_count += 1
            return
        if not self._is_of_use(message.applied_through):
            self._transfer = None  # it would lead backwards: the log goes further by itself
            self._without.clear()
            return
        transfer.image = message.image
        transfer.applied_through = message.applied_through
        transfer.position = message.position
        transfer.is_storing = True
        transfer.failures = 0
        self._turn.state_pieces.append(
            StoreStatePiece(message.image, message.applied_through, message.position, message.is_last, message.data)
        )

    def _is_of_use(self, applied_through: Slot) -> bool:
        """Whether a state at that slot goes beyond the log, or over damage the state machine is stuck at."""
        stuck_at = min((slot for slot in self.damaged if slot > self.applied_through), default=None)
        return applied_through > self.chosen_through or (stuck_at is not None and applied_through >= stuck_at)

    def on_state_piece_stored(self, image: bytes, position: int, now_s: float) -> None:
        transfer = self._transfer
        if transfer is None or transfer.image != image or not transfer.is_storing:
            return
        transfer.position = position
        transfer.is_storing = False
        self._fetch(now_s)

    def end_transfer(self) -> None:
        """The state that was on its way is here, or needed no more: whatever is missing now is asked for anew."""
        self._transfer = None
        self._question = None
        self._retry_at_s = 0.0
        self._without.clear()

    def on_state_installed(self, applied_through: Slot) -> None:
        """The state stands at ``applied_through``: everything up to it is chosen, applied and gone from the log.

        What was learned above it meanwhile, or is on its way to the disk as a lesson, stays: the log says that it is
        chosen, or soon will.
        """
        self.end_transfer()
        self.applied_through = max(self.applied_through, applied_through)
        self.on_compacted(applied_through)
        if applied_through <= self.chosen_through:
            return
        self.chosen_through = applied_through
        self._turn.store_chosen_through(applied_through)
        self.taught_through = max(self.taught_through, applied_through)
        self._taught = {slot: record for slot, record in self._taught.items() if slot > applied_through}
        self._durable = {slot: record for slot, record in self._durable.items() if slot > applied_through}
        self.goal = max(self.goal, applied_through)

    def on_slot_damaged(self, slot: Slot) -> None:
        if self.compacted_through < slot <= self.chosen_through:
            self.damaged.add(slot)

    def on_compacted(self, compacted_through: Slot) -> None:
        self.compacted_through = max(self.compacted_through, compacted_through)
        self.damaged = {slot for slot in self.damaged if slot > compacted_through}
        self._forget_lacking()
