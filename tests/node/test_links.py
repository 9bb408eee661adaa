"""What may connect to a node, and what happens to a link that brings something else."""

from __future__ import annotations

import socket
from contextlib import AsyncExitStack
from pathlib import Path

import attrs
import msgspec
import pytest
import trio
from structlog.testing import capture_logs

from replog.apply.machine_terms import machine_terms
from replog.apply.outcomes import SessionOpened
from replog.apply.sessions import SessionOptions
from replog.apply.submissions import Commands, OpenSession, Submission, session_key
from replog.paxos.ballot import NodeId
from replog.wire.client_messages import Follow, Ping, Pong, Query, Submit, TransferRequest
from replog.wire.codec import HELLO_BYTES_MAX, Hello, Kind, Welcome, decode_payload, encode_frame
from replog.wire.dialing import connected_socket
from replog.wire.link import Link, LinkClosed

from .stage import CLUSTER, DEADLINE_S, Member, MemoryLog, eventually, stage

ANYTHING = frozenset(Kind)


async def raw_socket(member: Member) -> socket.socket:
    host, _, port = member.address.rpartition(":")
    return await connected_socket(host, int(port))


async def say_hello(member: Member, hello: Hello) -> tuple[Link, Welcome]:
    """A link of our own making, and what the node answered."""
    link = Link(await raw_socket(member), ANYTHING)
    link.write(encode_frame(Kind.HELLO, hello))
    with trio.fail_after(DEADLINE_S):
        ((kind, payload), *_) = await link.receive()
    assert kind is Kind.WELCOME
    return link, decode_payload(kind, payload, Welcome)


async def said(link: Link) -> list[object]:
    """What the node says next."""
    with trio.fail_after(DEADLINE_S):
        return [message for _, payload in await link.receive() for message in decode_payload(Kind.NODE, payload, list)]


def submit(submission: Submission, secret: bytes, session: int = 0) -> bytes:
    """The frame in which a client submits this."""
    return encode_frame(Kind.CLIENT, [Submit(session, msgspec.msgpack.encode(submission), secret)])


async def opened_session(link: Link, secret: bytes) -> int:
    link.write(submit(OpenSession(session_key(secret)), secret))
    (opened,) = await said(link)
    assert isinstance(opened, SessionOpened)
    return opened.session


async def is_dropped(link: Link) -> bool:
    """Whether the node ends this link, whatever it still says."""
    with trio.fail_after(DEADLINE_S):
        while True:
            try:
                await link.receive()
            except LinkClosed:
                link.close()
                return True


async def is_serving(member: Member) -> bool:
    """Whether the node still answers others."""
    link, welcome = await say_hello(member, Hello(b"", 0, b""))
    link.write(encode_frame(Kind.CLIENT, [Ping(7)]))
    with trio.fail_after(DEADLINE_S):
        ((_, payload), *_) = await link.receive()
    link.close()
    return not welcome.refusal and decode_payload(Kind.NODE, payload, list) == [Pong(7)]


HELLO = encode_frame(Kind.HELLO, Hello(b"", 0, b""))
GARBAGE = {
    "text": b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n",
    "tls": b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + bytes(200),
    "zeros": bytes(5_000),
    "another kind first": encode_frame(Kind.CLIENT, [Ping(1)]),
    "a hello that is none": encode_frame(Kind.HELLO, []),  # type: ignore[arg-type]
    "a long hello": encode_frame(Kind.HELLO, Hello(b"", 0, b"", "x" * HELLO_BYTES_MAX)),
    "garbage after the hello": HELLO + b"garbage that is long enough for a header",
    "a peer's frame from a client": HELLO + encode_frame(Kind.PEER, []),
    "a client's frame that is none": HELLO + encode_frame(Kind.CLIENT, [Pong(1)]),
    "a broken checksum": HELLO + encode_frame(Kind.CLIENT, [Ping(1)])[:-1] + b"\x00",
    "an oversized length": HELLO + encode_frame(Kind.CLIENT, [])[:5] + b"\xff" * 8,
}


@pytest.mark.parametrize("name", GARBAGE)
async def test_what_is_no_frame_ends_its_link_alone(tmp_path: Path, name: str) -> None:
    """The link is dropped and counted; the node goes on."""
    async with stage(tmp_path, count=1) as cluster:
        link = Link(await raw_socket(cluster[1]), ANYTHING)
        link.write(GARBAGE[name])
        assert await is_dropped(link)
        counts = cluster[1].node.transport.counts
        assert counts["greeting"] + counts["dropped"] == 1
        assert await is_serving(cluster[1])


