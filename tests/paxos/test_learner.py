"""What is known chosen, in order, and how the rest is asked for."""

from __future__ import annotations

import random

import pytest

from replog.paxos.ballot import Slot
from replog.paxos.effects import NoticeKind
from replog.paxos.learner import Learner
from replog.paxos.messages import BelowFloor, FetchState, Learn, LearnRequest, StatePiece
from replog.paxos.options import Options
from replog.paxos.outbox import Turn
from replog.paxos.recovered import Recovered

from .build import N1, N2, N3, ballot, checksum, record, recovered, sent


def learner(start: Recovered | None = None, options: Options | None = None) -> tuple[Learner, Turn]:
    turn = Turn(N1)
    return Learner(options or Options(), start or recovered(), turn, checksum, random.Random(1)), turn


def released(turn: Turn) -> list[int]:
    return [record.slot for record in turn.release]


def piece(
    position: int, *, image: bytes = b"i", slot: int = 50, data: bytes = b"data", last: bool = False
) -> StatePiece:
    return StatePiece(image, Slot(slot), position, checksum(data), last, data)


def test_the_leaders_word_counts_only_for_what_was_accepted_at_its_ballot() -> None:
    """P6, PITFALLS 13: an older acceptance at or below chosen_through is not taken for the chosen value."""
    role, turn = learner()
    role.on_durable([record(1, ballot(1)), record(2, ballot(2, 2)), record(3, ballot(2, 2))])
    role.on_hint(ballot(2, 2), Slot(3))
    role.advance()
    assert released(turn) == []
    role.on_durable([record(1, ballot(2, 2))])
    role.advance()
    assert released(turn) == [1, 2, 3]


def test_the_word_of_an_older_leader_is_forgotten() -> None:
    """P6: only the highest ballot's chosen_through is kept."""
    role, turn = learner()
    role.on_hint(ballot(3, 3), Slot(0))
    role.on_hint(ballot(1), Slot(5))
    role.on_durable([record(1, ballot(1))])
    role.advance()
    assert released(turn) == []


def test_nothing_is_released_before_it_is_durable_here() -> None:
    """A slot known chosen waits for this node's own disk."""
    role, turn = learner()
    role.on_hint(ballot(1), Slot(2))
    role.on_durable([record(2, ballot(1))])
    role.advance()
    assert released(turn) == []
    role.on_durable([record(1, ballot(1))])
    role.advance()
    assert (released(turn), role.chosen_through, turn.chosen_through) == ([1, 2], 2, 2)


def test_taught_values_are_taken_in_order_only() -> None:
    """P7, P8, PITFALLS 14: a Learn that leaves a gap adds nothing; the next ones are stored, then released."""
    role, turn = learner()
    role.on_learn(N2, Learn(Slot(9), (record(2, ballot(1)),)))
    assert turn.records == []
    role.on_learn(N2, Learn(Slot(9), (record(1, ballot(1)), record(2, ballot(1)))))
    role.advance()
    assert released(turn) == []
    role.on_durable(turn.records)
    role.advance()
    assert released(turn) == [1, 2]
    assert turn.chosen_through == 2


def test_a_taught_value_replaces_an_unchosen_one() -> None:
    """P8 beside P5: what was accepted here at a lost ballot gives way to what is chosen."""
    role, turn = learner(recovered(promise=ballot(5), accepted=(record(1, ballot(1), b"lost"),)))
    role.on_learn(N2, Learn(Slot(1), (record(1, ballot(2), b"chosen"),)))
    role.on_durable(turn.records)
    role.on_durable([record(1, ballot(4), b"chosen")])
    role.advance()
    assert [one.value for one in turn.release] == [b"chosen"]


def test_a_damaged_lesson_is_not_learned() -> None:
    """P10: a value whose checksum fails on the way is dropped."""
    role, turn = learner()
    good = record(1, ballot(1))
    role.on_learn(N2, Learn(Slot(1), (type(good)(good.slot, good.ballot, good.crc, b"evil"),)))
    assert turn.records == []


def test_what_is_missing_is_asked_of_one_peer_that_has_it() -> None:
    """Catch-up asks one able peer, then waits, then asks another."""
    role, turn = learner(options=Options(resend_interval_s=1.0))
    role.on_peer_position(N2, Slot(8), Slot(0))
    role.on_peer_position(N3, Slot(8), Slot(0))
    role.catch_up(0.0, holds_next=False)
    role.catch_up(0.5, holds_next=False)
    assert sent(turn) == [LearnRequest(Slot(1), Slot(8))]
    role.catch_up(1.0, holds_next=False)
    assert {outbound.target for outbound in turn.sends} == {N2, N3}


