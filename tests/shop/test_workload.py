"""The simulator's shop commands reach every part of the shop."""

from __future__ import annotations

import random
from collections import Counter

from shop_sm.answers import decode_answer
from shop_sm.commands import decode_command
from shop_sm.life_cycle import Status
from shop_sm.results import BatchDone, Malformed, decode_result
from shop_sm.workload import ShopWorkload

from .shop_under_test import ShopUnderTest


def test_the_workload_meets_every_status_and_most_refusals() -> None:
    """Orders get into each status, and no command is malformed or equal to another."""
    workload, rng, shop = ShopWorkload(), random.Random(3), ShopUnderTest()
    results: Counter[str] = Counter()
    seen: set[bytes] = set()
    for number in range(1, 300):
        for client in range(3):
            payload = workload.command(rng, client, number)
            decode_command(payload)
            assert payload not in seen
            seen.add(payload)
            shop.now_ms += 30
            result = decode_result(shop.do_bytes(payload))
            results.update(
                type(one).__name__ for one in (result.results if isinstance(result, BatchDone) else [result])
            )
            decode_answer(shop.applier.query(workload.query(rng, client)))
    by_status = shop.totals().currencies[0].by_status
    assert all(by_status[status] for status in Status if status not in (Status.SHIPPED, Status.REFUND_DUE)), by_status
    assert results["OrderAdvanced"] > 100
    assert results["OutOfStock"]
    assert results["WrongAmount"] == 0
    assert not results[Malformed.__name__]
    assert shop.violations() == []
