"""What a load generator in Python notes down while it runs, at the least cost an answer can have.

Two appends to flat arrays an answer; rounding, gaps and timelines are worked out after the window has closed.
"""

from __future__ import annotations

import itertools
import json
import math
from array import array
from collections.abc import Callable
from typing import Any

from .latencies import Latencies
from .plan import LoadPlan

TIMELINE_STEP_S = 0.01


def emit(fields: dict[str, Any]) -> None:
    """Write one line of the generators' protocol."""
    print(json.dumps(fields), flush=True)


class AnswerLog:
    """Answers within one window, and the events that mark it.

    Parameters
    ----------
    plan: says when the window opens and closes, counted from ``start``.
    operations_per_answer: more than one where an answer covers a batch.
    """

    def __init__(self, plan: LoadPlan, *, operations_per_answer: int = 1) -> None:
        self._plan = plan
        self._operations_per_answer = operations_per_answer
        self._opens_at = math.inf
        self._began = self._ended = 0.0
        self._is_open = False
        self._starts = array("d")
        self._ends = array("d")
        self._errors = 0
        self._backlog: Callable[[], int] = int

    def start(self, now: float) -> None:
        """The warm-up begins."""
        self._opens_at = now + self._plan.warmup_s

    def answered(self, started: float, ended: float) -> None:
        """An operation that was due at ``started`` was answered at ``ended`` (``time.perf_counter``)."""
        if self._is_open:
            self._starts.append(started)
            self._ends.append(ended)

    def failed(self) -> None:
        """An operation ended without its answer."""
        if self._is_open:
            self._errors += 1

    def count_backlog(self, backlog: Callable[[], int]) -> None:
        """Count as failed what ``backlog`` says is due and not begun when the window closes.

        Otherwise the operations that a stall hurt most would be missing from the result.
        """
        self._backlog = backlog

    def turn(self, now: float) -> bool:
        """Open or close the window when it is time; True once the result has been reported."""
        if self._is_open and now >= self._began + self._plan.seconds:
            self.close(now)
            return True
        if not self._is_open and now >= self._opens_at:
            self.open(now)
        return False

    def open(self, now: float) -> None:
        """Begin the measured window."""
        self._is_open = True
        self._began = now
        emit({"event": "began"})

    def close(self, now: float) -> None:
        """End the measured window and report."""
        self._is_open = False
        self._ended = now
        self._errors += self._backlog()
        emit({"event": "ended"})
        emit({"event": "result", **self._result()})

    def _result(self) -> dict[str, Any]:
        gap_s, gap_from_s = self._longest_gap()
        latencies = Latencies.of_seconds(end - start for start, end in zip(self._starts, self._ends, strict=True))
        result: dict[str, Any] = {
            "operations": len(self._ends) * self._operations_per_answer,
            "errors": self._errors,
            "seconds": self._ended - self._began,
            "latencies_us": latencies.pairs(),
            "longest_gap_ms": gap_s * 1e3,
            "longest_gap_from_s": gap_from_s,
        }
        if self._plan.has_timeline:
            result["answers_per_10_ms"] = self._timeline()
        return result

    def _longest_gap(self) -> tuple[float, float]:
        """The longest time without an answer to anybody, and when it began."""
        moments = [self._began, *self._ends, self._ended]
        return max((later - earlier, earlier - self._began) for earlier, later in itertools.pairwise(moments))

    def _timeline(self) -> list[int]:
        steps = [0] * (int(self._plan.seconds / TIMELINE_STEP_S) + 1)
        for end in self._ends:
            steps[min(int((end - self._began) / TIMELINE_STEP_S), len(steps) - 1)] += self._operations_per_answer
        return steps
