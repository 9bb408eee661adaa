"""Catching up: how this node comes to know what it lacks.

It owns the one question that is under way, or the one state that is fetched instead, and what peers have said they can
teach. What an answer means is the learner's. What it protects is progress: what is missing or damaged here is asked
for, one question at a time, from any peer that has it; what no peer's log can give any more, because it is compacted or
damaged there too, is replaced by a peer's state; and no peer is waited for longer than ``resend_interval_s``.
"""

from __future__ import annotations

import random as random_module
from collections.abc import Callable
from typing import NamedTuple

import attrs

from .ballot import BEFORE_LOG, Slot
from .effects import NoticeKind, ReceivedChunk
from .messages import BelowFloor, FetchSnapshot, Learn, LearnRequest, SnapshotChunk
from .options import PaxosOptions
from .outbox import Outbox, Size
from .peers import Peer, Peers
from .standing import Standing


class _Question(NamedTuple):
    """A LearnRequest that is not answered yet."""

    peer: Peer
    slot: Slot


@attrs.define(eq=False)
class _Transfer:
    """A state on its way here, one chunk at a time."""

    peer: Peer
    snapshot: bytes = b""
    applied_through: Slot = BEFORE_LOG
    position: int = 0
    is_storing: bool = False
    failures: int = 0


