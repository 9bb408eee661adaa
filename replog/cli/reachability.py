"""Who hears whom among the nodes that answered, and how many of them may fail before no leader can serve.

A leader needs a quorum that it hears itself; nobody passes messages on. So what counts is not how many voters are up,
but whether some voter hears enough of the others, and whether one still does when others are gone.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import combinations

import attrs

EXACT_VOTERS_MAX = 11
"""Above this every choice of failures would be too many to try; a bound that is never too high is told instead."""

Links = Mapping[str, Mapping[str, str]]
"""By node and other node: empty if it hears the other one, else why not. What is absent is not known."""


@attrs.frozen
class Gap:
    """Two nodes that are up, of which one does not hear the other; ``deaf`` says which, and why.

    Parameters
    ----------
    deaf: by the node that does not hear the other one.
    """

    first: str
    second: str
    deaf: Mapping[str, str]

    def __str__(self) -> str:
        if len(self.deaf) == 2:
            return f"{self.first} and {self.second} do not hear each other"
        (deaf,) = self.deaf
        return f"{deaf} does not hear {self.other(deaf)}"

    def other(self, node: str) -> str:
        return self.second if node == self.first else self.first

    def concerns(self, node: str) -> bool:
        return node in (self.first, self.second)


def gaps(nodes: Sequence[str], links: Links) -> list[Gap]:
    """The pairs that lack a link, in the order of ``nodes``. One that does not answer the other is no use to it."""

    def of(first: str, second: str) -> Gap:
        told = {first: links.get(first, {}).get(second, ""), second: links.get(second, {}).get(first, "")}
        return Gap(first, second, {node: why for node, why in told.items() if why})

    return [gap for first, second in combinations(nodes, 2) if (gap := of(first, second)).deaf]


@attrs.frozen
class Reach:
    """Voters that are up and vote, and which of them lack a link.

    Parameters
    ----------
    quorum: how many voters a leader needs, itself among them.
    """

    voters: Sequence[str]
    gaps: Sequence[Gap]
    quorum: int

    def is_linked(self, node: str, other: str) -> bool:
        """Whether messages pass between the two, as far as is known."""
        return not any({gap.first, gap.second} == {node, other} for gap in self.gaps)

    def survives(self) -> int:
        """How many of the voters may fail, whichever, so that one of the rest still hears a quorum; -1: none does."""
        circles = self._circles()
        if len(circles) > EXACT_VOTERS_MAX:
            return self._survives_at_least([len(circle) for circle in circles.values()])
        count = -1
        while all(self._has_hub(circles, frozenset(lost)) for lost in combinations(circles, count + 1)):
            count += 1
        return count

    def _has_hub(self, circles: Mapping[str, frozenset[str]], lost: frozenset[str]) -> bool:
        return any(len(circle - lost) >= self.quorum for node, circle in circles.items() if node not in lost)

    def _survives_at_least(self, sizes: Sequence[int]) -> int:
        """More voters than fail would each still hear a quorum, had those that fail been in their circle."""
        count = -1
        while sum(size - (count + 1) >= self.quorum for size in sizes) > count + 1:
            count += 1
        return count

    def _circles(self) -> dict[str, frozenset[str]]:
        """By voter: itself, and the voters with which it has a link."""
        return {node: frozenset(other for other in self.voters if self.is_linked(node, other)) for node in self.voters}
