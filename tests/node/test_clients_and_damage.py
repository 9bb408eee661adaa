"""What goes wrong with a node's clients: for the state, for a query, for one client alone, or with a client's links."""

from __future__ import annotations

import contextlib
import socket
from collections.abc import Iterator

import pytest
import structlog
import trio

from replog.apply.applier import Applier
from replog.apply.outcomes import Replies
from replog.apply.submissions import OpenSession, session_key
from replog.errors import Damaged, StorageError, error_text
from replog.node.clients import Clients
from replog.node.queries import answer_query
from replog.paxos.ballot import NodeId, Slot
from replog.paxos.effects import ReadReady, Refusal
from replog.state.memory import MemoryStateStore
from replog.state_machine import StateView
from replog.wire.client_messages import NodeMessage, NotLeader, Pong, Query, QueryAnswers, QueryRefused, Submit
from replog.wire.codec import Kind, encode_frame
from replog.wire.link import Link

from .drivers import SECRET, NearLink
from .machines import Ledger


class Nowhere:
    """A node that has applied nothing and knows of no leader."""

    applied_through = Slot(0)
    compacted_through = Slot(0)

    def leader_address(self) -> tuple[NodeId, str]:
        return NodeId(0), ""


@pytest.fixture
def link() -> Iterator[Link]:
    """A client's link; the other end is open and reads nothing."""
    here, there = socket.socketpair()
    with here, there:
        yield Link(here, frozenset({Kind.CLIENT}))


class Torn(MemoryStateStore):
    """A state whose rows can't be read."""

    def __init__(self, error: StorageError) -> None:
        super().__init__()
        self._error = error

    def get(self, key: bytes) -> bytes | None:
        raise self._error

    def scan(self, start: bytes, stop: bytes | None, *, is_reverse: bool = False) -> Iterator[tuple[bytes, bytes]]:
        yield b"key", b"value"
        raise self._error


class Asker(Ledger):
    """Reads, raises and lets go of errors as it is asked to."""

    def query(self, view: StateView, request: bytes) -> bytes:
        if request == b"scan":
            return b"".join(value for _, value in view.scan())
        if request == b"silent scan":
            with contextlib.suppress(Exception):
                list(view.scan())
        if request == b"silent":
            with contextlib.suppress(Exception):
                view.get(b"total")
        if request in MISTAKES:
            raise MISTAKES[request]
        return view.get(b"total", b"0")


class Untold(Exception):
    """Can't even be printed."""

    def __str__(self) -> str:
        raise KeyError("no text")


def kept_cancellation() -> trio.Cancelled:
    """One that user code caught elsewhere."""
    kept: list[trio.Cancelled] = []

    async def cancelled() -> None:
        with trio.CancelScope() as scope:
            scope.cancel()
            try:
                await trio.lowlevel.checkpoint()
            except trio.Cancelled as error:
                kept.append(error)
                raise

    trio.run(cancelled)
    return kept[0]


MISTAKES: dict[bytes, BaseException] = {
    b"key": KeyError("total"),
    b"storage of its own": StorageError("not this node's"),
    b"memory": MemoryError(),
    b"depth": RecursionError("too deep"),
    b"exit": SystemExit(3),
    b"interrupt": KeyboardInterrupt(),
    b"generator": GeneratorExit(),
    b"cancelled": kept_cancellation(),
    b"surrogate": ValueError("\ud800"),
    b"long": ValueError("x" * 10**8),
    b"untold": Untold(),
}


def answered(link: Link, store: MemoryStateStore, request: bytes) -> list[NodeMessage]:
    """What a node would send to one client that has asked, before it is made a frame."""
    applier = Applier(Asker(), store)
    clients = Clients(Nowhere(), structlog.get_logger())
    clients.open(link)
    clients.answer_soon(link, Query(1, True, [request, b"good"]))
    assert clients.answer_reads(lambda asked: answer_query(applier, asked), lambda: False) is False
    out = list(clients._outboxes[link].messages)
    clients.send()
    assert not link.is_closed
    return out


@pytest.mark.parametrize("request_", [b"get", b"scan", b"silent", b"silent scan"])
@pytest.mark.parametrize("error", [Damaged("a row fails its checksum"), StorageError("the file can't be read")])
def test_damage_that_a_query_meets_ends_the_node(link: Link, error: StorageError, request_: bytes) -> None:
    """An answer from a state that can't be read would be wrong, also if the query keeps the error to itself."""
    with pytest.raises(StorageError) as raised:
        answered(link, Torn(error), request_)
    assert raised.value is error


