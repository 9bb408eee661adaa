"""How what is missing is asked for, of whom, and what is done when nobody has it."""

from __future__ import annotations

import msgspec

from replog.paxos.ballot import Slot
from replog.paxos.messages import BelowFloor, FetchSnapshot, LearnRequest, SnapshotChunk
from replog.paxos.options import PaxosOptions

from .build import N2, N3, ballot, checksum, record, recovered, sent
from .test_learner import Learning

SLOW = PaxosOptions(resend_interval_s=1.0)


def test_what_is_missing_is_asked_of_one_peer_that_has_it() -> None:
    """Catch-up asks one able peer, then waits, then asks another."""
    role = Learning(options=SLOW)
    role.say(N2, 8, 0)
    role.say(N3, 8, 0)
    assert role.ask(0.0) == role.ask(0.5) == [LearnRequest(Slot(1), Slot(8))]
    role.ask(1.0)
    assert {outbound.target for outbound in role.turn.sends} == {N2, N3}


def test_a_slot_accepted_at_the_followed_ballot_is_asked_for_only_after_a_while() -> None:
    """In the normal case the leader's next message says that it is chosen."""
    role = Learning(options=SLOW)
    role.say(N2, 1, 0)
    assert role.ask(0.0, holds_next=True) == []
    assert role.ask(1.0, holds_next=True) == [LearnRequest(Slot(1), Slot(1))]


def test_an_empty_lesson_sends_the_question_elsewhere_and_then_pauses() -> None:
    """A peer that can't read its log is not asked in a tight loop."""
    role = Learning(options=SLOW)
    role.say(N2, 8, 0)
    for _ in range(5):
        role.ask(0.0)
        role.learn(N2, chosen_through=8)
    assert len(role.turn.sends) == 1


def test_memory_for_lessons_is_bounded() -> None:
    """Nothing more is asked while a full piece waits for the disk."""
    role = Learning(options=PaxosOptions(piece_slots_max=2))
    role.say(N2, 8, 0)
    role.ask(0.0)
    role.learn(N2, record(1, ballot(1)), record(2, ballot(1)), chosen_through=8)
    role.turn.sends.clear()
    assert role.ask(0.0) == []
    role.learner.on_durable(role.turn.records)
    role.advance()
    assert role.ask(0.0) == [LearnRequest(Slot(3), Slot(8))]


def test_damage_in_the_chosen_part_is_repaired_from_a_peer() -> None:
    """P10: a damaged chosen record is asked for by its slot, of who still has it, and stored again."""
    role = Learning(recovered(chosen_through=9, damaged_chosen=(Slot(4),)))
    role.standing.on_applied(Slot(9))
    role.say(N2, 9, 5)
    assert role.ask(0.0) == []
    role.say(N3, 9, 3)
    role.ask(10.0)
    assert role.turn.sends[0].target == N3
    role.learn(N3, record(4, ballot(1)), chosen_through=9)
    assert role.turn.records == [record(4, ballot(1))]


def test_a_repair_does_not_keep_a_node_from_catching_up() -> None:
    """One question at a time: while a repair finds no answer, every other question is about what comes next."""
    role = Learning(recovered(chosen_through=7, damaged_chosen=(Slot(4),)), SLOW)
    role.standing.on_applied(Slot(7))
    role.say(N2, 9, 0)
    for now_s in range(4):
        asked = role.ask(float(now_s))
    assert [message.from_slot for message in asked if isinstance(message, LearnRequest)] == [4, 8, 4, 8]


