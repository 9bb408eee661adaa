"""Where clients' links end at one life of a simulated process: not everything is read, and bits are flipped.

A frame that a client sends is longer by pings here, so that it is more than one message: each has to be answered, in
order.

Never: decide anything that the driver decides.
"""

from __future__ import annotations

import math
from collections import deque
from typing import TYPE_CHECKING, Protocol

from ..node.events import ClientClosed, ClientMessages, ClientOpened, LinkDrained
from ..node.message_checks import check_query
from ..wire.client_messages import ClientMessage, NodeMessage, Ping, Pong, Query
from ..wire.codec import HEADER_BYTES, FrameError, FrameSplitter, Kind, decode_payload, encode_frame
from .checkers import Violation, ViolationFound

if TYPE_CHECKING:
    from .host import Host

CROWDED_RETRY_S = 0.001
BUSY_WORD_INTERVAL_S = 0.1
_HALF_A_FRAME_S = 0.3
"""A link on which half a frame has waited for so long is given up."""
_PINGS_ABOVE = 2**40
"""Clients number their own pings below it."""


class FarEnd(Protocol):
    """The client's end of a link, as the node's end knows it."""

    def carry(self, messages: list[NodeMessage], frame_bytes: int) -> None:
        """A frame leaves the node."""

    def on_closed(self) -> None:
        """The node has closed its end; what it sent before is on its way."""

    def on_killed(self) -> None:
        """The process has died, and what it sent last with it."""


class SimLink:
    """The node's end of one client's link to one life of a process; satisfies ``clients.ClientLink``."""

    def __init__(self, owner: SimClients, host: Host, number: int, far: FarEnd) -> None:
        self._owner = owner
        self._host = host
        self._far = far
        self._splitter = FrameSplitter(frozenset({Kind.CLIENT}))
        self._unread: deque[list[ClientMessage]] = deque()
        self._pings = self._pongs = _PINGS_ABOVE
        self._is_left = False
        self._word_s = -math.inf
        """When the client was last told that this node is busy."""
        self.number = number
        self.bytes_received = 0
        self.unsent_bytes = 0
        self.write_buffer_bytes_max = host.options.client_buffer_bytes_max
        self.is_closed = False
        self.peer_address = f"client {number}"

    # --- ``clients.ClientLink`` ---

    def write(self, frame: bytes) -> bool:
        """As bytes, as they would travel; a slow reader takes the next one a moment later."""
        host = self._host
        if self.is_closed:
            return False
        try:
            messages = [
                message
                for message in decode_payload(Kind.NODE, frame[HEADER_BYTES:], list)
                if not (isinstance(message, Pong) and self._is_due(message))
            ]
            self._far.carry(messages, len(frame))
        except ViolationFound as found:
            host.violation = found.violation  # raised here it would end the link only
        if host.options.slow_reader_s:
            self.unsent_bytes = len(frame)
            host.later(host.options.slow_reader_s, self._drain)
        return True

    def _is_due(self, pong: Pong) -> bool:
        """Whether it answers one of the pings that were added here: then it is the next one's answer."""
        if pong.nonce <= _PINGS_ABOVE:
            return False
        self._pongs += 1
        if pong.nonce != self._pongs:
            what = f"a client's ping {self._pongs} was not answered, ping {pong.nonce} was"
            raise ViolationFound(Violation("every message is served", what))
        return True

    def _drain(self) -> None:
        self.unsent_bytes = 0
        if not self.is_closed:
            self._host.put(LinkDrained(self.number))

    def close(self) -> None:
        """The node gives its client up."""
        self._host.count["client_dropped"] += not self.is_closed
        self._close()

    def _close(self) -> None:
        if not self.is_closed:
            self._far.on_closed()
            self.end()

    # --- the far end ---

    def receive(self, messages: list[ClientMessage]) -> None:
        """At the door, as one frame."""
        if not self.is_closed:
            self._unread.append(messages)
            if len(self._unread) == 1:
                self._read()

    def _read(self) -> None:
        """While the node has too much to do, or the client takes no answers, it is not read."""
        host, unread = self._host, self._unread
        while unread and not self.is_closed:
            is_crowded = host.driver.serving.is_crowded
            if is_crowded or self.unsent_bytes:
                host.count["client_held_up"] += is_crowded
                if is_crowded:
                    self._say_busy()
                host.later(CROWDED_RETRY_S, self._read)
                return
            self._take(encode_frame(Kind.CLIENT, [*unread.popleft(), *self._some_pings()]))
        if self._is_left:
            self.end()

    def _take(self, frame: bytes) -> None:
        host, random = self._host, self._owner.random
        is_flipped = host.options.client_flip_rate and random.random() < host.options.client_flip_rate
        if is_flipped:
            host.count["client_frame_flipped"] += 1
            place = random.randrange(len(frame))
            frame = frame[:place] + bytes([frame[place] ^ 1 << random.randrange(8)]) + frame[place + 1 :]
        self.bytes_received += len(frame)
        try:
            payloads = self._splitter.feed(frame)
        except FrameError:
            self._close()
            return
        assert not is_flipped or not payloads, "a frame with a flipped bit was taken"
        if self._splitter.is_inside_frame:
            host.later(_HALF_A_FRAME_S, self._close)
        for kind, payload in payloads:
            messages = decode_payload(kind, payload, list)
            for message in messages:
                if isinstance(message, Query):
                    check_query(message)
            host.put(ClientMessages(self.number, messages))

    def _some_pings(self) -> list[Ping]:
        pings_max = self._host.options.pings_max
        count = self._owner.random.randrange(pings_max) if pings_max else 0
        self._pings += count
        return [Ping(nonce) for nonce in range(self._pings - count + 1, self._pings + 1)]

    def _say_busy(self) -> None:
        """As the real door does: a client must not take a node that is busy for one that hangs."""
        host = self._host
        if not host.is_paused and host.world.now_s >= self._word_s + BUSY_WORD_INTERVAL_S:
            self._word_s = host.world.now_s
            self.write(encode_frame(Kind.NODE, [Pong(0)]))

    def on_left(self) -> None:
        """The client has closed its end, behind what it sent."""
        self._is_left = True
        if not self._unread:
            self.end()

    def end(self) -> None:
        """Nothing more comes or goes; the node hears of it a moment later."""
        if not self.is_closed:
            self.is_closed = True
            self._host.later(0.0, self._owner.forget, self)

    def on_killed(self) -> None:
        """The process is dead."""
        if not self.is_closed:
            self.is_closed = True
            self._far.on_killed()


class SimClients:
    """Satisfies ``ports.ClientPort``: the links of clients to one life of a process."""

    def __init__(self, host: Host) -> None:
        self._host = host
        self.random = host.world.stream(f"client links {host.node} {host.life}")
        self._links: dict[int, SimLink] = {}
        self._met = 0

    def find(self, client: int) -> SimLink | None:
        """See ``ports.ClientPort``; a number is never used again."""
        return self._links.get(client)

    def open(self, far: FarEnd) -> SimLink:
        """Somebody has connected."""
        self._met += 1
        link = self._links[self._met] = SimLink(self, self._host, self._met, far)
        self._host.put(ClientOpened(link.number))
        return link

    def forget(self, link: SimLink) -> None:
        """The node hears that a link has ended."""
        del self._links[link.number]
        self._host.put(ClientClosed(link.number))

    def on_killed(self) -> None:
        """The process is dead."""
        for link in self._links.values():
            link.on_killed()
