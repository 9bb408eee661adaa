"""From a command's options to an open shop: one event loop, one client, one call."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from typing import TypeVar

import anyio

from ..client import ShopClient

Outcome = TypeVar("Outcome")
DEV_ENDPOINTS = ("127.0.0.1:7101", "127.0.0.1:7102", "127.0.0.1:7103")
"""Where ``replog dev`` puts its replicas."""


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


async def collect(items: AsyncIterator[Outcome], limit: int) -> list[Outcome]:
    """The first ``limit`` of a paged list."""
    found: list[Outcome] = []
    if limit <= 0:
        return found
    async for item in items:
        found.append(item)
        if len(found) == limit:
            break
    return found
