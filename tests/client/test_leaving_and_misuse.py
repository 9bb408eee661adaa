"""A client that was left, made wrongly or used in the wrong place says so; nobody waits for ever, and what the program
raises is the program's."""

from __future__ import annotations

import asyncio
import math
import os
import subprocess
import sys
import threading
import time
from collections.abc import AsyncIterator, Callable
from contextlib import aclosing, asynccontextmanager
from typing import Any

import pytest
import trio

import replog
from replog import blocking
from replog.apply.submissions import OpenSession, decode_submission
from replog.client import ClientOptions, connect
from replog.errors import OutcomeUnknown, ReplogError, Unavailable
from replog.wire.client_messages import Submit

from .scripted_nodes import ScriptedNode, Visit, scripted_nodes
from .test_finding_the_leader import leads

NOBODY = ["127.0.0.1:9"]


async def opens_and_hangs(visit: Visit) -> None:
    """Gives a session and never a reply."""
    visit.welcome()
    while True:
        for message in await visit.heard():
            if isinstance(message, Submit) and isinstance(decode_submission(message.submission), OpenSession):
                visit.answer(message)


@asynccontextmanager
async def one_node(script: Callable[[Visit], Any] = leads) -> AsyncIterator[ScriptedNode]:
    async with scripted_nodes(script) as (node,):
        yield node


# --- the door ---


@pytest.mark.parametrize(
    "payload", ["text", 7, None, bytearray(b"a"), memoryview(b"a")], ids=lambda value: type(value).__name__
)
async def test_only_bytes_are_taken(payload: Any) -> None:
    """Anything else is the caller's mistake, said at once; the client goes on serving the others."""
    async with one_node() as node, connect([node.address]) as client:
        for call in (client.submit, client.query):
            with pytest.raises(TypeError, match="bytes"):
                await call(payload)
        with pytest.raises(TypeError, match="bytes"):
            await client.submit_many([b"a", payload])
        with pytest.raises(TypeError, match="bytes"):
            await client.submit_many(b"abc")  # type: ignore[arg-type]
        assert (await client.submit(b"a")).reply == b"reply"
        assert [commands.payloads for commands in node.commands] == [[b"a"]]


@pytest.mark.parametrize("timeout", [math.nan, -1.0, -math.inf])
async def test_a_timeout_that_would_never_come_is_refused(timeout: float) -> None:  # noqa: ASYNC109 - a parameter
    """Not waited for, for ever."""
    async with connect(NOBODY) as client:
        for call in (
            lambda: client.submit(b"a", timeout=timeout),
            lambda: client.submit_many([b"a"], timeout=timeout),
            lambda: client.query(b"a", timeout=timeout),
            lambda: client.status(timeout=timeout),
            lambda: client.transfer_leadership(timeout=timeout),
        ):
            with pytest.raises(ValueError, match="timeout"):
                await call()


async def test_the_default_timeout_is_an_option() -> None:
    """A call that names no deadline has the client's."""
    async with connect(NOBODY, options=ClientOptions(timeout_s=0.1)) as client:
        began_s = trio.current_time()
        with pytest.raises(Unavailable):
            await client.submit(b"a")
        assert trio.current_time() - began_s < 2.0


@pytest.mark.parametrize(
    "wrong",
    [
        {"timeout_s": math.nan},
        {"timeout_s": 0.0},
        {"redial_max_s": 0.001},
        {"hung_after_s": 0.1},
        {"call_bytes_max": 0},
    ],
    ids=str,
)
def test_options_that_can_not_be_meant_are_refused(wrong: dict[str, Any]) -> None:
    """When they are made, not when they do harm."""
    with pytest.raises(ValueError, match=next(iter(wrong))):
        ClientOptions(**wrong)


@pytest.mark.parametrize(
    ("wrong", "error"),
    [
        ({"timeout_s": "1"}, TypeError),
        ({"dial_timeout_s": None}, TypeError),
        ({"timeout_s": True}, TypeError),
        ({"in_flight_commands_max": 1.5}, TypeError),
        ({"call_bytes_max": "1"}, TypeError),
        ({"redirects_max": -1}, ValueError),
        ({"in_flight_commands_max": 2**20}, ValueError),
    ],
    ids=str,
)
def test_an_option_of_the_wrong_kind_is_named(wrong: dict[str, Any], error: type[Exception]) -> None:
    """A number in a text is no number."""
    with pytest.raises(error, match=next(iter(wrong))):
        ClientOptions(**wrong)


