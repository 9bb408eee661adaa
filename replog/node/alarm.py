"""The alarm of a node: the driver says when it wants a turn, though nothing may happen before.

Never: ring for what has happened; whoever puts an event in wakes the node himself.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import trio


class Alarm:
    """Set anew after each turn.

    Parameters
    ----------
    ring: called when the time has come.
    """

    def __init__(self, ring: Callable[[], None]) -> None:
        self._ring = ring
        self._scope = trio.CancelScope()
        self.at_s = 0.0
        """On the event loop's clock."""

    def set(self, at_s: float) -> None:
        """One that comes early costs a turn and is set anew, so it is moved only forward in time."""
        self.at_s = at_s
        self._scope.deadline = at_s

    async def ring_forever(self) -> None:
        while True:
            with trio.CancelScope(deadline=self.at_s) as self._scope:
                await trio.sleep_forever()
            self.at_s = math.inf
            self._ring()
            await trio.lowlevel.checkpoint()
