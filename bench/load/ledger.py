"""What a caller knows of its own counter, and so which answers show a command that was lost or done twice."""

from __future__ import annotations

import attrs


@attrs.define
class Ledger:
    """One caller that has one command at a time.

    Parameters
    ----------
    answered: commands that were answered.
    unknown: commands whose caller was told that they may be done, now or later.
    seen: the counter's highest value that an answer showed.
    lost, doubled: commands that answers showed to be missing or to be too many, each counted once.
    """

    answered: int = 0
    unknown: int = 0
    seen: int = 0
    lost: int = 0
    doubled: int = 0

    def on_answer(self, count: int) -> None:
        """A command was answered with the counter it left behind."""
        self.answered += 1
        self._look(count, lowest=self.seen + 1)

    def on_unknown(self) -> None:
        """A command may have been done, or may still be."""
        self.unknown += 1

    def on_read(self, count: int) -> None:
        """The counter was read, after everything that was answered."""
        self._look(count, lowest=self.seen)

    def _look(self, count: int, *, lowest: int) -> None:
        highest = self.answered + self.unknown + self.doubled - self.lost
        self.lost += max(0, lowest - count)
        self.doubled += max(0, count - highest)
        self.seen = count
