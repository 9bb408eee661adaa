"""What is kept in memory for many links together: frames that have begun, and what was said and is not taken yet.

Each link has limits of its own, and a thousand links a thousand times as much; so all of them share one budget. Where
it is used up the link for which most is kept goes, whatever it did: whoever is behind it comes again and asks again.
A link that takes nothing while more than half of it is used goes too, since others wait for what it holds.

Nothing is counted of frames that come whole and of what a socket takes at once.

Never: work per frame that is neither late nor unfinished.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Protocol

import attrs


class Holder(Protocol):
    """A link, as its budget sees it."""

    bytes_sent: int
    bytes_received: int

    def close(self) -> None: ...


@attrs.define(eq=False)
class _Share:
    held_bytes: int = 0
    moved_bytes: int = -1
    """What had passed over the link when it was last looked at."""


class Budget:
    """Shared by the links of one node that anybody may open."""

    def __init__(self, bytes_max: int) -> None:
        self._bytes_max = bytes_max
        self._shares: dict[Holder, _Share] = {}
        self.held_bytes = 0
        self.links_closed = 0

    @property
    def is_tight(self) -> bool:
        return self.held_bytes > self._bytes_max // 2

    def hold(self, link: Holder, held_bytes: int) -> None:
        """So much is kept for a link, and no longer what was before; it may be the one that goes for it."""
        share = self._shares.get(link)
        if share is None:
            if not held_bytes:
                return
            share = self._shares[link] = _Share()
        self.held_bytes += held_bytes - share.held_bytes
        share.held_bytes = held_bytes
        if not held_bytes:
            del self._shares[link]
        while self.held_bytes > self._bytes_max and len(self._shares) > 1:  # a lone one has its own limits
            self._close(max(self._shares, key=lambda other: self._shares[other].held_bytes))

    def forget(self, link: Holder) -> None:
        """It is closed."""
        share = self._shares.pop(link, None)
        if share is not None:
            self.held_bytes -= share.held_bytes

    def look(self) -> None:
        """Now and then: close what stands still while others lack room."""
        if self.is_tight:
            for link in list(self._standing()):
                self._close(link)

    def _standing(self) -> Iterator[Holder]:
        for link, share in self._shares.items():
            moved_bytes = link.bytes_sent + link.bytes_received
            if moved_bytes == share.moved_bytes:
                yield link
            share.moved_bytes = moved_bytes

    def _close(self, link: Holder) -> None:
        self.links_closed += 1
        self.forget(link)
        link.close()
