"""A change of members: what is refused, what is proposed and adopted, and who has a voice meanwhile (M1 to M13)."""

from __future__ import annotations

import msgspec
import pytest

from replog.paxos.ballot import BALLOT_ZERO, ERA_ROUNDS, Ballot, NodeId, Slot, floor_of_era, parse_ballot
from replog.paxos.effects import NoticeKind
from replog.paxos.membership import Member, Membership, newest
from replog.paxos.messages import (
    Accept,
    Accepted,
    Confirm,
    Confirmed,
    Heartbeat,
    HeartbeatReply,
    Learn,
    LearnRequest,
    Nack,
    Prepare,
    Promise,
)
from replog.paxos.outbox import Outbox
from replog.paxos.promises import Promises
from replog.paxos.proposer import Role
from replog.paxos.replica import Refusal, Replica
from replog.paxos.values import decode_value, encode_value

from .build import N1, N2, N3, N4, N5, THREE, accept, acceptor, ballot, record, recovered, sent
from .test_replica import Trio, alone

NEXT = Membership(2, (N2, N3, N4), (), N5)
V2 = ERA_ROUNDS


def second_era(round_: int, node: int) -> Ballot:
    return Ballot(V2 + round_, NodeId(node))


class Among(Trio):
    """A Trio in which what is sent to anybody else is lost."""

    def deliver(self) -> None:
        while self.under_way:
            sender, target, message = self.under_way.popleft()
            if target in self.replicas and not {sender, target} & self.down:
                self.replicas[target].on_message(sender, message)
                self.take(target)

    def others(self, node: NodeId) -> list[NodeId]:
        return [other for other in self.replicas if other != node]


def led() -> tuple[Among, Replica]:
    """A cluster that has a leader, and everybody has heard everybody."""
    trio = Among()
    trio.run(1.0)
    return trio, trio.replicas[trio.leader()]


# --- ballots and values ---


def test_ballots_of_a_later_era_are_above_all_before() -> None:
    """M3; and the first era's are written as they always were."""
    assert ballot(7, 2) < floor_of_era(1) < second_era(1, 1) < floor_of_era(2)
    assert (str(ballot(7, 2)), str(second_era(17, 1)), second_era(3, 1).era) == ("7.n2", "v2/17.n1", 1)
    assert floor_of_era(1).next_for(N3) == second_era(1, 3)
    for one in (ballot(7, 2), second_era(17, 1), floor_of_era(9), BALLOT_ZERO):
        assert parse_ballot(str(one)) == one
    for wrong in ("", "n1", "7", "v/7.n1", "v2/7", "x.n1"):
        with pytest.raises(ValueError, match="no ballot"):
            parse_ballot(wrong)


def test_a_membership_before_the_first_change_has_the_bytes_it_always_had() -> None:
    """A log that never changed its members is read by every release."""
    assert encode_value(THREE) == b"\x94\x02\x01\x93\x01\x02\x03\x90"
    assert decode_value(encode_value(THREE)) == THREE
    assert decode_value(encode_value(NEXT)) == NEXT


def test_an_id_is_never_used_again() -> None:
    """M8: what was never used begins above every member there ever was."""
    assert (THREE.unused_from, NEXT.unused_from) == (N4, N5)
    with pytest.raises(ValueError, match="never used"):
        Membership(2, (N1, N5), (), N4)


def test_the_newer_of_two_is_in_force() -> None:
    assert (newest(THREE, None), newest(THREE, NEXT), newest(NEXT, THREE)) == (THREE, NEXT, NEXT)
    assert (NEXT.follows(THREE), THREE.follows(THREE), Membership(3, (N1,)).follows(THREE)) == (True, False, False)


# --- the acceptor ---


def test_an_era_that_is_over_is_refused_also_without_a_vote() -> None:
    """M6: whoever was removed says so, and has no vote."""
    turn = Outbox(N1)
    one = acceptor(turn, recovered(membership=NEXT))
    for message in (Prepare(ballot(9, 2), Slot(1)), accept(1, ballot(9, 2)), Confirm(ballot(9, 2), 1)):
        getattr(one, f"on_{type(message).__name__.lower()}")(N2, message)
    assert sent(turn) == [Nack(ballot(9, 2), floor_of_era(1))] * 3
    one.on_prepare(N2, Prepare(second_era(1, 2), Slot(1)))
    assert (len(turn.sends), turn.after_write) == (3, [])


