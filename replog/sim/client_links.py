"""Simulated links between clients and nodes.

A link is reliable and in order for as long as it lasts, as TCP's are: nothing on it is lost, doubled or overtaken.
What it can do is stall, and break. Each end hears of that when it likes, and what arrives there later is lost: so the
client may be at another node, or at the same one again, while what it sent before is still on its way.
"""

from __future__ import annotations

import random as random_module
from collections import Counter
from collections.abc import Callable
from typing import Any, Protocol

import attrs

from ..paxos.ballot import NodeId
from ..wire.client_messages import ClientMessage, NodeMessage
from .host import Host
from .world import World

STALL_S_MAX = 1.0
LATE_WORD_S_MAX = 0.4
"""How long an end may take a broken link for a sound one."""


@attrs.define(kw_only=True)
class LinkWeather:
    """What happens to clients' links; rates are per frame, in either direction."""

    delay_s: float = 0.0003
    break_rate: float = 0.0
    stall_rate: float = 0.0


class LinkUser(Protocol):
    """The client that has made a link."""

    def on_greeted(self, link: ClientLink) -> None: ...

    def on_frame(self, link: ClientLink, messages: list[NodeMessage]) -> None: ...

    def on_lost(self, link: ClientLink) -> None: ...


class ClientLink:
    """The client's end, and all there is between it and the node's; satisfies ``client_doors.FarEnd``.

    Parameters
    ----------
    count: where is counted what the weather did.
    """

    def __init__(
        self,
        world: World,
        weather: LinkWeather,
        random: random_module.Random,
        count: Counter[str],
        host: Host,
        user: LinkUser,
    ) -> None:
        self.node: NodeId = host.node
        self.bytes_received = 0
        self.is_closed = False
        """At this end; what arrives is nobody's."""
        self._world = world
        self._weather = weather
        self._random = random
        self._count = count
        self._user = user
        self._sent_through_s = self._received_through_s = 0.0
        """When the last frame arrives there, and here."""
        self._node_end = host.open_client(self)
        self._bring(user.on_greeted, self)

    # --- the client ---

    def send(self, messages: list[ClientMessage]) -> None:
        """As one frame."""
        self._take(self._node_end.receive, messages)
        self._suffer()

    def close(self) -> None:
        """The node hears of it behind what was sent."""
        self.is_closed = True
        self._take(self._node_end.on_left)

    # --- ``client_doors.FarEnd`` ---

    def carry(self, messages: list[NodeMessage], frame_bytes: int) -> None:
        self._bring(self._hear, messages, frame_bytes)
        self._suffer()

    def on_closed(self) -> None:
        self._bring(self._lose)

    def on_killed(self) -> None:
        self._world.after(self._late_word_s(), self._lose)

    # --- on the way ---

    def _suffer(self) -> None:
        weather, random = self._weather, self._random.random
        if weather.break_rate and random() < weather.break_rate:
            self.tear()
        if weather.stall_rate and random() < weather.stall_rate:
            self._count["client_link_stalled"] += 1
            until_s = self._world.now_s + STALL_S_MAX * random()
            self._sent_through_s = max(self._sent_through_s, until_s)
            self._received_through_s = max(self._received_through_s, until_s)

    def tear(self) -> None:
        """The link breaks somewhere between the two."""
        self._count["client_link_broken"] += 1
        self._world.after(self._late_word_s(), self._lose)
        self._world.after(self._late_word_s(), self._node_end.end)

    def _late_word_s(self) -> float:
        return self._delay_s() if self._random.random() < 0.7 else LATE_WORD_S_MAX * self._random.random()

    def _delay_s(self) -> float:
        return self._weather.delay_s * (0.5 + self._random.random())

    def _take(self, act: Callable[..., None], *arguments: Any) -> None:
        """To the node."""
        self._sent_through_s = max(self._world.now_s + self._delay_s(), self._sent_through_s + 1e-9)
        self._world.after(self._sent_through_s - self._world.now_s, act, *arguments)

    def _bring(self, act: Callable[..., None], *arguments: Any) -> None:
        """To the client."""
        self._received_through_s = max(self._world.now_s + self._delay_s(), self._received_through_s + 1e-9)
        self._world.after(self._received_through_s - self._world.now_s, act, *arguments)

    def _hear(self, messages: list[NodeMessage], frame_bytes: int) -> None:
        if not self.is_closed:
            self.bytes_received += frame_bytes
            self._user.on_frame(self, messages)

    def _lose(self) -> None:
        if not self.is_closed:
            self.is_closed = True
            self._user.on_lost(self)