def test_damage_that_no_log_can_repair_is_replaced_by_a_state() -> None:
    """A slot damaged at every peer that still has it is fetched as part of a state that has applied it."""
    role = Learning(recovered(chosen_through=7, damaged_chosen=(Slot(4),)), SLOW)
    role.say(N2, 7, 0)
    role.ask(0.0)
    role.learn(N2, chosen_through=7)
    assert role.ask(2.0) == [LearnRequest(Slot(4), Slot(4)), FetchSnapshot(b"", 0)]
    assert role.take_piece(N2, 0, slot=3) == []
    role.ask(9.0)
    role.learn(N2, chosen_through=7)
    role.ask(12.0)
    assert role.take_piece(N2, 0, slot=6) == [(b"i", 0)]
    role.install(6)
    own = role.standing
    assert (own.damaged, own.chosen_through, own.compacted_through) == (set(), 7, 6)


def test_below_every_floor_a_state_is_fetched_piece_by_piece() -> None:
    """Positions are the core's: the next piece is asked for when the last one is stored."""
    role = Learning()
    role.say(N2, 60, 40)
    role.ask(0.0)
    role.take_piece(N2, 0)
    assert role.take_piece(N2, 0) == [(b"i", 0)]
    role.catch_up.on_chunk_stored(b"i", 4, 0.0)
    role.take_piece(N2, 4)
    role.install(50)
    assert role.ask(0.0)[:2] == [FetchSnapshot(b"", 0), FetchSnapshot(b"i", 4)]
    assert (role.standing.chosen_through, role.standing.compacted_through) == (50, 50)


def test_a_sender_that_lost_the_image_begins_another() -> None:
    """Another snapshot from position 0 replaces the half-received one; any other position is ignored."""
    role = Learning()
    role.say(N2, 60, 40)
    role.ask(0.0)
    role.take_piece(N2, 0)
    role.catch_up.on_chunk_stored(b"i", 4, 0.0)
    role.take_piece(N2, 4, snapshot=b"j")
    assert role.take_piece(N2, 0, snapshot=b"j", slot=55) == [(b"i", 0), (b"j", 0)]


def test_a_state_that_leads_backwards_is_not_taken() -> None:
    """A snapshot that stands below what is known chosen here is of no use."""
    role = Learning(recovered(chosen_through=45))
    role.say(N2, 60, 50)
    role.ask(0.0)
    assert role.take_piece(N2, 0, slot=44) == []


def test_a_floor_met_while_asking_leads_to_the_state() -> None:
    """BelowFloor corrects what was known of a peer."""
    role = Learning()
    role.say(N2, 60, 0)
    role.ask(0.0)
    role.catch_up.on_below_floor(role.peers[N2], BelowFloor(Slot(40), Slot(60)))
    assert role.ask(10.0) == [LearnRequest(Slot(1), Slot(60)), FetchSnapshot(b"", 0)]


def test_a_transfer_that_gets_no_answer_moves_to_another_peer() -> None:
    """Every wait on a peer ends."""
    role = Learning(options=PaxosOptions(resend_interval_s=1.0, election_rounds=2))
    role.say(N2, 60, 40)
    role.say(N3, 60, 40)
    for now_s in range(8):
        role.ask(float(now_s))
    assert {outbound.target for outbound in role.turn.sends} == {N2, N3}


def test_a_dead_peer_with_the_slots_does_not_keep_a_node_from_fetching_the_state() -> None:
    """The only peer that has the slots is gone: after one wait the state of another is fetched."""
    role = Learning(options=SLOW)
    role.say(N2, 60, 0)
    role.say(N3, 60, 40)
    role.ask(0.0)
    role.ask(1.0)
    assert [(outbound.target, type(outbound.message)) for outbound in role.turn.sends] == [
        (N2, LearnRequest),
        (N3, FetchSnapshot),
    ]


def test_a_peer_whose_link_is_closed_is_not_asked() -> None:
    """What a closed link's peer once said is of no use until it is back."""
    role = Learning()
    role.say(N2, 60, 0)
    role.peers[N2].close_link()
    assert role.ask(0.0) == []
    role.peers[N2].is_link_closed = False
    assert role.ask(0.0) == [LearnRequest(Slot(1), Slot(60))]


