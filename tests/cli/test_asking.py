"""One question to one node, and why there was no answer."""

from __future__ import annotations

import pytest

from replog.wire.asking import ask
from replog.wire.client_messages import Status, StatusRequest
from replog.wire.status import decode_status

from .fake_nodes import fake_cluster


async def test_a_node_answers_about_itself() -> None:
    """The greeting and the answer both arrive."""
    with fake_cluster(1) as (node,):
        answer = await ask(node.address, StatusRequest(1), Status, timeout_s=5.0)
    assert answer.problem == ""
    assert answer.welcome is not None
    assert answer.reply is not None
    assert decode_status(answer.reply.report) == node.report()


@pytest.mark.parametrize(
    ("mood", "problem"),
    [
        ("hangs_up", "closed the connection"),
        ("resets", "closed the connection"),
        ("refuses", "too many connections"),
        ("babbles", "these bytes are no frame: is something else speaking to this port?"),
    ],
)
async def test_why_there_is_no_answer_is_said_in_words(mood: str, problem: str) -> None:
    """What an operator reads is the reason, not an exception's name."""
    with fake_cluster(1) as (node,):
        node.mood = mood
        answer = await ask(node.address, StatusRequest(1), Status, timeout_s=5.0)
    assert (answer.reply, answer.problem) == (None, problem)


async def test_a_node_that_hangs_is_told_from_a_machine_that_is_away() -> None:
    """The kernel of a machine whose process hangs still takes connections."""
    with fake_cluster(1) as (node,):
        node.mood = "hangs"
        answer = await ask(node.address, StatusRequest(1), Status, timeout_s=0.2)
    assert answer.problem == "accepts connections but does not answer"


async def test_a_closed_port_refuses() -> None:
    """The machine is up, the process is not."""
    with fake_cluster(1) as (node,):
        address = node.address
    answer = await ask(address, StatusRequest(1), Status, timeout_s=5.0)
    assert answer.problem == "connection refused"


async def test_an_answer_may_be_as_large_as_a_frame() -> None:
    """What a node may say, a command can read: there is one bound for both ends."""
    with fake_cluster(1) as (node,):
        node.status = {"version": "x" * (9 * 2**20)}
        answer = await ask(node.address, StatusRequest(1), Status, timeout_s=30.0)
    assert answer.problem == ""


@pytest.mark.parametrize("address", ["node:99999", "my\u2011host:7101", "a..b:7101"])
async def test_an_address_that_a_node_told_may_be_none(address: str) -> None:
    """Nobody is there, and the answer says why; the command goes on to the other nodes."""
    answer = await ask(address, StatusRequest(1), Status, timeout_s=5.0)
    assert answer.reply is None
    assert answer.problem.startswith(repr(address))
