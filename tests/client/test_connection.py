"""The connection as a table of states, and the pauses between what is tried again."""

from __future__ import annotations

import random

import pytest

from replog.client.backoff import Backoff
from replog.client.connection import TRANSITIONS, Connection, Event, State
from replog.client.endpoints import Endpoints
from replog.client.options import ClientOptions
from replog.client.reads import Read, Reads
from replog.client.silence import PATIENT_S, SLOWER_TIMES, SLOWEST_TIMES, Verdict
from replog.client.waiting import Parked
from replog.paxos.ballot import NodeId, Slot
from replog.wire.client_messages import NotLeader, Query, QueryAnswers, QueryRefused

A, B, C = "127.0.0.1:1", "127.0.0.1:2", "127.0.0.1:3"
OPTIONS = ClientOptions()


@pytest.fixture
def connection() -> Connection:
    chance = random.Random(1)
    return Connection(Endpoints([A, B, C], OPTIONS, chance), OPTIONS, chance)


def greeted(connection: Connection, node: int = 1) -> Connection:
    connection.dial(0.0)
    connection.on_greeted(node, 0.0)
    return connection


# --- the table ---


def test_every_state_can_be_reached_and_left() -> None:
    """No row of the table is dead, and only a client that was left stays where it is."""
    reached = {State.IDLE}
    while more := {after for state in reached for after in TRANSITIONS[state].values()} - reached:
        reached |= more
    assert reached == set(State) == set(TRANSITIONS)
    assert all(set(moves.values()) - {state} for state, moves in TRANSITIONS.items() if state is not State.CLOSED)
    assert {event for moves in TRANSITIONS.values() for event in moves} == set(Event)


def test_every_state_can_be_left_for_good() -> None:
    """The program may leave its client at any moment."""
    assert all(moves[Event.LEFT] is State.CLOSED for moves in TRANSITIONS.values())


@pytest.mark.parametrize("is_reached", [True, False])
def test_what_was_under_way_may_end_after_the_client_was_left(connection: Connection, is_reached: bool) -> None:
    """A dial, a link and a pause end when they do; nothing new is begun."""
    connection.dial(0.0)
    connection.on_left()
    if is_reached:
        connection.on_greeted(1, 0.0)
        connection.on_not_leader(NotLeader(NodeId(2), B), 0.0)
        connection.on_lost(None, 0.0)
    else:
        connection.on_unreached(OSError("gone"), 0.0)
    connection.rest()
    connection.on_rested()
    assert connection.is_closed
    with pytest.raises(AssertionError, match="WANTED"):
        connection.dial(0.0)


def test_what_the_table_does_not_know_is_a_mistake(connection: Connection) -> None:
    """A link that was never made can't be lost."""
    with pytest.raises(AssertionError, match="LOST in state IDLE"):
        connection.on_lost(None, 0.0)


# --- where to go ---


def test_a_redirect_is_followed_at_once_but_not_for_ever(connection: Connection) -> None:
    """Nodes that disagree about who leads are asked with a pause between."""
    pauses = []
    for _ in range(6):
        address = greeted(connection).address
        assert connection.on_not_leader(NotLeader(NodeId(9), B if address != B else A), 0.0)
        connection.on_lost(None, 0.0)
        pauses.append(connection.rest())
        connection.on_rested()
    assert pauses[: OPTIONS.redirects_max] == [0.0] * OPTIONS.redirects_max
    assert all(pause_s > 0.0 for pause_s in pauses[OPTIONS.redirects_max :])


def test_a_node_that_refuses_reads_because_it_does_not_lead_is_of_no_use(connection: Connection) -> None:
    """Two nodes that name each other are not gone to and fro between, whatever else they say with it."""
    pauses = []
    for _ in range(4 * OPTIONS.redirects_max):
        address = greeted(connection).address
        connection.on_message(QueryRefused(1, 1, "not_leader", "this node does not lead"))
        assert connection.on_not_leader(NotLeader(NodeId(9), B if address != B else A), 0.0)
        connection.on_lost(None, 0.0)
        pauses.append(connection.rest())
        connection.on_rested()
    assert all(pause_s > 0.0 for pause_s in pauses[OPTIONS.redirects_max :])