def test_an_era_that_is_not_learned_gets_no_vote() -> None:
    """M6: whoever votes there is not known yet; nothing is promised either, so nothing has to be forgotten."""
    turn = Outbox(N1)
    one = acceptor(turn)
    for message in (Prepare(second_era(1, 2), Slot(1)), accept(1, second_era(1, 2)), Confirm(second_era(1, 2), 1)):
        getattr(one, f"on_{type(message).__name__.lower()}")(N2, message)
    one.send_acks()
    assert (sent(turn), turn.after_write, turn.records, one.promise) == ([], [], [], ballot(0, 0))


def test_a_restart_knows_the_floor_of_its_era() -> None:
    """M3: it is derived from the membership, and not written by itself."""
    assert alone(recovered(membership=NEXT)).promise == floor_of_era(1)


# --- phase 1 ---


def reported(*records: tuple[int, Ballot, bytes]) -> Promises:
    promises = Promises()
    found = tuple(record(slot, at, value) for slot, at, value in records)
    promises.on_promise(N1, Promise(ballot(9), Slot(0), Slot(0), 0, 1, found))
    return promises


def test_nothing_is_adopted_above_a_change_that_stands() -> None:
    """M4: of what is above it nothing can be chosen."""
    change = encode_value(NEXT)
    plan = reported((1, ballot(1), b"old"), (2, ballot(3), change), (3, ballot(2), b"above")).plan(THREE, above=Slot(0))
    assert ([one and one.value for one in plan.values], plan.has_stop) == ([b"old", change], True)


def test_a_change_below_a_value_of_a_higher_ballot_is_void() -> None:
    """M4: had it been chosen, that ballot would have proposed nothing above it; its value may be chosen."""
    change = encode_value(NEXT)
    plan = reported((1, ballot(2), change), (2, ballot(3), b"may be chosen")).plan(THREE, above=Slot(0))
    assert ([one and one.value for one in plan.values], plan.has_stop) == ([None, b"may be chosen"], False)


def test_a_membership_that_would_have_no_effect_stops_nothing() -> None:
    """CAS: a barrier, or a change that comes second."""
    plan = reported((1, ballot(1), encode_value(THREE)), (2, ballot(1), b"x")).plan(THREE, above=Slot(0))
    assert (len(plan.values), plan.has_stop) == (2, False)
    plan = reported((1, ballot(1), encode_value(NEXT)), (2, ballot(1), b"x")).plan(NEXT, above=Slot(0))
    assert (len(plan.values), plan.has_stop) == (2, False)


# --- what is refused ---


def test_each_refusal_has_its_sentence() -> None:
    """M10: before anything is proposed."""
    trio, leader = led()
    follower = next(replica for replica in trio.replicas.values() if replica is not leader)
    voters = THREE.voters

    def reason(*sets: tuple[NodeId, ...], if_version: int | None = None) -> str:
        refusal = leader.change_members(*sets, if_version=if_version)
        assert refusal is not None
        return refusal.reason

    refusal = follower.change_members(voters)
    assert refusal is not None
    assert "does not lead" in refusal.reason
    assert "has version 1, not 2" in reason(voters, if_version=2)
    assert "at least one voter" in reason(())
    assert "both a voter and a learner" in reason(voters, (N3,))
    assert "has to be a learner first" in reason((*voters, N4))
    assert "already" in reason(voters)
    assert leader.change_members(voters, (N5,)) is None
    assert "another change is open" in reason(voters[:2])
    trio.run(1.0)
    leader = trio.replicas[trio.leader()]
    assert (leader.membership.version, leader.membership.next_node) == (2, 6)
    assert "can't be used again" in reason(voters, (N4,))
    assert "has not caught up" in reason((*voters, N5))


