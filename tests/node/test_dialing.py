"""Connecting to a name: several addresses, several attempts, and packets that vanish."""

from __future__ import annotations

import socket
import sys
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from typing import Any

import pytest
import trio

from replog.wire.dialing import ATTEMPT_S, connected_socket

from .stage import DEADLINE_S, eventually

NAME = "three.addresses.test"
SYN_SENT = "02"
FULL, LIVE, NOBODY = "127.0.0.2", "127.0.0.3", "127.0.0.4"


class Names(trio.abc.HostnameResolver):
    """A name with addresses of our choice."""

    def __init__(self) -> None:
        self.hosts: Sequence[str] = ()
        self.looked_up = 0

    async def getaddrinfo(self, host: Any, port: Any, *_: Any, **__: Any) -> list[Any]:
        self.looked_up += 1
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (one, port)) for one in self.hosts]

    async def getnameinfo(self, *_: Any) -> Any:
        raise AssertionError("nobody asks")


@asynccontextmanager
async def names(*hosts: str) -> AsyncIterator[Names]:
    known = Names()
    known.hosts = hosts
    before = trio.socket.set_custom_hostname_resolver(known)
    try:
        yield known
    finally:
        trio.socket.set_custom_hostname_resolver(before)


class Deaf:
    """A port whose queue of connections is full: the kernel drops what else comes, as a firewall would."""

    def __init__(self, host: str) -> None:
        self.host = host
        self._listener = socket.socket()
        self._listener.bind((host, 0))
        self._listener.listen(0)
        self._listener.setblocking(False)
        self.port = self._listener.getsockname()[1]
        self._in_queue = [socket.create_connection((host, self.port))]

    @property
    def attempts(self) -> int:
        """How many connections to it are asked for at this moment, and not answered."""
        target = f"{int.from_bytes(socket.inet_aton(self.host), sys.byteorder):08X}:{self.port:04X}"
        rows = [line.split() for line in Path("/proc/net/tcp").read_text().splitlines()]
        return sum(row[2] == target and row[3] == SYN_SENT for row in rows)

    def listen(self) -> None:
        """Take who waits: there is room again."""
        self._in_queue.append(self._listener.accept()[0])

    def close(self) -> None:
        for one in (*self._in_queue, self._listener):
            one.close()


@contextmanager
def deaf(host: str = FULL) -> Iterator[Deaf]:
    port = Deaf(host)
    try:
        yield port
    finally:
        port.close()


@pytest.mark.parametrize("hosts", [(FULL, LIVE), (LIVE, FULL), (FULL, NOBODY, LIVE)])
async def test_an_address_where_packets_vanish_hides_no_other(hosts: tuple[str, ...]) -> None:
    """Each gets an attempt of its own, beside those under way."""
    with deaf() as port, socket.socket() as live:
        live.bind((LIVE, port.port))
        live.listen()
        async with names(*hosts):
            with trio.fail_after(DEADLINE_S):
                sock = await connected_socket(NAME, port.port)
            assert sock.getpeername()[0] == LIVE
            sock.close()


async def test_a_path_that_works_again_is_found_by_another_attempt() -> None:
    """The kernel repeats the first packet ever more rarely; so attempts go on beside the first."""
    with deaf() as port:
        found: list[socket.socket] = []

        async def connect() -> None:
            found.append(await connected_socket(FULL, port.port))

        async with trio.open_nursery() as nursery:
            nursery.start_soon(connect)
            await eventually(lambda: port.attempts >= 3)
            port.listen()
        assert port.attempts == 0
        found[0].close()


async def test_when_every_address_has_said_no_the_last_no_is_raised() -> None:
    """At once, with nothing left open."""
    async with names(NOBODY, LIVE):
        with pytest.raises(ConnectionRefusedError):
            await connected_socket(NAME, 9)


async def test_a_name_without_addresses_is_an_os_error() -> None:
    """As if nobody were there."""
    async with names():
        with pytest.raises(OSError, match="no address"):
            await connected_socket(NAME, 9)


async def test_who_gives_up_leaves_no_attempt_behind() -> None:
    """Every socket is closed, which pytest would notice, and the deadline is the caller's."""
    with deaf() as port, pytest.raises(trio.TooSlowError), trio.fail_after(2.5 * ATTEMPT_S):
        await connected_socket(FULL, port.port)
