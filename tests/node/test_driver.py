"""What a driver does with the events that come from a client's reads, a node's stop, and a state that came too late."""

from __future__ import annotations

import attrs
import crc32c

from replog.apply.outcomes import Replies
from replog.node.events import HandOver, PeerMessages, StateJobDone, StopApplying
from replog.node.state_jobs import BeginInstall, StoreChunk
from replog.paxos.ballot import BALLOT_ZERO, Ballot, NodeId, Slot
from replog.paxos.messages import (
    AcceptedSlot,
    FetchSnapshot,
    Heartbeat,
    HeartbeatReply,
    Learn,
    LearnRequest,
    Message,
    Prepare,
    SnapshotChunk,
    TransferLeadership,
)
from replog.paxos.values import NO_OP
from replog.state_machine import Command, State, StateView
from replog.wire.client_messages import Entries, Follow, NotLeader, Query, QueryAnswers, QueryRefused

from .drivers import Clock, Drivers
from .machines import Ledger

N2, N3 = NodeId(2), NodeId(3)
BALLOT = Ballot(1, N2)


class SlowLedger(Ledger):
    """A command, and a query too, takes as long as a turn may."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self.is_slow = False

    def _work(self) -> None:
        self._clock.now_s += 0.02

    def apply(self, state: State, command: Command) -> bytes:
        if command.payload.startswith(b"slow"):
            self._work()
        return super().apply(state, command)

    def query(self, view: StateView, request: bytes) -> bytes:
        if request.startswith(b"slow"):
            self._work()
        return super().query(view, request)


# --- clients ---


def test_reads_that_a_turn_has_no_time_for_are_answered_in_the_next() -> None:
    """A slow query keeps nobody's heartbeat waiting, and all answers come, in order, without any other event."""
    cluster = Drivers(machine=SlowLedger)
    leader = cluster.leader()
    leader.submit(b"slow 1", b"b", b"b")
    cluster.settle()
    leader.ask(Query(7, True, [b"slow 1", b"slow 2", b"b", b"slow 3"]), Query(20, True, [b"total"]))
    leader.turn()
    assert [(message.first_id, message.answers) for message in leader.heard(QueryAnswers)] == [(7, [b"1"])]
    assert leader.driver.is_due
    leader.driver.put(PeerMessages(N2 if leader.number != N2 else N3, [Heartbeat(99, BALLOT_ZERO, Slot(0))]))
    leader.turn()
    assert [message.round for _, message in leader.said if isinstance(message, HeartbeatReply)].count(99) == 1
    cluster.settle()
    told = leader.heard(QueryAnswers)
    assert [answer for message in told if message.first_id < 20 for answer in message.answers] == [
        b"1",
        b"0",
        b"2",
        b"0",
    ]
    assert [message.answers for message in told if message.first_id == 20] == [[b"3"]]


def test_a_follower_of_the_log_is_fed_turn_by_turn() -> None:
    """More than a piece of the log needs no other event, and no turn is longer for it."""
    cluster = Drivers(count=1)
    leader = cluster.leader()
    for number in range(150):
        leader.submit(b"%d" % number)
        cluster.settle()
    last = leader.driver.applied_through
    leader.ask(Follow(1, 1000))
    turns_before = leader.driver.turns
    cluster.settle()
    pieces = [[entry.slot for entry in message.entries] for message in leader.heard(Entries)]
    assert [slot for piece in pieces for slot in piece] == list(range(1, last + 1))
    assert len(pieces) == 3
    assert leader.driver.turns - turns_before == 3


def test_reads_of_a_deposed_leader_are_refused() -> None:
    """One that nobody has confirmed can't be answered here any more; the client hears so, and that it should go."""
    cluster = Drivers()
    leader = cluster.leader()
    leader.is_alone = True
    leader.ask(Query(1, False, [b"total"]), Query(2, False, [b"total", b"a"]))
    cluster.settle()
    assert leader.heard(QueryAnswers) == leader.heard(QueryRefused) == []
    other = N2 if leader.number != N2 else N3
    ballot = leader.driver.replica.promise.next_for(other)
    leader.driver.put(PeerMessages(other, [Prepare(ballot, Slot(1))]))
    cluster.settle()
    refused = [(message.first_id, message.count, message.code) for message in leader.heard(QueryRefused)]
    assert refused == [(1, 1, "not_leader"), (2, 2, "not_leader")]
    assert leader.heard(NotLeader)
    assert leader.driver.clients.reads_under_way == 0


