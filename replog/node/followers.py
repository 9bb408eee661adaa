"""Clients that read the log as it grows: each is sent a bounded piece of what it lacks, as far as it gave credit.

Never: give a slot that is not applied here.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Protocol, TypeVar

import attrs

from ..paxos.ballot import Slot
from ..paxos.messages import AcceptedSlot
from ..wire.client_messages import Entries, Follow, LogEntry, NodeMessage
from .client_link import ClientLink, NodePosition

_T = TypeVar("_T")

FOLLOW_PIECE_SLOTS = 64
FOLLOW_PIECE_BYTES = 512 * 1024

ReadLog = Callable[[Slot, Slot, int, int], list[AcceptedSlot]]


class Speaker(Protocol):
    """Whoever speaks to clients; see ``clients``."""

    def say(self, link: ClientLink, message: NodeMessage, weight_bytes: int = 0) -> None: ...

    def attempt(self, link: ClientLink, serve: Callable[..., _T], *arguments: Any) -> _T | None: ...


@attrs.define(eq=False)
class _Following:
    """A client that reads the log as it grows."""

    next_slot: Slot
    credit: int


class Followers:
    """All followers of one node's log."""

    def __init__(self, position: NodePosition, speaker: Speaker) -> None:
        self._position = position
        self._speaker = speaker
        self._following: dict[ClientLink, _Following] = {}

    @property
    def are_any(self) -> bool:
        return bool(self._following)

    def forget(self, link: ClientLink) -> None:
        self._following.pop(link, None)

    def follow(self, link: ClientLink, message: Follow, credit_max: int) -> None:
        """Begin to follow, or raise the credit of one who does."""
        following = self._following.get(link)
        if following is None:
            self._following[link] = _Following(Slot(max(1, message.from_slot)), min(message.credit, credit_max))
        else:
            following.credit = min(following.credit + message.credit, credit_max)

    def feed(self, read_log: ReadLog) -> bool:
        """Send each follower a bounded piece of what it lacks; True if somebody could take more at once."""
        is_more = False
        for link, following in self._following.items():
            if self._speaker.attempt(link, self._feed, link, following, read_log):
                is_more = True
        return is_more

    def _feed(self, link: ClientLink, following: _Following, read_log: ReadLog) -> bool:
        """Whether this one could take more at once."""
        last = Slot(min(self._position.applied_through, following.next_slot + following.credit - 1))
        if following.next_slot > last or link.unsent_bytes:
            return False
        if following.next_slot <= self._position.compacted_through:
            self._speaker.say(link, Entries([], self._position.compacted_through))
            following.credit = 0
            return False
        records = read_log(following.next_slot, last, FOLLOW_PIECE_SLOTS, FOLLOW_PIECE_BYTES)
        if not records:
            return False
        entries = [LogEntry(record.slot, record.value) for record in records]
        self._speaker.say(link, Entries(entries), sum(len(entry.value) for entry in entries))
        following.credit -= len(records)
        following.next_slot = Slot(records[-1].slot + 1)
        return following.next_slot <= last
