"""Connecting to a node as a client; under trio and asyncio alike.

It knows the greeting and nothing of sessions: what goes over the link afterwards is its user's matter.

Never: look for the leader.
"""

from __future__ import annotations

import errno
import itertools
import os
import socket
from typing import Any

import anyio

from ..addresses import split_address
from ..errors import Refused
from .codec import HELLO_BYTES_MAX, Hello, Kind, Welcome, decode_payload, encode_frame
from .link import Link

DIAL_TIMEOUT_S = 0.5
ATTEMPT_S = 0.25
"""So long an attempt to connect has for itself before another one is begun beside it."""
FRAME_BYTES_MAX = 64 * 2**20
LINK_UNSENT_BYTES_MAX = 64 * 2**20

_WELCOME = frozenset({Kind.WELCOME})
_NODE = frozenset({Kind.NODE})

_Address = tuple[socket.AddressFamily, socket.SocketKind, int, str, Any]
"""What ``getaddrinfo`` says of one address."""


async def dial(address: str, cluster: bytes, name: str, *, timeout_s: float = DIAL_TIMEOUT_S) -> tuple[Link, Welcome]:
    """Connect and greet.

    Raises
    ------
    ValueError: the address is none.
    OSError, TimeoutError, LinkClosed, FrameError: nobody is there, or nobody who speaks this protocol.
    Refused: the node does not let this client in.
    """
    with anyio.fail_after(timeout_s):
        sock = await connected_socket(*split_address(address))
        link, welcome = await greet(sock, cluster, name)
    if welcome.refusal:
        link.close()
        raise Refused(welcome.refusal)
    return link, welcome


async def greet(sock: socket.socket, cluster: bytes, name: str) -> tuple[Link, Welcome]:
    """Greet over a connected socket, which is the link's from here on; the welcome may hold a refusal.

    Raises ``LinkClosed`` and ``FrameError``.
    """
    link = Link(sock, _WELCOME, payload_bytes_max=HELLO_BYTES_MAX, write_buffer_bytes_max=LINK_UNSENT_BYTES_MAX)
    try:
        link.write(encode_frame(Kind.HELLO, Hello(cluster, 0, b"", name)))
        frames = await link.receive()
        welcome = decode_payload(Kind.WELCOME, frames[0][1], Welcome)
    except BaseException:
        link.close()
        raise
    link.expect(_NODE, FRAME_BYTES_MAX)
    return link, welcome


def told_address(address: str) -> tuple[str, int]:
    """Host and port of an address that a node may have told: one that can't be is nobody there, an ``OSError``."""
    try:
        return split_address(address)
    except ValueError as error:
        raise OSError(str(error)) from None


async def connected_socket(host: str, port: int) -> socket.socket:
    """A plain socket, connected; the caller bounds how long that may take.

    The kernel repeats a packet that was lost after a second, and then ever more rarely; so another attempt is begun
    each ``ATTEMPT_S``, to the next one of the name's addresses, beside those under way. The first that is answered
    counts: a path that works again is found at once, and an address where nobody is hides no other.

    Raises ``OSError`` of the last address, once each has said no.
    """
    addresses = await _addresses_of(host, port)
    attempts = _Attempts(len(addresses))
    try:
        async with anyio.create_task_group() as tasks:
            for address in itertools.cycle(addresses):
                if address[-1] in attempts.refused:
                    continue
                tasks.start_soon(attempts.make, address)
                with anyio.move_on_after(ATTEMPT_S):
                    await attempts.news.wait()
                if attempts.is_over:
                    break
                attempts.news = anyio.Event()
            tasks.cancel_scope.cancel()
    except BaseException:
        if attempts.connected is not None:
            attempts.connected.close()
        raise
    if attempts.connected is None:
        raise attempts.failure
    return attempts.connected


class _Attempts:
    """To connect to one of ``count`` addresses, several at a time."""

    def __init__(self, count: int) -> None:
        self._count = count
        self.connected: socket.socket | None = None
        self.refused: set[Any] = set()
        self.failure = OSError("the name has no address")
        self.news = anyio.Event()

    @property
    def is_over(self) -> bool:
        return self.connected is not None or len(self.refused) == self._count

    async def make(self, address: _Address) -> None:
        family, kind, protocol, _, where = address
        try:
            sock = await _connected(socket.socket(family, kind, protocol), where)
        except OSError as error:
            self.failure = error
            self.refused.add(where)
        else:
            if self.connected is None:
                self.connected = sock
            else:
                sock.close()
        self.news.set()


async def _addresses_of(host: str, port: int) -> list[_Address]:
    try:
        found = await anyio.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    except UnicodeError as error:  # no name at all, like "a..b"
        raise socket.gaierror(socket.EAI_NONAME, "unknown host") from error
    if not found:
        raise OSError(f"{host} has no address")
    return list({address[-1]: address for address in found}.values())


async def _connected(sock: socket.socket, where: Any) -> socket.socket:
    try:
        sock.setblocking(False)
        code = sock.connect_ex(where)
        if code == errno.EINPROGRESS:
            await anyio.wait_writable(sock)
            code = sock.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
        if code:
            raise OSError(code, os.strerror(code))
    except BaseException:
        sock.close()
        raise
    return sock
