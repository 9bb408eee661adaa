"""The client for programs that are not async: scripts, threads, web frameworks with a thread a request.

It is the same client, run by an event loop in a thread of its own. A call from another thread costs about 100 us
more than one from a trio program; calls from many threads share its connection and leave together.

The thread ends with the program, also where the client was never closed.
"""

from __future__ import annotations

import asyncio
import os
import threading
from collections.abc import Coroutine, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Future
from contextlib import contextmanager, suppress
from typing import Any, TypeVar

from . import client as client_module
from .client import Answer, ClientOptions, Consistency, Members, Receipt
from .errors import Unavailable
from .wire.client_messages import LogEntry
from .wire.status import NodeStatus

_T = TypeVar("_T")

LEAVING_S = 5.0
"""A client that is left waits at most this long for calls that have been told to end."""


class Client:
    """See ``replog.Client``: the same methods, which return when the answer is there. Safe from any thread."""

    def __init__(self, runner: _Runner) -> None:
        self._runner = runner

    def submit(self, payload: bytes, *, timeout: float | None = None) -> Receipt:
        """See ``replog.Client.submit``."""
        return self._runner.call(self._runner.client.submit(payload, timeout=timeout))

    def submit_many(self, payloads: Sequence[bytes], *, timeout: float | None = None) -> list[Receipt]:
        """See ``replog.Client.submit_many``."""
        return self._runner.call(self._runner.client.submit_many(payloads, timeout=timeout))

    def query(
        self, request: bytes, *, consistency: Consistency = "linearizable", timeout: float | None = None
    ) -> bytes:
        """See ``replog.Client.query``."""
        return self._runner.call(self._runner.client.query(request, consistency=consistency, timeout=timeout))

    def read(
        self, request: bytes, *, consistency: Consistency = "linearizable", timeout: float | None = None
    ) -> Answer:
        """See ``replog.Client.read``."""
        return self._runner.call(self._runner.client.read(request, consistency=consistency, timeout=timeout))

    def status(self, *, timeout: float = 2.0) -> NodeStatus:
        """See ``replog.Client.status``."""
        return self._runner.call(self._runner.client.status(timeout=timeout))

    def transfer_leadership(self, target: str = "", *, timeout: float = 5.0) -> None:
        """See ``replog.Client.transfer_leadership``."""
        self._runner.call(self._runner.client.transfer_leadership(target, timeout=timeout))

    def members(self, *, is_stale: bool = False, timeout: float = 5.0) -> Members:
        """See ``replog.Client.members``."""
        return self._runner.call(self._runner.client.members(is_stale=is_stale, timeout=timeout))

    def change_members(
        self,
        voters: Iterable[str],
        learners: Iterable[str] = (),
        *,
        addresses: Mapping[str, str] = {},
        incarnations: Mapping[str, str] = {},
        if_version: int | None = None,
        is_dry_run: bool = False,
        timeout: float = 10.0,
    ) -> Members:
        """See ``replog.Client.change_members``."""
        return self._runner.call(
            self._runner.client.change_members(
                voters,
                learners,
                addresses=addresses,
                incarnations=incarnations,
                if_version=if_version,
                is_dry_run=is_dry_run,
                timeout=timeout,
            )
        )

    def follow(self, from_slot: int = 1) -> Iterator[LogEntry]:
        """See ``replog.Client.follow``; close the generator to stop."""

        async def begin() -> Any:
            return self._runner.client.follow(from_slot)

        async def next_entry() -> LogEntry:
            return await anext(entries)

        entries = self._runner.call(begin())
        return self._followed(entries, next_entry)

    def _followed(self, entries: Any, next_entry: Any) -> Iterator[LogEntry]:
        try:
            while True:
                yield self._runner.call(next_entry())
        finally:
            with suppress(Unavailable):  # a client that was left has ended it already
                self._runner.call(entries.aclose())


class _Runner:
    """An event loop in a thread of its own, and the client that lives there."""

    client: client_module.Client

    def __init__(self, endpoints: Sequence[str], name: str, options: ClientOptions | None) -> None:
        self._process = os.getpid()
        self._lock = threading.Lock()
        self._is_left = False
        self._loop: asyncio.AbstractEventLoop
        self._leave: asyncio.Event
        self._begun: Future[None] = Future()
        self._failure: Exception | None = None
        self._thread = threading.Thread(
            target=asyncio.run, args=(self._run(endpoints, name, options),), name="replog client", daemon=True
        )

    async def _run(self, endpoints: Sequence[str], name: str, options: ClientOptions | None) -> None:
        self._loop = asyncio.get_running_loop()
        self._leave = asyncio.Event()
        try:
            async with client_module.connect(endpoints, name=name, options=options) as self.client:
                self._begun.set_result(None)
                await self._leave.wait()
        except Exception as error:
            if self._begun.done():
                self._failure = error
            else:
                self._begun.set_exception(error)
        calls = asyncio.all_tasks() - {asyncio.current_task()}
        if calls:  # which have been told to end
            await asyncio.wait(calls, timeout=LEAVING_S)

    def start(self) -> None:
        self._thread.start()
        self._begun.result()

    def call(self, coroutine: Coroutine[Any, Any, _T]) -> _T:
        """Run it there and wait for what comes of it.

        Raises
        ------
        Unavailable: the client was left.
        RuntimeError: in a process that was forked off, whose parent has the thread.
        """
        try:
            self._check_process()
            with self._lock:  # so that nothing is begun behind the last call that is waited for
                if self._is_left:
                    raise Unavailable("this client was left; nothing can be asked of it. Make another one.")
                future = asyncio.run_coroutine_threadsafe(coroutine, self._loop)
        except BaseException:
            coroutine.close()
            raise
        try:
            return future.result()
        except BaseException:
            future.cancel()  # without effect on one that is done: Ctrl-C ends the wait, so it ends the call
            raise

    def _check_process(self) -> None:
        if os.getpid() != self._process:
            raise RuntimeError(
                "this client was made before the process forked, and belongs to the parent: make one in each process"
            )

    def leave(self) -> None:
        """End every call, and the thread."""
        if os.getpid() != self._process:
            return
        with self._lock:
            self._is_left = True
        self._loop.call_soon_threadsafe(self._leave.set)
        self._thread.join()
        if self._failure is not None:
            raise self._failure


@contextmanager
def connect(endpoints: Sequence[str], *, name: str = "", options: ClientOptions | None = None) -> Iterator[Client]:
    """A client of the cluster behind ``endpoints``; parameters and errors: see ``replog.connect``.

    Its thread runs asyncio, whatever the program uses elsewhere.
    """
    runner = _Runner(endpoints, name, options)
    runner.start()
    try:
        yield Client(runner)
    finally:
        runner.leave()
