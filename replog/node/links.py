"""Links between nodes and from clients: who may connect, who connects to whom, and what happens when a link ends.

It knows hellos and frames, not what a message means. There is one TCP connection for each pair of nodes; who
dials says ``reach``. A link that brings anything unexpected is dropped and counted, logged now and then, and nothing
else happens. How many links there may be says ``places``, how much is kept for them ``wire.budget``. Whether a link
that brings nothing is dead, the driver judges (``silence``); the kernel, which takes its time, is the second line.
"""

from __future__ import annotations

import math
import socket
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Protocol

import attrs
import structlog
import trio
from attrs.validators import ge, gt

from ..errors import StorageError, error_text
from ..paxos.ballot import NodeId, node_name
from ..paxos.messages import Message
from ..paxos.option_kinds import kinds_checked
from ..paxos.peers import GUESTS_MAX
from ..wire.budget import Budget
from ..wire.client_messages import ClientMessage
from ..wire.codec import (
    HELLO_BYTES_MAX,
    VISITOR_NAME,
    FrameError,
    Hello,
    Kind,
    Welcome,
    decode_payload,
    encode_frame,
)
from ..wire.link import Link, LinkClosed, address_of
from .dialling import Dialling
from .link_notes import LinkNotes
from .places import Places, take_places
from .reach import Way

log = structlog.get_logger(__name__)

_HELLO = frozenset({Kind.HELLO})
_WELCOME_AND_ON = frozenset({Kind.WELCOME, Kind.PEER})
"""What a dialler may receive at once: the other end speaks as soon as it has said welcome."""
_PEER = frozenset({Kind.PEER})
_PEER_OR_REFUSAL = frozenset({Kind.PEER, Kind.WELCOME})
"""Who dialled may not like the welcome: it says why with one of its own."""
_CLIENT = frozenset({Kind.CLIENT})
_BUDGET_WATCH_S = 1.0


@attrs.frozen(kw_only=True, field_transformer=kinds_checked)
class TransportOptions:
    """Limits of the links of one node."""

    connections_max: int = attrs.field(default=2_000, validator=ge(1))
    """Clients served at once; fewer where the process has not so many descriptors. Peers, and commands that ask one
    question, have places of their own."""
    greeting_timeout_s: float = attrs.field(default=3.0, validator=gt(0.0))
    """A link that has not said who it is by then is dropped."""
    frame_timeout_s: float = attrs.field(default=10.0, validator=gt(0.0))
    """A frame that has begun must be whole by then."""
    unacknowledged_timeout_s: float = attrs.field(default=10.0, validator=ge(0.001))
    """What a peer's machine has not acknowledged by then ends the link, where the system can do that."""
    dial_timeout_s: float = attrs.field(default=1.0, validator=gt(0.0))
    """So long a peer's addresses are tried, one attempt each quarter of a second; then its name is looked up again."""
    redial_first_s: float = attrs.field(default=0.02, validator=gt(0.0))
    """The pause before the first new try; each is twice as long as the one before. One that took longer itself is
    followed by the next at once."""
    redial_max_s: float = attrs.field(default=0.5, validator=gt(0.0))
    """The longest they grow to."""
    peer_payload_bytes_max: int = attrs.field(default=64 * 2**20, validator=ge(1))
    client_payload_bytes_max: int = attrs.field(default=8 * 2**20, validator=ge(1))
    peer_buffer_bytes_max: int = attrs.field(default=64 * 2**20, validator=ge(1))
    client_buffer_bytes_max: int = attrs.field(default=64 * 2**20, validator=ge(1))


class Handler(Protocol):
    """The node, as its links see it. Every call is synchronous and quick."""

    def admit(self, hello: Hello) -> str:
        """Empty, or the reason why whoever says this hello is refused."""

    def welcome(self, refusal: str) -> Welcome:
        """What to answer to a hello."""

    def on_peer_opened(self, peer: NodeId) -> None: ...

    def on_peer_messages(self, peer: NodeId, messages: list[Message]) -> None: ...

    def on_peer_closed(self, peer: NodeId) -> None: ...

    def on_client_opened(self, link: Link) -> None: ...

    def on_client_messages(self, link: Link, messages: list[ClientMessage]) -> None: ...

    def on_client_closed(self, link: Link) -> None: ...

    async def wait_for_room(self, link: Link) -> None:
        """Until the node can take more from this client."""