def test_a_question_ends_with_the_link_it_was_asked_over() -> None:
    """The next one goes elsewhere at once."""
    role = Learning(options=SLOW)
    role.say(N2, 60, 0)
    role.ask(0.0)
    role.say(N3, 60, 0)
    role.peers[N2].close_link()
    role.catch_up.on_link_closed(role.peers[N2], 0.0)
    role.ask(1.0)
    assert [outbound.target for outbound in role.turn.sends] == [N2, N3]


def test_a_transfer_is_asked_for_again_when_its_link_has_closed() -> None:
    """At once, from where it was; a peer whose link closes again and again gives way to another."""
    role = Learning(options=PaxosOptions(resend_interval_s=1.0, election_rounds=1))
    role.say(N2, 60, 40)
    role.ask(0.0)
    role.take_piece(N2, 0)
    role.catch_up.on_chunk_stored(b"i", 4, 0.0)
    role.say(N3, 60, 40)
    assert role.ask(0.5) == [FetchSnapshot(b"", 0), FetchSnapshot(b"i", 4)]
    role.catch_up.on_link_closed(role.peers[N3], 0.5)
    assert role.ask(0.5) == [FetchSnapshot(b"", 0), FetchSnapshot(b"i", 4)]
    role.catch_up.on_link_closed(role.peers[N2], 0.5)
    role.ask(0.5)
    role.ask(0.5)
    assert [(outbound.target, outbound.message) for outbound in role.turn.sends[2:]] == [(N3, FetchSnapshot(b"", 0))]


def test_a_piece_that_was_damaged_on_its_way_is_not_stored() -> None:
    """P10: it is counted and asked for again, from the same position."""
    role = Learning(options=SLOW)
    role.say(N2, 60, 40)
    role.ask(0.0)
    good = SnapshotChunk(b"i", Slot(50), 0, checksum(b"data"), False, b"data")
    role.catch_up.on_snapshot_chunk(role.peers[N2], msgspec.structs.replace(good, data=b"dAta"))
    assert role.turn.chunks_received == []
    assert role.catch_up.damaged_received_count == 1
    assert role.ask(1.0) == [FetchSnapshot(b"", 0)] * 2
    assert role.take_piece(N2, 0) == [(b"i", 0)]


def test_a_piece_stored_after_its_transfer_has_ended_asks_for_nothing() -> None:
    """The state's disk answers when it can; by then another state may be fetched, or none."""
    role = Learning()
    role.say(N2, 60, 40)
    role.ask(0.0)
    role.take_piece(N2, 0)
    role.catch_up.on_chunk_stored(b"other", 4, 0.0)
    assert role.ask(0.0) == [FetchSnapshot(b"", 0)]
    role.catch_up.end_transfer()
    role.catch_up.on_chunk_stored(b"i", 4, 0.0)
    assert sent(role.turn) == [FetchSnapshot(b"", 0)]


def test_a_peer_that_answers_another_question_is_asked_last() -> None:
    """What it teaches is not what is missing here, so somebody else is asked at once."""
    role = Learning(options=SLOW)
    role.say(N2, 60, 0)
    role.ask(0.0)
    role.say(N3, 60, 0)
    role.learn(N2, record(7, ballot(1)), chosen_through=60)
    role.ask(1.0)
    assert [outbound.target for outbound in role.turn.sends] == [N2, N3]


def test_a_state_below_the_log_is_fetched_from_a_peer() -> None:
    """The slots in between are gone here, and a peer that still has them would fill the log but not the state."""
    role = Learning(recovered(chosen_through=60, compacted_through=40, damaged_chosen=(Slot(40),)))
    role.say(N2, 60, 0)
    assert role.catch_up.is_behind
    assert role.ask(1.0) == [FetchSnapshot(b"", 0)]
    assert role.take_piece(N2, 0, slot=30) == []  # it would still be below the log
    role.ask(2.0)
    assert role.take_piece(N2, 0, slot=55) == [(b"i", 0)]
    role.install(55)
    assert not role.catch_up.is_behind
    assert role.standing.chosen_through == 60
