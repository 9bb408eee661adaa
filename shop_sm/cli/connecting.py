"""From a command's options to an open shop: one event loop, one client, one call."""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Sequence
from contextlib import aclosing, asynccontextmanager
from typing import TYPE_CHECKING, TypeVar

import anyio

from replog.errors import ConfigError, Unavailable

from ..client import ShopClient

if TYPE_CHECKING:
    from replog import Client

Outcome = TypeVar("Outcome")


@asynccontextmanager
async def open_shop(endpoints: Sequence[str], timeout_s: float) -> AsyncIterator[ShopClient]:
    from replog.client import connect

    async with connect(endpoints, name="shop") as log:
        yield ShopClient(log, timeout_s=timeout_s)


def with_shop(endpoints: Sequence[str], timeout_s: float, act: Callable[[ShopClient], Awaitable[Outcome]]) -> Outcome:
    """Runs ``act`` with an open shop and waits for it."""

    async def run() -> Outcome:
        async with open_shop(endpoints, timeout_s) as shop:
            return await act(shop)

    return anyio.run(run, backend="trio")


async def collect(items: AsyncGenerator[Outcome, None], limit: int) -> tuple[list[Outcome], bool]:
    """The first ``limit`` of a paged list, and whether there are more. Raises ``ConfigError`` for no limit at all."""
    if limit < 1:
        raise ConfigError(f"--limit is {limit}; write 1 or more")
    found: list[Outcome] = []
    async with aclosing(items):
        async for item in items:
            if len(found) == limit:
                return found, True
            found.append(item)
    return found, False


class LogReplica:
    """Stale reads of one replica; satisfies ``auditing.ReplicaReader``."""

    def __init__(self, log: Client, name: str, timeout_s: float) -> None:
        self.name = name
        self._log = log
        self._timeout_s = timeout_s

    async def read(self, request: bytes) -> tuple[bytes, int]:
        """The answer, and the slot the replica had applied through when it gave it."""
        answer = await self._log.read(request, consistency="stale", timeout=self._timeout_s)
        return answer.reply, answer.applied_through

    async def check_same(self) -> None:
        """Raises ``Unavailable`` if the connection was lost meanwhile and another replica answered."""
        status = await self._log.status(timeout=self._timeout_s)
        if status.node != self.name:
            raise Unavailable(f"{self.name} went away while it was read")


@asynccontextmanager
async def open_replica_reader(address: str, timeout_s: float) -> AsyncIterator[LogReplica]:
    """Reads of the replica at ``address`` and no other."""
    from replog.client import connect

    async with connect([address], name="shop") as log:
        status = await log.status(timeout=timeout_s)
        yield LogReplica(log, status.node, timeout_s)
