"""The proposer's ballot, from Prepare to chosen."""

from __future__ import annotations

import pytest

from replog.paxos.ballot import Slot
from replog.paxos.effects import Refusal
from replog.paxos.membership import Membership
from replog.paxos.messages import Accept, Accepted, AcceptedSlot, Nack, Prepare, Promise
from replog.paxos.options import PaxosOptions
from replog.paxos.outbox import Outbox
from replog.paxos.proposer import Proposer, Role
from replog.paxos.values import NO_OP, Batch, decode_value, encode_value
from replog.paxos.waiting_submissions import WaitingSubmissions

from .build import FIVE, N1, N2, N3, N4, THREE, ballot, checksum, members, record, sent, sent_after_write


def proposer(
    options: PaxosOptions | None = None, membership: Membership = THREE, waiting: WaitingSubmissions | None = None
) -> tuple[Proposer, Outbox]:
    turn, options = Outbox(N1), options or PaxosOptions()
    waiting = WaitingSubmissions(options) if waiting is None else waiting
    return Proposer(options, turn, *members(membership), waiting, checksum), turn


def promise(*accepted: AcceptedSlot, chosen_through: int = 0, piece: int = 0, pieces: int = 1, at: int = 1) -> Promise:
    return Promise(ballot(at), Slot(chosen_through), Slot(0), piece, pieces, accepted)


def leading(
    options: PaxosOptions | None = None, membership: Membership = THREE, waiting: WaitingSubmissions | None = None
) -> tuple[Proposer, Outbox]:
    role, turn = proposer(options, membership, waiting)
    role.begin(ballot(1), Slot(1), 0.0)
    for node in membership.voters[: membership.quorum_count]:
        role.on_promise(node, promise())
    role.lead(Slot(0), 0.0)
    role.on_accepted(N1, Accepted(ballot(1), Slot(1), Slot(1)))
    turn.clear()
    turn.local.clear()
    return role, turn


def proposed(turn: Outbox) -> list[Accept]:
    """What the node proposed, as it told its own acceptor."""
    return [message for message in turn.local if isinstance(message, Accept)]


def test_a_prepare_rests_on_the_own_promise() -> None:
    """P1, PITFALLS 8: no Prepare leaves before the own acceptor's promise of that ballot is durable."""
    role, turn = proposer()
    role.begin(ballot(1), Slot(4), 0.0)
    assert list(turn.local) == [Prepare(ballot(1), Slot(4))]
    assert sent(turn) == []
    assert sent_after_write(turn) == [Prepare(ballot(1), Slot(4))] * 2


def test_the_highest_ballot_reported_for_a_slot_is_proposed_again() -> None:
    """P4, PITFALLS 9 and 10: the value of the highest ballot wins, whoever reported it first."""
    role, turn = proposer()
    role.begin(ballot(9), Slot(1), 0.0)
    role.on_promise(N1, promise(record(1, ballot(3), b"new"), at=9))
    role.on_promise(N2, promise(record(1, ballot(2), b"old"), at=9))
    turn.local.clear()
    role.lead(Slot(0), 0.0)
    assert [(accept.slot, accept.value) for accept in proposed(turn)] == [(1, b"new"), (2, encode_value(THREE))]


def test_gaps_are_filled_with_no_ops() -> None:
    """P4, PITFALLS 11: below a reported slot every unreported one gets a no-op."""
    role, turn = proposer()
    role.begin(ballot(9), Slot(1), 0.0)
    role.on_promise(N1, promise(at=9))
    role.on_promise(N3, promise(record(3, ballot(2), b"x"), at=9))
    turn.local.clear()
    role.lead(Slot(0), 0.0)
    assert [accept.value for accept in proposed(turn)] == [NO_OP, NO_OP, b"x", encode_value(THREE)]


