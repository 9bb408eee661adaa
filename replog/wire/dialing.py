"""Connecting to a node as a client; under trio and asyncio alike.

It knows the greeting and nothing of sessions: what goes over the link afterwards is its user's matter.

Never: look for the leader.
"""

from __future__ import annotations

import errno
import os
import socket

import anyio

from ..addresses import split_address
from ..errors import Refused
from .codec import HELLO_BYTES_MAX, Hello, Kind, Welcome, decode_payload, encode_frame
from .link import Link

DIAL_TIMEOUT_S = 0.5
FRAME_BYTES_MAX = 64 * 2**20
LINK_UNSENT_BYTES_MAX = 64 * 2**20

_WELCOME = frozenset({Kind.WELCOME})
_NODE = frozenset({Kind.NODE})


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
    """A plain socket, connected; raises ``OSError`` of the last address tried."""
    failure: OSError = OSError(f"{host} has no address")
    try:
        found = await anyio.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    except UnicodeError as error:  # no name at all, like "a..b"
        raise socket.gaierror(socket.EAI_NONAME, "unknown host") from error
    for family, kind, protocol, _, address in found:
        sock = socket.socket(family, kind, protocol)
        try:
            sock.setblocking(False)
            code = sock.connect_ex(address)
            if code == errno.EINPROGRESS:
                await anyio.wait_writable(sock)
                code = sock.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
            if not code:
                return sock
            failure = OSError(code, os.strerror(code))
        except BaseException:
            sock.close()
            raise
        sock.close()
    raise failure
