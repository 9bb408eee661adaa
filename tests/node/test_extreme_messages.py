"""Every kind of message with the most extreme values in every field, from a client and from a peer's double.

Nothing is known here of what a message means: whatever the types allow on the wire is said.
"""

from __future__ import annotations

import typing
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest
import trio

from replog.apply.machine_terms import machine_terms
from replog.node.message_checks import ROUNDS_AHEAD_MAX, SLOTS_AHEAD_MAX, check_peer_messages, check_query
from replog.paxos.ballot import Ballot, NodeId, Slot
from replog.paxos.messages import Accept, AcceptedSlot, Learn, Message, Nack, Prepare, Promise
from replog.wire.client_messages import ClientMessage, Ping, Query
from replog.wire.codec import FrameError, Hello, Kind, encode_frame
from replog.wire.link import Link, LinkClosed

from .stage import CLUSTER, DEADLINE_S, Member, Stage, stage
from .test_links import say_hello

NUMBERS = [0, 1, -1, -(2**63), 2**31, 2**32 - 1, 2**32, 2**62, 2**63 - 1, 2**63, 2**64 - 1]
BYTES = [b"", b"\x00", b"\x91\x00", b"\xff" * 65, b"x" * 100_000]
TEXTS = ["", "\x00", "a", ":", "a:0", "a:99999", "[::1:7", "\u202e:7", "\u00fc:7", "x" * 64 + ":7", "x" * 100_000]
DOUBLE = NodeId(3)


def extremes(kind: msgspec.inspect.Type) -> list[Any]:
    """Values of a field's type on the wire, an ordinary one first."""
    match kind:
        case msgspec.inspect.IntType():
            return [1, *NUMBERS]
        case msgspec.inspect.BoolType():
            return [True, False]
        case msgspec.inspect.BytesType():
            return [b"\x91\x00", *BYTES]
        case msgspec.inspect.StrType():
            return ["127.0.0.1:1", *TEXTS]
        case msgspec.inspect.NamedTupleType():  # a ballot
            return [[1, DOUBLE], *([number, DOUBLE] for number in NUMBERS), *([1, number] for number in NUMBERS)]
        case msgspec.inspect.StructType():
            return list(messages_of(kind))
        case msgspec.inspect.ListType() | msgspec.inspect.VarTupleType():
            inner = extremes(kind.item_type)
            return [inner[:1], [], inner[:1] * 5_000, *([value] for value in inner[1:])]
        case _:
            raise AssertionError(f"no values for {kind}")


def messages_of(kind: msgspec.inspect.StructType) -> Iterator[list[Any]]:
    """One extreme field at a time, then all of them at once."""
    values = [extremes(field.type) for field in kind.fields]
    tag = [] if kind.tag is None else [kind.tag]
    ordinary = [value[0] for value in values]
    yield [*tag, *ordinary]
    for place, choices in enumerate(values):
        for choice in choices[1:]:
            yield [*tag, *ordinary[:place], choice, *ordinary[place + 1 :]]
    for number in range(1, 8):
        yield [*tag, *(choices[min(number, len(choices) - 1)] for choices in values)]
        yield [*tag, *(choices[-min(number, len(choices))] for choices in values)]


def kinds_of(union: Any) -> list[type[msgspec.Struct]]:
    return list(typing.get_args(union))


def said_by(message: type[msgspec.Struct]) -> list[list[Any]]:
    kind = msgspec.inspect.type_info(message)
    assert isinstance(kind, msgspec.inspect.StructType)
    return list(messages_of(kind))


async def is_alive(member: Member) -> bool:
    """Whether the node has taken all that was said: it answers a client that speaks after."""
    link, _ = await say_hello(member, Hello(b"", 0, b""))
    link.write(encode_frame(Kind.CLIENT, [Ping(1)]))
    with trio.fail_after(DEADLINE_S):
        await link.receive()
    link.close()
    return member.is_running


