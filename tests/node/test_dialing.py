"""Connecting to a name: several addresses, several attempts, and packets that vanish."""

from __future__ import annotations

import socket
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import pytest
import trio

from replog.wire import dialing
from replog.wire.dialing import ATTEMPT_S, connected_socket
from replog.wire.names import Address, Names, UnknownHost

from .stage import DEADLINE_S, eventually

NAME = "three.addresses.test"
SYN_SENT = "02"
FULL, LIVE, NOBODY, OTHER_FULL = "127.0.0.2", "127.0.0.3", "127.0.0.4", "127.0.0.5"


@pytest.fixture
def names(monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """Give ``NAME`` addresses of our choice; none: nobody knows it."""
    monkeypatch.setattr(dialing, "NAMES", Names())

    def give(*hosts: str) -> None:
        def look_up(host: str) -> list[Address]:
            if host != NAME or not hosts:
                raise UnknownHost("unknown host")
            return [Address(socket.AF_INET, ip) for ip in hosts]

        monkeypatch.setattr("replog.wire.names.look_up", look_up)

    return give


class Deaf:
    """A port whose queue of connections is full: the kernel drops what else comes, as a firewall would."""

    def __init__(self, host: str, port: int) -> None:
        self.host = host
        self._listener = socket.socket()
        self._listener.bind((host, port))
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
def deaf(host: str = FULL, number: int = 0) -> Iterator[Deaf]:
    port = Deaf(host, number)
    try:
        yield port
    finally:
        port.close()


@contextmanager
def live(port: int) -> Iterator[None]:
    with socket.socket() as listener:
        listener.bind((LIVE, port))
        listener.listen()
        yield


@pytest.mark.parametrize("hosts", [(FULL, LIVE), (LIVE, FULL), (FULL, NOBODY, LIVE)])
async def test_an_address_where_packets_vanish_hides_no_other(names: Callable[..., None], hosts: Sequence[str]) -> None:
    """Each gets an attempt of its own, beside those under way."""
    names(*hosts)
    with deaf() as port, live(port.port):
        with trio.fail_after(DEADLINE_S):
            sock = await connected_socket(NAME, port.port)
        assert sock.getpeername()[0] == LIVE
        sock.close()


async def test_who_had_no_time_for_all_addresses_goes_on_with_the_next_one(names: Callable[..., None]) -> None:
    """However many lead nowhere, and however short a dial is; the one that answered is the first from then on."""
    names(FULL, OTHER_FULL, LIVE)
    with deaf() as port, deaf(OTHER_FULL, port.port), live(port.port):
        for _ in range(2):
            with pytest.raises(TimeoutError, match="timed out"):
                await connected_socket(NAME, port.port, timeout_s=ATTEMPT_S / 2)
        for _ in range(2):
            sock = await connected_socket(NAME, port.port, timeout_s=DEADLINE_S)
            assert sock.getpeername()[0] == LIVE
            sock.close()
        assert port.attempts == 0


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


async def test_when_every_address_has_said_no_the_last_no_is_raised(names: Callable[..., None]) -> None:
    """At once, with nothing left open."""
    names(NOBODY, LIVE)
    with pytest.raises(ConnectionRefusedError):
        await connected_socket(NAME, 9)


async def test_a_name_without_addresses_is_an_unknown_host(names: Callable[..., None]) -> None:
    """As if nobody were there."""
    names()
    with pytest.raises(UnknownHost, match="unknown host"):
        await connected_socket(NAME, 9)


async def test_who_gives_up_leaves_no_attempt_behind() -> None:
    """Every socket is closed, which pytest would notice, and the deadline is the caller's."""
    with deaf() as port, pytest.raises(trio.TooSlowError), trio.fail_after(2.5 * ATTEMPT_S):
        await connected_socket(FULL, port.port)
