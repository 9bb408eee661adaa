"""One framed TCP link: writes that never wait, reads that take a lot at once.

A turn writes one frame a link. ``write`` tries the socket at once, because handing it to a task would cost more than
the send; what the socket does not take is kept, up to a limit, and a task of the link's own sends it when there is
room.

It runs under trio, as the node does, and under asyncio, where a client may live: all it needs of an event loop is to
wait until a socket is readable or writable.

This is the seam where TLS goes in: whoever makes links may make them over another socket-like object.

Never: wait in a write.
"""

from __future__ import annotations

import socket
import threading
from collections import deque
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress

import anyio
import sniffio
import trio

from ..process.forking import close_descriptor, own
from .budget import Budget
from .codec import FRAME_BYTES_MAX, FrameSplitter, Kind

RECEIVE_BYTES = 256 * 1024
SEND_BYTES = 256 * 1024
WRITE_BUFFER_BYTES_MAX = 32 * 2**20


def _readable_of_this_loop() -> Callable[[socket.socket], Awaitable[None]]:
    """How to wait until a socket is readable; trio's own way is a third of what it costs through anyio."""
    try:
        is_trio = sniffio.current_async_library() == "trio"
    except sniffio.AsyncLibraryNotFoundError:
        is_trio = False
    return trio.lowlevel.wait_readable if is_trio else anyio.wait_readable


def _nobody() -> None:
    """Nobody waits for a link to be drained."""


class _Scratch(threading.local):
    """Where the links of one thread receive; a large object for each receive would be mapped and unmapped each time."""

    def __init__(self) -> None:
        self.received = memoryview(bytearray(RECEIVE_BYTES))


_scratch = _Scratch()


class LinkClosed(Exception):
    """The other end is gone, or this one has closed the link."""


