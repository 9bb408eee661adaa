"""Tells of turns that took long: meanwhile the node read nothing and answered nobody.

A turn ends after ``turn_s_max``, but a single command or query of the state machine is not divided. If one lasts for
all rounds of an election, the others elect another leader (``docs/LIMITS.md``).

Never: read a clock.
"""

from __future__ import annotations

import math

from .event_log import EventLog

LONG_S = 0.1
"""A turn as long as this is worth a person's attention: a heartbeat round at the defaults."""
SAY_AGAIN_S = 10.0


class LongTurns:
    """Speaks of them now and then, and of how many were not spoken of."""

    def __init__(self, log: EventLog) -> None:
        self._log = log
        self._said_at_s = -math.inf
        self._untold = 0

    def on_long(self, seconds: float, now_s: float, applied_through: int) -> None:
        """A turn that began at ``now_s`` took ``seconds``."""
        if now_s - self._said_at_s < SAY_AGAIN_S:
            self._untold += 1
            return
        self._log.warning(
            "turn_took_long", seconds=round(seconds, 3), applied_through=applied_through, untold=self._untold
        )
        self._said_at_s, self._untold = now_s, 0
