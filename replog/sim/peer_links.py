"""The simulated links of one process to its peers: the driver's port for them, with weather.

A link stands until one end closes it. The other end hears of that, unless packets vanish on the way; then it is told
so the next time that something from it gets through, as a closed socket would, or has to notice for itself. Whoever is
to dial (``node.reach``) does so again and again, and is answered where packets go both ways, the other process runs at
that address, and neither end refuses the other.

Never: decide anything that the driver decides.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping
from typing import TYPE_CHECKING

from ..node.events import PeerMessages
from ..node.message_checks import check_peer_messages
from ..node.reach import Way
from ..paxos.ballot import NodeId, node_name
from ..paxos.messages import Message

if TYPE_CHECKING:
    from .host import Host

REDIAL_S = 0.3


class SimPeers:
    """Satisfies ``driver.PeerPort``."""

    def __init__(self, host: Host) -> None:
        self._host = host
        self._random = host.world.stream(f"dials {host.node} {host.life}")
        self._closed: set[NodeId] = set()
        """Whose link this end has closed, or knows closed, and that is not made anew."""
        self._ways: dict[NodeId, Way] = {}
        """Whom this end dials, at once or after a while."""
        self._received: Counter[NodeId] = Counter()

    # --- ``driver.PeerPort`` ---

    def send(self, peer: NodeId, messages: list[Message]) -> None:
        """Each message by itself, so that one may be lost or overtaken where a frame could not: that is worse."""
        host, target, is_closed = self._host, self._host.peers[peer], peer in self._closed
        for message in messages:
            host.messages_sent += 1
            host.checker.on_sent(host.node, host.life, host.disk, message)
            delays = [] if is_closed else host.network.delays(host.node, peer, message)
            if host.world.trace is not None:
                host.network.say_sent(host.node, peer, message, is_lost=not delays)
            for delay_s in delays:
                arriving = host.network.arriving(message)
                incarnation = host.disk.identity.incarnation
                host.world.after(delay_s, target.receive, target.life, host.node, incarnation, arriving)

    def bytes_received(self, peer: NodeId) -> int:
        """Messages, here."""
        return -1 if peer in self._closed else self._received[peer]

    def reset(self, peer: NodeId) -> None:
        self._host.count["link_reset"] += 1
        self._close(peer)
        self._tell_closed(peer)

    def follow(self, ways: Mapping[NodeId, Way]) -> None:
        before = self._ways
        self._ways = {peer: way for peer, way in ways.items() if way.patience_s < math.inf}
        for peer in self._ways:
            if peer not in before and peer in self._closed:
                self._host.later(self._ways[peer].patience_s, self._dial, peer)

    # --- what comes ---

    def receive(self, sender: NodeId, message: Message) -> None:
        """At the door of the receiver. What an honest node says is never refused there: raises ``FrameError``."""
        if sender in self._closed:
            self._tell_closed(sender)
            return
        host = self._host
        check_peer_messages(sender, [message], host.driver.replica.promise)
        self._received[sender] += 1
        host.put(PeerMessages(sender, [message]))

    # --- a link's end, and the next one ---

    def _tell_closed(self, peer: NodeId) -> None:
        host, far = self._host, self._host.peers[peer]
        if far.is_up and not host.network.is_cut(host.node, peer):
            far.later(host.network.weather.delay_s, far.peer_links.on_closed_by, host.node, self)

    def on_closed_by(self, peer: NodeId, far_end: SimPeers) -> None:
        """The other end says so; of a link that is not this one any more, it says nothing."""
        if far_end is self._host.peers[peer].peer_links and far_end.has_closed(self._host.node):
            self._close(peer)

    def has_closed(self, peer: NodeId) -> bool:
        return peer in self._closed

    def _close(self, peer: NodeId) -> None:
        if peer in self._closed:
            return
        self._host.later(0.0, self._host.on_link_closed, peer)
        self.have_none(peer)

    def have_none(self, peer: NodeId) -> None:
        """There is no link; whoever is to dial does so."""
        if peer not in self._closed:
            self._closed.add(peer)
            if peer in self._ways:
                self._dial_later(peer)

    def _dial_later(self, peer: NodeId) -> None:
        delay_s = REDIAL_S * (0.1 + self._random.random()) + self._ways[peer].patience_s
        self._host.later(delay_s, self._dial, peer)

    def meet_all(self) -> None:
        """Its process starts: it is linked with whoever runs and can be reached."""
        host = self._host
        for peer in host.peers.values():
            if not peer.is_up:
                continue
            if self.meets(peer):
                host.later(host.network.weather.delay_s, host.on_link_opened, peer.node)
                peer.later(host.network.weather.delay_s, peer.on_link_opened, host.node)
            else:
                self.have_none(peer.node)
                peer.peer_links.have_none(host.node)

    def meets(self, far: Host) -> bool:
        """Whether a link comes about when both ends can be reached."""
        host = self._host
        is_wanted = far.node in self._ways or far.peer_links.dials(host.node)
        return is_wanted and not self.refuses(far) and not far.peer_links.refuses(host)

    def dials(self, peer: NodeId) -> bool:
        return peer in self._ways

    def refuses(self, far: Host) -> bool:
        return bool(self._host.driver.following.reach.refusal_of(far.node, far.disk.identity.incarnation))

    def _dial(self, peer: NodeId) -> None:
        host, far = self._host, self._host.peers[peer]
        if peer not in self._closed or peer not in self._ways:
            return
        is_there = far.is_up and not far.is_paused and self._ways[peer].address == far.address
        is_answered = is_there and host.network.can_connect(host.node, peer) and self.meets(far)
        if not is_answered or host.is_paused or host.is_foreign or far.is_foreign:
            self._dial_later(peer)
            return
        host.say(lambda: f"-- {node_name(host.node)} dials {node_name(peer)}")
        if not far.peer_links.has_closed(host.node):
            far.on_link_closed(host.node)  # a newer link replaces an older one
        for one, other in ((host, far), (far, host)):
            one.on_link_opened(other.node)

    def on_opened(self, peer: NodeId) -> None:
        """There is a new link."""
        self._closed.discard(peer)
        self._host.network.renew(self._host.node, peer)
