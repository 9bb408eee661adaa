"""Parks a task until its answer is there, as cheaply as the event loop allows.

A client's callers are woken hundreds at a time by one frame of replies, so waking one must cost next to nothing: on
trio a parked task is rescheduled, on asyncio a future is set. An ``anyio.Event`` a caller would cost twice as much.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable
from typing import Any, Protocol

import sniffio
import trio


class Parked:
    """Base of whatever a task waits for; ``waiter`` is who waits, or None."""

    __slots__ = ("waiter",)

    def __init__(self) -> None:
        self.waiter: Any = None

    def leave(self, _raise_cancel: object = None) -> trio.lowlevel.Abort:
        """The waiting task was cancelled. In trio's form, so that no wait needs a closure of its own."""
        self.waiter = None
        return trio.lowlevel.Abort.SUCCEEDED


class Parking(Protocol):
    """One event loop's way of waiting."""

    def park(self, parked: Parked) -> Awaitable[None]:
        """Wait until ``wake(parked)``. A cancelled task stops waiting; a later wake finds nobody.

        To be awaited at once, by the task that called it.
        """

    def wake(self, parked: Parked) -> None:
        """Let the waiting task go on, if one waits."""


class TrioParking:
    """See ``Parking``."""

    def park(self, parked: Parked) -> Awaitable[None]:
        parked.waiter = trio.lowlevel.current_task()
        return trio.lowlevel.wait_task_rescheduled(parked.leave)  # noqa: ASYNC105 - the caller awaits it at once

    def wake(self, parked: Parked) -> None:
        task, parked.waiter = parked.waiter, None
        if task is not None:
            trio.lowlevel.reschedule(task)


class AsyncioParking:
    """See ``Parking``."""

    async def park(self, parked: Parked) -> None:
        future = asyncio.get_running_loop().create_future()
        parked.waiter = future
        try:
            await future
        except asyncio.CancelledError:
            parked.leave()
            raise

    def wake(self, parked: Parked) -> None:
        future, parked.waiter = parked.waiter, None
        if future is not None and not future.done():
            future.set_result(None)


def current_parking() -> Parking:
    """The parking of the running event loop."""
    return TrioParking() if sniffio.current_async_library() == "trio" else AsyncioParking()
