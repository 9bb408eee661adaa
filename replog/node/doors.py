"""The doors of a running node: what its links bring becomes events, checked; what is too much waits outside.

Never: let in bytes that can't be meant; look into what a message says beyond that.
"""

from __future__ import annotations

from typing import Protocol

import trio

from ..paxos.ballot import NodeId, node_name
from ..paxos.messages import Message
from ..wire.client_messages import ChangeMembersRequest, ClientMessage, Pong, Query
from ..wire.codec import Hello, Kind, Welcome, encode_frame
from ..wire.link import Link
from .admission import Admission
from .driver import Driver
from .event_log import EventLog
from .events import (
    ClientClosed,
    ClientMessages,
    ClientOpened,
    ClientsLookedAt,
    Event,
    LinkDrained,
    PeerClosed,
    PeerMessages,
    PeerOpened,
)
from .message_checks import check_change, check_peer_messages, check_query
from .settings import ReplicaConfig

_BUSY_WORD_INTERVAL_S = 0.1


class Inside(Protocol):
    """The node behind the doors."""

    driver: Driver
    config: ReplicaConfig
    log: EventLog

    def put(self, event: Event) -> None: ...

    def put_at_once(self, event: Event) -> None: ...


class Doors:
    """Satisfies ``links.Handler`` and ``ports.ClientPort``."""

    def __init__(self, node: Inside) -> None:
        self._node = node
        self._admission: Admission
        self._clients: dict[int, Link] = {}
        self._clients_met = 0
        self._space: trio.Event | None = None
        self.is_waiting_for_room = False
        """Whether some client waits until the node can take more."""

    def open(self, admission: Admission) -> None:
        """From here on somebody may knock."""
        self._admission = admission

    # --- ``ports.ClientPort`` ---

    def find(self, client: int) -> Link | None:
        return self._clients.get(client)

    # --- ``links.Handler`` ---

    def admit(self, hello: Hello) -> str:
        return self._admission.refusal_of(hello)

    def welcome(self, refusal: str) -> Welcome:
        return self._admission.welcome(refusal)

    def on_peer_opened(self, peer: NodeId) -> None:
        self._node.log.info("peer_connected", peer=node_name(peer))
        self._node.put(PeerOpened(peer))

    def on_peer_messages(self, peer: NodeId, messages: list[Message]) -> None:
        """A peer waits for what comes of this, so the turn is taken at once; what clients send gathers.

        Raises ``FrameError`` at a message that can't be meant; nothing of its frame is taken.
        """
        check_peer_messages(peer, messages, self._node.driver.replica.promise)
        self._node.put_at_once(PeerMessages(peer, messages))

    def on_peer_closed(self, peer: NodeId) -> None:
        self._node.log.info("peer_disconnected", peer=node_name(peer))
        self._node.put(PeerClosed(peer))

    def on_client_opened(self, link: Link) -> None:
        self._clients_met += 1
        link.number = self._clients_met
        self._clients[link.number] = link
        link.on_drained = lambda: self._node.put(LinkDrained(link.number))
        self._node.put(ClientOpened(link.number))

    def on_client_closed(self, link: Link) -> None:
        del self._clients[link.number]
        self._node.put(ClientClosed(link.number))

    def on_client_messages(self, link: Link, messages: list[ClientMessage]) -> None:
        """Raises ``FrameError`` at a message that can't be answered; nothing of its frame is taken."""
        for message in messages:
            if type(message) is Query:
                check_query(message)
            elif type(message) is ChangeMembersRequest:
                check_change(message)
        event = ClientMessages(link.number, messages)
        if len(self._clients) == 1:
            self._node.put_at_once(event)  # there is nobody to wait for
        else:
            self._node.put(event)

    # --- too much ---

    def on_turn_taken(self) -> None:
        """There may be room again."""
        if self._space is not None and not self._node.driver.serving.is_crowded:
            self._space.set()
            self._space = None
            self.is_waiting_for_room = False

    async def wait_for_room(self, link: Link) -> None:
        """The client hears now and then that this node lives: it must not take one that is busy for one that hangs."""
        while self._node.driver.serving.is_crowded:
            if self._space is None:
                self._space = trio.Event()
                self.is_waiting_for_room = True
            with trio.move_on_after(_BUSY_WORD_INTERVAL_S) as waiting:
                await self._space.wait()
            if waiting.cancelled_caught:
                link.write(encode_frame(Kind.NODE, [Pong(0)]))

    async def look_at_clients_forever(self) -> None:
        while True:
            await trio.sleep(self._node.config.node.idle_timeout_s / 4)
            self._node.put(ClientsLookedAt())