def test_a_candidate_behind_learns_before_it_leads() -> None:
    """P4, PITFALLS 12: slots an acceptor knows chosen are not proposed; they are learned first."""
    role, turn = proposer()
    role.begin(ballot(9), Slot(1), 0.0)
    role.on_promise(N1, promise(at=9))
    role.on_promise(N2, promise(record(6, ballot(2), b"six"), chosen_through=5, at=9))
    assert (role.role, role.catch_up_through) == (Role.CATCHING_UP, 5)
    turn.local.clear()
    with pytest.raises(AssertionError):
        role.lead(Slot(4), 0.0)
    role.lead(Slot(5), 0.0)
    assert [(accept.slot, accept.value) for accept in proposed(turn)] == [(6, b"six"), (7, encode_value(THREE))]


def test_half_a_promise_is_none() -> None:
    """P3: an acceptor counts only when all its pieces have come, in any order and any number of times."""
    role, _ = proposer()
    role.begin(ballot(1), Slot(1), 0.0)
    role.on_promise(N1, promise())
    role.on_promise(N2, promise(piece=1, pieces=2))
    role.on_promise(N2, promise(piece=1, pieces=2))
    assert role.role is Role.PREPARING
    role.on_promise(N2, promise(piece=0, pieces=2))
    assert role.role is Role.CATCHING_UP


def test_pieces_of_two_answers_are_not_joined() -> None:
    """P3: what the acceptor came to know chosen between them is in no piece of the second answer."""
    role, turn = proposer()
    role.begin(ballot(9), Slot(1), 0.0)
    role.on_promise(N1, promise(at=9))
    first = [promise(record(slot, ballot(2), b"%d" % slot), piece=slot - 1, pieces=2, at=9) for slot in (1, 2)]
    second = [
        promise(record(slot, ballot(2), b"%d" % slot), chosen_through=1, piece=slot - 2, pieces=2, at=9)
        for slot in (2, 3)
    ]
    role.on_promise(N2, first[0])
    role.on_promise(N2, second[1])
    assert role.role is Role.PREPARING
    role.on_promise(N2, second[0])
    role.lead(Slot(1), 0.0)
    assert [(one.slot, one.value) for one in proposed(turn)][:-1] == [(2, b"2"), (3, b"3")]


def test_a_promise_with_a_damaged_value_is_asked_for_again() -> None:
    """P10: the piece counts as lost, so nothing damaged is adopted and the candidate doesn't wait for ever."""
    role, turn = proposer(PaxosOptions(resend_interval_s=1.0))
    role.begin(ballot(9), Slot(1), 0.0)
    role.on_promise(N1, promise(at=9))
    good = record(1, ballot(2), b"good")
    role.on_promise(N2, promise(AcceptedSlot(good.slot, good.ballot, good.crc, b"evil"), at=9))
    assert (role.role, role.damaged_received_count) == (Role.PREPARING, 1)
    turn.clear()
    role.resend(1.0)
    assert {outbound.target for outbound in turn.after_write} == {N2, N3}
    role.on_promise(N2, promise(good, at=9))
    role.lead(Slot(0), 1.0)
    assert proposed(turn)[0].value == b"good"


def test_promises_for_another_ballot_do_not_count() -> None:
    """A late answer to an earlier ballot of this node is ignored."""
    role, _ = proposer()
    role.begin(ballot(2), Slot(1), 0.0)
    role.on_promise(N1, promise(at=2))
    role.on_promise(N2, promise(at=1))
    assert role.role is Role.PREPARING


def test_each_vote_counts_once() -> None:
    """P5, PITFALLS 3: one node's repeated Accepted never makes a quorum."""
    role, _ = leading(membership=FIVE)
    role._waiting.submit(b"x")
    role.fill_window(0.0, 0)
    before = role.chosen_through
    for _ in range(5):
        role.on_accepted(N2, Accepted(ballot(1), Slot(1), Slot(2)))
    assert role.chosen_through == before
    role.on_accepted(N1, Accepted(ballot(1), Slot(1), Slot(2)))
    role.on_accepted(N4, Accepted(ballot(1), Slot(1), Slot(2)))
    assert role.chosen_through == 2


