"""Work in a thread beside the node's turns, also while the machine has no thread to give.

Work that has begun is waited for, whoever is cancelled meanwhile: a disk's job must not end when nobody listens. In a
child that is forked off its thread is not there, so there nobody waits.

Never: begin a piece of work twice.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from typing import Any, TypeVar

import trio

from ..process.forking import own
from ..process.resources import lack_of

_T = TypeVar("_T")
_NO_THREAD_PAUSE_S = 0.1


async def in_thread(work: Callable[..., _T], *arguments: Any, limiter: trio.CapacityLimiter) -> _T:
    """What ``work`` returns or raises; where no thread can be started, nothing was begun, and it is tried again."""
    async with limiter:
        while True:
            waiting = _Waiting()
            try:
                trio.lowlevel.start_thread_soon(lambda: work(*arguments), waiting.deliver, name="replog-work")
            except RuntimeError as error:
                if not lack_of(error):
                    raise
            else:
                result: _T = await waiting.result()
                return result
            await trio.sleep(_NO_THREAD_PAUSE_S)


class _Waiting:
    """A task that waits for a thread."""

    def __init__(self) -> None:
        self._task = trio.lowlevel.current_task()
        self._loop = trio.lowlevel.current_trio_token()
        self._cancel: Callable[[], Any] | None = None
        self._is_alone = self._is_over = False
        own(self)

    async def result(self) -> Any:
        result = await trio.lowlevel.wait_task_rescheduled(self._on_cancelled)
        if self._is_alone and self._cancel is not None:
            self._cancel()
        return result

    def deliver(self, result: Any) -> None:
        """On the thread, with what has come of it."""
        with suppress(trio.RunFinishedError):
            self._loop.run_sync_soon(self._end, result)

    def _on_cancelled(self, cancel: Callable[[], Any]) -> trio.lowlevel.Abort:
        self._cancel = cancel
        self._is_over = self._is_alone
        return trio.lowlevel.Abort.SUCCEEDED if self._is_alone else trio.lowlevel.Abort.FAILED

    def _end(self, *result: Any) -> None:
        if not self._is_over:
            self._is_over = True
            trio.lowlevel.reschedule(self._task, *result)

    def on_forked(self) -> None:
        """See ``forking.Owned``; whoever was cancelled before is let go now."""
        self._is_alone = True
        with suppress(RuntimeError):  # the loop is another thread's, which is not there either
            if self._cancel is not None and trio.lowlevel.current_trio_token() is self._loop:
                self._end()