class Link:
    """A connected, non-blocking socket that carries frames; read by one task at a time, of the thread that made it."""

    def __init__(
        self,
        sock: socket.socket,
        kinds: frozenset[Kind],
        *,
        payload_bytes_max: int = FRAME_BYTES_MAX,
        write_buffer_bytes_max: int = WRITE_BUFFER_BYTES_MAX,
        budget: Budget | None = None,
    ) -> None:
        sock.setblocking(False)
        if sock.family in (socket.AF_INET, socket.AF_INET6):
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._sock = sock
        self._splitter = FrameSplitter(kinds, payload_bytes_max)
        self._received = _scratch.received
        self._wait_readable = _readable_of_this_loop()
        self._write_buffer_bytes_max = write_buffer_bytes_max
        self._unsent: deque[bytes | memoryview] = deque()
        self._unsent_bytes = 0
        self._budget = budget
        self._begun_bytes = 0
        self._has_unsent = anyio.Event()
        self._is_drained = anyio.Event()
        self._is_drained.set()
        self.on_drained: Callable[[], None] = _nobody
        """Called when the socket has taken all that was kept: there may be more to say."""
        self.number = 0
        """Its owner's name for it."""
        self.is_closed = False
        self.frames_dropped = 0
        self.bytes_sent = 0
        self.bytes_received = 0
        own(self)

    @property
    def peer_address(self) -> str:
        """Where the other end is, for the log."""
        return address_of(self._sock)

    @property
    def unsent_bytes(self) -> int:
        return self._unsent_bytes

    @property
    def write_buffer_bytes_max(self) -> int:
        return self._write_buffer_bytes_max

    @property
    def is_inside_frame(self) -> bool:
        return self._splitter.is_inside_frame

    def give_up_after(self, seconds: float) -> None:
        """Let the kernel end this link when what was sent is not acknowledged for so long, where it can do that."""
        option = getattr(socket, "TCP_USER_TIMEOUT", None)
        if option is not None and self._sock.family in (socket.AF_INET, socket.AF_INET6):
            with suppress(OSError):  # closed meanwhile
                self._sock.setsockopt(socket.IPPROTO_TCP, option, int(seconds * 1000))

    def expect(self, kinds: frozenset[Kind], payload_bytes_max: int) -> None:
        """From here on (the greeting is over) these kinds of frames come."""
        self._splitter.expect(kinds, payload_bytes_max)

    def leave_budget(self) -> None:
        """From here on what is kept is counted by its own limits alone: the other end is no stranger."""
        if self._budget is not None:
            self._budget.forget(self)
            self._budget = None

    def _tell_budget(self) -> None:
        if self._budget is not None:
            self._budget.hold(self, self._begun_bytes + self._unsent_bytes)

    def write(self, frame: bytes) -> bool:
        """Send a frame, or keep it until the socket takes it; False if it was dropped because too much is kept."""
        if self.is_closed:
            return False
        if self._unsent:
            if self._unsent_bytes + len(frame) > self._write_buffer_bytes_max:
                self.frames_dropped += 1
                return False
            self._keep(frame)
            return not self.is_closed
        try:
            sent = self._sock.send(frame)
        except BlockingIOError:
            sent = 0
        except OSError:
            self.close()
            return False
        self.bytes_sent += sent
        if sent < len(frame):
            self._is_drained = anyio.Event()
            self._keep(_rest(memoryview(frame), sent))
            self._has_unsent.set()
        return not self.is_closed

    def _keep(self, data: bytes | memoryview) -> None:
        """The link may be closed for it."""
        self._unsent.append(data)
        self._unsent_bytes += len(data)
        self._tell_budget()

    async def drain_forever(self) -> None:
        """Send what ``write`` had to keep; the link's owner runs it in a nursery beside the reader."""
        while not self.is_closed:
            await self._has_unsent.wait()
            try:
                await self._drain()
            except (OSError, anyio.ClosedResourceError):
                self.close()
                return
            self._has_unsent = anyio.Event()
            self._is_drained.set()
            self.on_drained()

    async def _drain(self) -> None:
        while self._unsent and not self.is_closed:
            await anyio.wait_writable(self._sock)
            if self.is_closed:
                return
            piece = self._take_piece()
            try:
                sent = self._sock.send(piece)
            except BlockingIOError:
                sent = 0
            if sent < len(piece):
                self._unsent.appendleft(_rest(piece, sent))
            self.bytes_sent += sent
            self._unsent_bytes -= sent
            self._tell_budget()

    def _take_piece(self) -> memoryview:
        """Small frames together, a large one as it is: what is kept must not be copied again with every send."""
        piece = self._unsent.popleft()
        if len(piece) >= SEND_BYTES or not self._unsent:
            return memoryview(piece)
        joined = bytearray(piece)
        while self._unsent and len(joined) < SEND_BYTES:
            joined += self._unsent.popleft()
        return memoryview(joined)

    async def wait_drained(self) -> None:
        """Until everything written has been handed to the socket: how a slow reader is made to wait for its answers."""
        await self._is_drained.wait()

    async def receive(self) -> Sequence[tuple[Kind, bytes]]:
        """The next whole frames, at least one.

        Raises
        ------
        LinkClosed: the link ended between two frames or inside one.
        FrameError: what came is no frame.
        """
        while True:
            frames = await self.receive_some()
            if frames:
                return frames

    async def receive_some(self) -> Sequence[tuple[Kind, bytes]]:
        """Whatever comes next, maybe only a part of a frame; raises what ``receive`` raises."""
        while True:
            if self.is_closed:
                raise LinkClosed("this end closed the link")
            try:
                await self._wait_readable(self._sock)
                count = self._sock.recv_into(self._received)
            except BlockingIOError:
                continue
            except (anyio.ClosedResourceError, trio.ClosedResourceError) as error:
                raise LinkClosed("this end closed the link") from error
            except OSError as error:
                raise LinkClosed(f"the link failed: {error}") from error
            if not count:
                raise LinkClosed("the other end closed the link")
            self.bytes_received += count
            frames = self._splitter.feed(self._received[:count])
            if self._begun_bytes or self._splitter.is_inside_frame:
                self._begun_bytes = self._splitter.held_bytes
                self._tell_budget()
            return frames

    def close(self) -> None:
        """Close at once; what was kept is lost."""
        if self.is_closed:
            return
        self.is_closed = True
        self._unsent.clear()
        self._unsent_bytes = self._begun_bytes = 0
        self._splitter.forget()
        if self._budget is not None:
            self._budget.forget(self)
        anyio.notify_closing(self._sock)
        self._sock.close()
        self._has_unsent.set()
        self._is_drained.set()

    def on_forked(self) -> None:
        """The other end hears nothing of the child: neither that it is there, nor that it keeps the link open."""
        self.is_closed = True
        close_descriptor(self._sock.detach())


def _rest(piece: memoryview, sent: int) -> memoryview:
    """What is left to send: without a copy, unless that would keep much more in memory than is left."""
    rest = piece[sent:]
    return memoryview(bytes(rest)) if 2 * len(rest) < memoryview(piece.obj).nbytes else rest


def address_of(sock: socket.socket) -> str:
    """Where the other end of a socket is, for the log."""
    try:
        host, port, *_ = sock.getpeername()
    except (OSError, ValueError):
        return "unknown"
    return f"{host}:{port}"