def test_a_change_tells_where_members_are_and_which_directory_counts() -> None:
    """Addresses may change, incarnations never (M7); telling them is a change of its own."""
    trio, leader = led()
    assert leader.change_members(THREE.voters, (), None, [Member(N1, "a:1", b"first"), Member(N2, "b:2")]) is None
    trio.run(1.0)
    leader = trio.replicas[trio.leader()]
    assert (leader.membership.version, leader.membership.voters) == (2, THREE.voters)
    assert leader.membership.described == (Member(N1, "a:1", b"first"), Member(N2, "b:2"))

    def reason(*described: Member) -> str:
        refusal = leader.change_members(THREE.voters, (), None, described)
        assert refusal is not None
        return refusal.reason

    assert "already" in reason()
    assert "a:1 would be the address of two members" in reason(Member(N3, "a:1"))
    assert "n1 is known by another directory" in reason(Member(N1, "", b"second"))
    assert leader.change_members(THREE.voters, (), None, [Member(N1, "c:3")]) is None
    trio.run(1.0)
    assert trio.replicas[trio.leader()].membership.described_as(N1) == Member(N1, "c:3", b"first")


def test_a_learner_that_abstains_is_not_promoted() -> None:
    """M10: it would have a vote and not use it, and alone among voters it would stop the cluster for good."""
    trio, leader = led()
    first, second = trio.others(leader.node)
    assert leader.change_members((leader.node, first), (second,)) is None
    trio.run(1.0)
    leader = trio.replicas[trio.leader()]
    reply = leader._peers[second].reply
    assert reply is not None
    leader._peers[second].reply = msgspec.structs.replace(reply, is_abstaining=True)
    refusal = leader.change_members(THREE.voters)
    assert refusal is not None
    assert "abstains" in refusal.reason
    leader._peers[second].reply = reply
    assert leader.change_members(THREE.voters) is None


def test_new_voters_that_are_not_reached_are_no_quorum() -> None:
    """M10: by what they last said of themselves."""
    trio, leader = led()
    first, _second = trio.others(leader.node)
    trio.down.add(first)
    trio.run(0.4)
    assert leader.is_leading
    refusal = leader.change_members((first, leader.node))
    assert refusal is not None
    assert "make a quorum" in refusal.reason


# --- the stop ---


def test_nothing_is_proposed_above_an_open_change_and_what_waits_is_kept() -> None:
    """M1, M5: submissions queue while it is open, and have their slot behind it, at the first ballot of the new era."""
    trio, leader = led()
    first, second = trio.others(leader.node)
    assert leader.change_members((leader.node, second)) is None
    assert leader.submit(b"queued") is None
    effects = leader.take_effects()
    proposed = [outbound.message for outbound in effects.send if isinstance(outbound.message, Accept)]
    assert {decode_value(one.value) for one in proposed} == {
        Membership(2, tuple(sorted((leader.node, second))), (), N4)
    }
    trio.under_way.extend((leader.node, outbound.target, outbound.message) for outbound in effects.send)
    leader.on_written(effects.ticket)
    trio.take(leader.node)
    trio.deliver()
    trio.run(0.5)
    assert (leader.is_leading, leader.membership.version, leader.promise) == (True, 2, second_era(1, leader.node))
    values = [one.value for one in trio.released[second]]
    assert any(b"queued" in value for value in values), values
    assert (NodeId(leader.node), NoticeKind.STEPPED_DOWN) not in trio.notices
    assert not trio.replicas[first].is_voting


def test_a_batch_that_is_held_at_the_stop_calls_for_no_turn() -> None:
    """Else the leader takes turn after turn, as fast as it can, until its next ballot leads."""
    _trio, leader = led()
    first, second = (node for node in THREE.voters if node != leader.node)
    leader._waiting.held_until_s = leader._now_s - 1.0
    assert leader.submit(b"held") is None
    assert leader.change_members((leader.node, second), (first,)) is None
    assert leader.take_effects().deadline_s > leader._now_s


