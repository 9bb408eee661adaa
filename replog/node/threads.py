"""Work in a thread beside the node's turns, also while the machine has no thread to give.

Never: begin a piece of work twice.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

import trio

from ..process.resources import lack_of

_T = TypeVar("_T")
_NO_THREAD_PAUSE_S = 0.1


async def in_thread(work: Callable[..., _T], *arguments: Any, limiter: trio.CapacityLimiter) -> _T:
    """What ``work`` returns or raises; where no thread can be started, nothing was begun, and it is tried again."""
    has_begun = False

    def begin() -> _T:
        nonlocal has_begun
        has_begun = True
        return work(*arguments)

    while True:
        try:
            return await trio.to_thread.run_sync(begin, limiter=limiter)
        except RuntimeError as error:
            if has_begun or not lack_of(error):
                raise
        await trio.sleep(_NO_THREAD_PAUSE_S)
