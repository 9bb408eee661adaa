"""Places for links: so many that the process never runs out of descriptors, and some that clients can't take.

A link is first a guest: nobody knows yet whether a client, a peer or a stranger is behind it. There are places for some
guests; where all are taken, the one that has said nothing for longest goes, so whoever greets at once is always heard.
Then it is a peer, which needs nobody's leave (there is one link a member), a client, for which there are as many places
as are left, or a visitor, who asks one question and goes: where clients have all places, visitors have a few of their
own, and the oldest goes for the newest.

Never: look at what is said.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

import attrs

from ..process.resources import FILES_RESERVE, descriptors_open, descriptors_to_come, small_limits, take_descriptors
from ..wire.link import Link

VISITORS_MAX: Final = 16
_GUESTS_MAX: Final = 256
_LINKS_A_MEMBER: Final = 3
"""One that is used, one that replaces it, and one that is dialled."""


@attrs.frozen(kw_only=True)
class PlaceCount:
    """How many links of each kind fit beside the files that are open.

    Parameters
    ----------
    clients_wanted: as it is set.
    descriptors: the limit of open files they were counted for.
    """

    clients_wanted: int
    clients: int
    guests: int
    visitors: int
    descriptors: int

    def lacks(self) -> Iterator[str]:
        """What is too small, in words."""
        if self.clients < self.clients_wanted:
            needed = self.descriptors + self.clients_wanted - self.clients
            yield (
                f"its limit of open files ({self.descriptors:,}) leaves places for {self.clients:,} clients, not for "
                f"connections_max ({self.clients_wanted:,}); raise it to {needed:,} (LimitNOFILE, ulimit -n)"
            )


def _reserve(member_count: int) -> int:
    """Descriptors that are no client's and no guest's."""
    return descriptors_open() + FILES_RESERVE + _LINKS_A_MEMBER * member_count + VISITORS_MAX


def count_places(clients_wanted: int, member_count: int, descriptors: int) -> PlaceCount:
    """How the links of a node would share this many descriptors."""
    left = max(2, descriptors - _reserve(member_count))
    guests = max(1, min(_GUESTS_MAX, left // 8))
    return PlaceCount(
        clients_wanted=clients_wanted,
        clients=max(1, min(clients_wanted, left - guests)),
        guests=guests,
        visitors=VISITORS_MAX,
        descriptors=descriptors,
    )


def take_places(clients_wanted: int, member_count: int) -> PlaceCount:
    """The same of this process, whose limit is raised for it as far as that goes."""
    wanted = clients_wanted + _GUESTS_MAX + _reserve(member_count)
    return count_places(clients_wanted, member_count, take_descriptors(wanted))


def lacks_here(clients_wanted: int, member_count: int) -> list[str]:
    """What would be too small for a node that is started here."""
    return [*count_places(clients_wanted, member_count, descriptors_to_come()).lacks(), *small_limits()]


class Places:
    """Who holds which place."""

    def __init__(self, count: PlaceCount) -> None:
        self.count = count
        self._guests: dict[Link, None] = {}
        self._visitors: dict[Link, None] = {}
        self._clients: set[Link] = set()

    def __len__(self) -> int:
        return len(self._guests) + len(self._visitors) + len(self._clients)

    def receive(self, link: Link) -> None:
        """Somebody has connected."""
        _take(self._guests, link, self.count.guests)

    def seat(self, link: Link, *, is_visitor: bool) -> bool:
        """A guest has greeted as no member; whether there is a place for it."""
        self._guests.pop(link, None)
        if len(self._clients) < self.count.clients:
            self._clients.add(link)
        elif is_visitor:
            _take(self._visitors, link, self.count.visitors)
        else:
            return False
        return True

    def is_visiting(self, link: Link) -> bool:
        """Whether its place is one of those for visitors."""
        return link in self._visitors

    def leave(self, link: Link) -> None:
        """It is gone, or it is a peer, who needs no place."""
        self._guests.pop(link, None)
        self._visitors.pop(link, None)
        self._clients.discard(link)

    def spare_one(self) -> bool:
        """The system has no descriptor for one more link: the oldest guest goes, or one of the visitors."""
        for links in (self._guests, self._visitors):
            for link in links:
                del links[link]
                link.close()
                return True
        return False


def _take(links: dict[Link, None], link: Link, count_max: int) -> None:
    """A place for the newest; if there is none, the oldest one's."""
    if len(links) >= count_max:
        oldest = next(iter(links))
        del links[oldest]
        oldest.close()
    links[link] = None