class Transport:
    """All links of one node."""

    def __init__(
        self,
        own: Hello,
        handler: Handler,
        options: TransportOptions,
        notes: LinkNotes,
        budget: Budget,
        *,
        member_count: int,
    ) -> None:
        self._own = own
        self._node = NodeId(own.node)
        self._log = log.bind(node=node_name(self._node))
        self._peers: dict[NodeId, Link] = {}
        self._dialling = Dialling(
            notes,
            dial_timeout_s=options.dial_timeout_s,
            redial_first_s=options.redial_first_s,
            redial_max_s=options.redial_max_s,
            is_linked=self._peers.__contains__,
            serve=self._serve_dialled,
        )
        self._handler = handler
        self._options = options
        self._links: set[Link] = set()
        self._is_closed = False
        self._notes = notes
        self.places = Places(take_places(options.connections_max, member_count))
        self.budget = budget
        self.counts = notes.counts

    # --- sending ---

    def send(self, peer: NodeId, messages: Sequence[Message]) -> None:
        """All messages of a turn to one peer, in one frame; a peer that is away gets nothing."""
        link = self._peers.get(peer)
        if link is None or not link.write(encode_frame(Kind.PEER, messages)):
            self.counts["peer_frames_dropped"] += 1

    def bytes_received(self, peer: NodeId) -> int:
        """What has come over the link to this peer; -1 if there is none."""
        link = self._peers.get(peer)
        return -1 if link is None else link.bytes_received

    def reset(self, peer: NodeId) -> None:
        """Close a link that is dead, with what it has to say: its reader ends, and whoever dials dials again."""
        link = self._peers.get(peer)
        if link is not None:
            self.counts["peer_links_reset"] += 1
            link.close()

    def follow(self, ways: Mapping[NodeId, Way]) -> None:
        """See ``ports.PeerPort``."""
        self._dialling.follow(ways)

    @property
    def peers_connected(self) -> frozenset[NodeId]:
        return frozenset(self._peers)

    def problem_with(self, peer: NodeId) -> str:
        """Why nothing is heard of a peer, in a few words."""
        return "does not answer" if peer in self._peers else self._notes.problems.get(peer, "not connected yet")

    def close(self) -> None:
        """The node has failed: say nothing more to anybody, and hear nothing."""
        self._is_closed = True
        for link in tuple(self._links):
            link.close()

    # --- running ---

    async def run(
        self, listeners: Sequence[trio.SocketListener], task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED
    ) -> None:
        """Accept and dial until cancelled."""
        async with trio.open_nursery() as nursery:
            for listener in listeners:
                nursery.start_soon(self._accept_forever, listener, nursery)
            self._dialling.run_in(nursery)
            nursery.start_soon(self._watch_budget_forever)
            task_status.started()

    async def _watch_budget_forever(self) -> None:
        while True:
            await trio.sleep(_BUDGET_WATCH_S)
            self.budget.look()

    async def _serve(
        self,
        sock: socket.socket,
        peer: NodeId | None,
        kinds: frozenset[Kind],
        payload_bytes_max: int,
        buffer_bytes_max: int,
        greet: Callable[[Link], Awaitable[None]],
    ) -> None:
        """One link until it ends. What goes wrong with it is the end of it alone.

        Raises ``StorageError``: whom this node has met must not be forgotten.
        """
        link: Link | None = None
        other = address_of(sock)
        try:
            link = Link(
                sock,
                kinds,
                payload_bytes_max=payload_bytes_max,
                write_buffer_bytes_max=buffer_bytes_max,
                budget=self.budget if peer is None else None,
            )
            self._links.add(link)
            if not self._is_closed:
                await greet(link)
        except (FrameError, LinkClosed, trio.TooSlowError) as error:
            self._notes.of_end("greeting", peer, other, str(error) or "timed out")
        except StorageError:
            raise
        except Exception as error:
            self._notes.of_end("failed", peer, other, error_text(error).decode(), is_warning=True)
        finally:
            if link is None:
                sock.close()
            else:
                self._links.discard(link)
                link.close()

    async def _serve_dialled(self, peer: NodeId, sock: socket.socket) -> None:
        async def greet(link: Link) -> None:
            link.write(encode_frame(Kind.HELLO, self._own))
            with trio.fail_after(self._options.greeting_timeout_s):
                frames = await link.receive()
            if frames[0][0] is not Kind.WELCOME:
                raise FrameError("the other end did not begin with a welcome")
            welcome = decode_payload(Kind.WELCOME, frames[0][1], Welcome)
            refusal = welcome.refusal or self._refusal_of(peer, welcome)
            if refusal:
                self._notes.of_peer("refused", peer, refusal, is_warning=True)
                link.write(encode_frame(Kind.WELCOME, self._handler.welcome(refusal)))
                return
            link.expect(_PEER, self._options.peer_payload_bytes_max)
            await self._serve_peer(peer, link, frames[1:])

        options = self._options
        await self._serve(
            sock, peer, _WELCOME_AND_ON, options.peer_payload_bytes_max, options.peer_buffer_bytes_max, greet
        )

    def _refusal_of(self, peer: NodeId, welcome: Welcome) -> str:
        if welcome.node != peer:
            return f"{node_name(NodeId(welcome.node))} answers at the address of {node_name(peer)}"
        return self._handler.admit(Hello(welcome.cluster, welcome.node, welcome.incarnation, terms=welcome.terms))

    async def _accept_forever(self, listener: trio.SocketListener, nursery: trio.Nursery) -> None:
        while True:
            try:
                stream = await listener.accept()
            except OSError as error:
                self._notes.of_stranger("accept", "listener", str(error), is_warning=True)
                self.places.spare_one()
                await trio.sleep(0.05)
                continue
            nursery.start_soon(self._serve_accepted, _socket_of(stream))

    async def _serve_accepted(self, sock: socket.socket) -> None:
        guest: Link | None = None

        async def greet(link: Link) -> None:
            nonlocal guest
            guest = link
            self.places.receive(link)
            with trio.fail_after(self._options.greeting_timeout_s):
                frames = await link.receive()
            hello = decode_payload(Kind.HELLO, frames[0][1], Hello)
            refusal = self._handler.admit(hello) or self._seat(link, hello)
            link.write(encode_frame(Kind.WELCOME, self._handler.welcome(refusal)))
            if refusal:
                claims = {"claims": node_name(NodeId(hello.node))} if hello.node in self._dialling.ways else {}
                self._notes.of_stranger("refused", link.peer_address, refusal, is_warning=True, **claims)
                if claims and hello.node not in self._peers:
                    self._notes.problems[NodeId(hello.node)] = refusal
            elif hello.node:
                self.places.leave(link)
                link.leave_budget()
                link.expect(_PEER_OR_REFUSAL, self._options.peer_payload_bytes_max)
                await self._serve_peer(NodeId(hello.node), link, frames[1:])
            else:
                link.expect(_CLIENT, self._options.client_payload_bytes_max)
                patience_s = self._options.greeting_timeout_s if self.places.is_visiting(link) else math.inf
                with trio.move_on_after(patience_s):
                    await self._serve_client(link, frames[1:])

        try:
            await self._serve(sock, None, _HELLO, HELLO_BYTES_MAX, self._options.client_buffer_bytes_max, greet)
        finally:
            if guest is not None:
                self.places.leave(guest)

    def _seat(self, link: Link, hello: Hello) -> str:
        """Empty, or why there is no place for whoever says this."""
        if hello.node:
            return self._seat_guest(NodeId(hello.node))
        if self.places.seat(link, is_visitor=hello.name == VISITOR_NAME):
            return ""
        self.counts["connections_max"] += 1
        return f"all {self.places.count.clients:,} places for clients are taken; try another node, or later"

    def _seat_guest(self, peer: NodeId) -> str:
        """A member needs nobody's leave; of others as many are heard as the core hears."""
        members = self._dialling.ways.keys()
        if peer in members or peer in self._peers or len(self._peers.keys() - members) < GUESTS_MAX:
            return ""
        return f"{GUESTS_MAX} nodes that are no members are linked already; try again later"

    # --- links in use ---

    async def _serve_peer(self, peer: NodeId, link: Link, first: Sequence[tuple[Kind, bytes]]) -> None:
        """One peer's link until it ends; a newer link to the same peer replaces an older one."""
        older = self._peers.pop(peer, None)
        if older is not None:
            older.close()
            self._handler.on_peer_closed(peer)
        self._peers[peer] = link
        self._notes.problems[peer] = "the link was lost"
        link.give_up_after(self._options.unacknowledged_timeout_s)
        self._handler.on_peer_opened(peer)

        def take(frames: Sequence[tuple[Kind, bytes]]) -> None:
            messages: list[Message] = []
            for kind, payload in frames:
                if kind is Kind.WELCOME:
                    refusal = decode_payload(Kind.WELCOME, payload, Welcome).refusal
                    self._notes.of_peer("refused", peer, refusal, is_warning=True)
                    raise LinkClosed("the other end refused this node")
                messages += decode_payload(Kind.PEER, payload, list)
            self._handler.on_peer_messages(peer, messages)

        try:
            await self._read(link, peer, first, take, None)
        finally:
            if self._peers.get(peer) is link:
                del self._peers[peer]
                self._dialling.on_link_ended()
                self._handler.on_peer_closed(peer)

    async def _serve_client(self, link: Link, first: Sequence[tuple[Kind, bytes]]) -> None:
        self._handler.on_client_opened(link)

        def take(frames: Sequence[tuple[Kind, bytes]]) -> None:
            for _, payload in frames:
                self._handler.on_client_messages(link, decode_payload(Kind.CLIENT, payload, list))

        try:
            await self._read(link, None, first, take, self._handler)
        finally:
            self._handler.on_client_closed(link)

    async def _read(
        self,
        link: Link,
        peer: NodeId | None,
        frames: Sequence[tuple[Kind, bytes]],
        take: Callable[[Sequence[tuple[Kind, bytes]]], None],
        slowed_by: Handler | None,
    ) -> None:
        """Hand over frames until the link ends. A client is not read while it or the node has too much to do."""
        other = link.peer_address
        async with trio.open_nursery() as nursery:
            nursery.start_soon(link.drain_forever)
            try:
                while True:
                    if frames:
                        take(frames)
                    if slowed_by is not None:
                        if link.unsent_bytes:
                            await link.wait_drained()
                        await slowed_by.wait_for_room(link)
                    frames = await (self._rest_of_frame(link) if link.is_inside_frame else link.receive_some())
            except (FrameError, trio.TooSlowError) as error:
                reason = str(error) or "a frame was begun and not finished in time"
                self._notes.of_end("dropped", peer, other, reason, is_warning=True)
            except LinkClosed as error:
                self._log.debug("link_closed", other=other if peer is None else node_name(peer), reason=str(error))
            except Exception as error:
                self._notes.of_end("failed", peer, other, error_text(error).decode(), is_warning=True)
            link.close()
            nursery.cancel_scope.cancel()

    async def _rest_of_frame(self, link: Link) -> Sequence[tuple[Kind, bytes]]:
        """A link may be silent for long between two frames, but not within one."""
        with trio.fail_after(self._options.frame_timeout_s):
            return await link.receive()


def _socket_of(stream: trio.SocketStream) -> socket.socket:
    """The plain socket under a trio stream; the stream is not used any more."""
    plain = socket.socket(fileno=stream.socket.detach())
    plain.setblocking(False)
    return plain
