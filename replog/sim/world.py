"""One clock, one heap of events, one seed.

Everything that happens in a simulation is an event here; what happens at the same moment happens in the order it was
asked for. Each concern draws from a random stream of its own, so that a change in one does not reshuffle the others.
"""

from __future__ import annotations

import heapq
import random
from collections.abc import Callable
from typing import Any

Trace = Callable[[str], None]


class World:
    """Virtual time, in seconds from 0, which is ``epoch_ms`` on a wall clock that is right."""

    def __init__(self, seed: int, trace: Trace | None = None, *, epoch_ms: int = 0) -> None:
        self.seed = seed
        self.epoch_ms = epoch_ms
        self.now_s = 0.0
        self.steps = 0
        """Events handled so far."""
        self.trace = trace
        self._heap: list[tuple[float, int, Callable[..., None], tuple[Any, ...]]] = []
        self._asked = 0

    @property
    def true_ms(self) -> float:
        """What a wall clock that is right shows, in milliseconds."""
        return self.epoch_ms + self.now_s * 1000

    def stream(self, concern: str) -> random.Random:
        """The random stream of one concern; a text seed does not depend on PYTHONHASHSEED."""
        return random.Random(f"{self.seed}/{concern}")

    def after(self, delay_s: float, act: Callable[..., None], *arguments: Any) -> None:
        """Call ``act`` with ``arguments`` in ``delay_s`` seconds."""
        self._asked += 1
        heapq.heappush(self._heap, (self.now_s + delay_s, self._asked, act, arguments))

    def run(self, until_s: float, is_done: Callable[[], bool] | None = None, steps_max: int | None = None) -> None:
        """Handle events until ``until_s``, until ``is_done``, or until ``steps_max`` have been handled in all."""
        heap = self._heap
        while heap and heap[0][0] <= until_s:
            self.now_s, _, act, arguments = heapq.heappop(heap)
            act(*arguments)
            self.steps += 1
            if steps_max is not None and self.steps >= steps_max:
                return
            if is_done is not None and self.steps % 16 == 0 and is_done():
                return
        self.now_s = max(self.now_s, until_s) if not heap or heap[0][0] > until_s else self.now_s

    def say(self, words: str) -> None:
        """One line of the story."""
        if self.trace is not None:
            self.trace(f"{self.now_s * 1000:10.3f} ms  {words}")
