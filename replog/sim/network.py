"""The network: what is sent may be lost, doubled, delayed, overtaken, or stopped by a cut in one direction.

Messages are handed over as values; they are frozen, so nobody can change what another holds. A value may have a bit
flipped on its way, in somebody's memory, where no frame's checksum is between: only its own tells.
"""

from __future__ import annotations

from collections import Counter

import attrs
from msgspec.structs import replace

from ..paxos.ballot import NodeId, node_name
from ..paxos.describe import describe_message
from ..paxos.messages import Accept, AcceptedSlot, Learn, Message, Promise, SnapshotChunk
from .world import World


@attrs.define(kw_only=True)
class Weather:
    """How bad the network is; rates are per message."""

    loss: float = 0.0
    duplication: float = 0.0
    delay_s: float = 0.0005
    queue_s: float = 0.0
    """How long a message keeps an ordered link busy; the next one waits."""
    straggler_rate: float = 0.0
    """Messages that take up to a hundred times as long, and so are overtaken."""
    piece_loss: float = 0.0
    """Pieces of promises that come in several: what is asked for again may have changed meanwhile."""
    flip_rate: float = 0.0
    """Messages with values one of which arrives with a bit flipped."""
    is_ordered: bool = True
    """Links keep order, as TCP does, except for stragglers."""


class Network:
    """Links between all pairs of nodes."""

    def __init__(self, world: World, weather: Weather) -> None:
        self._world = world
        self.weather = weather
        self._random = world.stream("network")
        self._flips = world.stream("flips")
        self._cut: set[tuple[NodeId, NodeId]] = set()
        self._swallowing: set[tuple[NodeId, NodeId]] = set()
        self._held_until_s: dict[tuple[NodeId, NodeId], float] = {}
        self._last_arrival_s: dict[tuple[NodeId, NodeId], float] = {}
        self.count: Counter[str] = Counter()
        """What the weather did, by kind."""

    def cut(self, sender: NodeId, target: NodeId) -> None:
        """Nothing arrives in this direction any more."""
        self._cut.add((sender, target))

    def heal(self, sender: NodeId, target: NodeId) -> None:
        self._cut.discard((sender, target))

    def swallow(self, sender: NodeId, target: NodeId) -> None:
        """Nothing arrives in this direction over the link that there is, and nobody is told; a new link is sound."""
        self._swallowing.add((sender, target))

    def renew(self, one: NodeId, other: NodeId) -> None:
        """There is a new link between the two."""
        self._swallowing -= {(one, other), (other, one)}

    def hold(self, sender: NodeId, target: NodeId, seconds: float) -> None:
        """What is sent in this direction for so long arrives when that time is over, in order."""
        self._held_until_s[sender, target] = self._world.now_s + seconds

    def heal_all(self) -> None:
        """But for links that swallow what is sent: who uses them has to notice."""
        self._cut.clear()
        self._held_until_s.clear()

    def is_cut(self, sender: NodeId, target: NodeId) -> bool:
        return (sender, target) in self._cut or (sender, target) in self._swallowing

    def can_connect(self, one: NodeId, other: NodeId) -> bool:
        """A new link takes packets both ways."""
        return self._cut.isdisjoint({(one, other), (other, one)})

    @property
    def cuts(self) -> int:
        return len(self._cut)

    def delays(self, sender: NodeId, target: NodeId, message: Message) -> list[float]:
        """When the copies of ``message`` arrive: empty if it is lost."""
        weather, random = self.weather, self._random.random
        if (self._cut or self._swallowing) and self.is_cut(sender, target):
            return []
        if weather.loss and random() < weather.loss:
            self.count["message_lost"] += 1
            return []
        if weather.piece_loss and type(message) is Promise and self._is_piece_lost(message):
            return []
        delay_s = weather.delay_s * (0.5 + random())
        if self._held_until_s:
            delay_s = max(delay_s, self._held_until_s.get((sender, target), 0.0) - self._world.now_s)
        if weather.straggler_rate and random() < weather.straggler_rate:
            self.count["message_overtaken"] += 1
            return [delay_s * (1 + 99 * random())]
        if weather.is_ordered:
            delay_s = self._behind_the_last(sender, target, delay_s)
        if weather.duplication and random() < weather.duplication:
            self.count["message_doubled"] += 1
            return [delay_s, delay_s * (1 + 3 * random())]
        return [delay_s]

    def _behind_the_last(self, sender: NodeId, target: NodeId, delay_s: float) -> float:
        now_s, queue_s = self._world.now_s, self.weather.queue_s
        free_s = self._last_arrival_s.get((sender, target), 0.0) + max(queue_s, 1e-9)
        self.count["message_queued"] += queue_s > 0 and free_s > now_s + delay_s
        arrival_s = self._last_arrival_s[sender, target] = max(now_s + delay_s, free_s)
        return arrival_s - now_s

    def _is_piece_lost(self, message: Promise) -> bool:
        is_lost = message.piece_count > 1 and self._flips.random() < self.weather.piece_loss
        self.count["piece_lost"] += is_lost
        return is_lost

    def arriving(self, message: Message) -> Message:
        """The message as it arrives."""
        rate = self.weather.flip_rate
        if not rate or self._flips.random() >= rate:
            return message
        match message:
            case Accept() if message.value:
                message = replace(message, value=self._flipped(message.value))
            case Learn() if message.slots:
                message = replace(message, slots=self._with_flip(message.slots))
            case Promise() if message.accepted:
                message = replace(message, accepted=self._with_flip(message.accepted))
            case SnapshotChunk() if message.data:
                message = replace(message, data=self._flipped(message.data))
            case _:
                return message
        self.count["value_flipped"] += 1
        return message

    def _with_flip(self, records: tuple[AcceptedSlot, ...]) -> tuple[AcceptedSlot, ...]:
        place = self._flips.randrange(len(records))
        record = records[place]
        damaged = (
            replace(record, value=self._flipped(record.value)) if record.value else replace(record, crc=record.crc ^ 1)
        )
        return (*records[:place], damaged, *records[place + 1 :])

    def _flipped(self, value: bytes) -> bytes:
        place = self._flips.randrange(len(value))
        return value[:place] + bytes([value[place] ^ 1 << self._flips.randrange(8)]) + value[place + 1 :]

    def say_sent(self, sender: NodeId, target: NodeId, message: Message, *, is_lost: bool) -> None:
        if self._world.trace is not None:
            lost = "   (lost)" if is_lost else ""
            self._world.say(describe_message(sender, target, message) + lost)

    def say_cut(self, sender: NodeId, target: NodeId, *, is_cut: bool) -> None:
        word = "cut" if is_cut else "heal"
        self._world.say(f"-- {word} {node_name(sender)} -> {node_name(target)}")
