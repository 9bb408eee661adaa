"""Puts one question to one node over a connection of its own, and says in words why there was no answer.

Commands that look after a cluster speak to nodes one by one, not through the client that looks for the leader: a node
that hangs must cost its own row in a table and nothing else.

Never: look for the leader.
"""

from __future__ import annotations

import errno
import socket
from collections import deque
from collections.abc import Iterator
from typing import Generic, TypeVar

import attrs
import trio

from replog.wire.client_messages import ClientMessage, NodeMessage
from replog.wire.codec import FrameError, FrameSplitter, Hello, Kind, Welcome, decode_payload, encode_frame
from replog.wire.dialing import told_address

_NAME = "replog command"

Reply = TypeVar("Reply", bound=NodeMessage)


@attrs.frozen(kw_only=True)
class Answer(Generic[Reply]):
    """What came of a question.

    Parameters
    ----------
    welcome: who answered the connection, if anybody did.
    reply: the answer itself, or None.
    problem: why there is none, in a few words; empty if there is one.
    """

    address: str
    welcome: Welcome | None
    reply: Reply | None
    problem: str


async def ask(address: str, question: ClientMessage, *wanted: type[Reply], timeout_s: float) -> Answer[Reply]:
    """Ask the node at ``address`` one question; the first message of a wanted kind is the answer.

    Never raises for what the network or the node does.
    """
    line = _Line(address)
    reply: Reply | None = None
    problem = ""
    try:
        with trio.fail_after(timeout_s):
            reply = await line.ask(question, wanted)
    except trio.TooSlowError:
        problem = "accepts connections but does not answer" if line.is_connected else "timed out"
    except (OSError, trio.BrokenResourceError, FrameError) as error:
        problem = in_words(error)
    finally:
        line.close()
    if line.welcome is not None and line.welcome.refusal:
        problem = line.welcome.refusal
    return Answer(address=address, welcome=line.welcome, reply=reply, problem=problem)


def in_words(error: BaseException) -> str:
    """Why a connection failed, as an operator would say it."""
    for cause in _causes(error):
        match cause:
            case ConnectionRefusedError():
                return "connection refused"
            case ConnectionResetError() | BrokenPipeError() | EOFError():
                return "closed the connection"
            case socket.gaierror():
                return "unknown host"
            case OSError() if cause.errno in (errno.EHOSTUNREACH, errno.ENETUNREACH):
                return "unreachable"
    return str(error) or type(error).__name__


def _causes(error: BaseException) -> Iterator[BaseException]:
    """An error, what it wraps and what caused it: trio puts the reason of a failed connection there."""
    yield error
    if isinstance(error, BaseExceptionGroup):
        for inner in error.exceptions:
            yield from _causes(inner)
    if error.__cause__ is not None:
        yield from _causes(error.__cause__)


class _Line:
    """One connection: greets, asks, waits for the reply that belongs to the question."""

    def __init__(self, address: str) -> None:
        self._address = address
        self._stream: trio.SocketStream | None = None
        self._splitter = FrameSplitter(frozenset({Kind.WELCOME, Kind.NODE}))
        self._frames: deque[tuple[Kind, bytes]] = deque()
        self.welcome: Welcome | None = None

    @property
    def is_connected(self) -> bool:
        """Whether the machine took the connection; a process that hangs lets it."""
        return self._stream is not None

    async def ask(self, question: ClientMessage, wanted: tuple[type[Reply], ...]) -> Reply | None:
        """The reply, or None if the node refused the connection."""
        self._stream = await trio.open_tcp_stream(*told_address(self._address))
        await self._stream.send_all(encode_frame(Kind.HELLO, Hello(b"", 0, b"", _NAME)))
        self.welcome = decode_payload(Kind.WELCOME, await self._next_payload(), Welcome)
        if self.welcome.refusal:
            return None
        await self._stream.send_all(encode_frame(Kind.CLIENT, [question]))
        while True:
            for message in decode_payload(Kind.NODE, await self._next_payload(), list):
                if isinstance(message, wanted):
                    return message

    async def _next_payload(self) -> bytes:
        assert self._stream is not None
        while not self._frames:
            chunk = await self._stream.receive_some()
            if not chunk:
                raise ConnectionResetError("the node closed the connection")
            self._frames.extend(self._splitter.feed(chunk))
        return self._frames.popleft()[1]

    def close(self) -> None:
        if self._stream is not None:
            self._stream.socket.close()
