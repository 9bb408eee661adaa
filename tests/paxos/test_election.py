"""Who ought to lead, from what heartbeats say."""

from __future__ import annotations

import random

import msgspec
import pytest

from replog.paxos.ballot import BALLOT_ZERO, Ballot, NodeId, Slot
from replog.paxos.election import Election
from replog.paxos.membership import Membership
from replog.paxos.messages import Heartbeat, HeartbeatReply
from replog.paxos.options import PaxosOptions
from replog.paxos.outbox import Outbox

from .build import FIVE, N1, N2, N3, N4, N5, THREE, ballot, members, sent


def election(membership: Membership = THREE, options: PaxosOptions | None = None) -> Election:
    return Election(options or PaxosOptions(), Outbox(N1), *members(membership), random.Random(1), 0.0)


def reply(
    role: Election,
    *,
    promise: Ballot = BALLOT_ZERO,
    leading: bool = False,
    happy: bool = False,
    voting: bool = True,
    accepted: int = 0,
    chosen: int = 0,
    full: bool = False,
    led: bool = False,
) -> HeartbeatReply:
    return HeartbeatReply(
        role.round,
        promise,
        leading,
        happy,
        voting,
        Slot(chosen),
        Slot(accepted),
        Slot(0),
        Slot(0),
        is_full=full,
        is_led=led,
    )


def round_with(role: Election, replies: dict[NodeId, dict[str, object]], *, leading: Ballot | None = None) -> None:
    """One whole round: everybody in ``replies`` answers, then it is judged."""
    role.begin_round(leading or BALLOT_ZERO, Slot(0), 0.0)
    for node, says in replies.items():
        role.on_reply(role._peers[node], reply(role, **says))  # type: ignore[arg-type]
    role.judge(leading or ballot(1, 2), is_leading=leading is not None)


def close_link(role: Election, node: NodeId, now_s: float, *, is_leading: bool = False) -> None:
    role._peers[node].close_link()
    role.on_link_closed(role._peers[node], now_s, is_leading=is_leading)


def wants_to_take_over(role: Election, accepted: int = 0) -> bool:
    role.consider(Slot(accepted), Slot(accepted), 0.0)
    return role.take_over_at_s is not None


def test_a_round_asks_every_other_member() -> None:
    """A heartbeat goes to voters and learners, not to oneself."""
    turn = Outbox(N1)
    role = Election(PaxosOptions(), turn, *members(Membership(1, (N1, N2), (N3,))), random.Random(1), 0.0)
    role.begin_round(ballot(3), Slot(9), 0.0)
    assert [outbound.target for outbound in turn.sends] == [N2, N3]
    assert sent(turn)[0] == Heartbeat(1, ballot(3), Slot(9))


def test_silence_is_waited_out_before_taking_over() -> None:
    """Only after election_rounds without a happy leader, and with a quorum reached."""
    role = election()
    for _ in range(2):
        round_with(role, {N3: {}})
        assert not wants_to_take_over(role)
    round_with(role, {N3: {}})
    assert wants_to_take_over(role)


def test_without_a_quorum_nobody_takes_over() -> None:
    """PITFALLS 21: reaching a quorum is the condition, whatever the silence."""
    role = election(FIVE)
    for _ in range(9):
        round_with(role, {N3: {}})
    assert not wants_to_take_over(role)


def test_a_happy_neighbour_keeps_a_node_from_taking_over() -> None:
    """Chain: the leader is out of sight, but a neighbour follows it happily."""
    role = election()
    for _ in range(9):
        round_with(role, {N2: {"happy": True, "promise": ballot(4, 3)}})
    assert not role.is_happy
    assert not wants_to_take_over(role)


def test_a_leader_that_says_it_is_unhappy_is_replaced() -> None:
    """Quorum loss: the old leader still answers, but it reaches no quorum itself."""
    role = election(FIVE)
    others = {N3: {"promise": ballot(4, 2)}, N4: {}, N5: {}}
    for _ in range(3):
        round_with(role, {N2: {"leading": True, "promise": ballot(4, 2)}, **others})
    assert wants_to_take_over(role)


def test_a_leader_needs_a_quorum_that_follows_it() -> None:
    """PITFALLS 22: answers from nodes that follow another ballot, or do not vote, do not make a leader happy."""
    role = election(FIVE)
    mine = ballot(6)
    round_with(role, {N2: {"promise": mine}, N3: {"promise": mine}}, leading=mine)
    assert role.is_happy
    for _ in range(3):
        round_with(
            role,
            {N2: {"promise": mine}, N3: {"promise": ballot(7, 3)}, N4: {"promise": mine, "voting": False}},
            leading=mine,
        )
    assert not role.is_happy
    assert role.should_step_down(3)


def test_a_stray_voter_makes_the_leader_rise_not_fall() -> None:
    """PITFALLS 23: after two rounds the leader takes a ballot above the stray promise; it stays the leader."""
    role = election()
    mine = ballot(6)
    for _ in range(2):
        round_with(role, {N2: {"promise": mine}, N3: {"promise": ballot(99, 3)}}, leading=mine)
    assert role.is_happy
    assert role.should_rise()
    assert role.highest_seen == ballot(99, 3)