async def say_all(member: Member, hello: Hello, kind: Kind, messages: list[list[Any]]) -> int:
    """Say each message in a frame of its own, on a new link when one has ended it; returns how many did."""
    link: Link | None = None
    ended = 0
    for message in messages:
        if link is None:
            link, welcome = await say_hello(member, hello)
            assert not welcome.refusal
        link.write(encode_frame(kind, [message]))  # type: ignore[list-item]
        assert await is_alive(member), message
        with trio.move_on_after(0.001):
            try:
                while True:
                    await link.receive()
            except LinkClosed:
                link.close()
                link = None
                ended += 1
    if link is not None:
        link.close()
    return ended


async def goes_on(cluster: Stage) -> None:
    async with cluster.client() as client:
        reply = (await client.submit(b"next", timeout=DEADLINE_S)).reply
        assert await client.query(b"next", timeout=DEADLINE_S) == reply


@pytest.mark.parametrize("message", kinds_of(ClientMessage), ids=lambda message: message.__name__)
async def test_no_message_of_a_client_ends_a_node(tmp_path: Path, message: type[msgspec.Struct]) -> None:
    """Its link may end; the next command of somebody else is done."""
    async with stage(tmp_path) as cluster:
        await goes_on(cluster)
        await say_all(await cluster.leader(), Hello(b"", 0, b""), Kind.CLIENT, said_by(message))
        await goes_on(cluster)
        await say_all((await cluster.followers())[0], Hello(b"", 0, b""), Kind.CLIENT, said_by(message))
        await goes_on(cluster)
        assert len(cluster.running) == len(cluster.members)


@pytest.mark.parametrize("message", kinds_of(Message), ids=lambda message: message.__name__)
async def test_no_message_of_a_peer_ends_a_node(tmp_path: Path, message: type[msgspec.Struct]) -> None:
    """Whatever a member's double says to the leader or to a follower, the other two go on."""
    async with stage(tmp_path) as cluster:
        await goes_on(cluster)
        await cluster[DOUBLE].crash()
        double = cluster[DOUBLE]
        terms = machine_terms(double.config.sessions)
        hello = Hello(CLUSTER, DOUBLE, double.log.identity.incarnation, terms=terms)
        for number in (1, 2):
            ended = await say_all(cluster[number], hello, Kind.PEER, said_by(message))
            assert ended > 0
        await goes_on(cluster)
        assert len(cluster.running) == len(cluster.members) - 1


SENDER, PROMISE = NodeId(3), Ballot(7, NodeId(1))
UNMEANT: dict[str, Message] = {
    "a ballot too far ahead": Prepare(Ballot(7 + ROUNDS_AHEAD_MAX + 1, SENDER), Slot(1)),
    "a promise too far ahead": Nack(PROMISE, Ballot(7 + ROUNDS_AHEAD_MAX + 1, SENDER)),
    "somebody else's ballot": Accept(Ballot(8, NodeId(2)), Slot(1), 0, b"\x91\x00", Slot(0)),
    "nobody's ballot": Prepare(Ballot(0, SENDER), Slot(1)),
    "a piece beyond the last": Promise(PROMISE, Slot(0), Slot(0), 1, 1, ()),
    "no pieces": Promise(PROMISE, Slot(0), Slot(0), 0, 0, ()),
    "an acceptance far ahead": Promise(
        PROMISE, Slot(0), Slot(0), 0, 1, (AcceptedSlot(Slot(SLOTS_AHEAD_MAX + 1), PROMISE, 0, b"\x91\x00"),)
    ),
}


@pytest.mark.parametrize("name", UNMEANT)
def test_what_can_not_be_meant_is_refused(name: str) -> None:
    """Before the core hears of it."""
    with pytest.raises(FrameError):
        check_peer_messages(SENDER, [UNMEANT[name]], PROMISE)


def test_what_may_be_meant_is_not() -> None:
    """At the very limits."""
    check_peer_messages(SENDER, [Prepare(Ballot(7 + ROUNDS_AHEAD_MAX, SENDER), Slot(1)), Learn(Slot(0), ())], PROMISE)
    for query in (Query(2**64 - 2, True, [b"a"]), Query(2**64 - 1, True, []), Query(-(2**63), True, [b"a"])):
        check_query(query)
    with pytest.raises(FrameError):
        check_query(Query(2**64 - 1, True, [b"a"]))
