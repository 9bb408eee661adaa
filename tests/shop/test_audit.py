"""Audits: what they find in a state that is wrong, that they find nothing in one that is right, and in pages."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from shop_sm import auditing, keys, records
from shop_sm.answers import AuditPage
from shop_sm.auditing import ReplicaAudit, audit_replica, disagreements
from shop_sm.commands import PayOrder, PlaceOrder, RegisterCustomer, Wanted
from shop_sm.queries import AuditQuery

from .shop_under_test import ShopUnderTest, stocked_shop


def busy_shop() -> ShopUnderTest:
    shop = stocked_shop()
    for number in range(4):
        shop.do(PlaceOrder(f"o-{number}", "ann", [Wanted("tea", 1), Wanted("pot", 2)]))
    shop.do(PayOrder("o-1", 4_248, "USD", "payment"))
    return shop


def product(shop: ShopUnderTest, sku: str) -> records.Product:
    return records.decode_product(shop.store.get(keys.PRODUCT + sku.encode()) or b"")


def lose_a_piece(shop: ShopUnderTest) -> None:
    tea = product(shop, "tea")
    tea.on_hand -= 1
    shop.store.write({b"ptea": records.encode(tea)})


def swap_reservations(shop: ShopUnderTest) -> None:
    for sku, moved in (("tea", 1), ("pot", -1)):
        one = product(shop, sku)
        one.reserved += moved
        one.on_hand -= moved
        shop.store.write({keys.PRODUCT + sku.encode(): records.encode(one)})


def drop_an_order(shop: ShopUnderTest) -> None:
    shop.store.write({b"oo-2": None})


def drop_a_list_entry(shop: ShopUnderTest) -> None:
    key = next(key for key, _ in shop.store.scan(keys.customer_orders("ann"), None))
    shop.store.write({key: None})


def drop_a_status_entry(shop: ShopUnderTest) -> None:
    key = next(key for key, _ in shop.store.scan(keys.UNPAID, None))
    shop.store.write({key: None})


def change_a_total(shop: ShopUnderTest) -> None:
    order = records.decode_order(shop.store.get(b"oo-1") or b"")
    order.total_minor += 1
    shop.store.write({b"oo-1": records.encode(order)})


def change_a_price_and_total(shop: ShopUnderTest) -> None:
    order = records.decode_order(shop.store.get(b"oo-1") or b"")
    order.lines[0].price_minor += 1
    order.total_minor += 1
    shop.store.write({b"oo-1": records.encode(order)})


def take_another_name(shop: ShopUnderTest) -> None:
    shop.store.write({b"cann": records.encode(records.Customer("Anna", 1))})


def add_a_stranger(shop: ShopUnderTest) -> None:
    shop.store.write({b"zebra": b""})


def spoil_a_record(shop: ShopUnderTest) -> None:
    shop.store.write({b"oo-1": b"\x93\x01"})


def postpone_expiry(shop: ShopUnderTest) -> None:
    shop.store.write({keys.NEXT_DUE: keys.NEVER_DUE})


def miscount_customers(shop: ShopUnderTest) -> None:
    shop.store.write({keys.COUNTS: records.encode(records.Counts(product_count=2, customer_count=2))})


def lead_a_payment_elsewhere(shop: ShopUnderTest) -> None:
    shop.store.write({keys.PAYMENT + b"payment": b"o-2"})


DAMAGES = [
    lead_a_payment_elsewhere,
    lose_a_piece,
    swap_reservations,
    drop_an_order,
    drop_a_list_entry,
    drop_a_status_entry,
    change_a_total,
    change_a_price_and_total,
    take_another_name,
    add_a_stranger,
    spoil_a_record,
    postpone_expiry,
    miscount_customers,
]


class OneReplica:
    """Stale reads of a shop in memory; ``between`` runs after each."""

    name = "n1"

    def __init__(self, shop: ShopUnderTest, between: Callable[[], None] = lambda: None) -> None:
        self.shop = shop
        self.between = between

    async def read(self, request: bytes) -> tuple[bytes, int]:
        answer = self.shop.applier.query(request)
        slot = int(self.shop.applier.applied_through)
        self.between()
        return answer, slot


@pytest.mark.parametrize("damage", DAMAGES, ids=lambda damage: damage.__name__)
async def test_every_damage_is_found_in_pages_and_in_one_walk(damage: Callable[[ShopUnderTest], None]) -> None:
    """A state that is wrong in one place is found out by both audits."""
    shop = busy_shop()
    damage(shop)
    assert shop.violations()
    audit = await audit_replica(OneReplica(shop))
    assert audit.violations


@pytest.mark.parametrize("limit", [1, 3, 7, 10_000])
def test_pages_of_any_size_cover_every_record_once(limit: int) -> None:
    """Joined, the pages hold every record, and their books balance."""
    shop = busy_shop()
    cursor, count, sums = b"", 0, dict[str, int]()
    while True:
        page = shop.ask(AuditQuery(cursor, limit))
        assert isinstance(page, AuditPage)
        assert page.violations == []
        count += page.record_count
        for account, amount in page.balances.items():
            sums[account] = (sums.get(account, 0) + amount) % (2**61 - 1)
        cursor = page.next_cursor
        if not cursor:
            break
    assert count == len(dict(shop.store.scan(b"", None)))
    assert set(sums.values()) == {0}


async def test_a_replica_that_moves_is_walked_again_and_never_called_wrong(monkeypatch: pytest.MonkeyPatch) -> None:
    """Books of a walk over two states are not closed; a replica that comes to rest has its books closed."""
    monkeypatch.setattr(auditing, "PAGE_RECORDS", 5)
    shop = busy_shop()
    moves = 0

    def move() -> None:
        nonlocal moves
        moves += 1
        if moves < 8:
            shop.do(PlaceOrder(f"late-{moves}", "ann", [Wanted("tea", 1)]))

    resting = await audit_replica(OneReplica(shop, move))
    assert resting.applied_through == shop.slot
    assert resting.violations == []

    restless = await audit_replica(OneReplica(shop, lambda: shop.do(RegisterCustomer("bob", "Bob")) and None))
    assert restless.applied_through is None
    assert restless.violations == []


async def test_replicas_at_one_slot_that_differ_are_named() -> None:
    """Totals that differ at the same slot are a disagreement; at different slots they are not."""
    shop = busy_shop()
    one = await audit_replica(OneReplica(shop))
    other = ReplicaAudit("n2", one.applied_through, one.record_count + 1, [], {}, one.totals)
    ahead = ReplicaAudit("n3", (one.applied_through or 0) + 1, one.record_count + 1, [], {}, one.totals)
    assert disagreements([one, ahead]) == []
    assert disagreements([one, other, ahead]) == [f"n1 and n2 differ at slot {one.applied_through}"]