STRANGE = {
    "a submission that is none": Submit(0, b"\x00garbage"),
    "an empty submission": Submit(5, b""),
    "a session that never was": Submit(2**64 - 1, b"\x94\x00\xcf\xff\xff\xff\xff\xff\xff\xff\xff\x01\x01\x91\xc4\x01a"),
    "no payloads": Submit(0, b"\x94\x00\x00\x01\x01\x90"),
    "a read nobody asked": Query(2**64 - 1, False, []),
    "a negative read": Query(-(2**63), True, [b"a"]),
    "following from the far end": Follow(2**64 - 1, 2**64 - 1),
    "following from before": Follow(-5, -5),
    "leadership for nobody": TransferRequest(1, 2**64 - 1),
    "leadership for less than nobody": TransferRequest(1, -1),
}


@pytest.mark.parametrize("name", STRANGE)
async def test_strange_requests_are_answered_or_ignored(tmp_path: Path, name: str) -> None:
    """A well-formed frame with impossible numbers harms nobody."""
    async with stage(tmp_path) as cluster, cluster.client() as client:
        leader = await cluster.leader()
        link, _ = await say_hello(leader, Hello(b"", 0, b""))
        link.write(encode_frame(Kind.CLIENT, [STRANGE[name], Ping(1)]))
        with trio.fail_after(DEADLINE_S):
            answered = [
                message for _, payload in await link.receive() for message in decode_payload(Kind.NODE, payload, list)
            ]
        assert Pong(1) in answered
        assert (await client.submit(b"a", timeout=DEADLINE_S)).reply == b"1"
        await cluster.settled()
        link.close()


@pytest.mark.parametrize(
    "beginning", [b"", encode_frame(Kind.HELLO, Hello(b"", 0, b""))[:7]], ids=["silent", "half a hello"]
)
async def test_who_does_not_greet_is_dropped(tmp_path: Path, beginning: bytes) -> None:
    """A connection that says nothing holds a place only for a while."""
    async with stage(tmp_path, count=1, transport={"greeting_timeout_s": 0.1}) as cluster:
        link = Link(await raw_socket(cluster[1]), ANYTHING)
        link.write(beginning)
        assert await is_dropped(link)
        assert await is_serving(cluster[1])


async def test_a_frame_that_is_never_finished_is_dropped(tmp_path: Path) -> None:
    """Whether its beginning came alone or behind a whole frame; a link between two frames may be silent."""
    whole = encode_frame(Kind.CLIENT, [Ping(1)])
    async with stage(tmp_path, count=1, transport={"frame_timeout_s": 0.1}) as cluster:
        alone, behind, idle = [(await say_hello(cluster[1], Hello(b"", 0, b"")))[0] for _ in range(3)]
        idle.write(whole)
        alone.write(whole[:5])
        behind.write(whole + whole[:5])
        assert await is_dropped(alone)
        assert await is_dropped(behind)
        assert cluster[1].node.transport.counts["dropped"] == 2
        idle.write(whole)
        with trio.fail_after(DEADLINE_S):
            await idle.receive()
        idle.close()


async def test_too_many_connections_are_not_taken(tmp_path: Path) -> None:
    """A flood takes no more than the limit, and when it is over others are served."""
    async with stage(tmp_path, count=1, transport={"connections_max": 20}) as cluster:
        links = [Link(await raw_socket(cluster[1]), ANYTHING) for _ in range(60)]
        for link in links:
            link.write(HELLO)
        await eventually(lambda: cluster[1].node.transport.counts["connections_max"] == 40)
        for link in links:
            link.close()
        await eventually(lambda: not len(cluster[1].node.transport.places))
        assert await is_serving(cluster[1])


async def test_five_hundred_idle_connections_cost_nothing_but_their_place(tmp_path: Path) -> None:
    """Others are served beside them, and all places are free again when they leave."""
    async with stage(tmp_path) as cluster, AsyncExitStack() as stack:
        leader = await cluster.leader()
        for _ in range(500):
            link, welcome = await say_hello(leader, Hello(CLUSTER, 0, b""))
            stack.callback(link.close)
            assert not welcome.refusal
        async with cluster.client(leader.number) as client:
            for _ in range(20):
                await client.submit(b"a")
            assert await client.query(b"a") == b"20"
        assert len(list(leader.node.clients.links)) >= 500
        await stack.aclose()
        await eventually(lambda: not list(leader.node.clients.links))


