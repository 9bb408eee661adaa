"""The acceptor's promises, kept whatever order messages come in."""

from __future__ import annotations

import pytest

from replog.paxos.ballot import Slot
from replog.paxos.messages import Accepted, Confirm, Confirmed, Nack, Prepare, Promise
from replog.paxos.options import PaxosOptions
from replog.paxos.outbox import Outbox

from .build import N1, N2, N3, accept, acceptor, ballot, record, recovered, sent, sent_after_write, standing


@pytest.fixture
def turn() -> Outbox:
    return Outbox(N1)


def test_a_promise_is_written_and_answered_only_after_the_write(turn: Outbox) -> None:
    """P1: nothing about a new promise leaves with the messages that may go before the write."""
    acceptor(turn).on_prepare(N2, Prepare(ballot(1, 2), Slot(1)))
    assert turn.promise == ballot(1, 2)
    assert sent(turn) == []
    assert [type(message) for message in sent_after_write(turn)] == [Promise]


def test_a_lower_ballot_is_refused_with_the_promise(turn: Outbox) -> None:
    """P2, PITFALLS 1: below the promise neither Prepare, Accept nor Confirm is granted."""
    role = acceptor(turn, recovered(promise=ballot(5)))
    role.on_prepare(N2, Prepare(ballot(4, 2), Slot(1)))
    role.on_accept(N2, accept(1, ballot(4, 2)))
    role.on_confirm(N2, Confirm(ballot(4, 2), 1))
    role.send_acks()
    assert sent(turn) == [Nack(ballot(4, 2), ballot(5))] * 3
    assert not turn.needs_write
    assert role.accepted == {}


def test_an_accept_needs_no_prepare_seen_and_raises_the_promise(turn: Outbox) -> None:
    """P2, SEED 4: an acceptor that missed the Prepare accepts, and promises what it accepted."""
    role = acceptor(turn, recovered(promise=ballot(1)))
    role.on_accept(N3, accept(7, ballot(2, 3)))
    assert (turn.promise, role.promise) == (ballot(2, 3), ballot(2, 3))
    assert turn.records == [record(7, ballot(2, 3))]
    role.on_prepare(N2, Prepare(ballot(1), Slot(1)))
    assert sent(turn) == [Nack(ballot(1), ballot(2, 3))]


def test_accepted_leaves_only_after_the_write_as_runs(turn: Outbox) -> None:
    """P1: one answer a run of slots, resting on the write."""
    role = acceptor(turn)
    for slot in (3, 4, 5, 9):
        role.on_accept(N2, accept(slot, ballot(1, 2)))
    role.send_acks()
    assert sent(turn) == []
    assert sent_after_write(turn) == [
        Accepted(ballot(1, 2), Slot(3), Slot(5)),
        Accepted(ballot(1, 2), Slot(9), Slot(9)),
    ]


def test_a_repeated_accept_is_answered_again_and_written_once(turn: Outbox) -> None:
    """A resent Accept costs no second record."""
    role = acceptor(turn)
    role.on_accept(N2, accept(1, ballot(1, 2)))
    role.on_accept(N2, accept(1, ballot(1, 2)))
    role.send_acks()
    assert len(turn.records) == 1
    assert sent_after_write(turn) == [Accepted(ballot(1, 2), Slot(1), Slot(1))]


def test_a_slot_of_a_state_that_is_being_installed_is_left_alone(turn: Outbox) -> None:
    """P7: it is chosen, and what an old ballot has there would be written below the floor; nor is it answered (P1)."""
    role = acceptor(turn, recovered(promise=ballot(1, 2)))
    role._standing.on_installing(Slot(9))
    for slot in (9, 10):
        role.on_accept(N2, accept(slot, ballot(1, 2)))
    role.send_acks()
    assert turn.records == [record(10, ballot(1, 2))]
    assert sent_after_write(turn) == [Accepted(ballot(1, 2), Slot(10), Slot(10))]


def test_a_slot_known_chosen_is_answered_without_a_write(turn: Outbox) -> None:
    """P5: its value can't differ, so the vote needs no new record."""
    role = acceptor(turn, recovered(promise=ballot(1, 2), chosen_through=5))
    role.on_accept(N2, accept(4, ballot(1, 2)))
    role.send_acks()
    assert not turn.needs_write
    assert sent_after_write(turn) == [Accepted(ballot(1, 2), Slot(4), Slot(4))]


