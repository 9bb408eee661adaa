"""A link over which nothing comes: it is closed from both sides, and made anew."""

from __future__ import annotations

import socket
from pathlib import Path

import attrs
import trio
from structlog.testing import capture_logs

from replog.node.silence import SilentLinks
from replog.paxos.ballot import NodeId, Slot
from replog.paxos.messages import Message, SnapshotChunk
from replog.wire.codec import Kind, Welcome, encode_frame
from replog.wire.link import Link

from .stage import DEADLINE_S, ROOT_HOST, Member, eventually, stage
from .test_links import ANYTHING, hello_of, is_dropped, say_hello

N2, N3 = NodeId(2), NodeId(3)
ROUNDS_MAX = 5


@attrs.define
class Links:
    """Satisfies ``ports.PeerPort``: remembers what was closed."""

    received: dict[NodeId, int]
    closed: list[NodeId] = attrs.field(factory=list)

    def send(self, peer: NodeId, messages: list[Message]) -> None:
        raise AssertionError("nothing is said")

    def bytes_received(self, peer: NodeId) -> int:
        return self.received[peer]

    def reset(self, peer: NodeId) -> None:
        self.closed.append(peer)


class Quiet:
    """Satisfies ``EventLog``."""

    def info(self, event: str, **facts: object) -> None: ...

    def warning(self, event: str, **facts: object) -> None: ...


def rounds_until_closed(links: Links, role: SilentLinks, first: int = 1) -> int:
    """How many silent rounds of n2 it takes."""
    for rounds in range(first, first + 50):
        role.on_silence(N2, rounds)
        if links.closed:
            return rounds
    raise AssertionError("never closed")


def test_a_link_that_brings_nothing_is_closed_after_so_many_rounds() -> None:
    """They count from the end of the first silent one: what came within it is not known."""
    links = Links({N2: 700})
    assert rounds_until_closed(links, SilentLinks(links, ROUNDS_MAX, Quiet())) == 1 + ROUNDS_MAX
    assert links.closed == [N2]


def test_bytes_keep_a_link_though_no_heartbeat_is_whole_yet() -> None:
    """A heartbeat waits behind a large message on a slow link; that is no silence."""
    links = Links({N2: 0})
    role = SilentLinks(links, ROUNDS_MAX, Quiet())
    for rounds in range(1, 100):
        links.received[N2] += rounds % (ROUNDS_MAX - 1) == 0
        role.on_silence(N2, rounds)
    assert not links.closed
    assert rounds_until_closed(links, role, 100) < 100 + ROUNDS_MAX


def test_the_rounds_of_one_peer_are_not_anothers() -> None:
    """Each link is judged by what comes over it alone."""
    links = Links({N2: 0, N3: 0})
    role = SilentLinks(links, ROUNDS_MAX, Quiet())
    for rounds in range(1, 2 + ROUNDS_MAX):
        links.received[N3] += 1
        role.on_silence(N3, rounds)
        role.on_silence(N2, rounds)
    assert links.closed == [N2]


def test_a_new_silence_begins_from_its_own_first_round() -> None:
    """Nothing of an earlier one is left, even if no more has come than then, as over a link that was made anew."""
    links = Links({N2: 40})
    role = SilentLinks(links, ROUNDS_MAX, Quiet())
    for _ in range(5):
        for rounds in range(1, 1 + ROUNDS_MAX):
            role.on_silence(N2, rounds)
    assert not links.closed


def test_where_there_is_no_link_nothing_is_closed() -> None:
    """It is dialled already, or waited for."""
    links = Links({N2: -1})
    role = SilentLinks(links, ROUNDS_MAX, Quiet())
    for rounds in range(1, 100):
        role.on_silence(N2, rounds)
    assert not links.closed


# --- over sockets ---


async def listener_at(member: Member) -> trio.SocketListener:
    (listener,) = await trio.open_tcp_listeners(member.port, host=ROOT_HOST)
    return listener


async def accepted(listener: trio.SocketListener, member: Member) -> Link:
    """The next link that somebody dials to this member, which says welcome and nothing else."""
    with trio.fail_after(DEADLINE_S):
        stream = await listener.accept()
    plain = socket.socket(fileno=stream.socket.detach())
    link = Link(plain, ANYTHING)
    with trio.fail_after(DEADLINE_S):
        ((kind, _), *_) = await link.receive()
    assert kind is Kind.HELLO
    own = hello_of(member)
    link.write(encode_frame(Kind.WELCOME, Welcome(own.cluster, own.node, own.incarnation, terms=own.terms)))
    return link


async def test_who_dialled_closes_a_silent_link_and_dials_again(tmp_path: Path) -> None:
    """n1 dials n3, which takes every connection and says nothing."""
    async with stage(tmp_path, starts=False, node={"silent_rounds_max": ROUNDS_MAX}) as cluster:
        listener = await listener_at(cluster[3])
        with capture_logs() as lines:
            await cluster[1].start()
            first = await accepted(listener, cluster[3])
            assert await is_dropped(first)
            second = await accepted(listener, cluster[3])
            await eventually(lambda: cluster[1].node.transport.peers_connected == {N3})
        assert {line["peer"] for line in lines if line["event"] == "peer_silent"} == {"n3"}
        assert cluster[1].node.transport.counts["peer_links_reset"] == 1
        second.close()
        await listener.aclose()


async def test_who_was_dialled_closes_a_silent_link_too(tmp_path: Path) -> None:
    """A half-open link would keep what it has to say for whoever is gone."""
    async with stage(tmp_path, starts=False, node={"silent_rounds_max": ROUNDS_MAX}) as cluster:
        await cluster[3].start()
        link, _ = await say_hello(cluster[3], hello_of(cluster[1]))
        assert await is_dropped(link)
        await eventually(lambda: not cluster[3].node.transport.peers_connected)


async def test_a_link_over_which_a_large_frame_trickles_stays(tmp_path: Path) -> None:
    """Not one message is whole for many rounds, but bytes come."""
    async with stage(tmp_path, starts=False, node={"silent_rounds_max": ROUNDS_MAX}) as cluster:
        await cluster[3].start()
        link, _ = await say_hello(cluster[3], hello_of(cluster[1]))
        frame = encode_frame(Kind.PEER, [SnapshotChunk(bytes(16), Slot(1), 0, False, 10_000, bytes(10_000))])
        election = cluster[3].node.replica._election
        ends_at, sent = election.round + 4 * ROUNDS_MAX, 0
        while election.round < ends_at:
            assert link.write(frame[sent : sent + 1])
            sent += 1
            await trio.sleep(0.01)
        assert cluster[3].node.transport.counts["peer_links_reset"] == 0
        link.close()