@pytest.mark.parametrize("mistake", MISTAKES)
def test_a_mistake_of_the_query_is_answered(link: Link, mistake: bytes) -> None:
    """Whatever it is: the node goes on, and so does the client, with a text of bounded length."""
    (answers,) = answered(link, MemoryStateStore(), mistake)
    assert isinstance(answers, QueryAnswers)
    assert answers.failed == [0]
    assert answers.answers[0].decode().startswith(type(MISTAKES[mistake]).__name__ + ": ")
    assert len(answers.answers[0]) <= 1000
    assert answers.answers[1] == b"0"


async def test_what_can_not_be_encoded_ends_its_link_alone(link: Link) -> None:
    """The others have their frames."""
    here, there = socket.socketpair()
    with here, there:
        other = Link(here, frozenset({Kind.CLIENT}))
        clients = Clients(Nowhere(), structlog.get_logger())
        for each in (link, other):
            clients.open(each)
        for message in (Pong(2**64), NotLeader(NodeId(1), "\ud800")):
            clients.open(link)
            clients.say(link, message)
            clients.say(other, Pong(1))
            clients.send()
            assert link.is_closed
            assert there.recv(100) == encode_frame(Kind.NODE, [Pong(1)])


@pytest.mark.parametrize("error", MISTAKES.values(), ids=lambda error: type(error).__name__)
@pytest.mark.parametrize("bytes_max", [0, 1, 7, 1000])
def test_the_text_of_an_error_is_short_and_valid(error: BaseException, bytes_max: int) -> None:
    """Whatever the error: it is told, cut where a character ends."""
    text = error_text(error, bytes_max)
    assert len(text) <= bytes_max
    text.decode()


# --- a client's earlier link ---

REPLY = Replies(7, 1, Slot(1), 0, [b"done"], [])


def shown(clients: Clients, link: NearLink) -> None:
    """The session's secret comes in over this link."""
    clients.on_submit(link, Submit(0, b"", SECRET), OpenSession(session_key(SECRET)), None)


def told(clients: Clients, *links: NearLink) -> list[int]:
    """Who hears the answer to a command of the session."""
    clients.on_outcomes([(session_key(SECRET), REPLY, 0)])
    clients.send()
    return [link.number for link in links if link.heard]


@pytest.mark.parametrize("order", [(1, 2), (2, 1), (1, 2, 1)])
def test_what_a_link_that_was_left_still_brings_takes_no_answers(order: tuple[int, ...]) -> None:
    """The client has gone on to another link; the rest of the earlier one is read late, or its end is noticed late."""
    clients = Clients(Nowhere(), structlog.get_logger())
    links = {1: NearLink(1), 2: NearLink(2)}
    for link in links.values():
        clients.open(link)
    for number in order:
        shown(clients, links[number])
    assert told(clients, *links.values()) == [2]
    clients.close(links[1])
    assert told(clients, *links.values()) == [2]


def test_an_answer_to_a_link_that_has_ended_goes_nowhere() -> None:
    """Until the client is back, and shows the secret again."""
    clients = Clients(Nowhere(), structlog.get_logger())
    first, second = NearLink(1), NearLink(2)
    clients.open(first)
    shown(clients, first)
    clients.close(first)
    clients.open(second)
    assert told(clients, first, second) == []
    shown(clients, second)
    assert told(clients, first, second) == [2]


# --- reads that wait ---


def test_reads_of_a_client_that_has_gone_are_forgotten() -> None:
    """They would take the place of others' reads until they are applied, which may be never; nobody hears an answer."""
    clients, link = Clients(Nowhere(), structlog.get_logger()), NearLink(1)
    clients.open(link)
    first, second = (clients.begin_read(link, Query(number, False, [b"r"])) for number in (1, 2))
    clients.close(link)
    assert (clients.reads_under_way, clients.reads_bytes) == (0, 0)
    clients.on_reads_confirmed([ReadReady(Slot(0), (first,))])
    assert clients.answer_reads(lambda _: (b"", False), lambda: False) is False
    clients.refuse_read(second, Refusal.NOT_LEADER)
    assert link.heard == []


def test_a_read_that_waits_to_be_applied_is_refused_when_its_leader_steps_down() -> None:
    """It was confirmed here, but this node may apply no further: its disk may be full."""
    clients, link = Clients(Nowhere(), structlog.get_logger()), NearLink(1)
    clients.open(link)
    clients.on_reads_confirmed([ReadReady(Slot(5), (clients.begin_read(link, Query(1, False, [b"r"])),))])
    assert clients.answer_reads(lambda _: (b"", False), lambda: False) is False
    clients.refuse_waiting_reads()
    clients.send()
    assert [type(message) for message in link.heard] == [QueryRefused, NotLeader]
    assert clients.reads_under_way == 0
