"""The checksums of the acceptances above ``chosen_through``, and their sum.

The sum is written with every transaction, so that a record that vanished from above ``chosen_through``, or an older one
that came back whole, is noticed (P10). Slots come in ascending runs and leave from the lowest on, so runs are what is
kept: a run that comes or goes costs one addition, and only a slot accepted again is looked at by itself.
"""

from __future__ import annotations

from bisect import bisect_right
from collections import deque

from ..paxos.ballot import Slot


class UnchosenSum:
    """How many acceptances stand above ``chosen_through``, and the sum of their checksums."""

    def __init__(self) -> None:
        self.count = 0
        self.sum = 0
        self._runs: deque[tuple[list[Slot], list[int]]] = deque()

    def store(self, slots: list[Slot], checksums: list[int]) -> None:
        """These slots, ascending, have these checksums from now on."""
        if not slots:
            return
        if self._runs and slots[0] <= self._runs[-1][0][-1]:
            slots, checksums = self._joined_with(slots, checksums)
        self._runs.append((slots, checksums))
        self.count += len(slots)
        self.sum += sum(checksums)

    def release(self, through: Slot) -> None:
        """Slots up to ``through`` are chosen: they leave."""
        while self._runs and self._runs[0][0][0] <= through:
            slots, checksums = self._runs.popleft()
            leaving = bisect_right(slots, through)
            self.count -= leaving
            self.sum -= sum(checksums[:leaving])
            if leaving < len(slots):
                self._runs.appendleft((slots[leaving:], checksums[leaving:]))

    def _joined_with(self, slots: list[Slot], checksums: list[int]) -> tuple[list[Slot], list[int]]:
        """All of them as one run, with what comes now written over it; nothing is left here meanwhile."""
        newest: dict[Slot, int] = {}
        for run in (*self._runs, (slots, checksums)):
            newest.update(zip(*run, strict=True))
        self._runs.clear()
        self.count = self.sum = 0
        joined = sorted(newest)
        return joined, [newest[slot] for slot in joined]
