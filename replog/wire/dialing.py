"""Connecting to a node as a client; under trio and asyncio alike.

It knows the greeting and nothing of sessions: what goes over the link afterwards is its user's matter.

Never: look for the leader.
"""

from __future__ import annotations

import errno
import itertools
import math
import os
import socket

import anyio

from ..addresses import split_address
from ..errors import Refused
from .codec import HELLO_BYTES_MAX, Hello, Kind, Welcome, decode_payload, encode_frame
from .link import Link, LinkClosed
from .names import NAMES, Address

DIAL_TIMEOUT_S = 0.5
ATTEMPT_S = 0.25
"""So long an attempt to connect has for itself before another one is begun beside it."""
FRAME_BYTES_MAX = 64 * 2**20
LINK_UNSENT_BYTES_MAX = 64 * 2**20

STILL_LOOKING = "its name is still being looked up"

_WELCOME = frozenset({Kind.WELCOME})
_NODE = frozenset({Kind.NODE})


async def dial(address: str, cluster: bytes, name: str, *, timeout_s: float = DIAL_TIMEOUT_S) -> tuple[Link, Welcome]:
    """Connect and greet.

    Parameters
    ----------
    timeout_s: for each of three: to look the name up, if nothing is known of it yet, to connect, and to be answered.

    Raises
    ------
    ValueError: the address is none.
    OSError, TimeoutError, LinkClosed, FrameError: nobody is there, or nobody who speaks this protocol.
    Refused: the node does not let this client in.
    """
    sock = await connected_socket(*split_address(address), timeout_s=timeout_s)
    with anyio.fail_after(timeout_s):
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


def in_words(error: BaseException) -> str:
    """Why a connection failed, as an operator would say it."""
    match error:
        case LinkClosed():
            return "closed the connection"
        case OSError(errno=errno.ECONNREFUSED):
            return "connection refused"
        case OSError(errno=errno.EHOSTUNREACH | errno.ENETUNREACH):
            return "unreachable"
        case OSError(strerror=str() as text):
            return text.lower()
    return str(error) or ("timed out" if isinstance(error, TimeoutError) else type(error).__name__)


async def connected_socket(host: str, port: int, *, timeout_s: float = math.inf) -> socket.socket:
    """A plain socket, connected.

    Parameters
    ----------
    timeout_s: to look the name up, if nothing is known of it yet, and again to connect.

    Raises
    ------
    UnknownHost: the name stands for nothing.
    TimeoutError: the one or the other took too long; the text says which.
    OSError: each address has said no; this is the last one's.
    """
    try:
        with anyio.fail_after(timeout_s):
            addresses = await NAMES.addresses_of(host)
    except TimeoutError:
        raise TimeoutError(STILL_LOOKING) from None
    try:
        with anyio.fail_after(timeout_s):
            return await _first_connected(host, port, addresses)
    except TimeoutError as error:
        raise error if error.errno else TimeoutError("timed out") from None


async def _first_connected(host: str, port: int, addresses: list[Address]) -> socket.socket:
    """The kernel repeats a packet that was lost after a second, and then ever more rarely; so another attempt is begun
    each ``ATTEMPT_S``, to the next one of the name's addresses, beside those under way. The first that is answered
    counts: a path that works again is found at once, and an address where nobody is hides no other.
    """
    attempts = _Attempts(len(addresses))
    try:
        async with anyio.create_task_group() as tasks:
            for address in itertools.cycle(addresses):
                if address in attempts.refused:
                    continue
                NAMES.put_last(host, address)
                tasks.start_soon(attempts.make, address, port)
                with anyio.move_on_after(ATTEMPT_S):
                    await attempts.news.wait()
                if attempts.is_over:
                    break
                attempts.news = anyio.Event()
            tasks.cancel_scope.cancel()
    except BaseException:
        if attempts.connected is not None:
            attempts.connected[1].close()
        raise
    if attempts.connected is None:
        raise attempts.failure
    address, sock = attempts.connected
    NAMES.put_first(host, address)
    return sock


class _Attempts:
    """To connect to one of ``count`` addresses, several at a time."""

    def __init__(self, count: int) -> None:
        self._count = count
        self.connected: tuple[Address, socket.socket] | None = None
        self.refused: set[Address] = set()
        self.failure = OSError()
        self.news = anyio.Event()

    @property
    def is_over(self) -> bool:
        return self.connected is not None or len(self.refused) == self._count

    async def make(self, address: Address, port: int) -> None:
        try:
            sock = await _connected(address, port)
        except OSError as error:
            self.failure = error
            self.refused.add(address)
        else:
            if self.connected is None:
                self.connected = address, sock
            else:
                sock.close()
        self.news.set()


async def _connected(address: Address, port: int) -> socket.socket:
    sock = socket.socket(address.family, socket.SOCK_STREAM)
    try:
        sock.setblocking(False)
        code = sock.connect_ex(address.at(port))
        if code == errno.EINPROGRESS:
            await anyio.wait_writable(sock)
            code = sock.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
        if code:
            raise OSError(code, os.strerror(code))
    except BaseException:
        sock.close()
        raise
    return sock