@pytest.mark.parametrize(
    ("arguments", "error", "named"),
    [
        (("127.0.0.1:7101",), TypeError, "endpoints"),
        ((b"127.0.0.1:7101",), TypeError, "endpoints"),
        ((7101,), TypeError, "endpoints"),
        ((None,), TypeError, "endpoints"),
        (([("127.0.0.1", 7101)],), TypeError, "endpoints"),
        (([b"127.0.0.1:7101"],), TypeError, "endpoints"),
        (([],), ValueError, "endpoints"),
        ((["127.0.0.1:99999"],), ValueError, "ports are 1 to 65535"),
        ((["a..b:7101"],), ValueError, "no host has this name"),
        ((["a\ud800:7101"],), ValueError, "no host has this name"),
        ((["a\x00:7101"],), ValueError, "no host has this name"),
        ((NOBODY, {"name": 5}), TypeError, "name"),
        ((NOBODY, {"name": b"program"}), TypeError, "name"),
        ((NOBODY, {"name": "\ud800"}), ValueError, "name"),
        ((NOBODY, {"name": "n" * 10_000}), ValueError, "name"),
        ((NOBODY, {"options": {"timeout_s": 1.0}}), TypeError, "options"),
    ],
    ids=ascii,
)
async def test_what_a_client_is_made_of_is_checked(
    arguments: tuple[Any, ...], error: type[Exception], named: str
) -> None:
    """Before it begins, on both faces, with the argument's name."""
    endpoints, others = arguments[0], arguments[1] if len(arguments) > 1 else {}
    with pytest.raises(error, match=named):
        async with connect(endpoints, **others):
            pass
    with pytest.raises(error, match=named), blocking.connect(endpoints, **others):
        pass


CALLS: list[tuple[str, tuple[Any, ...], dict[str, Any], type[Exception], str]] = [
    ("submit", ("text",), {}, TypeError, "payload is bytes"),
    ("submit", (b"a",), {"timeout": "1"}, TypeError, "timeout"),
    ("submit", (b"a",), {"timeout": [1]}, TypeError, "timeout"),
    ("submit", (b"a",), {"timeout": 1j}, TypeError, "timeout"),
    ("submit_many", (5,), {}, TypeError, "payloads"),
    ("submit_many", (None,), {}, TypeError, "payloads"),
    ("submit_many", ("ab",), {}, TypeError, "payloads"),
    ("submit_many", ([b"a", "b"],), {}, TypeError, "payloads"),
    ("query", (None,), {}, TypeError, "request"),
    ("query", (b"a",), {"consistency": "strong"}, ValueError, "consistency"),
    ("query", (b"a",), {"consistency": None}, ValueError, "consistency"),
    ("read", (bytearray(b"a"),), {}, TypeError, "request"),
    ("status", (), {"timeout": "1"}, TypeError, "timeout"),
    ("transfer_leadership", (2,), {}, TypeError, "target"),
    ("transfer_leadership", (None,), {}, TypeError, "target"),
    ("transfer_leadership", ("n0",), {}, ValueError, "n0"),
    ("transfer_leadership", ("n99999999999",), {}, ValueError, "no node"),
    ("transfer_leadership", ("\u0662",), {}, ValueError, "no node"),
    ("follow", ("1",), {}, TypeError, "from_slot"),
    ("follow", (1.5,), {}, TypeError, "from_slot"),
    ("follow", (True,), {}, TypeError, "from_slot"),
    ("follow", (0,), {}, ValueError, "from_slot"),
    ("follow", (2**70,), {}, ValueError, "from_slot"),
]


@pytest.mark.parametrize(("method", "arguments", "others", "error", "named"), CALLS, ids=ascii)
async def test_a_wrong_argument_is_named(
    method: str, arguments: tuple[Any, ...], others: dict[str, Any], error: type[Exception], named: str
) -> None:
    """At once, and nothing is sent: the client goes on serving everybody else."""
    async with connect(NOBODY) as client:
        with trio.fail_after(2.0), pytest.raises(error, match=named):
            await getattr(client, method)(*arguments, **others)
        assert client.reconnects == 0


@pytest.mark.parametrize(("method", "arguments", "others", "error", "named"), CALLS, ids=ascii)
def test_a_wrong_argument_is_named_to_a_thread(
    method: str, arguments: tuple[Any, ...], others: dict[str, Any], error: type[Exception], named: str
) -> None:
    """The same in programs that are not async."""
    with blocking.connect(NOBODY) as client, pytest.raises(error, match=named):
        getattr(client, method)(*arguments, **others)