def test_a_leader_that_just_failed_is_not_gone_to(connection: Connection) -> None:
    """Who says so has not heard of it yet; until it has, the client waits there."""
    connection.dial(0.0)
    failed = connection.address
    connection.on_unreached(OSError("gone"), 0.0)
    connection.on_rested()
    greeted(connection)
    assert not connection.on_not_leader(NotLeader(NodeId(9), failed), 0.1)
    assert connection.state is State.LEADERLESS
    assert connection.on_not_leader(NotLeader(NodeId(9), failed), 0.1 + OPTIONS.avoid_failed_s)


def test_who_was_cut_off_from_all_avoids_none_of_them() -> None:
    """It was the way to them, not they: when one is reached again, so is the leader."""
    endpoints = Endpoints([A, B, C], OPTIONS, random.Random(1))
    for address in (A, B):
        endpoints.note_failure(address, "timed out", 10.0)
    endpoints.note_answer(C)
    assert endpoints.failed_lately(A, 10.0)
    for address in (A, B, C):
        endpoints.note_failure(address, "timed out", 10.1)
    endpoints.note_answer(C)
    assert not any(endpoints.failed_lately(address, 10.1) for address in (A, B, C))
    endpoints.note_failure(A, "refused", 10.1)
    assert endpoints.failed_lately(A, 10.1)


def test_a_node_that_knows_no_leader_is_left_after_a_while(connection: Connection) -> None:
    """However often it says so."""
    greeted(connection)
    for tenth in range(10):
        connection.on_not_leader(NotLeader(NodeId(0), ""), tenth / 10)
    assert connection.judge(0, 0.4, is_waiting=True) is Verdict.WAIT
    assert connection.judge(0, OPTIONS.leader_patience_s, is_waiting=True) is Verdict.LEAVE


def test_a_silent_node_is_asked_and_then_left(connection: Connection) -> None:
    """One that answers is only slow, and one that owes nothing may be silent."""
    greeted(connection)
    assert connection.judge(10, 0.0, is_waiting=True) is Verdict.WAIT
    assert connection.judge(10, OPTIONS.ping_after_s, is_waiting=True) is Verdict.PING
    assert connection.judge(10, OPTIONS.ping_after_s, is_waiting=True) is Verdict.WAIT
    assert connection.judge(25, OPTIONS.hung_after_s, is_waiting=True) is Verdict.WAIT
    assert connection.judge(25, 5.0, is_waiting=False) is Verdict.WAIT
    assert connection.judge(25, 6.0, is_waiting=True) is Verdict.PING
    assert connection.judge(25, 6.1, is_waiting=True) is Verdict.WAIT
    assert connection.judge(25, 6.2, is_waiting=True) is Verdict.LEAVE


def silence_borne_s(connection: Connection, begins_s: float) -> float:
    """For how long the node at the other end may be silent."""
    for step in range(10_000):
        passed_s = step * OPTIONS.watch_interval_s
        if connection.judge(10, begins_s + passed_s, is_waiting=True) is Verdict.LEAVE:
            return passed_s
    raise AssertionError("it is never left")


def left_and_met_again(connection: Connection, now_s: float) -> Connection:
    connection.on_lost(None, now_s)
    connection.on_rested()
    while connection.dial(now_s) != A:
        connection.on_unreached(OSError("gone"), now_s)
        connection.on_rested()
    connection.on_greeted(1, now_s)
    return connection


@pytest.fixture
def alone() -> Connection:
    """It knows one node."""
    chance = random.Random(1)
    return greeted(Connection(Endpoints([A], OPTIONS, chance), OPTIONS, chance))


def test_a_node_that_was_left_and_lives_is_borne_for_longer(alone: Connection) -> None:
    """It runs a slow query: left after the same time again and again, it would never be heard to the end."""
    borne_s = [silence_borne_s(alone, 0.0)]
    for now_s in (1.0, 3.0, 9.0):
        borne_s.append(silence_borne_s(left_and_met_again(alone, now_s), now_s))
    assert borne_s == [pytest.approx(OPTIONS.hung_after_s * times, abs=0.051) for times in (1, 4, 16, 16)]
    assert (SLOWER_TIMES, SLOWEST_TIMES) == (4, 16)


