"""Clients' links to one life of a simulated process: they break, are slow, are not read, and carry flipped bits.

What a client sends travels as a frame with what waited before it, and pings between, so that a frame is more than one
message: each has to be answered, in order.

Never: decide anything that the driver decides.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from ..node.events import ClientClosed, ClientMessages, ClientOpened, LinkDrained
from ..node.message_checks import check_query
from ..wire.client_messages import ClientMessage, Ping, Pong, Query
from ..wire.codec import HEADER_BYTES, FrameError, FrameSplitter, Kind, decode_payload, encode_frame
from .checkers import Violation

if TYPE_CHECKING:
    from .host import Host

CROWDED_RETRY_S = 0.004
_HALF_A_FRAME_S = 0.3
"""A client that gets no word about half a frame gives its link up."""


class SimLink:
    """One client's link; satisfies ``clients.ClientLink``."""

    def __init__(self, owner: SimClients, host: Host, number: int, client: int) -> None:
        self._owner = owner
        self._host = host
        self._client = client
        self._splitter = FrameSplitter(frozenset({Kind.CLIENT}))
        self._waiting: list[ClientMessage] = []
        self._pings = 0
        self._pongs = 0
        self.number = number
        self.bytes_received = 0
        self.unsent_bytes = 0
        self.write_buffer_bytes_max = host.options.client_buffer_bytes_max
        self.is_closed = False
        self.peer_address = f"client {client}"

    # --- from the client ---

    def receive(self, message: ClientMessage) -> None:
        """While the node has too much to do, or the client takes no answers, it is not read."""
        self._waiting.append(message)
        if len(self._waiting) == 1:
            self._read()

    def _read(self) -> None:
        host = self._host
        if self.is_closed:
            return
        if self.unsent_bytes or host.driver.serving.is_crowded:
            host.count["client_held_up"] += not self.unsent_bytes
            host.later(CROWDED_RETRY_S, self._read)
            return
        frame = encode_frame(Kind.CLIENT, [*self._waiting, *self._some_pings()])
        self._waiting = []
        is_flipped = host.options.client_flip_rate and self._owner.random.random() < host.options.client_flip_rate
        if is_flipped:
            host.count["client_frame_flipped"] += 1
            place = self._owner.random.randrange(len(frame))
            frame = frame[:place] + bytes([frame[place] ^ 1 << self._owner.random.randrange(8)]) + frame[place + 1 :]
        self.bytes_received += len(frame)
        try:
            payloads = self._splitter.feed(frame)
        except FrameError:
            self.end()
            return
        assert not is_flipped or not payloads, "a frame with a flipped bit was taken"
        if self._splitter.is_inside_frame:
            host.later(_HALF_A_FRAME_S, self.end)
        for kind, payload in payloads:
            messages = decode_payload(kind, payload, list)
            for one in messages:
                if isinstance(one, Query):
                    check_query(one)
            host.put(ClientMessages(self.number, messages))

    def _some_pings(self) -> list[Ping]:
        pings_max = self._host.options.pings_max
        count = self._owner.random.randrange(pings_max) if pings_max else 0
        self._pings += count
        return [Ping(nonce) for nonce in range(self._pings - count + 1, self._pings + 1)]

    # --- to the client ---

    def write(self, frame: bytes) -> bool:
        """As bytes, as they would travel; a slow reader takes the next one a moment later."""
        host = self._host
        if self.is_closed:
            return False
        for message in decode_payload(Kind.NODE, frame[HEADER_BYTES:], list):
            if isinstance(message, Pong):
                self._on_pong(message)
            else:
                host.clients.deliver(self._client, host.node, message)
        if host.options.slow_reader_s:
            self.unsent_bytes = len(frame)
            host.later(host.options.slow_reader_s, self._drain)
        return True

    def _on_pong(self, message: Pong) -> None:
        self._pongs += 1
        if message.nonce != self._pongs:
            what = f"a client's ping {self._pongs} was not answered, ping {message.nonce} was"
            self._host.violation = Violation("every message is served", what)  # raised here it would end the link only

    def _drain(self) -> None:
        self.unsent_bytes = 0
        if not self.is_closed:
            self._host.put(LinkDrained(self.number))

    def close(self) -> None:
        """The node gives its client up; it hears of that as of any other end."""
        self._host.count["client_dropped"] += not self.is_closed
        self.end()

    def end(self) -> None:
        """Whoever ends it: the node hears of it a moment later."""
        if not self.is_closed:
            self.is_closed = True
            self._owner.on_closed(self._client, self)


class SimClients:
    """Satisfies ``ports.ClientPort``: a link for each client that speaks; another one, after the last was closed."""

    def __init__(self, host: Host) -> None:
        self._host = host
        self.random = host.world.stream(f"client links {host.node} {host.life}")
        self._links: dict[int, SimLink] = {}
        self._link_of: dict[int, SimLink] = {}
        self._opened = 0

    def find(self, client: int) -> SimLink | None:
        """See ``ports.ClientPort``; a number is never used again."""
        return self._links.get(client)

    def receive(self, client: int, message: ClientMessage) -> None:
        """A client says something, over the link that it has; it is lost if that ends."""
        close_rate = self._host.options.client_close_rate
        link = self._link_of.get(client)
        if link is None:
            self._open(client).receive(message)
        elif close_rate and self.random.random() < close_rate:
            self._host.count["client_link_closed"] += 1
            link.end()
        else:
            link.receive(message)

    def is_linked(self, client: int) -> bool:
        """Whether a client's link is open."""
        return client in self._link_of

    def leave(self, client: int) -> None:
        """A client closes its link."""
        if client in self._link_of:
            self._link_of[client].end()

    def _open(self, client: int) -> SimLink:
        self._opened += 1
        link = SimLink(self, self._host, self._opened, client)
        self._links[link.number] = self._link_of[client] = link
        self._host.put(ClientOpened(link.number))
        return link

    def on_closed(self, client: int, link: SimLink) -> None:
        """A link has ended; what it brought before that may still wait for a turn."""
        if self._link_of.get(client) is link:
            del self._link_of[client]
        self._host.later(0.0, self._say_closed, link)

    def _say_closed(self, link: SimLink) -> None:
        del self._links[link.number]
        self._host.put(ClientClosed(link.number))