@pytest.mark.parametrize("ask", [replog.ask_status, replog.ask_query, replog.ask_transfer])
async def test_asking_one_node_names_a_wrong_argument(ask: Callable[..., Any]) -> None:
    """The functions that ask one node have the same door."""
    others = (b"a",) if ask is replog.ask_query else ()
    for wrong in (7101, None, b"127.0.0.1:9", ("127.0.0.1", 9)):
        with pytest.raises(TypeError, match="address"):
            await ask(wrong, *others)
    for timeout, error in (("1", TypeError), (None, TypeError), (math.nan, ValueError)):
        with pytest.raises(error, match="timeout"):
            await ask("127.0.0.1:9", *others, timeout=timeout)


# --- leaving ---


async def test_leaving_ends_every_call() -> None:
    """Sent: maybe done; not sent: definitely not. Later ones raise at once."""
    errors: dict[str, BaseException] = {}

    async def ask(name: str, call: Callable[[], Any]) -> None:
        try:
            await call()
        except ReplogError as error:
            errors[name] = error

    async def follow() -> None:
        async with aclosing(client.follow(1)) as entries:
            async for _ in entries:
                pass

    with trio.fail_after(5.0):
        async with one_node(opens_and_hangs) as node, trio.open_nursery() as nursery:
            async with connect([node.address]) as client, connect(NOBODY) as nowhere:
                nursery.start_soon(ask, "sent", lambda: client.submit(b"a", timeout=math.inf))
                nursery.start_soon(ask, "read", lambda: client.query(b"a", timeout=math.inf))
                nursery.start_soon(ask, "followed", follow)
                nursery.start_soon(ask, "not sent", lambda: nowhere.submit(b"a", timeout=math.inf))
                await trio.sleep(0.1)
            began_s = trio.current_time()
            for call in (client.submit, client.query):
                with pytest.raises(Unavailable, match="left"):
                    await call(b"a")
            with pytest.raises(Unavailable, match="left"):
                await client.submit_many([])
            with pytest.raises(Unavailable, match="left"):
                client.follow(1)
            assert trio.current_time() - began_s < 0.5
    assert isinstance(errors["sent"], OutcomeUnknown)
    assert {name: type(error) for name, error in errors.items() if name != "sent"} == {
        "read": Unavailable,
        "followed": Unavailable,
        "not sent": Unavailable,
    }


async def test_a_client_that_was_never_entered_says_so() -> None:
    """It has no tasks, so it can't keep a deadline."""
    client = replog.Client(NOBODY)
    with trio.fail_after(2.0), pytest.raises(RuntimeError, match="connect"):
        await client.submit(b"a", timeout=0.1)


async def test_a_client_serves_one_event_loop() -> None:
    """A call from another loop or thread is told so, instead of waiting for ever."""
    async with connect(NOBODY) as client:

        def elsewhere() -> None:
            with pytest.raises(RuntimeError, match="blocking"):
                asyncio.run(client.submit(b"a", timeout=0.1))
            with pytest.raises(RuntimeError, match="blocking"):
                trio.run(client.query, b"a")

        with trio.fail_after(5.0):
            await trio.to_thread.run_sync(elsewhere)


def test_an_asyncio_client_serves_one_event_loop() -> None:
    """The same where the loop it was made in has ended without leaving it."""
    client: Any = None

    async def make() -> None:
        nonlocal client
        client = await connect(NOBODY).__aenter__()
        await asyncio.sleep(0.05)

    asyncio.run(make())
    with pytest.raises((RuntimeError, Unavailable)):
        asyncio.run(asyncio.wait_for(client.submit(b"a", timeout=0.1), 2.0))


# --- what the program raises ---


@pytest.mark.parametrize("failure", [KeyboardInterrupt, SystemExit, ExceptionGroup, KeyError])
@pytest.mark.parametrize("run", ["trio", "asyncio"])
def test_what_the_block_raises_comes_out_as_it_is(failure: type[BaseException], run: str) -> None:
    """Whatever it is, it is not wrapped in a group."""
    raised = failure("mine", [KeyError()]) if failure is ExceptionGroup else failure("mine")

    async def program() -> None:
        async with connect(NOBODY):
            raise raised

    with pytest.raises(failure) as caught:
        trio.run(program) if run == "trio" else asyncio.run(program())
    assert caught.value is raised


