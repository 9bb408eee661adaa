"""How long to wait before something is tried again; one rule for whatever a client repeats."""

from __future__ import annotations

import random as random_module


class Backoff:
    """Pauses that double up to a limit, each cut by a random part, so that many who were refused together do not come
    back together.

    Parameters
    ----------
    first_s, max_s: the first pause and the longest one, before the random part is cut off.
    random: where the random part comes from.
    """

    def __init__(self, first_s: float, max_s: float, random: random_module.Random) -> None:
        assert 0 < first_s <= max_s, (first_s, max_s)
        self._first_s = self._pause_s = first_s
        self._max_s = max_s
        self._random = random

    def next_s(self) -> float:
        """The pause before the next attempt: between half of it and all of it."""
        pause_s = self._pause_s
        self._pause_s = min(2 * pause_s, self._max_s)
        return pause_s * self._random.uniform(0.5, 1.0)

    def reset(self) -> None:
        """Something came of it: the next pause is a first one again."""
        self._pause_s = self._first_s