async def test_a_client_that_says_nothing_for_long_is_let_go(tmp_path: Path) -> None:
    """It may be gone without a word; a real client comes back when it has something to say."""
    async with stage(tmp_path, count=1, node={"idle_timeout_s": 0.2}) as cluster, cluster.client() as client:
        link, _ = await say_hello(cluster[1], Hello(b"", 0, b""))
        await client.submit(b"a")
        assert await is_dropped(link)
        await eventually(lambda: not list(cluster[1].node.clients.links))
        assert (await client.submit(b"a", timeout=DEADLINE_S)).reply == b"2"


async def test_a_client_that_vanishes_leaves_its_command(tmp_path: Path) -> None:
    """What it sent is done, once; its answer is nobody's; the node forgets it."""
    async with stage(tmp_path) as cluster:
        leader = await cluster.leader()
        for number in range(50):
            link, _ = await say_hello(leader, Hello(b"", 0, b""))
            secret = number.to_bytes(16, "big")
            session = await opened_session(link, secret)
            link.write(submit(Commands(session, 1, 1, [b"%d" % number], session_key(secret)), secret))
            link.close()
        await eventually(lambda: leader.node.applier.commands_applied == 50)
        async with cluster.client(leader.number) as client:
            assert [await client.query(b"%d" % number) for number in range(50)] == [b"1"] * 50
        await eventually(lambda: not list(leader.node.clients.links))
        assert not leader.node.clients._routes


async def test_who_does_not_take_its_answers_is_dropped(tmp_path: Path) -> None:
    """What is kept for it is bounded; when more has to be said to it, it has to come back and ask again."""
    async with stage(tmp_path, transport={"client_buffer_bytes_max": 2_000_000}) as cluster:
        leader = await cluster.leader()
        lazy, _ = await say_hello(leader, Hello(b"", 0, b""))
        secret = b"lazy"
        session = await opened_session(lazy, secret)
        for number in (1, 2):
            lazy.write(submit(Commands(session, number, number, [b"?8000000"], session_key(secret)), secret))
            await eventually(lambda count=number: leader.node.applier.commands_applied == count)
        await eventually(lambda: not list(leader.node.clients.links))
        assert await is_dropped(lazy)
        assert await is_serving(leader)


async def test_a_reader_that_does_not_read_costs_nobody_else_anything(tmp_path: Path) -> None:
    """It is not read either while its answers wait, so it costs the node a bounded buffer."""
    limits = {"client_buffer_bytes_max": 2_000_000}
    async with stage(tmp_path, transport=limits) as cluster:
        leader = await cluster.leader()
        lazy, _ = await say_hello(leader, Hello(b"", 0, b""))
        for number in range(40):
            lazy.write(encode_frame(Kind.CLIENT, [Query(number, True, [b"?1000000"])]))
        async with cluster.client(leader.number) as client:
            for _ in range(20):
                assert len(await client.query(b"?100000")) == 100_000
        assert sum(link.unsent_bytes for link in leader.node.clients.links) < 5_000_000
        lazy.close()


# --- peers ---


TERMS = machine_terms(SessionOptions())


def hello_of(member: Member, **changes: object) -> Hello:
    identity = member.log.identity
    hello = Hello(identity.cluster, identity.node, identity.incarnation, terms=TERMS)
    return Hello(**{**{field: getattr(hello, field) for field in hello.__struct_fields__}, **changes})  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"cluster": b"another cluster!"}, "belongs to cluster 000102"),
        ({"node": 9}, "n9 is not another member of this cluster"),
        ({"node": 1}, "n1 is not another member of this cluster"),
        ({"node": -1}, "not another member"),
        ({"incarnation": b"another life...."}, "n2 has another incarnation"),
        ({"node": 0, "cluster": b"another cluster!"}, "belongs to cluster 000102"),
        ({"terms": machine_terms(SessionOptions(sessions_max=7))}, "[sessions] sessions_max: 10000 here, 7 there"),
        ({"terms": (*TERMS[:2], ("Python", "cpython-399"), *TERMS[3:])}, "here, cpython-399 there"),
        ({"terms": ()}, "the replicated machine's version: 4 here, unknown there"),
        ({"terms": (*TERMS, ("something new", "1"))}, "something new: unknown here, 1 there"),
    ],
)
async def test_a_stranger_is_refused_with_the_reason(tmp_path: Path, changes: dict[str, object], reason: str) -> None:
    """Both ends hear why; the one that knocked in its welcome, the other in its log."""
    async with stage(tmp_path) as cluster:
        with capture_logs() as lines:
            link, welcome = await say_hello(cluster[1], hello_of(cluster[2], **changes))
            assert reason in welcome.refusal
            assert await is_dropped(link)
        (line,) = [line for line in lines if line["event"] == "link_refused"]
        assert reason in line["reason"]
        assert cluster[1].node.transport.counts["refused"] == 1
        assert await is_serving(cluster[1])