@pytest.mark.parametrize("is_used", [True, False])
def test_a_group_inside_the_block_comes_out_as_it_is(is_used: bool) -> None:
    """An exception of an asyncio task group is that group's, whether there is a connection or not."""

    async def fail() -> None:
        await asyncio.sleep(0.01)
        raise KeyError("mine")

    async def program() -> None:
        async with connect(NOBODY) as client, asyncio.TaskGroup() as group:
            group.create_task(fail())
            if is_used:
                group.create_task(client.submit(b"a"))
            await asyncio.sleep(5.0)

    with pytest.raises(ExceptionGroup) as caught:
        asyncio.run(program())
    assert [type(error) for error in caught.value.exceptions] == [KeyError]


@pytest.mark.parametrize("run", ["trio", "asyncio"])
def test_a_cancelled_block_is_left_in_order(run: str) -> None:
    """Cancelled from outside, it ends at once and the cancellation goes on."""

    async def in_trio() -> str:
        with trio.move_on_after(0.05):
            async with connect(NOBODY) as client:
                await client.submit(b"a")
        return "cancelled"

    async def in_asyncio() -> str:
        try:
            async with asyncio.timeout(0.05), connect(NOBODY) as client:
                await client.submit(b"a")
        except TimeoutError:
            return "cancelled"
        return ""

    began_s = time.monotonic()
    assert (trio.run(in_trio) if run == "trio" else asyncio.run(in_asyncio())) == "cancelled"
    assert time.monotonic() - began_s < 3.0


# --- processes and threads ---


def in_a_process(program: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", program, *arguments], capture_output=True, text=True, timeout=30.0, check=True
    )


def test_a_blocking_client_that_is_never_closed_lets_the_program_end() -> None:
    """A script that ends, ends."""
    program = """
import replog.blocking
kept = replog.blocking.connect(["127.0.0.1:9"])
client = kept.__enter__()
try:
    client.submit(b"a", timeout=0.1)
except replog.Unavailable:
    print("done")
"""
    assert in_a_process(program).stdout.strip() == "done"


def test_a_client_made_before_a_fork_says_so_in_the_child() -> None:
    """Its thread is the parent's; the child is told to make its own, and can leave the block and end."""
    program = """
import os, sys, replog.blocking
with replog.blocking.connect(["127.0.0.1:9"]) as client:
    child = os.fork()
    if not child:
        try:
            client.submit(b"a", timeout=0.1)
        except RuntimeError as error:
            print(error, flush=True)
    else:
        os.waitpid(child, 0)
"""
    assert "fork" in in_a_process(program).stdout


def test_an_async_client_made_before_a_fork_says_so_in_the_child() -> None:
    """The connection is the parent's, and the child must not write to it."""
    program = """
import os, trio, replog
async def main():
    async with replog.connect(["127.0.0.1:9"]) as client:
        child = os.fork()
        if not child:
            try:
                await client.submit(b"a", timeout=0.1)
            except RuntimeError as error:
                print(error, flush=True)
            os._exit(0)
        os.waitpid(child, 0)
trio.run(main)
"""
    assert "fork" in in_a_process(program).stdout


async def test_leaving_a_blocking_client_ends_the_calls_of_other_threads() -> None:
    """The block ends though other threads wait, and they hear what became of their calls; later calls raise at once."""
    errors: list[BaseException] = []

    def submit(client: blocking.Client) -> None:
        while True:
            try:
                client.submit(b"a", timeout=math.inf)
            except ReplogError as error:
                errors.append(error)
                if len(errors) > 20:
                    return

    def program(address: str) -> None:
        with blocking.connect([address]) as client:
            threads = [threading.Thread(target=submit, args=(client,), daemon=True) for _ in range(5)]
            for thread in threads:
                thread.start()
            time.sleep(0.2)
        for thread in threads:
            thread.join(5.0)
            assert not thread.is_alive()
        with pytest.raises(Unavailable, match="left"):
            client.query(b"a")

    with trio.fail_after(15.0):
        async with one_node(opens_and_hangs) as node:
            await trio.to_thread.run_sync(program, node.address)
    assert sum(isinstance(error, OutcomeUnknown) for error in errors) == 5
    assert all(isinstance(error, OutcomeUnknown | Unavailable) for error in errors)


def test_a_blocking_program_keeps_its_own_exceptions() -> None:
    """Also those that end it."""
    for failure in (KeyboardInterrupt("mine"), SystemExit(3), KeyError("mine")):
        with pytest.raises(type(failure)) as caught, blocking.connect(NOBODY):
            raise failure
        assert caught.value is failure
    assert not [thread for thread in threading.enumerate() if thread.name == "replog client"]


def test_a_process_that_only_imports_the_client_may_fork() -> None:
    """Nothing is watched before there is a client."""
    child = os.fork()
    if not child:
        os._exit(0)
    assert os.waitpid(child, 0)[1] == 0