def test_a_slot_accepted_at_the_followed_ballot_is_asked_for_only_after_a_while() -> None:
    """In the normal case the leader's next message says that it is chosen."""
    role, turn = learner(options=Options(resend_interval_s=1.0))
    role.on_peer_position(N2, Slot(1), Slot(0))
    role.catch_up(0.0, holds_next=True)
    assert sent(turn) == []
    role.catch_up(1.0, holds_next=True)
    assert sent(turn) == [LearnRequest(Slot(1), Slot(1))]


def test_an_empty_lesson_sends_the_question_elsewhere_and_then_pauses() -> None:
    """A peer that can't read its log is not asked in a tight loop."""
    role, turn = learner(options=Options(resend_interval_s=1.0))
    role.on_peer_position(N2, Slot(8), Slot(0))
    for _ in range(5):
        role.catch_up(0.0, holds_next=False)
        role.on_learn(N2, Learn(Slot(8), ()))
    assert len(sent(turn)) == 1


def test_memory_for_lessons_is_bounded() -> None:
    """Nothing more is asked while a full piece waits for the disk."""
    role, turn = learner(options=Options(piece_slots_max=2))
    role.on_peer_position(N2, Slot(8), Slot(0))
    role.catch_up(0.0, holds_next=False)
    role.on_learn(N2, Learn(Slot(8), (record(1, ballot(1)), record(2, ballot(1)))))
    turn.sends.clear()
    role.catch_up(0.0, holds_next=False)
    assert sent(turn) == []
    role.on_durable(turn.records)
    role.advance()
    role.catch_up(0.0, holds_next=False)
    assert sent(turn) == [LearnRequest(Slot(3), Slot(8))]


def test_damage_in_the_chosen_part_is_repaired_from_a_peer() -> None:
    """P10: a damaged chosen record is asked for by its slot, stored again, and told."""
    role, turn = learner(recovered(chosen_through=9, damaged_chosen=(Slot(4),)))
    role.applied_through = Slot(9)
    role.on_peer_position(N2, Slot(9), Slot(5))
    role.catch_up(0.0, holds_next=False)
    assert sent(turn) == []
    role.on_peer_position(N3, Slot(9), Slot(3))
    role.catch_up(10.0, holds_next=False)
    assert turn.sends[0].target == N3
    role.on_learn(N3, Learn(Slot(9), (record(4, ballot(1)),)))
    role.on_durable(turn.records)
    assert role.damaged == set()
    assert [notice.kind for notice in turn.notices] == [NoticeKind.DAMAGE_REPAIRED]


def test_a_repair_does_not_keep_a_node_from_catching_up() -> None:
    """One question at a time: while a repair finds no answer, every other question is about what comes next."""
    role, turn = learner(recovered(chosen_through=7, damaged_chosen=(Slot(4),)), options=Options(resend_interval_s=1.0))
    role.applied_through = Slot(7)
    role.on_peer_position(N2, Slot(9), Slot(0))
    for now_s in range(4):
        role.catch_up(float(now_s), holds_next=False)
    assert [message.from_slot for message in sent(turn) if isinstance(message, LearnRequest)] == [4, 8, 4, 8]


def test_damage_that_no_log_can_repair_is_replaced_by_a_state() -> None:
    """A slot damaged at every peer that still has it is fetched as part of a state that has applied it."""
    role, turn = learner(recovered(chosen_through=7, damaged_chosen=(Slot(4),)), options=Options(resend_interval_s=1.0))
    role.on_peer_position(N2, Slot(7), Slot(0))
    role.catch_up(0.0, holds_next=False)
    role.on_learn(N2, Learn(Slot(7), ()))
    role.catch_up(2.0, holds_next=False)
    assert sent(turn) == [LearnRequest(Slot(4), Slot(4)), FetchState(b"", 0)]
    role.on_state_piece(N2, piece(0, slot=3), 2.0)
    assert turn.state_pieces == []
    role.catch_up(9.0, holds_next=False)
    role.on_learn(N2, Learn(Slot(7), ()))
    role.catch_up(12.0, holds_next=False)
    role.on_state_piece(N2, piece(0, slot=6, last=True), 12.0)
    role.on_state_installed(Slot(6))
    assert (role.damaged, role.chosen_through, role.compacted_through) == (set(), 7, 6)


def test_below_every_floor_a_state_is_fetched_piece_by_piece() -> None:
    """Positions are the core's: the next piece is asked for when the last one is stored."""
    role, turn = learner()
    role.on_peer_position(N2, Slot(60), Slot(40))
    role.catch_up(0.0, holds_next=False)
    role.on_state_piece(N2, piece(0), 0.0)
    role.on_state_piece(N2, piece(0), 0.0)
    assert [one.position for one in turn.state_pieces] == [0]
    role.on_state_piece_stored(b"i", 4, 0.0)
    role.on_state_piece(N2, piece(4, last=True), 0.0)
    role.on_state_installed(Slot(50))
    assert sent(turn) == [FetchState(b"", 0), FetchState(b"i", 4)]
    assert (role.chosen_through, role.compacted_through) == (50, 50)


