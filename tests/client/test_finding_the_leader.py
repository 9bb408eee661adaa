"""A client among nodes that hang, know nothing or speak nonsense: it finds the leader, or says what is wrong."""

from __future__ import annotations

import re

import pytest
import trio

from replog.client import connect
from replog.errors import OutcomeUnknown, Unavailable
from replog.paxos.ballot import NodeId
from replog.wire.client_messages import NotLeader, Ping, Pong

from .scripted_nodes import CLUSTER, Script, Visit, scripted_nodes

TIMEOUT_S = 20.0


async def leads(visit: Visit) -> None:
    visit.welcome()
    await visit.serve()


async def says_nothing(visit: Visit) -> None:
    await trio.sleep_forever()


async def greets_and_hangs(visit: Visit) -> None:
    visit.welcome()
    await trio.sleep_forever()


async def speaks_nonsense(visit: Visit) -> None:
    visit.link.write(b"HTTP/1.1 400 Bad Request\r\n\r\n")
    await visit.heard()


async def speaks_nonsense_later(visit: Visit) -> None:
    visit.welcome()
    await visit.heard()
    visit.link.write(b"\xa7\x01\x05\x00\x00\x00\x00\x00\x01\x00\x00\x00\x00?")
    await visit.heard()


async def hangs_up(visit: Visit) -> None:
    visit.welcome()
    await visit.heard()


async def knows_no_leader(visit: Visit) -> None:
    visit.welcome()
    while True:
        for message in await visit.heard():
            if not isinstance(message, Ping):
                visit.say(NotLeader(NodeId(0), ""))


async def refuses(visit: Visit) -> None:
    visit.welcome(refusal="this is another cluster")


def points_to(number: int) -> Script:
    async def script(visit: Visit) -> None:
        visit.welcome()
        await visit.heard()
        target = visit.node.all_nodes[number - 1]
        visit.say(NotLeader(NodeId(number), target.address))
        await trio.sleep_forever()

    return script


@pytest.mark.parametrize(
    "script",
    [says_nothing, greets_and_hangs, speaks_nonsense, speaks_nonsense_later, hangs_up, knows_no_leader, refuses],
    ids=lambda script: script.__name__,
)
async def test_a_node_that_does_not_help_is_left_for_another(script: Script) -> None:
    """Whichever comes first, the one that leads is found, and everything is sent there."""
    async with scripted_nodes(script, leads, script) as nodes, connect([node.address for node in nodes]) as client:
        assert (await client.submit(b"a", timeout=TIMEOUT_S)).reply == b"reply"
        assert await client.query(b"a", timeout=TIMEOUT_S) == b"answer"
        assert [commands.payloads for commands in nodes[1].commands] == [[b"a"]]


async def test_one_endpoint_is_enough() -> None:
    """The others are learned from it, and it says where the leader is."""
    async with scripted_nodes(points_to(3), says_nothing, leads) as nodes, connect([nodes[0].address]) as client:
        assert (await client.submit(b"a", timeout=TIMEOUT_S)).reply == b"reply"
        assert nodes[1].visits == 0


@pytest.mark.parametrize(
    ("script", "reason"),
    [
        (says_nothing, "timed out"),
        (greets_and_hangs, "does not answer|has not answered"),
        (speaks_nonsense, "no frame"),
        (refuses, "another cluster"),
        (knows_no_leader, "knows no leader|waits for a leader"),
    ],
    ids=lambda value: getattr(value, "__name__", ""),
)
async def test_the_error_says_what_is_wrong_with_each_node(script: Script, reason: str) -> None:
    """A person sees at once whether to start a node, mend an address or wait."""
    async with scripted_nodes(script) as (node,), connect([node.address]) as client:
        with pytest.raises((Unavailable, OutcomeUnknown)) as caught:
            await client.query(b"a", timeout=1.3)
        assert node.address in str(caught.value)
        assert re.search(reason, str(caught.value))


async def test_a_slow_node_is_not_a_hung_one() -> None:
    """As long as it answers pings its clients wait, and nothing is sent twice."""
    is_late = trio.Event()

    async def answers_late(visit: Visit) -> None:
        visit.welcome()
        kept = []
        pings = 0
        while pings < 3:
            for message in await visit.heard():
                if isinstance(message, Ping):
                    pings += 1
                    visit.say(Pong(message.nonce))
                elif is_late.is_set():
                    kept.append(message)
                else:
                    visit.answer(message)
                    is_late.set()
        for message in kept:
            visit.answer(message)
        await visit.serve()

    async with scripted_nodes(answers_late) as (node,), connect([node.address]) as client:
        assert (await client.submit(b"a", timeout=TIMEOUT_S)).reply == b"reply"
        assert node.visits == 1
        assert len(node.commands) == 1


async def test_nodes_that_point_at_each_other_are_not_stormed() -> None:
    """Both believe the other leads, as they may for a moment: the client waits between its visits."""
    async with scripted_nodes(points_to(2), points_to(1)) as nodes, connect([node.address for node in nodes]) as client:
        with pytest.raises(Unavailable):
            await client.query(b"a", timeout=1.0)
        assert sum(node.visits for node in nodes) < 100


async def test_a_node_that_comes_to_lead_itself_says_so() -> None:
    """What it did not take before it is sent again, over the same connection."""

    async def comes_to_lead(visit: Visit) -> None:
        visit.welcome()
        await visit.heard()
        visit.say(NotLeader(NodeId(0), ""))
        visit.say(NotLeader(NodeId(1), visit.node.address))
        await visit.serve()

    async with scripted_nodes(comes_to_lead) as (node,), connect([node.address]) as client:
        assert (await client.submit(b"a", timeout=TIMEOUT_S)).reply == b"reply"
        assert node.visits == 1


async def test_a_client_keeps_to_the_cluster_it_has_met() -> None:
    """Its next greeting names the cluster, so that a node of another one can refuse it."""
    hellos = []

    async def leads_for_a_while(visit: Visit) -> None:
        hellos.append(visit.hello)
        visit.welcome()
        for _ in range(2):
            for message in await visit.heard():
                visit.answer(message)

    async with scripted_nodes(leads_for_a_while) as (node,), connect([node.address], name="me") as client:
        for _ in range(3):
            await client.submit(b"a", timeout=TIMEOUT_S)
    assert [hello.cluster for hello in hellos[:2]] == [b"", CLUSTER]
    assert {hello.name for hello in hellos} == {"me"}


async def test_a_cancelled_caller_leaves_the_others_alone() -> None:
    """Its command is sent or not; the connection and the other callers go on."""
    async with scripted_nodes(leads) as (node,), connect([node.address]) as client:
        with trio.move_on_after(0.0):
            await client.submit(b"cancelled", timeout=TIMEOUT_S)
        with trio.move_on_after(0.0):
            await client.query(b"cancelled", timeout=TIMEOUT_S)
        assert (await client.submit(b"a", timeout=TIMEOUT_S)).reply == b"reply"
        assert await client.query(b"a", timeout=TIMEOUT_S) == b"answer"
        assert node.visits == 1