class CatchUp:
    """Asks for what is missing; at most one question or one transfer is under way."""

    def __init__(
        self,
        options: PaxosOptions,
        outbox: Outbox,
        standing: Standing,
        peers: Peers,
        checksum: Callable[[bytes], int],
        random: random_module.Random,
    ) -> None:
        self._options = options
        self._outbox = outbox
        self._standing = standing
        self._peers = peers
        self._checksum = checksum
        self._random = random
        self.damaged_received_count = 0
        self._goal = standing.chosen_through
        self._question: _Question | None = None
        self._transfer: _Transfer | None = None
        self._retry_at_s = 0.0
        self._wanted = BEFORE_LOG
        self._wanted_since_s = 0.0
        self._repair_at_s = 0.0

    @property
    def goal(self) -> Slot:
        """The highest slot anybody is known to know chosen."""
        return max(self._goal, self._standing.chosen_through)

    @property
    def is_behind(self) -> bool:
        return self._goal > self._standing.chosen_through or bool(self._standing.damaged)

    @property
    def next_wanted(self) -> Slot:
        """The first slot that is neither known chosen nor on its way to the disk as taught."""
        return Slot(self._standing.taught_through + 1)

    def sizes(self) -> list[Size]:
        lacked = max((len(peer.lacks) for peer in self._peers.all_heard), default=0)
        return [Size("slots that a peer lacks", lacked, len(self._standing.damaged) + 1)]

    # --- what peers have ---

    def on_chosen_elsewhere(self, chosen_through: Slot) -> None:
        """Somebody knows the log chosen up to here."""
        if chosen_through > self._goal:
            self._goal = chosen_through

    def on_position(self, peer: Peer, chosen_through: Slot, compacted_through: Slot | None = None) -> None:
        """A peer said how far it knows the log chosen and (unless None) how much of it is gone there."""
        peer.chosen_through = max(peer.chosen_through, chosen_through)
        if compacted_through is not None:
            peer.compacted_through = max(peer.compacted_through, compacted_through)
        if chosen_through > self._goal:
            self._goal = chosen_through

    def on_below_floor(self, peer: Peer, message: BelowFloor) -> None:
        self.on_position(peer, message.chosen_through, message.compacted_through)
        if self._question is not None and self._question.peer is peer:
            self._question = None

    def on_learn(self, peer: Peer, message: Learn) -> None:
        """The answer to a question, which may say that the peer has nothing either."""
        self.on_position(peer, message.chosen_through)
        question = self._question
        if question is None or question.peer is not peer:
            return
        self._question = None
        if any(record.slot == question.slot for record in message.slots):
            for other in self._peers.all_heard:
                other.is_silent = False
                other.lacks.discard(question.slot)
        elif message.slots:
            peer.is_silent = True
        else:
            peer.lacks.add(question.slot)
            self.forget_lacking()

    def forget_lacking(self) -> None:
        """Who lacks a slot matters only while this node wants it."""
        standing = self._standing
        for peer in self._peers.all_heard:
            if peer.lacks:
                peer.lacks = {slot for slot in peer.lacks if slot > standing.taught_through or slot in standing.damaged}

    def on_link_closed(self, peer: Peer, now_s: float) -> None:
        if self._question is not None and self._question.peer is peer:
            self._give_up_question()
        if self._transfer is not None and self._transfer.peer is peer and not self._transfer.is_storing:
            self._transfer.failures += 1
            self._retry_at_s = now_s

    # --- asking ---

    def ask(self, now_s: float, *, holds_next: bool) -> None:
        """Ask for what is missing.

        ``holds_next``: the next slot was accepted here at the followed ballot, so the leader's word will do and
        nothing is asked until it has been missing for a while.
        """
        assert self._question is None or self._transfer is None, (self._question, self._transfer)
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
        if self._standing.damaged and now_s >= self._repair_at_s and self._ask_repair(now_s):
            return
        if self._goal > self._standing.taught_through and (
            not holds_next or now_s >= self._wanted_since_s + self._options.resend_interval_s
        ):
            self._ask_next(now_s)

    def _give_up_question(self) -> None:
        assert self._question is not None
        self._question.peer.is_silent = True
        self._question = None

    def _ask_next(self, now_s: float) -> None:
        if self._standing.taught_through - self._standing.chosen_through >= self._options.piece_slots_max:
            return  # bounded memory: first let the disk take what has come
        self._ask(self.next_wanted, self._goal, now_s)

    def _ask_repair(self, now_s: float) -> bool:
        """Ask for the lowest damaged slot that somebody may have, or that the state machine can't go on without."""
        for slot in sorted(self._standing.damaged):
            if slot > self._standing.applied_through or self._able(slot, self._ahead(slot)):
                is_asked = self._ask(slot, slot, now_s)
                if is_asked:
                    self._repair_at_s = now_s + 2 * self._options.resend_interval_s  # in between the log goes on
                return is_asked
        return False

    def _ahead(self, slot: Slot) -> list[Peer]:
        return [peer for peer in self._peers.all_heard if peer.chosen_through >= slot and not peer.is_link_closed]

    def _able(self, slot: Slot, ahead: list[Peer]) -> list[Peer]:
        if slot <= self._standing.compacted_through:
            return []  # the state machine lacks what is gone from the log: only a state goes over that
        return [peer for peer in ahead if peer.compacted_through < slot and slot not in peer.lacks]

    def _ask(self, slot: Slot, through: Slot, now_s: float) -> bool:
        """Ask a peer that has ``slot``; if none that answers has it, fetch the state of one that is past it.

        Returns whether anybody was asked.
        """
        ahead = self._ahead(slot)
        able = self._able(slot, ahead)
        fresh = [peer for peer in able if not peer.is_silent]
        if not fresh:
            if now_s < self._retry_at_s:
                return False  # everybody able has failed to answer: pause before asking again
            if all(peer.is_silent for peer in ahead):
                for peer in self._peers.all_heard:
                    peer.is_silent = False
                fresh = able
        if not fresh:
            if ahead:
                self._begin_transfer(ahead, now_s)
            return bool(ahead)
        peer = self._random.choice(fresh)
        self._question = _Question(peer, slot)
        self._retry_at_s = now_s + self._options.resend_interval_s
        self._outbox.send(peer.node, LearnRequest(slot, through))
        return True

    # --- state transfer: the core decides and carries positions, the bytes come from storage ---

    def _begin_transfer(self, ahead: list[Peer], now_s: float) -> None:
        """Fetch the state of the best of ``ahead``: whoever is past a slot has a state that holds it, or soon will."""
        peer = max(ahead, key=lambda one: (not one.is_silent, one.chosen_through, one.node))
        self._transfer = _Transfer(peer)
        chosen_through = self._standing.chosen_through
        self._outbox.notice(NoticeKind.STATE_TRANSFER_BEGAN, peer=peer.node, chosen_through=chosen_through)
        self._fetch(self._transfer, now_s)

    def _fetch(self, transfer: _Transfer, now_s: float) -> None:
        self._retry_at_s = now_s + self._options.resend_interval_s
        self._outbox.send(transfer.peer.node, FetchSnapshot(transfer.snapshot, transfer.position))

    def _continue_transfer(self, now_s: float) -> None:
        transfer = self._transfer
        assert transfer is not None
        if transfer.is_storing or now_s < self._retry_at_s:
            return
        transfer.failures += 1
        if transfer.failures > self._options.election_rounds:
            transfer.peer.is_silent = True
            self._transfer = None
        else:
            self._fetch(transfer, now_s)

    def on_snapshot_chunk(self, peer: Peer, message: SnapshotChunk) -> None:
        """Take the chunk that is next; a sender that lost the snapshot begins another one at position 0."""
        transfer = self._transfer
        if transfer is None or transfer.peer is not peer or transfer.is_storing:
            return
        is_next = message.snapshot == transfer.snapshot and message.position == transfer.position
        is_other = message.snapshot != transfer.snapshot and message.position == 0
        if not (is_next or is_other):
            return
        if self._checksum(message.data) != message.crc:
            self.damaged_received_count += 1
            return
        if not self._is_of_use(message.applied_through):
            self._transfer = None  # it would lead backwards: the log goes further by itself
            self._forget_all_lacking()
            return
        transfer.snapshot = message.snapshot
        transfer.applied_through = message.applied_through
        transfer.position = message.position
        transfer.is_storing = True
        transfer.failures = 0
        self._outbox.chunks_received.append(
            ReceivedChunk(message.snapshot, message.applied_through, message.position, message.is_last, message.data)
        )

    def _is_of_use(self, applied_through: Slot) -> bool:
        """Whether a state at that slot goes beyond the log, or over damage the state machine is stuck at."""
        standing = self._standing
        stuck_at = min((slot for slot in standing.damaged if slot > standing.applied_through), default=None)
        return applied_through > standing.chosen_through or (stuck_at is not None and applied_through >= stuck_at)

    def on_chunk_stored(self, snapshot: bytes, position: int, now_s: float) -> None:
        transfer = self._transfer
        if transfer is None or transfer.snapshot != snapshot or not transfer.is_storing:
            return
        transfer.position = position
        transfer.is_storing = False
        self._fetch(transfer, now_s)

    def end_transfer(self) -> None:
        """The state that was on its way is here, or needed no more: whatever is missing now is asked for anew."""
        self._transfer = None
        self._question = None
        self._retry_at_s = 0.0
        self._forget_all_lacking()

    def _forget_all_lacking(self) -> None:
        for peer in self._peers.all_heard:
            peer.lacks.clear()

    def check_invariants(self) -> None:
        """What holds between two inputs."""
        assert self._question is None or self._transfer is None, (self._question, self._transfer)
        assert self._question is None or not self._question.peer.is_link_closed, self._question
        # P7: what is applied was released, or is the state that is being installed.
        fetched_through = BEFORE_LOG if self._transfer is None else self._transfer.applied_through
        standing = self._standing
        assert standing.applied_through <= max(standing.chosen_through, fetched_through), (
            standing.applied_through, standing.chosen_through, fetched_through
        )  # fmt: skip