def test_everything_accepted_is_reported_in_bounded_pieces(turn: Outbox) -> None:
    """P3: every acceptance above chosen_through is in exactly one piece, within the limits."""
    tail = tuple(record(slot, ballot(1), b"x" * 100) for slot in range(3, 10))
    options = PaxosOptions(piece_slots_max=3, piece_bytes_max=250)
    role = acceptor(turn, recovered(promise=ballot(1), chosen_through=2, compacted_through=1, accepted=tail), options)
    role.on_prepare(N2, Prepare(ballot(2, 2), Slot(1)))
    pieces = [message for message in sent_after_write(turn) if isinstance(message, Promise)]
    assert [piece.piece for piece in pieces] == list(range(pieces[0].piece_count))
    assert tuple(one for piece in pieces for one in piece.accepted) == tail
    assert all(len(piece.accepted) <= 2 for piece in pieces)
    assert {(piece.chosen_through, piece.compacted_through) for piece in pieces} == {(2, 1)}


def test_a_candidate_that_knows_more_is_told_only_the_rest(turn: Outbox) -> None:
    """Phase 1 covers the slots from the candidate's first unknown one on (P3)."""
    tail = tuple(record(slot, ballot(1)) for slot in (3, 4, 5))
    role = acceptor(turn, recovered(promise=ballot(1), chosen_through=2, accepted=tail))
    role.on_prepare(N2, Prepare(ballot(2, 2), Slot(5)))
    (promise,) = sent_after_write(turn)
    assert isinstance(promise, Promise)
    assert promise.accepted == (tail[2],)


def test_a_value_damaged_on_the_way_is_not_accepted(turn: Outbox) -> None:
    """P10: a receiver checks the leader's checksum before it stores anything."""
    role = acceptor(turn)
    good = accept(1, ballot(1, 2), b"good")
    role.on_accept(N2, type(good)(good.ballot, good.slot, good.crc, b"evil", good.chosen_through))
    role.send_acks()
    assert (role.damaged_received_count, turn.records, sent_after_write(turn)) == (1, [], [])


def test_slots_far_ahead_are_not_taken_into_memory(turn: Outbox) -> None:
    """What an acceptor holds above its chosen_through is bounded."""
    role = acceptor(turn, options=PaxosOptions(window_slots=4, accept_ahead_slots_max=4))
    role.on_accept(N2, accept(5, ballot(1, 2)))
    assert (role.accepted, turn.records) == ({}, [])


@pytest.mark.parametrize("reason", ["the promise record is damaged"])
def test_an_abstaining_acceptor_is_silent(turn: Outbox, reason: str) -> None:
    """P9, P10: a node that can't trust its memory neither promises, accepts, confirms nor refuses."""
    start = recovered(damaged_reason=reason)
    role = acceptor(turn, start)
    role.on_prepare(N2, Prepare(ballot(1, 2), Slot(1)))
    role.on_accept(N2, accept(1, ballot(1, 2)))
    role.on_confirm(N2, Confirm(ballot(1, 2), 1))
    role.send_acks()
    assert (sent(turn), sent_after_write(turn), turn.needs_write) == ([], [], False)
    assert standing(start).abstain_reason == reason


def test_confirmed_means_nothing_higher_was_promised(turn: Outbox) -> None:
    """A read's confirmation is granted at or above the promise, without a write."""
    role = acceptor(turn, recovered(promise=ballot(3, 2)))
    role.on_confirm(N2, Confirm(ballot(3, 2), 9))
    assert sent(turn) == [Confirmed(ballot(3, 2), 9)]
    assert not turn.needs_write


def test_two_values_at_one_slot_and_ballot_are_our_own_mistake(turn: Outbox) -> None:
    """P5: a proposer that proposes twice at one ballot is caught by an assertion."""
    role = acceptor(turn)
    role.on_accept(N2, accept(1, ballot(1, 2), b"a"))
    with pytest.raises(AssertionError):
        role.on_accept(N2, accept(1, ballot(1, 2), b"b"))
