"""What is known chosen, in order."""

from __future__ import annotations

import random

from replog.paxos.ballot import NodeId, Slot
from replog.paxos.catch_up import CatchUp
from replog.paxos.learner import Learner
from replog.paxos.messages import AcceptedSlot, Learn, Message, SnapshotChunk
from replog.paxos.options import PaxosOptions
from replog.paxos.outbox import Outbox
from replog.paxos.peers import Peers
from replog.paxos.recovered import Recovered

from .build import N1, N2, ballot, checksum, record, recovered, sent, standing


class Learning:
    """A node's learner and its catching up; what it knows of itself is written as the replica writes it."""

    def __init__(self, start: Recovered | None = None, options: PaxosOptions | None = None) -> None:
        start, options = start or recovered(), options or PaxosOptions()
        self.turn = Outbox(N1)
        self.standing, self.peers = standing(start), Peers(N1, start.membership)
        self.learner = Learner(options, start, self.turn, self.standing, checksum)
        self.catch_up = CatchUp(options, self.turn, self.standing, self.peers, checksum, random.Random(1))

    def advance(self) -> list[int]:
        """Everything released so far."""
        self.standing.on_chosen(self.learner.advance())
        return [record.slot for record in self.turn.release]

    def learn(self, sender: NodeId, *records: AcceptedSlot, chosen_through: int) -> None:
        message = Learn(Slot(chosen_through), records)
        self.standing.on_taught(self.learner.on_learn(message))
        self.catch_up.on_learn(self.peers[sender], message)

    def say(self, peer: NodeId, chosen_through: int, compacted_through: int) -> None:
        """A peer tells its positions."""
        self.catch_up.on_position(self.peers[peer], Slot(chosen_through), Slot(compacted_through))

    def ask(self, now_s: float, *, holds_next: bool = False) -> list[Message]:
        """Everything asked so far."""
        self.catch_up.ask(now_s, holds_next=holds_next)
        self.catch_up.check_invariants()
        return sent(self.turn)

    def take_piece(
        self, sender: NodeId, position: int, *, snapshot: bytes = b"i", slot: int = 50, data: bytes = b"data"
    ) -> list[tuple[bytes, int]]:
        """A piece of a state comes; the snapshots and positions of all that were taken."""
        piece = SnapshotChunk(snapshot, Slot(slot), position, checksum(data), False, data)
        self.catch_up.on_snapshot_chunk(self.peers[sender], piece)
        return [(one.snapshot, one.position) for one in self.turn.chunks_received]

    def install(self, slot: int) -> None:
        self.standing.on_installed(Slot(slot))
        self.learner.on_installed()
        self.catch_up.end_transfer()


def test_the_leaders_word_counts_only_for_what_was_accepted_at_its_ballot() -> None:
    """P6, PITFALLS 13: an older acceptance at or below chosen_through is not taken for the chosen value."""
    role = Learning()
    role.learner.on_durable([record(1, ballot(1)), record(2, ballot(2, 2)), record(3, ballot(2, 2))])
    role.learner.on_hint(ballot(2, 2), Slot(3))
    assert role.advance() == []
    role.learner.on_durable([record(1, ballot(2, 2))])
    assert role.advance() == [1, 2, 3]


def test_the_word_of_an_older_leader_is_forgotten() -> None:
    """P6: only the highest ballot's chosen_through is kept."""
    role = Learning()
    role.learner.on_hint(ballot(3, 3), Slot(0))
    role.learner.on_hint(ballot(1), Slot(5))
    role.learner.on_durable([record(1, ballot(1))])
    assert role.advance() == []


def test_nothing_is_released_before_it_is_durable_here() -> None:
    """A slot known chosen waits for this node's own disk."""
    role = Learning()
    role.learner.on_hint(ballot(1), Slot(2))
    role.learner.on_durable([record(2, ballot(1))])
    assert role.advance() == []
    role.learner.on_durable([record(1, ballot(1))])
    assert role.advance() == [1, 2]
    assert (role.standing.chosen_through, role.turn.chosen_through) == (2, 2)


def test_taught_values_are_taken_in_order_only() -> None:
    """P7, P8, PITFALLS 14: a Learn that leaves a gap adds nothing; the next ones are stored, then released."""
    role = Learning()
    role.learn(N2, record(2, ballot(1)), chosen_through=9)
    assert role.turn.records == []
    role.learn(N2, record(1, ballot(1)), record(2, ballot(1)), chosen_through=9)
    assert role.advance() == []
    role.learner.on_durable(role.turn.records)
    assert role.advance() == [1, 2]
    assert role.turn.chosen_through == 2


def test_a_taught_value_replaces_an_unchosen_one() -> None:
    """P8 beside P5: what was accepted here at a lost ballot gives way to what is chosen."""
    role = Learning(recovered(promise=ballot(5), accepted=(record(1, ballot(1), b"lost"),)))
    role.learn(N2, record(1, ballot(2), b"chosen"), chosen_through=1)
    role.learner.on_durable(role.turn.records)
    role.learner.on_durable([record(1, ballot(4), b"chosen")])
    role.advance()
    assert [one.value for one in role.turn.release] == [b"chosen"]


def test_a_damaged_lesson_is_not_learned() -> None:
    """P10: a value whose checksum fails on the way is dropped."""
    role = Learning()
    good = record(1, ballot(1))
    role.learn(N2, type(good)(good.slot, good.ballot, good.crc, b"evil"), chosen_through=1)
    assert role.turn.records == []
