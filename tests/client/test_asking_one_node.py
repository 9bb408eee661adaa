"""One given node is asked, whoever leads, from programs of either kind."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

import pytest
import trio

import replog
from replog.errors import CommandFailed, OutcomeUnknown, Refused, Unavailable
from replog.paxos.ballot import NodeId, Slot
from replog.wire.client_messages import (
    ClientMessage,
    NodeMessage,
    NotLeader,
    Query,
    QueryAnswers,
    Status,
    StatusRequest,
    TransferAnswer,
    TransferRequest,
)
from replog.wire.status import NodeStatus, encode_status

from .scripted_nodes import Script, Visit, scripted_nodes
from .test_finding_the_leader import greets_and_hangs, refuses


def answers(*replies: NodeMessage) -> Script:
    async def script(visit: Visit) -> None:
        visit.welcome()
        await visit.heard()
        visit.say(*replies)
        await visit.heard()

    return script


async def follows(visit: Visit) -> None:
    """A node that does not lead."""
    visit.welcome()
    for message in await visit.heard():
        visit.say(_of_a_follower(message))
    await visit.heard()


def _of_a_follower(message: ClientMessage) -> NodeMessage:
    match message:
        case StatusRequest():
            return Status(message.request, encode_status(NodeStatus(node="n1", cluster_id="")))
        case Query(is_stale=True):
            return QueryAnswers(message.first_id, Slot(7), [b"answer"])
        case TransferRequest():
            return NotLeader(NodeId(2), "127.0.0.1:2")
    raise AssertionError(message)


async def test_a_node_that_does_not_lead_answers_for_itself() -> None:
    """Its status and its own state; leadership it has not to give."""
    async with scripted_nodes(follows) as (node,):
        assert (await replog.ask_status(node.address)).node == "n1"
        assert await replog.ask_query(node.address, b"a") == (b"answer", 7)
        with pytest.raises(Refused, match="n2 does"):
            await replog.ask_transfer(node.address, "n3")


async def test_an_asyncio_program_asks_as_well() -> None:
    """The same function, in the other event loop."""
    async with scripted_nodes(follows) as (node,):

        async def program() -> str:
            return (await replog.ask_status(node.address)).node

        assert await trio.to_thread.run_sync(asyncio.run, program()) == "n1"


@pytest.mark.parametrize(
    ("script", "error"),
    [
        (answers(TransferAnswer(1, False, "it is far behind")), Refused),
        (answers(TransferAnswer(1, True, "")), None),
        (greets_and_hangs, OutcomeUnknown),
        (refuses, Unavailable),
    ],
    ids=["no", "yes", "hangs", "refuses"],
)
async def test_what_came_of_asking_for_a_hand_over(script: Script, error: type[Exception] | None) -> None:
    """Yes, no, or nobody knows."""
    async with scripted_nodes(script) as (node,):
        if error is None:
            await replog.ask_transfer(node.address, timeout=0.3)
        else:
            with pytest.raises(error):
                await replog.ask_transfer(node.address, timeout=0.3)


@pytest.mark.parametrize(
    ("ask", "error"),
    [
        (lambda address: replog.ask_status(address, timeout=0.3), Unavailable),
        (lambda address: replog.ask_query(address, b"a", timeout=0.3), Unavailable),
        (lambda address: replog.ask_query(address, "a"), TypeError),  # type: ignore[arg-type]
        (lambda address: replog.ask_status(address, timeout=-1.0), ValueError),
        (lambda address: replog.ask_transfer(address, "me"), ValueError),
        (lambda _: replog.ask_status("nonsense"), ValueError),
        (lambda _: replog.ask_query("a..b:1", b"a"), ValueError),
        (lambda _: replog.ask_transfer("node:99999"), ValueError),
        (lambda _: replog.ask_status("127.0.0.1:9"), Unavailable),
    ],
)
async def test_asking_says_what_is_wrong(ask: Callable[[str], Awaitable[object]], error: type[Exception]) -> None:
    """In errors of the library, and at once where the question makes no sense."""
    async with scripted_nodes(greets_and_hangs) as (node,):
        with pytest.raises(error):
            await ask(node.address)


async def test_a_query_that_raises_there_is_told() -> None:
    """With the words of the node."""
    async with scripted_nodes(answers(QueryAnswers(1, Slot(7), [b"ValueError: no"], [0]))) as (node,):
        with pytest.raises(CommandFailed) as caught:
            await replog.ask_query(node.address, b"a")
        assert caught.value.text == "ValueError: no"
