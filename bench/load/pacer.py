"""Wakes callers at the moments their operations are due, to some ten microseconds.

The event loop's own sleeps end up to a millisecond late (epoll counts in milliseconds), which is as long as the
operation that is to be measured. A timer of the kernel that the loop can wait for like a socket is exact.
"""

from __future__ import annotations

import ctypes
import os
import time
from collections import deque

import trio

_CLOCK_MONOTONIC = 1
_TFD_NONBLOCK = 0o4000
_TFD_CLOEXEC = 0o2000000
_TFD_TIMER_ABSTIME = 1
_libc = ctypes.CDLL(None, use_errno=True)


class _Time(ctypes.Structure):
    _fields_ = (("seconds", ctypes.c_long), ("nanoseconds", ctypes.c_long))


class _Timer(ctypes.Structure):
    _fields_ = (("interval", _Time), ("due", _Time))


class Pacer:
    """Hands out due moments, in order, to whichever caller is free.

    Parameters
    ----------
    rate_per_s: how many operations are due each second, evenly.
    """

    def __init__(self, rate_per_s: float) -> None:
        self._interval_s = 1.0 / rate_per_s
        self._due: deque[float] = deque()
        self._idle = trio.lowlevel.ParkingLot()
        self._fd = _libc.timerfd_create(_CLOCK_MONOTONIC, _TFD_NONBLOCK | _TFD_CLOEXEC)
        if self._fd < 0:
            raise OSError(ctypes.get_errno(), "timerfd_create failed")

    @property
    def backlog_count(self) -> int:
        """Operations that are due and that no caller was free to begin."""
        return len(self._due)

    async def run(self) -> None:
        """Release operations as their moments come, until cancelled."""
        try:
            await self._release_for_ever()
        finally:
            os.close(self._fd)

    async def _release_for_ever(self) -> None:
        due = time.perf_counter() + self._interval_s
        while True:
            now = time.perf_counter()
            while due <= now:
                self._due.append(due)
                due += self._interval_s
            self._idle.unpark(count=len(self._due))
            await self._sleep_until(due)

    async def _sleep_until(self, moment: float) -> None:
        # perf_counter is CLOCK_MONOTONIC on Linux, so its values can be given to the timer as they are.
        seconds = int(moment)
        timer = _Timer(_Time(0, 0), _Time(seconds, max(1, int((moment - seconds) * 1e9))))
        _libc.timerfd_settime(self._fd, _TFD_TIMER_ABSTIME, ctypes.byref(timer), None)
        await trio.lowlevel.wait_readable(self._fd)
        os.read(self._fd, 8)

    async def take(self) -> float:
        """Wait until an operation is due that nobody has taken; returns when it was due (``time.perf_counter``)."""
        while not self._due:
            await self._idle.park()
        return self._due.popleft()