def test_a_node_that_is_not_slow_any_more_is_left_as_soon_as_ever(alone: Connection) -> None:
    """What was needed once is remembered for a while, from the last time on."""
    silence_borne_s(alone, 0.0)
    left_and_met_again(alone, 1.0)
    needed_s = 1.0 + PATIENT_S - 0.1
    for passed_s, heard in ((0.0, 20), (OPTIONS.ping_after_s, 20), (2 * OPTIONS.hung_after_s, 21)):
        assert alone.judge(heard, needed_s - 2 * OPTIONS.hung_after_s + passed_s, is_waiting=True) is not Verdict.LEAVE
    assert silence_borne_s(alone, 1.0 + PATIENT_S) > 2 * OPTIONS.hung_after_s
    left_and_met_again(alone, needed_s + 3 * PATIENT_S)
    again_s = needed_s + 5 * PATIENT_S
    assert silence_borne_s(left_and_met_again(alone, again_s), again_s) < 2 * OPTIONS.hung_after_s


def test_who_was_never_left_is_given_the_ordinary_time(connection: Connection) -> None:
    """That one node hung says nothing of another one."""
    greeted(connection)
    silence_borne_s(connection, 0.0)
    left = connection.address
    connection.on_lost(None, 1.0)
    connection.on_rested()
    assert connection.dial(1.0) != left
    connection.on_greeted(2, 1.0)
    assert silence_borne_s(connection, 1.0) < 2 * OPTIONS.hung_after_s


def test_a_member_with_no_address_is_not_learned() -> None:
    """What a node says of the others is kept as far as it can be dialled."""
    endpoints = Endpoints([A], OPTIONS, random.Random(1))
    endpoints.learn(["", B, "nonsense", A])
    assert endpoints.addresses == [A, B]


# --- pauses ---


def test_pauses_double_up_to_a_limit_and_start_again() -> None:
    """Each is cut by a random part of at most a half."""
    backoff = Backoff(0.1, 0.5, random.Random(1))
    for whole_s in (0.1, 0.2, 0.4, 0.5, 0.5):
        assert whole_s / 2 <= backoff.next_s() <= whole_s
    backoff.reset()
    assert backoff.next_s() <= 0.1


# --- reads ---


@pytest.fixture
def woken() -> list[Parked]:
    return []


@pytest.fixture
def reads(woken: list[Parked]) -> Reads:
    reads = Reads(woken.append, OPTIONS, random.Random(1))
    reads.add(Read(b"a", 10.0, is_stale=False))
    return reads


def asked(reads: Reads, now_s: float) -> list[Query]:
    return [message for message in reads.take(now_s, is_accepting=True) if isinstance(message, Query)]


def test_only_a_leader_is_asked_for_what_only_it_can_answer(reads: Reads) -> None:
    """A stale read goes to any node at once."""
    reads.add(Read(b"b", 10.0, is_stale=True))
    (query,) = reads.take(0.0, is_accepting=False)
    assert isinstance(query, Query)
    assert (query.is_stale, query.requests) == (True, [b"b"])


def test_a_node_that_names_itself_and_refuses_reads_is_asked_less_and_less(reads: Reads) -> None:
    """As with commands: a deposed leader may do so for a while."""
    now_s, attempts = 0.0, 0
    while now_s < 5.0:
        for query in asked(reads, now_s):
            attempts += 1
            reads.on_refused(QueryRefused(query.first_id, 1, "not_leader", "because"), now_s)
        reads.on_leads(now_s)
        now_s += 0.001
    assert 1 < attempts < 20


def test_a_read_that_is_refused_for_want_of_room_waits(reads: Reads, woken: list[Parked]) -> None:
    """And is asked again by itself."""
    (query,) = asked(reads, 0.0)
    reads.on_refused(QueryRefused(query.first_id, 1, "overloaded", "because"), 0.0)
    assert asked(reads, 0.0) == []
    (query,) = asked(reads, reads.deadline_s)
    reads.on_answers(QueryAnswers(query.first_id, Slot(7), [b"answer"]))
    (read,) = woken
    assert isinstance(read, Read)
    assert read.answer == (b"answer", 7)
    assert not reads.has_work


def test_a_read_that_nobody_waits_for_is_dropped(reads: Reads) -> None:
    """A caller that was cancelled leaves nothing behind."""
    read = Read(b"b", 10.0, is_stale=False)
    reads.add(read)
    read.leave()
    reads.end_overdue(0.0, lambda: "")
    (query,) = asked(reads, 0.0)
    assert query.requests == [b"a"]