def test_a_sender_that_lost_the_image_begins_another() -> None:
    """Another image from position 0 replaces the half-received one; any other position is ignored."""
    role, turn = learner()
    role.on_peer_position(N2, Slot(60), Slot(40))
    role.catch_up(0.0, holds_next=False)
    role.on_state_piece(N2, piece(0), 0.0)
    role.on_state_piece_stored(b"i", 4, 0.0)
    role.on_state_piece(N2, piece(4, image=b"j"), 0.0)
    role.on_state_piece(N2, piece(0, image=b"j", slot=55), 0.0)
    assert [(one.image, one.position) for one in turn.state_pieces] == [(b"i", 0), (b"j", 0)]


def test_a_state_that_leads_backwards_is_not_taken() -> None:
    """An image that stands below what is known chosen here is of no use."""
    role, turn = learner(recovered(chosen_through=45))
    role.on_peer_position(N2, Slot(60), Slot(50))
    role.catch_up(0.0, holds_next=False)
    role.on_state_piece(N2, piece(0, slot=44), 0.0)
    assert turn.state_pieces == []


def test_a_floor_met_while_asking_leads_to_the_state() -> None:
    """BelowFloor corrects what was known of a peer."""
    role, turn = learner()
    role.on_peer_position(N2, Slot(60), Slot(0))
    role.catch_up(0.0, holds_next=False)
    role.on_below_floor(N2, BelowFloor(Slot(40), Slot(60)))
    role.catch_up(10.0, holds_next=False)
    assert sent(turn) == [LearnRequest(Slot(1), Slot(60)), FetchState(b"", 0)]


def test_a_transfer_that_gets_no_answer_moves_to_another_peer() -> None:
    """Every wait on a peer ends."""
    role, turn = learner(options=Options(resend_interval_s=1.0, election_rounds=2))
    role.on_peer_position(N2, Slot(60), Slot(40))
    role.on_peer_position(N3, Slot(60), Slot(40))
    for now_s in range(8):
        role.catch_up(float(now_s), holds_next=False)
    assert {outbound.target for outbound in turn.sends} == {N2, N3}


def test_a_dead_peer_with_the_slots_does_not_keep_a_node_from_fetching_the_state() -> None:
    """The only peer that has the slots is gone: after one wait the state of another is fetched."""
    role, turn = learner(options=Options(resend_interval_s=1.0))
    role.on_peer_position(N2, Slot(60), Slot(0))
    role.on_peer_position(N3, Slot(60), Slot(40))
    role.catch_up(0.0, holds_next=False)
    role.catch_up(1.0, holds_next=False)
    assert [(outbound.target, type(outbound.message)) for outbound in turn.sends] == [
        (N2, LearnRequest),
        (N3, FetchState),
    ]


def test_a_peer_whose_link_is_closed_is_not_asked() -> None:
    """What a closed link's peer once said is of no use until it is back."""
    role, turn = learner()
    role.on_peer_position(N2, Slot(60), Slot(0))
    role.on_link_closed(N2, 0.0)
    role.catch_up(0.0, holds_next=False)
    assert turn.sends == []
    role.on_link_opened(N2)
    role.catch_up(0.0, holds_next=False)
    assert sent(turn) == [LearnRequest(Slot(1), Slot(60))]


@pytest.mark.parametrize("slot", [3, 12])
def test_only_slots_that_are_here_can_be_damaged(slot: int) -> None:
    """Compacted and unknown slots are not marked for repair."""
    role, _ = learner(recovered(chosen_through=9, compacted_through=5))
    role.on_slot_damaged(Slot(slot))
    assert role.damaged == set()


def test_a_state_below_the_log_is_fetched_from_a_peer() -> None:
    """The slots in between are gone here, and a peer that still has them would fill the log but not the state."""
    start = recovered(chosen_through=60, compacted_through=40, damaged_chosen=(Slot(40),))
    role, turn = learner(start)
    role.on_peer_position(N2, Slot(60), Slot(0))
    assert role.is_behind
    role.catch_up(1.0, holds_next=False)
    assert sent(turn) == [FetchState(b"", 0)]
    role.on_state_piece(N2, piece(0, slot=30), 1.0)
    assert turn.state_pieces == []  # it would still be below the log
    role.catch_up(2.0, holds_next=False)
    role.on_state_piece(N2, piece(0, slot=55, last=True), 2.0)
    assert [stored.applied_through for stored in turn.state_pieces] == [55]
    role.on_state_installed(Slot(55))
    assert not role.is_behind
    assert role.chosen_through == 60
