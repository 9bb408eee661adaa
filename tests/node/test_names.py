"""Looking names up: slowly, in vain, by several at a time, and how what is known survives all of that."""

from __future__ import annotations

import asyncio
import errno
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator

import pytest
import trio

import replog
from replog.wire import names as names_module
from replog.wire.asking import ask
from replog.wire.client_messages import Status, StatusRequest
from replog.wire.dialing import connected_socket
from replog.wire.names import NAMES, Address, Names, UnknownHost, look_up

from .stage import DEADLINE_S, eventually

NAME = "slow.name.test"


class Resolver:
    """Answers when it is let, what it is told to."""

    def __init__(self) -> None:
        self.may_answer = threading.Event()
        self.asked = 0
        self.answer: list[Address] | UnknownHost = [here("127.0.0.1")]

    def __call__(self, host: str) -> list[Address]:
        self.asked += 1
        assert self.may_answer.wait(DEADLINE_S)
        if isinstance(self.answer, UnknownHost):
            raise self.answer
        return self.answer


def here(ip: str) -> Address:
    return Address(socket.AF_INET, ip)


@pytest.fixture
def resolver(monkeypatch: pytest.MonkeyPatch) -> Iterator[Resolver]:
    resolver = Resolver()
    monkeypatch.setattr(names_module, "look_up", resolver)
    monkeypatch.setattr(NAMES, "_known", {})
    yield resolver
    resolver.may_answer.set()


async def test_many_who_ask_for_one_name_share_a_lookup(resolver: Resolver) -> None:
    """And all have its answer."""
    names = Names()
    answers: list[list[Address]] = []

    async def one() -> None:
        answers.append(await names.addresses_of(NAME))

    async with trio.open_nursery() as nursery:
        for _ in range(20):
            nursery.start_soon(one)
        await eventually(lambda: resolver.asked == 1)
        resolver.may_answer.set()
    assert answers == [[here("127.0.0.1")]] * 20
    assert resolver.asked == 1


async def test_a_lookup_outlives_the_dial_that_began_it(resolver: Resolver) -> None:
    """A resolver slower than any dial is waited for by all of them together, and not begun anew by each."""
    for _ in range(3):
        with pytest.raises(TimeoutError, match="its name is still being looked up"):
            await connected_socket(NAME, 9, timeout_s=0.01)
    resolver.may_answer.set()
    with pytest.raises(ConnectionRefusedError):
        await connected_socket(NAME, 9, timeout_s=DEADLINE_S)
    assert resolver.asked == 1


async def test_while_it_is_looked_up_a_name_is_what_it_was(resolver: Resolver) -> None:
    """A resolver that hangs hides no node that was known."""
    names = Names()
    resolver.may_answer.set()
    await names.addresses_of(NAME)
    resolver.may_answer.clear()
    assert await names.addresses_of(NAME) == [here("127.0.0.1")]
    assert resolver.asked == 2
    assert NAME in names._under_way, "the resolver has been waited for"


async def test_a_failed_lookup_takes_nothing_away(resolver: Resolver) -> None:
    """What was known is still the best guess; a name that was never known is unknown."""
    names = Names()
    resolver.may_answer.set()
    await names.addresses_of(NAME)
    resolver.answer = UnknownHost("unknown host")
    assert await names.addresses_of(NAME) == [here("127.0.0.1")]
    with pytest.raises(UnknownHost, match="unknown host"):
        await names.addresses_of("other.test")


async def test_a_new_answer_counts(resolver: Resolver) -> None:
    """A node that has moved is looked for where it is; what is new is tried first, what is gone no more."""
    names = Names()
    resolver.may_answer.set()
    resolver.answer = [here("127.0.0.1"), here("127.0.0.2")]
    await names.addresses_of(NAME)
    resolver.answer = [here("127.0.0.2"), here("127.0.0.3")]
    assert await names.addresses_of(NAME) == [here("127.0.0.3"), here("127.0.0.2")]


async def test_what_was_connected_to_last_is_tried_first(resolver: Resolver) -> None:
    """Whatever the order of the answers; what is being tried goes behind the others meanwhile."""
    names = Names()
    resolver.may_answer.set()
    resolver.answer = [here("127.0.0.1"), here("127.0.0.2"), here("127.0.0.3")]
    await names.addresses_of(NAME)
    names.put_last(NAME, here("127.0.0.1"))
    names.put_first(NAME, here("127.0.0.3"))
    assert [address.ip[-1] for address in await names.addresses_of(NAME)] == ["3", "2", "1"]


