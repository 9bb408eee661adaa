"""Fitness: how well this node could lead, by its own room, disk and state machine.

It knows nothing of ballots and peers. What it protects is service: a leader that takes no commands, or takes them and
can't apply them, ought to leave when another is better (and only then: a cluster that is full everywhere still reads).
Everything here is a level that is looked at each round, never an event that could be missed.
"""

from __future__ import annotations

from .effects import NoticeKind
from .options import PaxosOptions
from .outbox import Outbox
from .standing import Standing


class Fitness:
    """Looks at the age of the oldest write in every turn, and at what was applied in every round."""

    def __init__(self, options: PaxosOptions, outbox: Outbox, standing: Standing) -> None:
        self._options = options
        self._outbox = outbox
        self._standing = standing
        self.is_full = False
        """The disk is nearly full: new commands are refused."""
        self.is_disk_stalled = False
        """The oldest write is older than ``disk_stall_s``."""
        self._is_applying = False
        """Whether anybody has said that anything is applied here at all."""
        self._has_progressed = False
        self._rounds_without_progress = 0

    def watch_disk(self, oldest_write_age_s: float) -> None:
        is_stalled = oldest_write_age_s > self._options.disk_stall_s
        if is_stalled and not self.is_disk_stalled:
            self._outbox.notice(NoticeKind.DISK_STALLED, seconds=round(oldest_write_age_s, 3))
        self.is_disk_stalled = is_stalled

    def on_applied(self, *, has_progressed: bool) -> None:
        self._has_progressed |= has_progressed or not self._is_applying
        self._is_applying = True

    def end_round(self) -> None:
        """A round has passed. Rounds are counted and not seconds: a process that was frozen has missed only one."""
        applied_through, chosen_through = self._standing.applied_through, self._standing.chosen_through
        if self._has_progressed or not self._is_applying or applied_through >= chosen_through:
            self._rounds_without_progress = 0
        else:
            self._rounds_without_progress += 1
        self._has_progressed = False
        if self._rounds_without_progress == self._options.apply_stall_rounds:
            self._outbox.notice(
                NoticeKind.APPLYING_STALLED, applied_through=applied_through, chosen_through=chosen_through
            )

    @property
    def is_applying_stalled(self) -> bool:
        """Slots wait to be applied, and none was for ``apply_stall_rounds``. Slow is not stalled."""
        return self._rounds_without_progress >= self._options.apply_stall_rounds

    @property
    def is_able(self) -> bool:
        """Whether clients would be served if this node led."""
        return not (self.is_full or self.is_disk_stalled or self.is_applying_stalled)

    @property
    def problem(self) -> str:
        """What is wrong, for people; empty if nothing is. That it is full is told elsewhere."""
        if self.is_disk_stalled:
            return f"its disk has not finished a write for {self._options.disk_stall_s:g} s"
        if self.is_applying_stalled:
            applied_through = self._standing.applied_through
            return f"nothing was applied after slot {applied_through} for {self._rounds_without_progress} heartbeats"
        return ""
