"""The whole core through its one door: several replicas, instant links, disks that finish when told."""

from __future__ import annotations

import random
from collections import deque
from collections.abc import Callable

import attrs
import msgspec
import pytest

from replog.paxos.ballot import BALLOT_ZERO, NodeId, Slot
from replog.paxos.effects import Effects, NoticeKind, Refusal
from replog.paxos.membership import Membership
from replog.paxos.messages import (
    Accept,
    AcceptedSlot,
    BelowFloor,
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
from replog.paxos.options import PaxosOptions
from replog.paxos.pending_writes import Written
from replog.paxos.proposer import Role
from replog.paxos.recovered import Recovered
from replog.paxos.replica import Replica
from replog.paxos.values import Batch, encode_value, stamp_of

from .build import N1, N2, N3, N4, THREE, accept, ballot, checksum, record, recovered


def checked(options: PaxosOptions | None) -> PaxosOptions:
    """Every input is followed by a look at all that the core keeps."""
    return attrs.evolve(options or PaxosOptions(), are_invariants_checked=True)


class Trio:
    """Three replicas on one clock; ``run`` moves time, messages and writes until nothing is left to do."""

    def __init__(self, starts: dict[NodeId, Recovered] | None = None, options: PaxosOptions | None = None) -> None:
        self.now_s = 0.0
        self.wall_ms = 0
        self.log: dict[NodeId, dict[Slot, AcceptedSlot]] = {node: {} for node in THREE.voters}
        self.released: dict[NodeId, list[AcceptedSlot]] = {node: [] for node in THREE.voters}
        self.notices: list[tuple[NodeId, NoticeKind]] = []
        self.effects: list[tuple[NodeId, Effects]] = []
        self.down: set[NodeId] = set()
        self.stalled: set[NodeId] = set()
        self.under_way: deque[tuple[NodeId, NodeId, Message]] = deque()
        self.replicas = {
            node: Replica(
                node=node,
                options=checked(options),
                recovered=(starts or {}).get(node, recovered()),
                random=random.Random(node),
                checksum=checksum,
                now_s=0.0,
                time_ms=0,
            )
            for node in THREE.voters
        }

    def take(self, node: NodeId) -> None:
        """One ``take_effects``, obeyed at once, writes included unless the disk is stalled."""
        replica = self.replicas[node]
        while True:
            effects = replica.take_effects()
            self.effects.append((node, effects))
            self.notices += [(node, notice.kind) for notice in effects.notices]
            self.released[node] += effects.release
            self.under_way.extend((node, outbound.target, outbound.message) for outbound in effects.send)
            for read in effects.slot_reads:
                replica.on_slots_read(
                    read.target,
                    [self.log[node][Slot(n)] for n in range(read.from_slot, read.through + 1)][: read.slots_max],
                )
            if effects.write is None or node in self.stalled:
                if not effects.slot_reads:
                    return
                continue
            self.log[node].update({record.slot: record for record in effects.write.slots})
            self.under_way.extend((node, outbound.target, outbound.message) for outbound in effects.send_after_write)
            replica.on_written(effects.ticket)

    def deliver(self) -> None:
        while self.under_way:
            sender, target, message = self.under_way.popleft()
            if not {sender, target} & self.down:
                self.replicas[target].on_message(sender, message)
                self.take(target)

    def run(self, seconds: float) -> None:
        for _ in range(round(seconds / 0.01)):
            self.now_s += 0.01
            for node in THREE.voters:
                if node not in self.down:
                    self.replicas[node].tick(self.now_s, self.wall_ms + int(self.now_s * 1000))
                    self.take(node)
            self.deliver()

    def leader(self) -> NodeId:
        (leader,) = [node for node, replica in self.replicas.items() if replica.is_leading and node not in self.down]
        return leader


class FarTrio(Trio):
    """A Trio whose messages take ``delay_s`` each way."""

    def __init__(self, delay_s: float, options: PaxosOptions) -> None:
        super().__init__(options=options)
        self.delay_s = delay_s
        self.on_the_way: deque[tuple[float, deque[tuple[NodeId, NodeId, Message]]]] = deque()

    def deliver(self) -> None:
        self.on_the_way.append((self.now_s + self.delay_s, self.under_way))
        while self.on_the_way[0][0] <= self.now_s:
            arriving, self.under_way = self.on_the_way.popleft()[1], deque()
            for sender, target, message in arriving:
                self.replicas[target].on_message(sender, message)
                self.take(target)
            self.on_the_way.append((self.now_s + self.delay_s, self.under_way))
        self.under_way = deque()


@pytest.mark.parametrize(("round_trip_s", "rounds"), [(0.09, 3), (0.11, 3), (0.19, 3), (0.28, 4)])
def test_a_leader_is_stable_over_round_trips_of_all_election_rounds_but_one(round_trip_s: float, rounds: int) -> None:
    """An answer counts in the round in which it comes, so a round trip may take more than one heartbeat interval."""
    trio = FarTrio(round_trip_s / 2, PaxosOptions(election_rounds=rounds, resend_interval_s=0.5))
    trio.run(5.0)
    leader = trio.leader()
    trio.notices.clear()
    trio.run(15.0)
    assert {kind for _, kind in trio.notices} <= {NoticeKind.PEER_SILENT}, trio.notices  # for a round, now and then
    assert {replica.leader for replica in trio.replicas.values()} == {leader}


def test_a_node_that_has_stepped_down_does_not_name_itself() -> None:
    """Clients would take it for a leader again; it knows of none until it hears one."""
    trio = Trio()
    trio.run(1.0)
    old = trio.leader()
    replica = trio.replicas[old]
    assert replica.leader == old
    trio.down.update(node for node in THREE.voters if node != old)
    while replica.is_leading:
        trio.run(0.01)
        assert replica.leader in {old, None}
    for _ in range(100):
        assert replica.leader is None
        trio.run(0.01)


def test_three_replicas_elect_one_leader_and_keep_it() -> None:
    """The leader is stable: nothing happens, so nothing changes."""
    trio = Trio()
    trio.run(30.0)
    assert [kind for _, kind in trio.notices].count(NoticeKind.BECAME_LEADER) == 1
    assert {replica.leader for replica in trio.replicas.values()} == {trio.leader()}


def test_a_submission_is_released_everywhere_in_the_same_slot() -> None:
    """One order's walk through the core."""
    trio = Trio()
    trio.run(1.0)
    replica = trio.replicas[trio.leader()]
    assert replica.submit(b"order") is None
    trio.run(0.3)
    logs = [[(one.slot, one.value) for one in released] for released in trio.released.values()]
    assert logs[0] == logs[1] == logs[2]
    assert len(logs[0]) == 2
    assert replica.statistics().times_leader == 1


def test_a_follower_refuses_submissions_and_reads() -> None:
    """Only the leader orders; the refusal says that nothing was done."""
    trio = Trio()
    trio.run(1.0)
    follower = next(replica for replica in trio.replicas.values() if not replica.is_leading)
    assert follower.submit(b"x") is Refusal.NOT_LEADER
    assert follower.read(1) is Refusal.NOT_LEADER


def test_a_crashed_leader_is_replaced_within_three_rounds_of_a_closed_link() -> None:
    """A closed link is suspicion at once; a submission in flight survives."""
    trio = Trio()
    trio.run(1.0)
    old = trio.leader()
    trio.replicas[old].submit(b"x")
    trio.take(old)
    trio.deliver()
    trio.down.add(old)
    for node, replica in trio.replicas.items():
        if node != old:
            replica.on_link_closed(old)
            trio.take(node)
    trio.deliver()
    trio.run(0.2)
    assert trio.leader() != old
    assert any(b"x" in one.value for one in trio.released[trio.leader()])


def test_leadership_is_handed_over_on_request() -> None:
    """The named successor leads a moment later; reads that waited are told."""
    trio = Trio()
    trio.run(1.0)
    old = trio.leader()
    target = next(node for node in THREE.voters if node != old)
    assert trio.replicas[old].transfer_leadership(target) is None
    trio.run(0.02)
    assert trio.leader() == target


def test_a_hand_over_that_can_not_work_is_refused_with_its_reason() -> None:
    """Unknown, unreachable or superfluous targets, and nodes that do not lead; only the unreachable may come back."""
    trio = Trio()
    trio.run(1.0)
    old = trio.leader()
    other = next(node for node in THREE.voters if node != old)
    leading, following = trio.replicas[old], trio.replicas[other]

    def refused(replica: Replica, target: NodeId | None, reason: str, *, may_pass: bool = False) -> bool:
        refusal = replica.transfer_leadership(target)
        return refusal is not None and reason in refusal.reason and refusal.may_pass == may_pass

    assert refused(following, None, "does not lead")
    assert refused(leading, old, "leads already")
    assert refused(leading, N4, "not a voter")
    trio.replicas[other].on_storage_full(True)
    trio.run(0.3)
    assert refused(leading, other, "its disk is full", may_pass=True)
    leading.on_link_closed(other)
    assert refused(leading, other, "not answered", may_pass=True)
    for node in THREE.voters:
        leading.on_link_closed(node)
    assert refused(leading, None, "no other voter is reachable", may_pass=True)


def test_a_leader_whose_disk_hangs_hands_over() -> None:
    """No acknowledgement waits for a dead disk longer than disk_stall_s and an election."""
    trio = Trio()
    trio.run(1.0)
    old = trio.leader()
    trio.stalled.add(old)
    trio.replicas[old].submit(b"x")
    trio.run(2.0)
    assert trio.leader() != old
    assert (old, NoticeKind.DISK_STALLED) in trio.notices


def test_a_leader_whose_disk_is_full_hands_over_and_refuses() -> None:
    """New commands are refused with their own reason; another node leads."""
    trio = Trio()
    trio.run(1.0)
    old = trio.leader()
    trio.replicas[old].on_storage_full(True)
    assert trio.replicas[old].submit(b"x") is Refusal.STORAGE_FULL
    trio.run(0.2)
    assert trio.leader() != old
    trio.replicas[old].on_storage_full(False)


def test_a_read_waits_for_a_quorum_and_for_the_barrier() -> None:
    """The answer's slot is at least the leader's own barrier."""
    trio = Trio()
    trio.run(1.0)
    leader = trio.leader()
    assert trio.replicas[leader].read(7) is None
    trio.run(0.02)
    (ready,) = [ready for node, effects in trio.effects if node == leader for ready in effects.reads]
    assert (ready.slot, ready.read_ids) == (1, (7,))


def test_reads_are_refused_when_leadership_is_lost() -> None:
    """No read hangs at a deposed leader (PITFALLS 17)."""
    trio = Trio()
    trio.run(1.0)
    old = trio.leader()
    trio.down.update(node for node in THREE.voters if node != old)
    assert trio.replicas[old].read(7) is None
    trio.run(2.0)
    assert not trio.replicas[old].is_leading
    assert [read for _, effects in trio.effects for read in effects.reads_refused] == [7]


def test_a_node_that_was_away_learns_what_it_missed() -> None:
    """Catch-up in pieces, from a peer's log."""
    trio = Trio(options=PaxosOptions(piece_slots_max=4))
    trio.run(1.0)
    leader = trio.leader()
    away = next(node for node in THREE.voters if node != leader)
    trio.down.add(away)
    for number in range(40):
        trio.replicas[leader].submit(b"%d" % number)
        trio.run(0.02)
    trio.down.discard(away)
    trio.run(1.0)
    assert [one.value for one in trio.released[away]] == [one.value for one in trio.released[leader]]


def alone(start: Recovered, options: PaxosOptions | None = None) -> Replica:
    return Replica(
        node=N1,
        options=checked(options),
        recovered=start,
        random=random.Random(1),
        checksum=checksum,
        now_s=0.0,
        time_ms=0,
    )


def test_strangers_are_ignored() -> None:
    """A message from outside the membership changes nothing."""
    replica = alone(recovered())
    replica.on_message(NodeId(9), Prepare(ballot(9, 9), Slot(1)))
    assert replica.take_effects().write is None
    assert replica.promise == BALLOT_ZERO


def test_a_single_voter_leads_and_chooses_alone() -> None:
    """A cluster of one is its own quorum; every step still waits for its own disk."""
    replica = alone(recovered(membership=Membership(1, (N1,))))
    now_s = 0.0
    while not replica.is_leading:
        now_s += 0.05
        replica.tick(now_s, 0)
        effects = replica.take_effects()
        if effects.write is not None:
            replica.on_written(effects.ticket)
    refusal = replica.transfer_leadership(None)
    assert refusal is not None
    assert (refusal.reason, refusal.may_pass) == ("this cluster has no other voter", False)
    replica.submit(b"x")
    replica.read(1)
    released: list[AcceptedSlot] = []
    reads: list[int] = []
    for _ in range(5):
        effects = replica.take_effects()
        released += effects.release
        reads += [read_id for ready in effects.reads for read_id in ready.read_ids]
        if effects.write is not None:
            replica.on_written(effects.ticket)
    assert [one.slot for one in released] == [1, 2]
    assert reads == [1]


LATE_MS = 1_764_000_000_000


def first_stamp(replica: Replica) -> int:
    """The log time of the first batch that a lone voter makes once it leads; its clock says 1970."""
    stamps: list[int] = []
    for step in range(1, 40):
        replica.tick(step * 0.05, 0)
        if replica.is_leading and not stamps:
            replica.submit(b"x")
        effects = replica.take_effects()
        for one in effects.write.slots if effects.write is not None else ():
            stamps += [stamp_of(one.value)] if b"x" in one.value else []
        if effects.write is not None:
            replica.on_written(effects.ticket)
    return stamps[0]


def test_a_new_leader_begins_above_what_it_adopts() -> None:
    """P11: the last leader's stamp stands in an acceptance that is not known chosen."""
    late = record(1, ballot(1), encode_value(Batch(LATE_MS, [b"y"])))
    start = recovered(promise=ballot(1), accepted=(late,), membership=Membership(1, (N1,)))
    assert first_stamp(alone(start)) > LATE_MS


def test_a_new_leader_begins_above_what_it_has_not_applied() -> None:
    """P11: the log's newest stamp is read when the node starts, however much is to be applied yet."""
    start = recovered(chosen_through=1, membership=Membership(1, (N1,)))
    assert first_stamp(alone(msgspec.structs.replace(start, log_time_ms=LATE_MS))) > LATE_MS


def test_a_new_leader_begins_above_its_state() -> None:
    """P11: the log below the state may be gone."""
    replica = alone(recovered(chosen_through=1, compacted_through=1, membership=Membership(1, (N1,))))
    replica.on_applied(Slot(1), Slot(0), b"", LATE_MS)
    assert first_stamp(replica) > LATE_MS


def test_a_new_leader_begins_above_what_it_has_learned() -> None:
    """P11: a follower releases the last leader's batch and takes over before it has applied it."""
    trio = Trio()
    for wall_ms in (0, LATE_MS, 0):  # all clocks leap and come back
        trio.wall_ms = wall_ms
        trio.run(0.5)
        trio.replicas[trio.leader()].submit(b"x")
        trio.run(0.5)
    before = trio.leader()
    trio.replicas[before].transfer_leadership(None)
    trio.run(0.5)
    successor = trio.replicas[trio.leader()]
    assert successor.node != before
    successor.submit(b"x")
    trio.run(0.5)
    stamps = [stamp for one in trio.released[successor.node] if (stamp := stamp_of(one.value))]
    assert len(stamps) == 4
    assert stamps == sorted(stamps)
    assert stamps[1] > LATE_MS


def test_a_position_waits_for_the_next_write_to_go_with() -> None:
    """A leader learns that a slot is chosen in a turn that writes nothing; its disk hears of it with the next slot."""
    trio = Trio()
    trio.run(1.0)
    leader = trio.leader()
    trio.effects.clear()
    for text in (b"one", b"two", b"three"):
        assert trio.replicas[leader].submit(text) is None
        trio.run(0.01)
    writes = [effects.write for node, effects in trio.effects if node == leader and effects.write is not None]
    assert [(write.slots[-1].slot, write.chosen_through) for write in writes] == [(2, 1), (3, 2), (4, 3)]


def test_an_answer_that_rests_on_an_earlier_write_waits_for_it() -> None:
    """P1: a repeated Prepare is not answered while the promise is still on its way to the disk."""
    replica = alone(recovered())
    replica.on_message(N2, Prepare(ballot(1, 2), Slot(1)))
    first = replica.take_effects()
    replica.on_message(N2, Prepare(ballot(1, 2), Slot(1)))
    second = replica.take_effects()
    assert first.write is not None
    assert (second.write, second.send, second.send_after_write) == (None, [], [])
    replica.on_written(first.ticket)
    assert [outbound.target for outbound in replica.take_effects().send] == [N2]


def test_slots_below_the_floor_are_answered_with_the_floor() -> None:
    """A peer that asks for compacted slots is told, and may fetch the state."""
    replica = alone(recovered(chosen_through=9, compacted_through=4))
    replica.on_message(N2, LearnRequest(Slot(3), Slot(9)))
    replica.on_message(N2, LearnRequest(Slot(5), Slot(99)))
    replica.on_message(N2, FetchSnapshot(b"image", 70))
    effects = replica.take_effects()
    assert [outbound.message for outbound in effects.send] == [BelowFloor(Slot(4), Slot(9))]
    assert [(read.from_slot, read.through) for read in effects.slot_reads] == [(5, 9)]
    assert [(send.target, send.snapshot, send.position) for send in effects.chunks_to_send] == [(N2, b"image", 70)]
    replica.on_slots_read(N2, [record(5, ballot(1))])
    assert [outbound.message for outbound in replica.take_effects().send] == [Learn(Slot(9), (record(5, ballot(1)),))]


def test_a_state_in_place_moves_floor_and_log_on() -> None:
    """After an installed state the node stands at its slot and goes on from there."""
    replica = alone(recovered(promise=ballot(2), accepted=(record(1, ballot(1)),)))
    replica.on_message(N2, BelowFloor(Slot(40), Slot(60)))
    effects = replica.take_effects()
    assert [outbound.message for outbound in effects.send] == [FetchSnapshot(b"", 0)]
    replica.on_message(N2, SnapshotChunk(b"i", Slot(50), 0, checksum(b"d"), True, b"d"))
    assert [piece.is_last for piece in replica.take_effects().chunks_received] == [True]
    replica.on_state_installed(Slot(50))
    replica.on_compacted(Slot(50))
    assert (replica.chosen_through, replica.compacted_through, replica.goal) == (50, 50, 60)


def test_a_damaged_slot_is_asked_for_and_an_abstaining_node_says_so() -> None:
    """P10 through the door."""
    replica = alone(recovered(chosen_through=9, damaged_reason="the promise record is damaged"))
    assert not replica.is_voting
    replica.on_slot_damaged(Slot(4))
    replica.on_message(N2, Heartbeat(1, ballot(1, 2), Slot(9)))
    effects = replica.take_effects()
    assert NoticeKind.ABSTAINED in [notice.kind for notice in effects.notices]
    messages = [outbound.message for outbound in effects.send]
    assert LearnRequest(Slot(4), Slot(4)) in messages
    assert [message.is_voting for message in messages if isinstance(message, HeartbeatReply)] == [False]
    assert replica.abstain_reason


def test_a_higher_membership_in_the_log_is_adopted() -> None:
    """Quorums follow the newest membership released; a node that is no voter any more stops voting."""
    replica = alone(recovered())
    wider = Membership(2, (N2, N3, N4), (N1,))
    replica.on_message(N2, accept(1, ballot(1, 2), encode_value(wider)))
    replica.on_written(replica.take_effects().ticket)
    replica.on_message(N2, Heartbeat(1, ballot(1, 2), Slot(1)))
    notices = [notice.kind for notice in replica.take_effects().notices]
    assert NoticeKind.MEMBERSHIP_CHANGED in notices
    assert (replica.membership, replica.is_voting) == (wider, False)


def test_a_quorum_with_another_digest_stops_the_odd_one() -> None:
    """A state machine that is not deterministic is caught at its slot."""
    replica = alone(recovered(chosen_through=16))
    replica.on_applied(Slot(16), Slot(16), b"mine")
    for node in (N2, N3):
        reply = HeartbeatReply(
            0, BALLOT_ZERO, False, False, True, Slot(16), Slot(16), Slot(16), Slot(0), Slot(16), b"theirs"
        )
        replica.on_message(node, reply)
    (notice,) = [one for one in replica.take_effects().notices if one.kind is NoticeKind.STATE_DIVERGED]
    assert notice.facts["slot"] == 16


def test_one_contradiction_does_not_stop_a_node() -> None:
    """The odd one is told by a quorum, not by one voice."""
    replica = alone(recovered(chosen_through=16))
    replica.on_applied(Slot(16), Slot(16), b"mine")
    for node, digest in ((N2, b"theirs"), (N3, b"mine")):
        reply = HeartbeatReply(
            0, BALLOT_ZERO, True, True, True, Slot(16), Slot(16), Slot(16), Slot(0), Slot(16), digest
        )
        replica.on_message(node, reply)
    assert NoticeKind.STATE_DIVERGED not in [one.kind for one in replica.take_effects().notices]


def test_a_refused_candidate_is_patient() -> None:
    """Nacks of a quorum end a candidacy; a late TransferLeadership for another ballot begins none."""
    trio = Trio()
    trio.run(1.0)
    leader = trio.replicas[trio.leader()]
    at = leader.promise
    for node in (NodeId(n) for n in THREE.voters if n != leader.node):
        leader.on_message(node, Nack(at, ballot(50, node)))
    assert not leader.is_leading
    leader.on_message(N2 if leader.node != N2 else N3, TransferLeadership(ballot(3, 3)))
    assert not [m for m in leader.take_effects().send_after_write if isinstance(m.message, Prepare | Accept)]


def below_the_floor() -> tuple[Replica, list[AcceptedSlot]]:
    """A node at slot 10 that fetches a state at slot 50, and the lessons 11..74 that come late."""
    replica = alone(recovered(promise=ballot(1), chosen_through=10))
    replica.on_message(N2, BelowFloor(Slot(40), Slot(60)))
    replica.take_effects()
    replica.on_message(N2, SnapshotChunk(b"i", Slot(50), 0, checksum(b"d"), True, b"d"))
    replica.take_effects()
    return replica, [record(slot, ballot(2, 2)) for slot in range(11, 75)]


@pytest.mark.parametrize("is_written_first", [False, True])
def test_lessons_above_an_installed_state_are_kept(*, is_written_first: bool) -> None:
    """P5, P7: the log says that they are chosen, so a deposed leader's Accept is not written over one of them."""
    replica, lessons = below_the_floor()
    replica.on_message(N2, Learn(Slot(74), tuple(lessons)))
    effects = replica.take_effects()
    assert effects.write is not None
    assert effects.write.chosen_through == 74
    steps = [lambda: replica.on_state_installed(Slot(50)), lambda: replica.on_written(effects.ticket)]
    released: list[int] = []
    for step in reversed(steps) if is_written_first else steps:
        step()
        after = replica.take_effects()
        released += [one.slot for one in after.release]
        late = record(70, ballot(1, 3), b"lost")
        replica.on_message(N3, Accept(late.ballot, late.slot, late.crc, late.value, Slot(10)))
        write = replica.take_effects().write
        assert write is None or late not in write.slots
    assert replica.chosen_through == 74
    assert released == list(range(11 if is_written_first else 51, 75))


def test_a_floor_may_be_reported_before_the_state_that_it_belongs_to() -> None:
    """One writer reports both, and compaction goes on beside an install."""
    replica, _lessons = below_the_floor()
    replica.on_compacted(Slot(50))
    assert replica.compacted_through == 10
    replica.on_state_installed(Slot(50))
    assert (replica.chosen_through, replica.compacted_through) == (50, 50)


def test_a_state_that_is_skipped_drops_nothing() -> None:
    """Nothing was installed, so nothing is gone from the log; what is missing is asked for anew."""
    replica, _lessons = below_the_floor()
    replica.on_state_skipped()
    assert (replica.chosen_through, replica.compacted_through) == (10, 0)
    assert replica.take_effects().send


def test_a_member_that_goes_leaves_nothing_behind() -> None:
    """Whatever any role knew of it; a member that comes begins with nothing known, and one that went is only taught."""
    replica = alone(recovered())
    replica.on_message(N2, Heartbeat(1, ballot(1, 2), Slot(0)))
    replica.on_message(N2, BelowFloor(Slot(3), Slot(9)))
    replica.on_message(N2, accept(1, ballot(1, 2), encode_value(Membership(2, (N1, N3, N4)))))
    replica.on_written(replica.take_effects().ticket)
    assert replica.leader == N2
    replica.on_message(N2, Heartbeat(2, ballot(1, 2), Slot(1)))
    replica.check_invariants()
    assert (list(replica._peers), replica.leader) == ([N3, N4], None)
    replica.on_slots_read(N2, [])
    replica.on_link_opened(N2)
    replica.on_link_closed(N2)
    replica.on_message(N2, LearnRequest(Slot(1), Slot(1)))
    assert [read.target for read in replica.take_effects().slot_reads] == [N2]
    assert (list(replica._peers), list(replica._peers.guests)) == ([N3, N4], [N2])
    replica.on_link_closed(N2)
    assert not replica._peers.guests


def test_a_leader_that_was_replaced_unnoticed_writes_nothing_over_what_is_chosen() -> None:
    """P5, P8: it proposes in a slot that it was taught meanwhile; its own acceptor answers without a write."""
    trio = Trio()
    trio.run(1.0)
    leader = trio.replicas[trio.leader()]
    other, third = (node for node in THREE.voters if node != leader.node)
    taught = record(2, leader.promise.next_for(other), b"chosen by the others")
    leader.on_message(other, Learn(Slot(2), (taught,)))
    leader.on_written(leader.take_effects().ticket)
    assert leader.chosen_through == 2
    assert leader.submit(b"x") is None
    effects = leader.take_effects()
    proposed = [one.message for one in effects.send if isinstance(one.message, Accept)]
    assert [message.slot for message in proposed] == [2, 2]
    assert effects.write is None
    for node in (other, third):
        leader.on_message(node, Nack(leader.promise, taught.ballot))
    assert not leader.is_leading
    leader.check_invariants()


def test_nothing_is_in_flight_over_a_closed_link() -> None:
    """A leader keeps what a lost peer has not answered, and sends it when there is a link again."""
    trio = Trio()
    trio.run(1.0)
    leader = trio.replicas[trio.leader()]
    away = next(node for node in THREE.voters if node != leader.node)
    leader.on_link_closed(away)
    leader.submit(b"x")
    effects = leader.take_effects()
    to_away = [one.message for one in effects.send if one.target == away]
    assert not [message for message in to_away if isinstance(message, Accept)]
    leader.on_link_opened(away)
    to_away = [one.message for one in leader.take_effects().send if one.target == away]
    assert [message.slot for message in to_away if isinstance(message, Accept)] == [2]


def _sent_over_a_closed_link(replica: Replica) -> None:
    peer = next(iter(replica._peers.values()))
    peer.close_link()
    peer.in_flight[Slot(1)] = peer.in_flight_bytes = 7


BROKEN: dict[str, Callable[[Replica], object]] = {
    "its promise is below its ballot": lambda replica: setattr(replica._acceptor, "promise", BALLOT_ZERO),
    "what is chosen is not taught": lambda replica: replica._standing.__dict__.update(taught_through=Slot(0)),
    "what is chosen is open": lambda replica: replica._acceptor.accepted.update({Slot(1): record(1, ballot(1))}),
    "a lesson is chosen": lambda replica: replica._learner._taught.update({Slot(1): record(1, ballot(1))}),
    "more is applied than chosen": lambda replica: replica._standing.on_applied(Slot(9)),
    "a member is not known": lambda replica: replica._peers.popitem(),
    "it leads and follows": lambda replica: setattr(replica._election, "leader", next(iter(replica._peers))),
    "it leads and takes nothing": lambda replica: setattr(replica._waiting, "is_open", False),
    "its window is miscounted": lambda replica: setattr(replica._proposer, "_proposals_bytes", 1),
    "a gap is left in its window": lambda replica: setattr(replica._proposer, "_next_slot", Slot(9)),
    "something is sent over a closed link": _sent_over_a_closed_link,
    "a write has no ticket": lambda replica: replica._pending_writes._under_way.append(Written(0, 0.0, (), [], [])),
}


@pytest.mark.parametrize("broken", BROKEN.values(), ids=BROKEN)
def test_what_does_not_fit_together_is_found_between_two_inputs(broken: Callable[[Replica], object]) -> None:
    """The core compares what it keeps with itself; nothing of that is wrong before."""
    trio = Trio()
    trio.run(1.0)
    replica = trio.replicas[trio.leader()]
    replica.check_invariants()
    broken(replica)
    with pytest.raises(AssertionError):
        replica.check_invariants()


def test_a_candidate_that_has_its_quorum_is_given_time_to_learn() -> None:
    """P4: what it lacks takes a round trip more; an election timeout for both would be too short for far members."""
    replica = alone(recovered())
    replica.on_message(N2, TransferLeadership(BALLOT_ZERO))
    replica.on_written(replica.take_effects().ticket)
    at = replica.promise
    for number in range(1, 5):
        replica.tick(number * 0.1, 0)
        replica.take_effects()
        if number == 2:
            replica.on_message(N2, Promise(at, Slot(5), Slot(0), 0, 1, ()))
        assert replica.role is (Role.PREPARING if number < 2 else Role.CATCHING_UP), number
    replica.tick(0.5, 0)
    assert replica.role is Role.FOLLOWING
