"""Commands of one caller, and what came of each."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from ..errors import CommandFailed, ReplogError


class Receipt(NamedTuple):
    """What came of a command.

    Parameters
    ----------
    reply: what the state machine's ``apply`` returned.
    slot, offset: where the command stands in the log.
    """

    reply: bytes
    slot: int
    offset: int


class Call:
    """Commands of one caller, who waits until something has come of all of them.

    Parameters
    ----------
    payloads: the commands, in order.
    deadline_s: when the caller gives up, on the clock of whoever drives the session.
    """

    __slots__ = ("deadline_s", "error", "first_sequence", "is_abandoned", "left", "payloads", "results")

    def __init__(self, payloads: Sequence[bytes], deadline_s: float) -> None:
        self.payloads = payloads
        self.deadline_s = deadline_s
        self.first_sequence = 0
        self.results: list[Receipt | CommandFailed | None] = [None] * len(payloads)
        """What came of each command; None while that is not known."""
        self.left = len(payloads)
        self.error: ReplogError | None = None
        """Why the call ended without all of its receipts: the first failure, or why some of them can't be had."""
        self.is_abandoned = False
        """The caller has gone; what was sent of it is still brought to its end, since numbers have no gaps."""

    def abandon(self) -> None:
        self.is_abandoned = True

    @property
    def is_waited_for(self) -> bool:
        """Whether the caller still wants to know what comes of it."""
        return self.left > 0 and not self.is_abandoned

    @property
    def is_sent(self) -> bool:
        """Whether any of it may have reached a leader."""
        return self.first_sequence > 0

    def fail(self, index: int, reply: bytes, slot: int, offset: int) -> None:
        """The state machine raised for one of the commands; the others go on."""
        text, count = reply.decode(errors="replace"), len(self.payloads)
        which = f"command {index + 1} of {count}" if count > 1 else "the command"
        told = f"{which} failed in the state machine, its writes undone (slot {slot}): {text}"
        error = self.results[index] = CommandFailed(told, slot=slot, offset=offset, text=text)
        self.error = self.error or error
