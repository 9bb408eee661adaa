"""Connecting to a node as a client, and reading its log over that connection; under trio and asyncio alike.

It knows the greeting and nothing of sessions: what goes over the link afterwards is its user's matter.

Never: look for the leader.
"""

from __future__ import annotations

import errno
import os
import socket
from collections.abc import AsyncGenerator
from contextlib import AsyncExitStack

import anyio

from ..addresses import split_address
from ..errors import Refused
from ..paxos.ballot import Slot
from .client_messages import Entries, Follow, LogEntry
from .codec import FRAME_BYTES_MAX, HELLO_BYTES_MAX, Hello, Kind, Welcome, decode_payload, encode_frame
from .link import Link

DIAL_TIMEOUT_S = 0.5
LINK_UNSENT_BYTES_MAX = 64 * 2**20
FOLLOW_CREDIT = 256

_WELCOME = frozenset({Kind.WELCOME})
_NODE = frozenset({Kind.NODE})


async def dial(address: str, cluster: bytes, name: str) -> tuple[Link, Welcome]:
    """Connect and greet.

    Raises
    ------
    OSError, TimeoutError, LinkClosed, FrameError: nobody is there, or nobody who speaks this protocol.
    Refused: the node does not let this client in.
    """
    async with AsyncExitStack() as stack:
        with anyio.fail_after(DIAL_TIMEOUT_S):
            link = Link(
                await connected_socket(*told_address(address)),
                _WELCOME,
                payload_bytes_max=HELLO_BYTES_MAX,
                write_buffer_bytes_max=LINK_UNSENT_BYTES_MAX,
            )
            stack.callback(link.close)
            link.write(encode_frame(Kind.HELLO, Hello(cluster, 0, b"", name)))
            frames = await link.receive()
        welcome = decode_payload(Kind.WELCOME, frames[0][1], Welcome)
        if welcome.refusal:
            raise Refused(welcome.refusal)
        link.expect(_NODE, FRAME_BYTES_MAX)
        stack.pop_all()
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
    for family, kind, protocol, _, address in await anyio.getaddrinfo(host, port, type=socket.SOCK_STREAM):
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


class Compacted(Exception):
    """The node asked has dropped the slots asked for."""

    def __init__(self, compacted_through: Slot) -> None:
        super().__init__(compacted_through)
        self.compacted_through = compacted_through


async def follow_link(link: Link, from_slot: int) -> AsyncGenerator[LogEntry, None]:
    """Entries as they come over one link, asking for more before they run out."""
    link.write(encode_frame(Kind.CLIENT, [Follow(Slot(from_slot), FOLLOW_CREDIT)]))
    while True:
        for _, payload in await link.receive():
            for message in decode_payload(Kind.NODE, payload, list):
                if not isinstance(message, Entries):
                    continue
                if not message.entries and message.compacted_through:
                    raise Compacted(message.compacted_through)
                for entry in message.entries:
                    yield entry
                link.write(encode_frame(Kind.CLIENT, [Follow(Slot(from_slot), len(message.entries))]))
