"""Whether a shop and the model agree: the same result for each command, the same stock and money after it."""

from __future__ import annotations

import random
from collections.abc import Iterator

from shop_sm import commands as c
from shop_sm.life_cycle import Status

from .model import ModelShop
from .shop_under_test import ShopUnderTest

SKUS = ["tea", "pot", "cup", "scone"]
CUSTOMERS = ["ann", "bob"]
OPENING = [
    *(c.PutProduct(sku, sku, 250, "USD") for sku in SKUS[:3]),
    *(c.AdjustStock(sku, 30, "opening") for sku in SKUS[:3]),
    *(c.RegisterCustomer(customer, customer.title()) for customer in CUSTOMERS[:1]),
]
ORDERS = [f"o-{number}" for number in range(60)]


def differences(shop: ShopUnderTest, model: ModelShop) -> list[str]:
    """What the two show differently, and what the shop's own invariants say."""
    found = list(shop.violations())
    for sku in model.products:
        expected = (model.on_hand(sku), model.reserved(sku), model.sold(sku))
        if shop.stock(sku) != expected:
            found.append(f"stock of {sku}: {shop.stock(sku)}, expected {expected}")
    for row in shop.totals().currencies:
        orders = [order for order in model.orders.values() if order.currency == row.currency]
        by_status = [sum(order.status is status for order in orders) for status in Status]
        expected_row = (len(orders), by_status, model.revenue(row.currency))
        if (row.orders, row.by_status, row.revenue_minor) != expected_row:
            found.append(f"totals {row}, expected {expected_row}")
    return found


def step(shop: ShopUnderTest, model: ModelShop, command: c.Command) -> str | None:
    """Runs ``command`` on both; a sentence if they answer differently."""
    expected = model.do(command, shop.now_ms)
    result = shop.do(command)
    if result == expected:
        return None
    return f"{command}: {result}, expected {expected}"


def random_command(rng: random.Random, model: ModelShop) -> c.Command:
    """A command that is as likely to fit as not; payments are mostly of the right amount."""
    sku, order = rng.choice(SKUS), rng.choice(ORDERS)
    kind = rng.choices(range(10), weights=[2, 1, 4, 1, 24, 14, 5, 3, 6, 1])[0]
    if kind == 0:
        return c.PutProduct(sku, sku.title(), rng.choice([0, 100, 250]), "GBP" if sku == "scone" else "USD")
    if kind == 1:
        return c.WithdrawProduct(sku)
    if kind == 2:
        return c.AdjustStock(sku, rng.choice([-3, 5, 20]), f"d-{rng.randrange(30)}")
    if kind == 3:
        return c.RegisterCustomer(rng.choice(CUSTOMERS), rng.choice(["Ann", "Bob"]))
    if kind == 4:
        lines = [c.Wanted(rng.choice(SKUS), rng.randrange(1, 5)) for _ in range(rng.randrange(1, 4))]
        return c.PlaceOrder(
            order, rng.choice(CUSTOMERS), lines, rng.choice([0, 0, 9_000]), rng.choice([999, 1_000, 60_000])
        )
    if kind == 5:
        known = model.orders.get(order)
        amount = known.total if known and rng.random() < 0.9 else 1
        return c.PayOrder(
            order, amount, known.currency if known else "USD", rng.choice(["p-1", "p-2", f"p-{order}", f"p-{order}"])
        )
    if kind == 9:
        return c.ExpireOrders(rng.choice([1, 100]))
    steps = {6: c.ShipOrder, 7: c.DeliverOrder, 8: rng.choice([c.CancelOrder, c.RefundOrder])}
    return steps[kind](order)


def late_payers(number: int) -> Iterator[tuple[int, c.Command]]:
    """(ms passed, command): six orders come due in one moment, and the last one's payment with them.

    A story that random histories meet too seldom: expiry is bounded, so the payer is ahead of it.
    """
    sku = f"rush-{number}"
    yield 0, c.PutProduct(sku, "Rush", 100, "USD")
    yield 0, c.AdjustStock(sku, 8, "delivery")
    for order in range(6):
        yield 0, c.PlaceOrder(f"{sku}-{order}", "ann", [c.Wanted(sku, 1)], 0, 5_000)
    yield 5_000, c.PayOrder(f"{sku}-5", 100, "USD", "late")
    yield 0, c.ExpireOrders(1)


def history(rng: random.Random, model: ModelShop, steps: int) -> Iterator[tuple[int, c.Command]]:
    """(ms passed, command): the opening, then random commands with a rush of late payers now and then."""
    for command in OPENING:
        yield 0, command
    for number in range(steps):
        if number % 100 == 99:
            yield from late_payers(number)
        command = random_command(rng, model)
        if rng.random() < 0.1:
            command = c.Batch([one for one in (command, random_command(rng, model)) if not isinstance(one, c.Batch)])
        yield rng.choices([0, 1, 50, 500, 2_000], weights=[20, 10, 4, 1, 1])[0], command


def first_difference(seed: int, steps: int) -> str | None:
    """Runs a random history on both; what differs first, if anything does."""
    shop, model = ShopUnderTest(), ModelShop()
    for number, (ms, command) in enumerate(history(random.Random(seed), model, steps)):
        shop.now_ms += ms
        found = step(shop, model, command)
        if found is None and number % 10 == 0:
            found = next(iter(differences(shop, model)), None)
        if found is not None:
            return f"seed {seed}, step {number}: {found}"
    return next(iter(differences(shop, model)), None)
