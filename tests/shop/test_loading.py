"""A load is exactly once: under failures, interrupted anywhere, and run again."""

from __future__ import annotations

import random

import anyio
import pytest

from shop_sm import loading
from shop_sm.cdnow import Import, KnownTotals, Purchase, read_purchases, sample_file, totals_of
from shop_sm.client import ShopClient
from shop_sm.loading import Loader

from .memory_log import MemoryLog
from .shop_under_test import ShopUnderTest


def first_orders(count: int) -> Import:
    with sample_file() as path:
        return Import("sample", read_purchases(path)[:count])


def shown(shop: ShopUnderTest) -> KnownTotals:
    totals = shop.totals()
    (row,) = totals.currencies
    return KnownTotals(row.orders, totals.customer_count, row.units, row.revenue_minor)


async def test_the_whole_sample_comes_out_to_the_cent() -> None:
    """6,919 orders loaded 256 at a time show exactly the known totals, with nothing left in stock."""
    imported, log = first_orders(10_000), MemoryLog()
    progress = await Loader(ShopClient(log), imported).load()
    assert (progress.done, progress.refused) == (6_919, 0)
    assert shown(log.shop) == totals_of(imported.purchases)
    assert log.shop.totals().currencies[0].revenue_minor == 24_409_194
    assert log.shop.violations() == []


async def test_failures_neither_lose_nor_double_an_order(autojump_clock: object) -> None:
    """With every fifth command failing, half of those after they were done, the totals are the file's."""
    imported, log = first_orders(600), MemoryLog(trouble=0.2)
    progress = await Loader(ShopClient(log), imported, outstanding=32).load()
    assert progress.repeats > 50
    assert shown(log.shop) == totals_of(imported.purchases)
    assert log.shop.violations() == []


@pytest.mark.parametrize("seed", range(4))
async def test_an_interrupted_load_goes_on_where_it_must(
    seed: int, autojump_clock: object, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Cancelled at any point, and again, a load that is run to its end shows the file's totals."""
    monkeypatch.setattr(loading, "WINDOW", 64)
    rng = random.Random(seed)
    imported, log = first_orders(600), MemoryLog(trouble=0.05)
    resumed_at = []
    for _ in range(4):
        log.stop_after = log.submitted + rng.randrange(10, 400)
        with anyio.move_on_after(30):
            await Loader(ShopClient(log), imported, outstanding=16).load()
    log.stop_after = None
    progress = await Loader(ShopClient(log), imported, outstanding=16).load()
    resumed_at.append(progress.resumed_at)
    assert shown(log.shop) == totals_of(imported.purchases)
    assert resumed_at[-1] > 0
    assert log.shop.violations() == []


async def test_a_finished_load_run_again_sends_only_the_last_window(monkeypatch: pytest.MonkeyPatch) -> None:
    """What is known to be there is not sent again."""
    monkeypatch.setattr(loading, "WINDOW", 50)
    imported, log = first_orders(300), MemoryLog()
    await Loader(ShopClient(log), imported, outstanding=8).load()
    before = log.submitted
    progress = await Loader(ShopClient(log), imported, outstanding=8).load()
    assert log.submitted - before == 50
    assert (progress.resumed_at, progress.done) == (250, 300)
    assert shown(log.shop) == totals_of(imported.purchases)


async def test_no_line_is_sent_a_window_ahead_of_an_unanswered_one(monkeypatch: pytest.MonkeyPatch) -> None:
    """One slow order holds the load back before the next run could overlook it."""
    monkeypatch.setattr(loading, "WINDOW", 10)
    imported, log = first_orders(100), MemoryLog()
    slow = imported.order_id(imported.purchases[20])
    release = anyio.Event()
    furthest = 0

    class SlowShop(ShopClient):
        async def run_batch(self, batch):  # type: ignore[no-untyped-def]
            nonlocal furthest
            line = getattr(batch[0], "order", "")
            if line == slow:
                await release.wait()
            elif line and not release.is_set():
                furthest = max(furthest, int(line.rpartition("-")[2]))
            return await super().run_batch(batch)

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(Loader(SlowShop(log), imported, outstanding=8).load)
        await anyio.wait_all_tasks_blocked()
        assert furthest == imported.purchases[20].line + 9
        release.set()
    assert shown(log.shop) == totals_of(imported.purchases)


async def test_a_refused_order_is_reported_and_the_rest_goes_on() -> None:
    """A load that can't be whole says which lines are missing, and why."""
    imported, log = first_orders(20), MemoryLog()
    other = Import("sample", [Purchase(1, "1", 9_862, 1, 100)])
    await Loader(ShopClient(log), other).load()
    progress = await Loader(ShopClient(log), imported).load()
    assert progress.refused == 1
    assert "line 1" in progress.refusals[0]