def test_a_leader_does_not_rise_against_one_it_does_not_hear() -> None:
    """PITFALLS 21: a voter above its ballot that is led there follows somebody else; two such leaders would duel."""
    role = election()
    mine = ballot(6)
    for _ in range(9):
        round_with(role, {N2: {"promise": mine}, N3: {"promise": ballot(7, 3), "led": True}}, leading=mine)
    assert not role.should_rise()


def test_a_node_says_that_it_is_led_while_it_hears_the_leader_it_promised() -> None:
    """For this round and the next; a promise to another ballot ends it."""
    role = election()
    assert not role.is_led
    round_with(role, {})
    role.on_leader_heard(N2)
    assert role.is_led
    round_with(role, {})
    assert role.is_led
    round_with(role, {})
    assert not role.is_led
    role.on_leader_heard(N2)
    role.on_promised(ballot(9, 3), 0.0)
    assert not role.is_led


def test_a_closed_link_to_the_leader_starts_a_round_at_once() -> None:
    """Suspicion does not wait for silence, and the round ends when everybody left has answered."""
    role = election()
    round_with(role, {N2: {"leading": True, "happy": True, "promise": ballot(1, 2)}, N3: {}})
    assert (role.leader, role.is_happy) == (N2, True)
    close_link(role, N2, 5.0)
    assert (role.round_at_s, role.is_happy) == (5.0, False)
    role.begin_round(BALLOT_ZERO, Slot(0), 5.0)
    assert not role.is_ready_to_judge
    role.on_reply(role._peers[N3], reply(role))
    assert role.is_ready_to_judge
    role.judge(ballot(1, 2), is_leading=False)
    assert wants_to_take_over(role, accepted=3)


def test_a_closed_link_to_a_follower_means_nothing() -> None:
    """Only the leader's link is a reason to suspect."""
    role = election()
    round_with(role, {N2: {"leading": True, "happy": True, "promise": ballot(1, 2)}, N3: {}})
    close_link(role, N3, 5.0)
    assert role.is_happy
    assert role.round_at_s < 5.0


def test_the_longest_log_goes_first() -> None:
    """Of two candidates that see each other the one with more accepted does not wait; the other does."""
    first, second = election(), election()
    for _ in range(3):
        round_with(first, {N3: {"accepted": 7}})
        round_with(second, {N3: {"accepted": 9}})
    first.consider(Slot(8), Slot(8), 0.0)
    second.consider(Slot(8), Slot(8), 0.0)
    assert first.take_over_at_s == 0.0
    assert second.take_over_at_s is not None
    assert 0.0 < second.take_over_at_s <= PaxosOptions().patience_max_s


def test_a_clock_that_is_astray_goes_last() -> None:
    """However long its log: it waits for one that can lead and whose clock is right, if there is one."""
    role = election()
    role.astray = frozenset({N1})
    for _ in range(3):
        round_with(role, {N3: {"accepted": 7}})
    role.consider(Slot(8), Slot(8), 0.0)
    assert role.take_over_at_s is not None
    assert 0.0 < role.take_over_at_s <= PaxosOptions().patience_max_s
    role.take_over_at_s = None
    role.astray = frozenset({N1, N3})
    role.consider(Slot(8), Slot(8), 0.0)
    assert role.take_over_at_s == 0.0


def test_the_successor_is_one_whose_clock_is_right() -> None:
    """If there is one: else whoever has the longest log."""
    role = election()
    round_with(role, {N2: {"accepted": 3}, N3: {"accepted": 9}}, leading=ballot(1, 1))
    assert role.best_successor() == N3
    role.astray = frozenset({N3})
    assert role.best_successor() == N2
    role.astray = frozenset({N2, N3})
    assert role.best_successor() == N3


def test_a_node_far_behind_learns_first() -> None:
    """P4: it could not lead before it had caught up, so it does not unsettle the others."""
    role = election()
    for _ in range(3):
        round_with(role, {N3: {"chosen": 10_000}})
    assert not wants_to_take_over(role)


def test_a_promise_to_another_gives_it_time() -> None:
    """A candidate heard of is not raced."""
    role = election()
    for _ in range(3):
        round_with(role, {N3: {}})
    role.on_promised(ballot(5, 3), 0.0)
    assert not wants_to_take_over(role)
    assert role.highest_seen == ballot(5, 3)


def test_the_successor_is_the_longest_log_that_can_lead() -> None:
    """Hand-over passes by nodes that do not vote or whose disk is full."""
    role = election(FIVE)
    round_with(
        role,
        {
            N2: {"accepted": 9, "voting": False},
            N3: {"accepted": 8, "full": True},
            N4: {"accepted": 7},
            N5: {"accepted": 6},
        },
    )
    assert role.best_successor() == N4
    assert role.is_reachable(N5)
    close_link(role, N4, 0.0, is_leading=True)
    assert role.best_successor() == N5


