"""How long a node that owes an answer may be silent: asked whether it lives, then left; without I/O or a clock."""

from __future__ import annotations

import enum
import math

from .options import ClientOptions

SLOWER_TIMES = 4
SLOWEST_TIMES = SLOWER_TIMES**2
"""How many times ``hung_after_s`` a slow node is borne, and no more than that."""
PATIENT_S = 10.0
"""So long a client remembers that a node was slow."""


class Verdict(enum.Enum):
    """What is to be done about a node's silence."""

    WAIT = "nothing"
    PING = "ask whether it lives"
    LEAVE = "end the link and look for another node"


class Patience:
    """How long a node that was asked whether it lives may take to say so.

    A node that runs a slow query or command says nothing meanwhile, just like one that hangs; which of the two it was,
    is known when it lets the client in again. Were it left after the same time again, what it was asked would never be
    answered. So each time that happens it is given four times as long, and the ordinary time again when that was not
    needed for a while: a node that hangs is then noticed as soon as ever.
    """

    def __init__(self, options: ClientOptions) -> None:
        self._ping_after_s = options.ping_after_s
        self._hung_after_s = options.hung_after_s
        self._times = 1
        self._until_s = -math.inf
        self._left: set[str] = set()
        """Where a node was left for its silence, and has not let the client in since."""

    def on_left(self, address: str) -> None:
        """The node there said nothing for too long."""
        self._left.add(address)

    def on_greeted(self, address: str, now_s: float) -> None:
        """The node there lives."""
        if address in self._left:
            self._left.discard(address)
            self._times = min(SLOWER_TIMES * self.times(now_s), SLOWEST_TIMES)
            self.on_needed(now_s)

    def on_needed(self, now_s: float) -> None:
        """A node that would have been left has answered."""
        self._until_s = now_s + PATIENT_S

    def times(self, now_s: float) -> int:
        """How many times the ordinary time."""
        return self._times if now_s < self._until_s else 1

    def answer_s(self, times: int) -> float:
        """From the Ping on."""
        return times * self._hung_after_s - self._ping_after_s


class Silence:
    """How long a node that owes an answer has said nothing. One that is only slow answers a Ping.

    The time to answer counts from the Ping: this program may have been busy elsewhere before.
    """

    def __init__(self, options: ClientOptions, patience: Patience) -> None:
        self._ping_after_s = options.ping_after_s
        self._patience = patience
        self._bytes_seen = -1
        self._since_s = -math.inf
        self._pinged_at_s: float | None = None

    def on_heard(self, bytes_received: int, now_s: float) -> None:
        """It has said something, or owes nothing."""
        self._bytes_seen = bytes_received
        self._since_s = now_s
        self._pinged_at_s = None

    def judge(self, bytes_received: int, now_s: float) -> Verdict:
        patience = self._patience
        if bytes_received != self._bytes_seen:
            if self._pinged_at_s is not None and now_s - self._pinged_at_s >= patience.answer_s(1):
                patience.on_needed(now_s)
            self.on_heard(bytes_received, now_s)
        if self._pinged_at_s is not None:
            is_hung = now_s - self._pinged_at_s >= patience.answer_s(patience.times(now_s))
            return Verdict.LEAVE if is_hung else Verdict.WAIT
        if now_s - self._since_s < self._ping_after_s:
            return Verdict.WAIT
        self._pinged_at_s = now_s
        return Verdict.PING