@pytest.mark.parametrize("number", [1, 2, 3])
async def test_a_member_that_was_formatted_anew_is_refused(tmp_path: Path, number: int) -> None:
    """It has forgotten what it promised (P9): no peer speaks with it, and it can read why in its own log too."""
    async with stage(tmp_path) as cluster, cluster.client() as client:
        await client.submit(b"a")
        wiped = cluster[number]
        await wiped.crash()
        wiped.log = MemoryLog(wiped.number, wiped.log.membership, b"another life....")
        wiped.state = type(wiped.state)()
        (wiped.config.data_dir / "peers").unlink()
        with capture_logs() as lines:
            await wiped.start()

            def told() -> set[tuple[str, str]]:
                return {(line["other"], line["reason"]) for line in lines if line["event"] == "link_refused"}

            others = [member for member in cluster.members if member is not wiped]
            await eventually(lambda: all(member.node.transport.counts["refused"] for member in cluster.members))
            assert all("has another incarnation" in reason for _, reason in told())
        assert (await client.submit(b"a", timeout=DEADLINE_S)).reply == b"2"
        assert wiped.node.applied_through == 0
        assert not any(wiped.number in member.node.transport.peers_connected for member in others)


async def test_a_newer_link_replaces_an_older_one(tmp_path: Path) -> None:
    """A peer that comes back before its old link is known to be dead is not kept out."""
    async with stage(tmp_path, starts=False) as cluster:
        await cluster[1].start()
        older, _ = await say_hello(cluster[1], hello_of(cluster[2]))
        newer, _ = await say_hello(cluster[1], hello_of(cluster[2]))
        assert await is_dropped(older)
        assert cluster[1].node.transport.peers_connected == {2}
        newer.close()
        await eventually(lambda: not cluster[1].node.transport.peers_connected)


async def test_a_node_at_another_nodes_address_is_noticed(tmp_path: Path) -> None:
    """Addresses that were mixed up are said by name."""
    async with stage(tmp_path, starts=False) as cluster:
        swapped = {NodeId(1): cluster[1].address, NodeId(2): cluster[3].address, NodeId(3): cluster[2].address}
        cluster[1].config = attrs.evolve(cluster[1].config, members=swapped)
        await cluster[2].start()
        await cluster[3].start()
        with capture_logs() as lines:
            await cluster[1].start()
            await eventually(lambda: any("answers at the address of" in str(line.get("reason")) for line in lines))


# --- who hears whom ---


async def test_a_node_says_whom_it_hears(tmp_path: Path) -> None:
    """Empty for those that answer its heartbeats; and why not, once one is gone."""
    async with stage(tmp_path) as cluster:
        one = cluster[1]
        await eventually(lambda: one.node.status().links == {"n2": "", "n3": ""})
        await cluster[3].crash()
        for member in cluster.members[:2]:
            await eventually(lambda links=member.node.status: links().links["n3"] == "connection refused")
        await cluster[3].start()
        await eventually(lambda: all(not any(member.node.status().links.values()) for member in cluster.members))


async def test_both_ends_say_why_a_link_was_refused(tmp_path: Path) -> None:
    """Whoever dials: the one that was formatted anew, and those that remember it, report the same reason."""
    async with stage(tmp_path) as cluster, cluster.client() as client:
        await client.submit(b"a")
        wiped = cluster[3]
        await wiped.crash()
        wiped.log = MemoryLog(wiped.number, wiped.log.membership, b"another life....")
        wiped.state = type(wiped.state)()
        await wiped.start()
        refusals = [(cluster[1], "n3"), (cluster[2], "n3"), (wiped, "n1"), (wiped, "n2")]
        await eventually(
            lambda: all("has another incarnation" in member.node.status().links[peer] for member, peer in refusals)
        )


async def test_a_stranger_says_nothing_about_a_link_that_is_there(tmp_path: Path) -> None:
    """Who pretends to be a member is refused; the member itself is heard as before."""
    async with stage(tmp_path) as cluster:
        await eventually(lambda: not any(cluster[1].node.status().links.values()))
        link, welcome = await say_hello(cluster[1], hello_of(cluster[2], incarnation=b"another life...."))
        assert welcome.refusal
        link.close()
        assert cluster[1].node.status().links["n2"] == ""
        assert cluster[1].node.transport._notes.problems[NodeId(2)] == "the link was lost"
