"""The client for programs that are not async: scripts, threads, web frameworks with a thread a request.

It is the same client, run by an event loop in a thread of its own. A call from another thread costs about 100 us
more than one from a trio program; calls from many threads share its connection and leave together.

Never: own a connection.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import partial

from anyio.from_thread import BlockingPortal, start_blocking_portal

from . import client as client_module
from .client import TIMEOUT_S, Consistency, Receipt
from .wire.client_messages import LogEntry
from .wire.status import NodeStatus


class Client:
    """See ``replog.Client``: the same methods, which return when the answer is there. Safe from any thread."""

    def __init__(self, portal: BlockingPortal, inner: client_module.Client) -> None:
        self._portal = portal
        self._inner = inner

    def submit(self, payload: bytes, *, timeout: float = TIMEOUT_S) -> Receipt:
        """See ``replog.Client.submit``."""
        return self._portal.call(partial(self._inner.submit, payload, timeout=timeout))

    def submit_many(self, payloads: Sequence[bytes], *, timeout: float = TIMEOUT_S) -> list[Receipt]:
        """See ``replog.Client.submit_many``."""
        return self._portal.call(partial(self._inner.submit_many, payloads, timeout=timeout))

    def query(self, request: bytes, *, consistency: Consistency = "linearizable", timeout: float = TIMEOUT_S) -> bytes:
        """See ``replog.Client.query``."""
        return self._portal.call(partial(self._inner.query, request, consistency=consistency, timeout=timeout))

    def status(self, *, timeout: float = 2.0) -> NodeStatus:
        """See ``replog.Client.status``."""
        return self._portal.call(partial(self._inner.status, timeout=timeout))

    def transfer_leadership(self, target: str = "", *, timeout: float = 5.0) -> None:
        """See ``replog.Client.transfer_leadership``."""
        self._portal.call(partial(self._inner.transfer_leadership, target, timeout=timeout))

    def follow(self, from_slot: int = 1) -> Iterator[LogEntry]:
        """See ``replog.Client.follow``; close the generator to stop."""
        entries = self._inner.follow(from_slot)

        async def next_entry() -> LogEntry:
            return await anext(entries)

        try:
            while True:
                yield self._portal.call(next_entry)
        finally:
            self._portal.call(entries.aclose)


@contextmanager
def connect(endpoints: Sequence[str], *, name: str = "") -> Iterator[Client]:
    """A client of the cluster behind ``endpoints``; parameters and errors: see ``replog.connect``.

    A portal runs on asyncio, whatever the program uses elsewhere.
    """
    with (
        start_blocking_portal("asyncio") as portal,
        portal.wrap_async_context_manager(client_module.connect(endpoints, name=name)) as inner,
    ):
        yield Client(portal, inner)
