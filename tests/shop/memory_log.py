"""A log of one replica in memory, with the calls of ``replog.Client`` that the shop uses.

It keeps the contract: a command raises ``OutcomeUnknown`` whether it was done or not, and one that raises
``Unavailable`` was not. ``tests/shop/test_processes.py`` runs the same things against real replicas.
"""

from __future__ import annotations

import random
from dataclasses import dataclass, field

import anyio.lowlevel

from replog.errors import OutcomeUnknown, Unavailable

from .shop_under_test import ShopUnderTest


@dataclass
class Receipt:
    reply: bytes


@dataclass
class MemoryLog:
    """``trouble`` is the share of commands that fail, half of them after they were done."""

    shop: ShopUnderTest = field(default_factory=ShopUnderTest)
    trouble: float = 0.0
    rng: random.Random = field(default_factory=lambda: random.Random(1))
    submitted: int = 0
    stop_after: int | None = None

    async def submit(self, payload: bytes, *, timeout: float) -> Receipt:  # noqa: ASYNC109 - replog.Client's name
        await anyio.lowlevel.checkpoint()
        if self.stop_after is not None and self.submitted >= self.stop_after:
            await anyio.sleep_forever()
        is_trouble = self.rng.random() < self.trouble
        if is_trouble and self.rng.random() < 0.5:
            raise Unavailable("no leader")
        self.submitted += 1
        reply = self.shop.do_bytes(payload)
        if is_trouble:
            raise OutcomeUnknown("no answer in time")
        return Receipt(reply)

    async def query(self, request: bytes, *, consistency: str, timeout: float) -> bytes:  # noqa: ASYNC109 - as above
        await anyio.lowlevel.checkpoint()
        return self.shop.applier.query(request)