def test_votes_of_another_ballot_or_a_stranger_do_not_count() -> None:
    """P5, PITFALLS 4: only voters, only at this ballot."""
    role, _ = leading()
    role.on_accepted(N2, Accepted(ballot(7, 2), Slot(1), Slot(1)))
    role.on_accepted(N4, Accepted(ballot(1), Slot(1), Slot(1)))
    assert role.chosen_through == 0


def test_chosen_slots_count_in_order_only() -> None:
    """P7: a later slot's quorum does not carry chosen_through past a gap."""
    role, _ = leading(PaxosOptions(undurable_slots_max=8))
    for payload in (b"a", b"b"):
        role._waiting.submit(payload)
        role.fill_window(0.0, 0)
    for node in (N1, N2):
        role.on_accepted(node, Accepted(ballot(1), Slot(3), Slot(3)))
    assert role.chosen_through == 0
    for node in (N1, N2):
        role.on_accepted(node, Accepted(ballot(1), Slot(1), Slot(2)))
    assert role.chosen_through == 3


def test_the_next_batch_grows_while_the_own_write_is_under_way() -> None:
    """One new slot a write: what comes meanwhile leaves together."""
    role, turn = leading()
    role._waiting.submit(b"a")
    role.fill_window(0.0, 5)
    role._waiting.submit(b"b")
    role._waiting.submit(b"c")
    role.fill_window(0.0, 5)
    assert [decode_value(accept.value) for accept in proposed(turn)] == [Batch(5, [b"a"])]
    role.on_accepted(N1, Accepted(ballot(1), Slot(2), Slot(2)))
    role.fill_window(0.0, 7)
    assert [decode_value(accept.value) for accept in proposed(turn)][1:] == [Batch(7, [b"b", b"c"])]


def test_a_leader_does_not_run_ahead_of_its_own_disk() -> None:
    """A quorum of quick peers does not let the leader gather what its own disk has not taken: memory stays bounded."""
    role, turn = leading()
    role._waiting.submit(b"a")
    role.fill_window(0.0, 0)
    for node in (N2, N3):
        role.on_accepted(node, Accepted(ballot(1), Slot(1), Slot(2)))
    assert role.chosen_through == 2
    role._waiting.submit(b"b")
    role.fill_window(0.0, 0)
    assert len(proposed(turn)) == 1
    role.on_accepted(N1, Accepted(ballot(1), Slot(2), Slot(2)))
    role.fill_window(0.0, 0)
    assert len(proposed(turn)) == 2


def test_window_and_batch_limits_hold() -> None:
    """Slots in flight, bytes in flight and bytes in a batch stay within their options."""
    options = PaxosOptions(window_slots=3, window_bytes=100, batch_bytes_max=20, undurable_slots_max=8)
    role, turn = leading(options)
    for _ in range(20):
        assert role._waiting.submit(b"x" * 9) is None
    role.fill_window(0.0, 0)
    batches = [decode_value(accept.value) for accept in proposed(turn)]
    assert [len(batch.submissions) for batch in batches if isinstance(batch, Batch)] == [2, 2]
    assert len(role.values_in_flight) == 3


def test_refusals_name_their_reason() -> None:
    """What is not taken is definitely not done, and the caller is told which limit it met."""
    options = PaxosOptions(queue_submissions_max=1, batch_bytes_max=10)
    following, _ = proposer(options)
    assert following._waiting.submit(b"x") is Refusal.NOT_LEADER
    role, _ = leading(options)
    assert role._waiting.submit(b"x" * 11) is Refusal.TOO_LARGE
    assert role._waiting.submit(b"x") is None
    assert role._waiting.submit(b"x") is Refusal.OVERLOADED
    role._waiting.is_full = True
    assert role._waiting.submit(b"x") is Refusal.STORAGE_FULL


def test_a_slow_peer_has_bounded_bytes_under_way() -> None:
    """Beyond the bound a peer is not sent to; the quorum of the others goes on."""
    options = PaxosOptions(peer_in_flight_bytes_max=64, undurable_slots_max=99)
    role, turn = leading(options)
    for number in range(6):
        role._waiting.submit(b"x" * 30)
        role.fill_window(0.0, 0)
        for node in (N1, N2):
            role.on_accepted(node, Accepted(ballot(1), Slot(2), Slot(number + 2)))
    to_slow = [outbound for outbound in turn.sends if outbound.target == N3]
    to_quick = [outbound for outbound in turn.sends if outbound.target == N2]
    assert (len(to_quick), len(to_slow)) == (6, 1)


