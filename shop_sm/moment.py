"""When a command runs: log time, and what is due next.

Read once ahead of a command and handed to what it calls, because both are needed by every command and each read of the
state counts.
"""

from __future__ import annotations

import msgspec

from replog.state_machine import State

from . import keys
from .limits import LOG_TIME_MS_MAX


class Moment(msgspec.Struct, gc=False):
    """``next_due`` is what is stored under ``NEXT_DUE``; whoever changes one changes the other."""

    now_ms: int
    next_due: bytes


def moment_of(state: State, time_ms: int) -> Moment:
    """Log time, held in the range that keys can order."""
    return Moment(min(max(time_ms, 0), LOG_TIME_MS_MAX), state.get(keys.NEXT_DUE) or keys.NEVER_DUE)
