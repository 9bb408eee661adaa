"""Clients that share a port and nothing else: what one of them can do to another, and to the log, is nothing."""

from __future__ import annotations

from pathlib import Path

import msgspec
import pytest
import trio

from replog.apply.outcomes import SessionGone, SubmissionRefused
from replog.apply.submissions import CloseSession, Commands, OpenSession, Submission, session_key
from replog.wire.client_messages import Submit
from replog.wire.codec import Hello, Kind, encode_frame
from replog.wire.link import Link

from .stage import DEADLINE_S, Member, stage
from .test_links import opened_session, said, say_hello, submit

OWN = b"a strangers word"
DEEP = b"\x91" * 100_000 + b"\xc0"


async def stranger(leader: Member) -> Link:
    """Somebody with a session of his own."""
    link, _ = await say_hello(leader, Hello(b"", 0, b""))
    await opened_session(link, OWN)
    return link


@pytest.mark.parametrize("kind", ["commands", "close"])
async def test_a_session_is_of_no_use_to_whoever_guesses_its_number(tmp_path: Path, kind: str) -> None:
    """The victim's next command runs, is answered with its own receipt, and its session goes on."""
    async with stage(tmp_path) as cluster, cluster.client() as victim:
        leader = await cluster.leader()
        await victim.submit(b"first")
        session, key = victim._traffic.session.number, victim._traffic.session._identity.key
        link = await stranger(leader)

        def forged(key: bytes) -> Submission:
            return CloseSession(session, key) if kind == "close" else Commands(session, 2, 2, [b"stolen"], key)

        link.write(submit(forged(session_key(OWN)), OWN, session))
        assert await said(link) == [SessionGone(session)]
        for secret in (OWN, b""):
            link.write(submit(forged(key), secret, session))
            (refused,) = await said(link)
            assert isinstance(refused, SubmissionRefused)
            assert refused.code == "not_yours"
        assert (await victim.submit(b"second", timeout=DEADLINE_S)).reply == b"1"
        assert await victim.query(b"stolen") == b"0"
        assert await victim.query(b"total") == b"2"
        assert victim._traffic.session.number == session
        link.close()


async def test_an_answer_goes_to_whoever_holds_the_secret(tmp_path: Path) -> None:
    """Who asks for a session by its key alone is refused, and its holder is answered on his own link."""
    async with stage(tmp_path) as cluster:
        leader = await cluster.leader()
        link = await stranger(leader)
        holder, _ = await say_hello(leader, Hello(b"", 0, b""))
        secret = b"the holders word"
        session = await opened_session(holder, secret)
        link.write(submit(OpenSession(session_key(secret)), OWN))
        (refused,) = await said(link)
        assert isinstance(refused, SubmissionRefused)
        holder.write(submit(Commands(session, 1, 1, [b"a"], session_key(secret)), secret, session))
        link.write(submit(Commands(session, 1, 1, [b"a"], session_key(OWN)), OWN, session))
        assert len(await said(holder)) == 1
        assert await said(link) == [SessionGone(session)]
        link.close()
        holder.close()


async def test_poison_is_refused_before_it_is_proposed(tmp_path: Path) -> None:
    """A field that no version knows, nested deep, reaches no log; the node goes on."""
    async with stage(tmp_path, count=1) as cluster, cluster.client() as client:
        leader = await cluster.leader()
        link = await stranger(leader)
        await client.submit(b"a")
        before = leader.node.applier.applied_through
        good = msgspec.msgpack.encode(Commands(1, 1, 1, [b"b"], session_key(OWN)))
        for data in (b"\x97" + good[1:] + DEEP, b"\x93\x01" + DEEP, b"\x96\x00" + DEEP):
            link.write(encode_frame(Kind.CLIENT, [Submit(1, data, OWN)]))
            (refused,) = await said(link)
            assert isinstance(refused, SubmissionRefused)
            assert refused.code == "malformed"
        assert leader.node.applier.applied_through == before
        assert (await client.submit(b"a", timeout=DEADLINE_S)).reply == b"2"
        link.close()


async def test_replies_larger_than_a_frame_reach_their_client(tmp_path: Path) -> None:
    """Many of them, and each of them large: the client gets all in one call, over one connection."""
    async with stage(tmp_path, count=1) as cluster, cluster.client() as client:
        await client.submit(b"first")
        reconnects = client.reconnects
        with trio.fail_after(10 * DEADLINE_S):
            receipts = await client.submit_many([b"?20000"] * 4_000, timeout=10 * DEADLINE_S)
            assert [len(receipt.reply) for receipt in receipts] == [20_000] * 4_000
            receipts = await client.submit_many([b"?1000000"] * 80, timeout=10 * DEADLINE_S)
            assert [len(receipt.reply) for receipt in receipts] == [1_000_000] * 80
        assert await client.query(b"total") == b"4081"
        assert client.reconnects == reconnects


async def test_a_call_of_more_commands_than_replies_are_kept_ends(tmp_path: Path) -> None:
    """The client sends the rest again as it acknowledges the first."""
    async with stage(tmp_path, sessions={"replies_kept_max": 100}) as cluster, cluster.client() as client:
        receipts = await client.submit_many([b"%d" % number for number in range(1_000)], timeout=10 * DEADLINE_S)
        assert [receipt.reply for receipt in receipts] == [b"1"] * 1_000
        assert await client.query(b"total") == b"1000"


async def test_one_frame_holds_so_much(tmp_path: Path) -> None:
    """What is said to one client in a turn is cut, however much it is."""
    async with stage(tmp_path) as cluster:
        leader = await cluster.leader()
        link = await stranger(leader)
        session = await opened_session(link, OWN)
        link.write(submit(Commands(session, 1, 1, [b"?500000"] * 30, session_key(OWN)), OWN, session))
        replies, sizes = 0, []
        with trio.fail_after(DEADLINE_S):
            while replies < 30:
                for _, payload in await link.receive():
                    sizes.append(len(payload))
                    replies += payload.count(b"x" * 500_000)
        assert len(sizes) >= 3
        assert max(sizes) < 6 * 2**20
        link.close()
