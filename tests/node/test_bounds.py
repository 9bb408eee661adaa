"""What one client can ask of a node has bounds: sessions, hand-overs, answers, frames that nobody hears the end of."""

from __future__ import annotations

import msgspec
import pytest

from replog.apply.outcomes import SessionOpened, SubmissionRefused
from replog.apply.submissions import OpenSession, session_key
from replog.errors import Lacking
from replog.node.clients import SESSIONS_A_LINK_MAX
from replog.node.serving import HAND_OVER_INTERVAL_S
from replog.node.state_jobs import Flush, Scrub
from replog.state_machine import Command, State, StateMachine, StateView
from replog.wire.client_messages import Query, QueryAnswers, StatusRequest, Submit, TransferAnswer, TransferRequest
from replog.wire.codec import MESSAGES_MAX, FrameError, Kind, decode_payload

from .drivers import Drivers, NearLink


def opening(number: int) -> Submit:
    secret = number.to_bytes(16, "big")
    return Submit(0, msgspec.msgpack.encode(OpenSession(session_key(secret))), secret)


def test_a_link_speaks_for_so_many_sessions_and_no_more() -> None:
    """The rest is refused before it is proposed; what was opened goes on."""
    cluster = Drivers()
    leader = cluster.leader()
    leader.ask(*(opening(number) for number in range(200)))
    cluster.settle()
    assert len(leader.heard(SessionOpened)) == SESSIONS_A_LINK_MAX
    refused = leader.heard(SubmissionRefused)
    assert len(refused) == 201 - SESSIONS_A_LINK_MAX
    assert {message.code for message in refused} == {"overloaded"}
    leader.submit(b"a")
    leader.ask(opening(3))
    cluster.until(lambda: leader.driver.applier.commands_applied == 1)
    assert leader.driver.applier.sessions_open == SESSIONS_A_LINK_MAX


def test_leadership_moves_once_a_second_at_somebodys_word() -> None:
    """Whoever asks again is told that it may pass; a moment later it is done."""
    cluster = Drivers()
    leader = cluster.leader()
    for number in range(100):
        leader.ask(TransferRequest(number, 0))
        leader.turn()
    answers = leader.heard(TransferAnswer)
    assert [answer.is_accepted for answer in answers][:2] == [True, False]
    assert sum(answer.is_accepted for answer in answers) == 1
    assert all(answer.may_pass and "a moment ago" in answer.reason for answer in answers[1:])
    cluster.until(lambda: not leader.is_leading)
    cluster.until(lambda: any(node.is_leading for node in cluster.nodes))
    cluster.clock.now_s += HAND_OVER_INTERVAL_S
    (other,) = [node for node in cluster.nodes if node.is_leading]
    other.ask(TransferRequest(1, int(leader.number)))
    other.turn()
    assert other.heard(TransferAnswer)[-1].is_accepted


def test_what_is_left_of_a_frame_whose_link_has_ended_is_dropped() -> None:
    """Nobody hears what would come of it, so no work is done for it."""
    cluster = Drivers()
    leader = cluster.leader()
    asked = 0

    def status() -> bytes:
        nonlocal asked
        asked += 1
        if asked == 3:
            leader.link.is_closed = True
        return b"{}"

    leader.driver.serving._status = status
    leader.ask(*(StatusRequest(number) for number in range(10_000)))
    leader.turn()
    assert asked == 4  # it is looked at after each few messages
    assert not leader.driver.is_due


@pytest.mark.parametrize("kind", [Kind.CLIENT, Kind.PEER])
def test_a_frame_to_a_node_has_so_many_messages_at_most(kind: Kind) -> None:
    """More are refused before any of them is made."""
    with pytest.raises(FrameError, match="length"):
        decode_payload(kind, msgspec.msgpack.encode([[25, 1]] * (MESSAGES_MAX + 1)), list)


def test_a_message_has_so_many_reads_at_most() -> None:
    """Each takes two bytes on the wire and many more in memory."""
    with pytest.raises(FrameError, match="length"):
        decode_payload(Kind.CLIENT, msgspec.msgpack.encode([[21, 1, True, [b""] * 65_537]]), list)


class Wordy(StateMachine):
    """Answers a mebibyte to anything."""

    def apply(self, state: State, command: Command) -> bytes:
        return b""

    def query(self, view: StateView, request: bytes) -> bytes:
        return bytes(2**20)


def test_a_turn_makes_so_many_bytes_of_answers_and_all_come() -> None:
    """What has been made leaves before more is made."""
    cluster = Drivers(machine=lambda _clock: Wordy())
    leader = cluster.leader()
    for first in range(40):
        leader.ask(Query(first, True, [b""]))
    leader.turn()
    made = len(leader.heard(QueryAnswers))
    assert 4 <= made <= 9
    cluster.settle()
    assert [answer.first_id for answer in leader.heard(QueryAnswers)] == list(range(40))
    assert leader.driver.clients.reads_bytes == 0


def test_reads_under_way_are_counted_in_bytes() -> None:
    """Clients wait when too much of it is kept, and it is all let go in the end."""
    cluster = Drivers(inbox_bytes_max=1_000_000)
    leader = cluster.leader()
    for other in cluster.nodes:
        other.is_alone = True  # nothing is confirmed
    for first in range(3):
        leader.ask(Query(first, False, [bytes(500_000)]))
    leader.turn()
    assert leader.driver.serving.is_crowded
    cluster.until(lambda: not leader.is_leading)
    assert leader.driver.clients.reads_bytes == 0
    assert not leader.driver.serving.is_crowded


def test_what_waits_for_all_clients_together_is_bounded() -> None:
    """Who has most of it goes; the others stay."""
    cluster = Drivers(clients_bytes_max=2**20)
    leader = cluster.leader()
    clients = leader.driver.clients

    links = [NearLink(number) for number in range(2, 6)]
    for number, link in enumerate(links, 1):
        clients.open(link)
        link.unsent_bytes = 1  # it takes nothing
        clients.say(link, TransferAnswer(1, False, ""), number * 150_000)
    clients.send()
    assert [link.is_closed for link in links] == [False, False, False, True]


def test_a_job_that_lacks_something_is_put_off() -> None:
    """But for a flush: what the state's file took of it is not known."""
    cluster = Drivers()
    leader = cluster.leader()
    jobs = leader.driver.jobs
    jobs._job = Scrub(b"")
    jobs.on_done(Scrub(b""), None, Lacking("no descriptor"), cluster.clock.now_s)
    assert cluster.clock.now_s < jobs.deadline_s
    jobs._job = Flush()
    with pytest.raises(Lacking):
        jobs.on_done(Flush(), None, Lacking("no memory"), cluster.clock.now_s)