def test_an_answer_counts_in_the_round_in_which_it_comes() -> None:
    """A round trip may be longer than a round: while answers keep coming, leader and follower are happy."""
    leader, follower = election(), election()
    mine, late = ballot(6), 2
    for _ in range(late):
        for role in (leader, follower):
            role.begin_round(mine, Slot(0), role.round * 0.1)
    for _ in range(9):
        for role, says in ((leader, {}), (follower, {"leading": True, "happy": True})):
            role.begin_round(mine, Slot(0), role.round * 0.1)
            message = msgspec.structs.replace(reply(role, promise=mine, **says), round=role.round - late)  # type: ignore[arg-type]
            assert role.on_reply(role._peers[N2], message)
            role.judge(mine, is_leading=role is leader)
            assert role.is_happy
        assert leader.best_successor() == N2


def test_an_answer_to_an_old_question_does_not_count() -> None:
    """Older than an election timeout, no newer than one that has come, or to a question that was never asked."""
    role = election(options=PaxosOptions(election_rounds=3))
    answers = []
    for number in range(6):
        role.begin_round(BALLOT_ZERO, Slot(0), number * 0.1001)
        answers.append(reply(role))
    peer = role._peers[N2]
    assert not role.on_reply(peer, answers[2])
    assert role.on_reply(peer, answers[4])
    assert not role.on_reply(peer, answers[4])
    assert not role.on_reply(peer, answers[3])
    assert not role.on_reply(peer, msgspec.structs.replace(answers[5], round=99))
    peer.close_link()
    assert not role.on_reply(peer, answers[5])


def test_under_suspicion_only_answers_to_later_questions_count() -> None:
    """A neighbour that said before the link closed that the leader is well does not know better."""
    role = election()
    round_with(role, {N2: {"leading": True, "happy": True, "promise": ballot(1, 2)}})
    before = reply(role, happy=True)
    close_link(role, N2, 0.05)
    role.begin_round(BALLOT_ZERO, Slot(0), 0.05)
    assert not role.on_reply(role._peers[N3], before)
    assert not role.is_ready_to_judge
    assert role.on_reply(role._peers[N3], reply(role))
    assert role.is_ready_to_judge


def test_a_node_that_leads_names_no_leader() -> None:
    """So that once it has stepped down it does not send clients to itself."""
    role = election()
    role.on_leader_heard(N2)
    role.on_leading()
    assert role.leader is None
    with pytest.raises(AssertionError):
        role.on_leader_heard(N1)


def test_who_was_held_up_reads_before_it_judges() -> None:
    """A round that ends far too late is put off by a moment, once: the answers of meanwhile wait in the sockets."""
    role = election()
    role.begin_round(BALLOT_ZERO, Slot(0), 0.0)
    assert not role.has_been_held_up(0.11)
    assert role.has_been_held_up(0.7)
    assert 0.7 < role.round_at_s < 0.72
    assert not role.has_been_held_up(0.75)


# --- silence ---


def told_silent(role: Election) -> list[tuple[NodeId, int]]:
    """Of whom the round's end told silence, and for how many rounds."""
    role._outbox.notices.clear()
    role.count_silence()
    return [(notice.facts["peer"], notice.facts["rounds"]) for notice in role._outbox.notices]


def test_who_neither_asks_nor_answers_for_a_whole_round_is_told_silent() -> None:
    """The round in which it was heard last is not one; then they are counted, each peer's by itself."""
    role = election()
    assert told_silent(role) == []
    assert told_silent(role) == [(N2, 1), (N3, 1)]
    role.on_asked(role._peers[N2])
    assert told_silent(role) == [(N3, 2)]
    assert told_silent(role) == [(N2, 1), (N3, 3)]


def test_any_answer_ends_a_silence_even_one_that_counts_no_more() -> None:
    """It is late, but it came over the link."""
    role = election()
    for _ in range(5):
        told_silent(role)
    role.begin_round(BALLOT_ZERO, Slot(0), 100.0)
    late = msgspec.structs.replace(reply(role), round=-7)
    assert not role.on_reply(role._peers[N2], late)
    assert told_silent(role) == [(N3, 5)]


def test_the_quick_rounds_of_suspicion_count_for_a_quarter() -> None:
    """Else a dead leader would cost every other link within a third of the time."""
    role = election()
    role.leader = N2
    close_link(role, N2, 0.0)
    counted = [told_silent(role) for _ in range(12)]
    assert [len(one) for one in counted] == [0] * 7 + [1] * 5
    assert counted[-1] == [(N3, 2)]


def test_of_a_closed_link_no_silence_is_told_and_a_new_one_begins_anew() -> None:
    """What is gone can't be silent."""
    role = election()
    for _ in range(5):
        told_silent(role)
    close_link(role, N2, 0.0)
    assert told_silent(role) == [(N3, 5)]
    assert role._peers[N2].silent_quarters == 0