def stopped(*, stays: bool) -> tuple[Among, Replica, list[NodeId]]:
    """Its own write is not durable yet, the others have voted: its change is chosen, and not released here."""
    trio, leader = led()
    first, second = trio.others(leader.node)
    assert leader.read(7) is None
    assert leader.change_members((leader.node, second) if stays else (first, second)) is None
    effects = leader.take_effects()
    slot = next(outbound.message.slot for outbound in effects.send if isinstance(outbound.message, Accept))
    for other in (first, second):
        leader.on_message(other, Accepted(leader.promise, slot, slot))
    return trio, leader, [first, second]


def test_reads_are_refused_before_the_stop_is_told() -> None:
    """M5, M13: others go on without this leader as soon as they hear of it, so none is answered on its word."""
    _trio, leader, others = stopped(stays=True)
    assert (leader.is_leading, leader.read(8)) == (True, Refusal.NOT_LEADER)
    for other in others:
        leader.on_message(other, Confirmed(leader.promise, 1))
    effects = leader.take_effects()
    assert (effects.reads, effects.reads_refused) == ([], [7])


def test_a_leader_that_hears_of_another_change_was_deposed() -> None:
    """M2: it drops its proposals, refuses what waits, and begins nothing of its own accord."""
    _trio, leader = led()
    first, second = (node for node in THREE.voters if node != leader.node)
    slot = Slot(leader.chosen_through + 1)
    value = encode_value(Membership(2, tuple(sorted((leader.node, first))), (), N4))
    assert leader.submit(b"waits") is None
    leader.on_message(second, Heartbeat(99, ballot(0, 0), slot))
    leader.on_message(second, Learn(slot, (record(slot, ballot(5, second), value),)))
    effects = leader.take_effects()
    leader.on_written(effects.ticket)
    after = leader.take_effects()
    kinds = [notice.kind for notice in after.notices]
    assert (leader.membership.version, leader.role) == (2, Role.FOLLOWING)
    assert NoticeKind.STEPPED_DOWN in kinds
    assert NoticeKind.BECAME_CANDIDATE not in kinds


# --- strangers ---


def test_a_stranger_of_a_later_era_is_asked_for_what_was_missed() -> None:
    """M6: a node whose every acquaintance was replaced comes back all the same."""
    replica = alone(recovered())
    replica.on_message(N5, Heartbeat(1, second_era(1, 5), Slot(1)))
    assert [o.message for o in replica.take_effects().send if o.target == N5] == [LearnRequest(Slot(1), Slot(1))]
    replica.on_message(N5, Learn(Slot(1), (record(1, ballot(1, 2), encode_value(Membership(2, (N1, N4, N5)))),)))
    replica.on_written(replica.take_effects().ticket)
    assert replica.membership.voters == (N1, N4, N5)
    replica.check_invariants()


def test_a_stranger_of_the_same_era_is_not_heard() -> None:
    """Before the first change there is nobody to teach and nobody to learn from but members."""
    replica = alone(recovered())
    replica.take_effects()
    for message in (
        Heartbeat(1, ballot(0, 0), Slot(9)),
        Prepare(ballot(9, 5), Slot(1)),
        LearnRequest(Slot(1), Slot(1)),
        Learn(Slot(1), (record(1, ballot(1, 5)),)),
    ):
        replica.on_message(N5, message)
    effects = replica.take_effects()
    assert (effects.send, effects.write, effects.slot_reads, replica.goal) == ([], None, [], 0)


def test_whoever_was_removed_is_taught_and_has_no_voice() -> None:
    """M6, M7: answers to its heartbeats say how far the log is; its ballots are refused."""
    replica = alone(recovered(membership=Membership(2, (N1, N3, N4), (), N5)))
    replica.take_effects()
    replica.on_message(N2, Heartbeat(3, ballot(0, 0), Slot(0)))
    replica.on_message(N2, Prepare(ballot(9, 2), Slot(1)))
    replica.on_message(N2, Promise(second_era(1, 1), Slot(0), Slot(0), 0, 1, ()))
    to_it = [outbound.message for outbound in replica.take_effects().send if outbound.target == N2]
    assert [type(message) for message in to_it] == [HeartbeatReply, Nack]