async def test_no_more_names_are_kept_than_the_limit(resolver: Resolver, monkeypatch: pytest.MonkeyPatch) -> None:
    """Some of them are told by nodes."""
    monkeypatch.setattr(names_module, "NAMES_MAX", 3)
    names = Names()
    resolver.may_answer.set()
    for number in range(9):
        await names.addresses_of(f"{number}.test")
    assert list(names._known) == ["6.test", "7.test", "8.test"]


async def test_numbers_are_not_looked_up(resolver: Resolver) -> None:
    """Also those of one interface only."""
    names = Names()
    assert await names.addresses_of("127.0.0.9") == [here("127.0.0.9")]
    assert await names.addresses_of("::1") == [Address(socket.AF_INET6, "::1")]
    assert await names.addresses_of("fe80::1%1") == [Address(socket.AF_INET6, "fe80::1", 1)]
    assert (await names.addresses_of("fe80::1%lo"))[0].at(7) == ("fe80::1", 7, 0, socket.if_nametoindex("lo"))
    with pytest.raises(UnknownHost, match="no network interface nowhere"):
        await names.addresses_of("fe80::1%nowhere")
    assert not resolver.asked


async def test_a_link_local_address_is_dialled_over_its_interface() -> None:
    """Nobody is there, and that is what is said: no invalid argument."""
    with pytest.raises(OSError, match=r"timed out|unreachable|refused|assign") as failed:
        await connected_socket("fe80::1%lo", 9, timeout_s=0.1)
    assert failed.value.errno != errno.EINVAL


@pytest.mark.parametrize(
    ("error", "words"),
    [
        (socket.gaierror(socket.EAI_NONAME, "Name or service not known"), "^unknown host$"),
        (socket.gaierror(socket.EAI_NODATA, "No address associated with hostname"), "^unknown host$"),
        (UnicodeError("label empty or too long"), "^unknown host$"),
        (socket.gaierror(socket.EAI_AGAIN, "Temporary failure in name resolution"), "at the moment .temporary failure"),
    ],
)
def test_why_a_name_stands_for_nothing(monkeypatch: pytest.MonkeyPatch, error: Exception, words: str) -> None:
    """One error, whatever the resolver raises."""

    def fail(*_: object, **__: object) -> None:
        raise error

    monkeypatch.setattr(socket, "getaddrinfo", fail)
    with pytest.raises(UnknownHost, match=words):
        look_up(NAME)


async def test_a_thread_that_can_not_be_had_is_no_defect(monkeypatch: pytest.MonkeyPatch) -> None:
    """The next try may find one."""

    def refuse(_thread: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    with monkeypatch.context() as patch:
        patch.setattr(threading.Thread, "start", refuse)
        names = Names()
        with pytest.raises(UnknownHost, match="can't start new thread"):
            await names.addresses_of("localhost")
    assert await names.addresses_of("localhost")


async def test_who_asks_a_node_by_a_slow_name_is_told_so(resolver: Resolver) -> None:
    """Slow is not away."""
    answer = await ask(f"{NAME}:9", StatusRequest(1), Status, timeout_s=0.01)
    assert answer.problem == "its name is still being looked up"
    resolver.answer = UnknownHost("unknown host")
    resolver.may_answer.set()
    assert (await ask(f"{NAME}:9", StatusRequest(1), Status, timeout_s=DEADLINE_S)).problem == "unknown host"


def test_leaving_a_client_waits_for_no_lookup(resolver: Resolver) -> None:
    """Neither the client nor the loop's own end does; the caller is told what it waited for."""

    async def program() -> None:
        async with replog.connect([f"{NAME}:9"]) as client:
            with pytest.raises(replog.Unavailable, match="its name is still being looked up"):
                await client.submit(b"x", timeout=1.0)

    asyncio.run(program())
    assert not resolver.may_answer.is_set()


def test_a_program_ends_though_a_lookup_hangs() -> None:
    """The thread is nobody's to wait for."""
    program = """
import socket, threading, trio, replog
socket.getaddrinfo = lambda *_, **__: threading.Event().wait()
async def main():
    async with replog.connect(["slow.name.test:9"]) as client:
        await client.submit(b"x", timeout=0.1)
try:
    trio.run(main)
except replog.Unavailable as error:
    print(error)
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=60, check=True)
    assert "slow.name.test:9" in done.stdout


def test_a_forked_child_looks_up_anew(resolver: Resolver) -> None:
    """What its parent's thread was doing comes to nothing there."""
    names = Names()

    async def begin() -> None:
        with trio.move_on_after(0.01):
            await names.addresses_of(NAME)

    trio.run(begin)
    assert names.is_unanswered(NAME)
    names.on_forked()
    resolver.may_answer.set()
    assert trio.run(names.addresses_of, NAME) == [here("127.0.0.1")]