def test_a_slow_peer_is_sent_what_it_missed_with_each_answer() -> None:
    """As far as its bound allows, and nothing twice; what is chosen meanwhile it fetches from a log."""
    options = PaxosOptions(peer_in_flight_bytes_max=100, undurable_slots_max=99)
    role, turn = leading(options)
    for _ in range(6):
        role._waiting.submit(b"x" * 30)
        role.fill_window(0.0, 0)

    def slots_sent_to_the_slow_one() -> list[int]:
        messages = [outbound.message for outbound in turn.sends if outbound.target == N3]
        return [message.slot for message in messages if isinstance(message, Accept)]

    assert slots_sent_to_the_slow_one() == [2, 3]
    role.on_accepted(N3, Accepted(ballot(1), Slot(2), Slot(2)))
    assert slots_sent_to_the_slow_one() == [2, 3, 4]
    role.on_accepted(N1, Accepted(ballot(1), Slot(2), Slot(6)))
    role.on_accepted(N2, Accepted(ballot(1), Slot(1), Slot(6)))
    assert role.chosen_through == 6
    role.on_accepted(N3, Accepted(ballot(1), Slot(3), Slot(4)))
    assert slots_sent_to_the_slow_one() == [2, 3, 4, 7]
    turn.clear()
    role.on_accepted(N3, Accepted(ballot(1), Slot(7), Slot(7)))
    assert slots_sent_to_the_slow_one() == []


def test_a_report_that_is_not_whole_yet_decides_no_value() -> None:
    """P4: a voter whose pieces have not all come is none of the quorum, so its values wait for another ballot."""
    role, turn = proposer()
    role.begin(ballot(9), Slot(1), 0.0)
    role.on_promise(N3, promise(record(1, ballot(3, 3), b"half"), pieces=2, at=9))
    role.on_promise(N1, promise(at=9))
    role.on_promise(N2, promise(record(1, ballot(2), b"whole"), at=9))
    turn.local.clear()
    role.lead(Slot(0), 0.0)
    assert [accept.value for accept in proposed(turn)] == [b"whole", encode_value(THREE)]


def test_a_candidate_asks_again_over_a_new_link_who_has_not_promised() -> None:
    """What was asked over the old link may be lost; who has told all of it is left alone, and so is a learner."""
    role, turn = proposer(membership=Membership(1, (N1, N2, N3), (N4,)))
    role.begin(ballot(1), Slot(1), 0.0)
    role.on_promise(N2, promise())
    turn.clear()
    for peer in role._peers.values():
        role.on_link_opened(peer)
    asked = [outbound.target for outbound in turn.after_write if isinstance(outbound.message, Prepare)]
    assert asked == [N3]


def test_unanswered_accepts_are_sent_again_to_who_has_not_voted() -> None:
    """Lossy links: after the resend interval the missing votes are asked for again, the others not."""
    role, turn = leading(PaxosOptions(resend_interval_s=1.0))
    role._waiting.submit(b"x")
    role.fill_window(0.0, 0)
    role.on_accepted(N3, Accepted(ballot(1), Slot(2), Slot(2)))
    turn.clear()
    role.resend(0.5)
    assert turn.sends == []
    role.resend(1.0)
    assert {(o.target, o.message.slot) for o in turn.sends if isinstance(o.message, Accept)} == {
        (N2, 1), (N3, 1), (N2, 2),
    }  # fmt: skip


def test_one_refusal_does_not_unseat_a_leader() -> None:
    """PITFALLS 23: a stray voter with a huge promise is not a quorum; two of three are."""
    role, _ = leading()
    role.on_nack(N3, Nack(ballot(1), ballot(99, 3)))
    assert role.is_leading
    role.on_nack(N2, Nack(ballot(1), ballot(99, 3)))
    assert role.role is Role.FOLLOWING
