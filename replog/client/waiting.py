"""What a client asks of the event loop that it lives in: to park a caller cheaply, and to run beside the program.

A client's callers are woken hundreds at a time by one frame of replies, so waking one must cost next to nothing: on
trio a parked task is rescheduled, on asyncio a future is set. An ``anyio.Event`` a caller would cost twice as much.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import Any, Protocol

import anyio
import sniffio
import trio

from .call import Call

_ELSEWHERE = (
    "this client lives in another event loop or thread, and can be used only there: make one where it is used, or take "
    "replog.blocking, whose client serves any thread"
)


class Parked:
    """Base of whatever a task waits for; ``waiter`` is who waits, or None."""

    __slots__ = ("waiter",)

    def __init__(self) -> None:
        self.waiter: Any = None

    def leave(self, _raise_cancel: object = None) -> trio.lowlevel.Abort:
        """The waiting task was cancelled. In trio's form, so that no wait needs a closure of its own."""
        self.waiter = None
        return trio.lowlevel.Abort.SUCCEEDED


class ParkedCall(Call):
    """A call that a task waits for: ``Parked``, of a class that knows of no event loop."""

    __slots__ = ("waiter",)

    def leave(self, _raise_cancel: object = None) -> trio.lowlevel.Abort:
        self.waiter = None
        self.is_abandoned = True
        return trio.lowlevel.Abort.SUCCEEDED


class Loop(Protocol):
    """One event loop."""

    def check(self) -> None:
        """Raises ``RuntimeError`` in any other event loop or thread."""

    def now_s(self) -> float:
        """Its clock, monotonic seconds; for each call, so without finding out anew which loop runs."""

    def park(self, parked: Parked | ParkedCall) -> Awaitable[None]:
        """Wait until ``wake(parked)``. A cancelled task stops waiting; a later wake finds nobody.

        To be awaited at once, by the task that called it.
        """

    def wake(self, parked: Any) -> None:
        """Let the task that waits for what was parked go on, if one waits."""

    def beside(
        self, run: Callable[[], Awaitable[None]], leave: Callable[[], Awaitable[None]]
    ) -> AbstractAsyncContextManager[None]:
        """Run beside the program's block; after it ``leave``, then cancel ``run``, which raises nothing of its own.

        What the block raises comes out as it is.
        """


class TrioLoop:
    """See ``Loop``."""

    def __init__(self) -> None:
        self._token = trio.lowlevel.current_trio_token()
        self.now_s = trio.lowlevel.current_clock().current_time

    def check(self) -> None:
        try:
            token = trio.lowlevel.current_trio_token()
        except RuntimeError:
            token = None
        if token is not self._token:
            raise RuntimeError(_ELSEWHERE)

    def park(self, parked: Parked | ParkedCall) -> Awaitable[None]:
        parked.waiter = trio.lowlevel.current_task()
        return trio.lowlevel.wait_task_rescheduled(parked.leave)  # noqa: ASYNC105 - the caller awaits it at once

    def wake(self, parked: Any) -> None:
        task, parked.waiter = parked.waiter, None
        if task is not None:
            trio.lowlevel.reschedule(task)

    @asynccontextmanager
    async def beside(
        self, run: Callable[[], Awaitable[None]], leave: Callable[[], Awaitable[None]]
    ) -> AsyncIterator[None]:
        failure: BaseException | None = None
        interruption: BaseException | None = None

        async def run_interruptibly() -> None:
            """Ctrl-C may strike any task, and is the program's matter."""
            nonlocal interruption
            try:
                await run()
            except* (KeyboardInterrupt, SystemExit) as group:
                interruption = next(leaves(group))
                nursery.cancel_scope.cancel()

        try:
            async with trio.open_nursery() as nursery:
                nursery.start_soon(run_interruptibly)
                try:
                    yield
                except BaseException as error:
                    failure = error  # raised below: a nursery would wrap it in a group
                await leave()
                nursery.cancel_scope.cancel()
        except BaseException:  # only a cancellation, which the block has heard of if it raised
            if failure is None:
                raise
        failure = interruption or failure
        if failure is not None:
            raise failure


class AsyncioLoop:
    """See ``Loop``."""

    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()
        self.now_s = self._loop.time

    def check(self) -> None:
        try:
            loop = asyncio.get_running_loop()
        except RuntimeError:
            loop = None
        if loop is not self._loop:
            raise RuntimeError(_ELSEWHERE)

    async def park(self, parked: Parked | ParkedCall) -> None:
        future = self._loop.create_future()
        parked.waiter = future
        try:
            await future
        except asyncio.CancelledError:
            parked.leave()
            raise

    def wake(self, parked: Any) -> None:
        future, parked.waiter = parked.waiter, None
        if future is not None and not future.done():
            future.set_result(None)

    @asynccontextmanager
    async def beside(
        self, run: Callable[[], Awaitable[None]], leave: Callable[[], Awaitable[None]]
    ) -> AsyncIterator[None]:
        task = asyncio.ensure_future(run())  # of its own, so that the block is in no scope but the program's
        try:
            yield
        finally:
            with anyio.CancelScope(shield=True):
                await leave()
                task.cancel()
                await asyncio.wait([task])


def leaves(error: BaseException) -> Iterator[BaseException]:
    """The exceptions in a group of groups, or the one that is none."""
    if isinstance(error, BaseExceptionGroup):
        for inner in error.exceptions:
            yield from leaves(inner)
    else:
        yield error


def current_loop() -> Loop:
    """The running event loop."""
    return TrioLoop() if sniffio.current_async_library() == "trio" else AsyncioLoop()