def test_a_follower_with_no_room_for_reads_says_that_it_does_not_lead() -> None:
    """Whoever is told to wait would wait at the wrong node."""
    cluster = Drivers()
    follower = next(node for node in cluster.nodes if node is not cluster.leader())
    replica = follower.driver.replica
    replica.options = attrs.evolve(replica.options, reads_waiting_max=1)
    follower.driver.clients.begin_read(follower.link, Query(9, False, [b"total"]))  # of a leadership that is over
    follower.ask(Query(1, False, [b"total"]))
    cluster.settle()
    assert [message.code for message in follower.heard(QueryRefused)] == ["not_leader"]


def test_a_stale_read_between_turns_sees_no_half_of_a_slot() -> None:
    """The slot that a turn had no time for is run to its end first, and its clients are told."""
    cluster = Drivers(count=1, machine=SlowLedger)
    leader = cluster.leader()
    leader.submit(*[b"slow"] * 100)
    while not leader.driver.applier.is_inside_slot:
        leader.turn()
    before = leader.driver.applied_through
    assert leader.driver.answer_stale(b"total") == (b"100", False)
    assert leader.driver.applied_through == before + 1
    assert not leader.driver.applier.is_inside_slot
    cluster.settle()
    assert [reply for message in leader.heard(Replies) for reply in message.replies][-1] == b"100"
    assert leader.driver.answer_stale(b"!why") == (b"ValueError: !why", True)


# --- leaving ---


def test_a_leader_that_is_to_stop_hands_over() -> None:
    """Somebody else leads before a single heartbeat is due; a follower has nothing to hand over."""
    cluster = Drivers()
    leader = cluster.leader()
    follower = next(node for node in cluster.nodes if node is not leader)
    follower.driver.put(HandOver())
    cluster.settle()
    assert [message for _, message in follower.said if isinstance(message, TransferLeadership)] == []
    leader.driver.put(HandOver())
    cluster.settle()
    assert [message for _, message in leader.said if isinstance(message, TransferLeadership)]
    assert [node for node in cluster.nodes if node.is_leading] not in ([], [leader])
    assert not leader.is_leading


def test_a_node_that_is_about_to_stop_applies_nothing_more_and_makes_the_rest_durable() -> None:
    """So its next life begins where this one ended; what is chosen meanwhile is in its log."""
    cluster = Drivers()
    leader = cluster.leader()
    leader.submit(b"a")
    cluster.settle()
    stopped = next(node for node in cluster.nodes if node is not leader)
    cluster.until(lambda: stopped.driver.applied_through == leader.driver.applied_through)
    applied_through = stopped.driver.applied_through
    assert not stopped.driver.jobs.is_durable
    stopped.driver.put(StopApplying())
    cluster.settle()
    assert stopped.driver.jobs.is_durable
    assert stopped.store.durable_through == applied_through
    leader.submit(b"b")
    cluster.settle()
    cluster.until(lambda: stopped.driver.replica.chosen_through > applied_through)
    assert stopped.driver.applied_through == applied_through < leader.driver.applied_through


# --- a state that comes too late ---


def test_a_received_state_that_the_log_has_overtaken_is_not_installed() -> None:
    """It would lead backwards; the node goes on from its log, and what it lacks then is asked of a peer's log."""
    cluster = Drivers()
    node = cluster[1]
    for one in cluster.nodes:
        one.is_alone = True

    def hear(peer: NodeId, message: Message) -> None:
        node.driver.put(PeerMessages(peer, [message]))
        cluster.settle()

    def hear_how_it_is(peer: NodeId, compacted_through: int, chosen_through: int) -> None:
        round_ = next(message.round for _, message in reversed(node.said) if isinstance(message, Heartbeat))
        at = Slot(chosen_through)
        hear(peer, HeartbeatReply(round_, BALLOT_ZERO, False, False, True, at, at, at, Slot(compacted_through)))

    def asked(kind: type[Message]) -> list[NodeId]:
        return [peer for peer, message in node.said if isinstance(message, kind)]

    cluster.until(lambda: asked(Heartbeat))
    hear_how_it_is(N2, 5, 5)
    assert asked(FetchSnapshot) == [N2]
    node.held = []
    hear(N2, SnapshotChunk(b"image", Slot(5), 0, crc32c.crc32c(b"all of it"), True, b"all of it"))
    hear(N3, Learn(Slot(6), tuple(AcceptedSlot(Slot(n), BALLOT, crc32c.crc32c(NO_OP), NO_OP) for n in range(1, 7))))
    assert node.driver.applied_through == 6
    kinds = []
    while node.held:
        job = node.held.pop()
        kinds.append(type(job))
        node.driver.put(StateJobDone(job, job.perform(node.store), None))
        cluster.settle()
    assert kinds == [BeginInstall, StoreChunk]
    assert not node.driver.jobs.is_installing
    assert node.driver.applied_through == 6
    cluster.until(lambda: len(asked(Heartbeat)) > 2)
    hear_how_it_is(N3, 0, 7)
    assert (asked(FetchSnapshot), asked(LearnRequest)) == ([N2], [N3])
