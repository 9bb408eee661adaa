"""When a session that was not taken may ask again, and how much of it."""

from __future__ import annotations

import math

from .backoff import Backoff


class Retry:
    """The pauses of a session between attempts that come to nothing.

    What is refused is sent again after a pause that grows until something is taken, and then not all of it but its
    first submission alone: the *probe*. A leader that has no room for one command need not be sent thousands.
    """

    __slots__ = ("_backoff", "_has_hurried", "at_s", "is_probing", "is_troubled", "probe")

    def __init__(self, backoff: Backoff) -> None:
        self._backoff = backoff
        self._has_hurried = False
        self.at_s = math.inf
        """When the pause is over; infinite if there is none."""
        self.is_troubled = False
        """Something was tried again, and nothing has come of it so far."""
        self.is_probing = False
        """Until the probe is answered nothing is sent behind it."""
        self.probe = 0
        """The first number of the probe that is under way; 0 if none is."""

    def pause(self, now_s: float) -> None:
        """It was in vain. Several answers to what left together are one failure."""
        self.is_troubled = True
        if self.at_s == math.inf:
            self.at_s = now_s + self._backoff.next_s()

    def may_send(self, now_s: float) -> bool:
        """Whether there is no pause; one that is over ends here."""
        if now_s < self.at_s < math.inf:
            return False
        self.at_s = math.inf
        return True

    def hurry(self, now_s: float) -> None:
        """Again at once; but where that has been in vain before, after a pause, and with a probe."""
        if self._has_hurried:
            self.pause(now_s)
            self.begin_probing()
        self.is_troubled = self._has_hurried = True

    def begin_probing(self) -> None:
        self.is_probing = True
        self.probe = 0

    def succeed(self) -> None:
        """A leader has taken something."""
        self._backoff.reset()
        self._has_hurried = self.is_troubled = self.is_probing = False
        self.at_s = math.inf
        self.probe = 0
