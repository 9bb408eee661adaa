"""One framed TCP link: writes that never wait, reads that take a lot at once.

A turn writes one frame a link. ``write`` tries the socket at once, because handing it to a task would cost more than
the send; what the socket does not take is kept, up to a limit, and a task of the link's own sends it when there is
room.

It runs under trio, as the node does, and under asyncio, where a client may live: all it needs of an event loop is to
wait until a socket is readable or writable.

This is the seam where TLS goes in: whoever makes links may make them over another socket-like object.
"""

from __future__ import annotations

import socket
from collections.abc import Sequence

import anyio

from .codec import FRAME_BYTES_MAX, FrameSplitter, Kind

RECEIVE_BYTES = 256 * 1024
WRITE_BUFFER_BYTES_MAX = 32 * 2**20


class LinkClosed(Exception):
    """The other end is gone, or this one has closed the link."""


class Link:
    """A connected, non-blocking socket that carries frames; used by one task at a time for reading."""

    def __init__(
        self,
        sock: socket.socket,
        kinds: frozenset[Kind],
        *,
        payload_bytes_max: int = FRAME_BYTES_MAX,
        write_buffer_bytes_max: int = WRITE_BUFFER_BYTES_MAX,
    ) -> None:
        sock.setblocking(False)
        if sock.family in (socket.AF_INET, socket.AF_INET6):
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._sock = sock
        self._splitter = FrameSplitter(kinds, payload_bytes_max)
        self._write_buffer_bytes_max = write_buffer_bytes_max
        self._unsent: list[bytes] = []
        self._unsent_bytes = 0
        self._has_unsent = anyio.Event()
        self._is_drained = anyio.Event()
        self._is_drained.set()
        self.is_closed = False
        self.frames_dropped = 0
        self.bytes_sent = 0
        self.bytes_received = 0

    @property
    def peer_address(self) -> str:
        """Where the other end is, for the log."""
        try:
            host, port, *_ = self._sock.getpeername()
        except (OSError, ValueError):
            return "unknown"
        return f"{host}:{port}"

    @property
    def unsent_bytes(self) -> int:
        return self._unsent_bytes

    @property
    def is_inside_frame(self) -> bool:
        return self._splitter.is_inside_frame

    def expect(self, kinds: frozenset[Kind], payload_bytes_max: int) -> None:
        """From here on (the greeting is over) these kinds of frames come."""
        self._splitter.expect(kinds, payload_bytes_max)

    def write(self, frame: bytes) -> bool:
        """Send a frame, or keep it until the socket takes it; False if it was dropped because too much is kept."""
        if self.is_closed:
            return False
        if self._unsent:
            if self._unsent_bytes + len(frame) > self._write_buffer_bytes_max:
                self.frames_dropped += 1
                return False
            self._keep(frame)
            return True
        try:
            sent = self._sock.send(frame)
        except BlockingIOError:
            sent = 0
        except OSError:
            self.close()
            return False
        self.bytes_sent += sent
        if sent < len(frame):
            self._keep(frame[sent:])
            self._has_unsent.set()
            self._is_drained = anyio.Event()
        return True

    def _keep(self, data: bytes) -> None:
        self._unsent.append(data)
        self._unsent_bytes += len(data)

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

    async def _drain(self) -> None:
        while self._unsent and not self.is_closed:
            await anyio.wait_writable(self._sock)
            if self.is_closed:
                return
            data = b"".join(self._unsent) if len(self._unsent) > 1 else self._unsent[0]
            try:
                sent = self._sock.send(data)
            except BlockingIOError:
                continue
            self.bytes_sent += sent
            self._unsent = [data[sent:]] if sent < len(data) else []
            self._unsent_bytes = len(data) - sent

    async def wait_drained(self) -> None:
        """Until everything written has been handed to the socket: how a slow reader is made to wait for its answers."""
        await self._is_drained.wait()

    async def receive(self) -> Sequence[tuple[Kind, bytes]]:
        """The next whole frames.

        Raises
        ------
        LinkClosed: the link ended between two frames or inside one.
        FrameError: what came is no frame.
        """
        while True:
            if self.is_closed:
                raise LinkClosed("this end closed the link")
            try:
                await anyio.wait_readable(self._sock)
                chunk = self._sock.recv(RECEIVE_BYTES)
            except BlockingIOError:
                continue
            except (OSError, anyio.ClosedResourceError) as error:
                raise LinkClosed(f"the link failed: {error}") from error
            if not chunk:
                raise LinkClosed("the other end closed the link")
            self.bytes_received += len(chunk)
            frames = self._splitter.feed(chunk)
            if frames:
                return frames

    def close(self) -> None:
        """Close at once; what was kept is lost."""
        if self.is_closed:
            return
        self.is_closed = True
        self._unsent = []
        self._unsent_bytes = 0
        anyio.notify_closing(self._sock)
        self._sock.close()
        self._has_unsent.set()
        self._is_drained.set()
