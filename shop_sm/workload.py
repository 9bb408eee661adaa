"""What simulated clients ask of the shop: ``replog sim --state-machine shop_sm:Shop``.

Satisfies ``replog.sim``'s ``Workload``. Everything about an order follows from its client and number, so any client can
pay, ship or cancel any other's order without having seen it, and payments are mostly of the right amount. No two
commands are equal: each carries its client and number in some id.
"""

from __future__ import annotations

import random as random_module

from .commands import (
    AdjustStock,
    Batch,
    CancelOrder,
    Command,
    DeliverOrder,
    ExpireOrders,
    PayOrder,
    PlaceOrder,
    PutProduct,
    RefundOrder,
    RegisterCustomer,
    ShipOrder,
    SingleCommand,
    Wanted,
    WithdrawProduct,
    encode_command,
)
from .life_cycle import Status
from .queries import (
    AuditQuery,
    CustomerOrdersQuery,
    DaysQuery,
    LowStockQuery,
    OrderQuery,
    ProductQuery,
    ProductsQuery,
    Query,
    StatusOrdersQuery,
    TotalsQuery,
    encode_query,
)
from .shop import Shop

PRICES = {"tea": 250, "pot": 1_999, "cup": 499, "gift": 0}
SKUS = list(PRICES)
OPENING = 4
PAY_WITHIN_MS = 1_500


class ShopWorkload:
    """A few products and customers, and every command there is."""

    name = "shop"

    def machine(self) -> Shop:
        return Shop()

    def command(self, random: random_module.Random, client: int, number: int) -> bytes:
        return encode_command(self.choose(random, client, number))

    def query(self, random: random_module.Random, client: int) -> bytes:
        return encode_query(some_query(random, client))

    def choose(self, random: random_module.Random, client: int, number: int) -> Command:
        """The client's opening, then an order every other time and something about an older one in between."""
        if number <= OPENING:
            return Batch([*opening(client, number)])
        if number % 2:
            return order_of(client, number)
        kind = random.choices(range(1, 6), weights=[34, 10, 6, 8, 2])[0]
        older = max(OPENING, number - 2 * random.randrange(1, 7)) + 1
        payer = client if random.random() < 0.8 else random.randrange(client + 1)
        order = order_of(payer, older)
        if kind == 1:
            return payment_of(order, reference=f"payment-{client}-{number}")
        steps: list[SingleCommand] = [CancelOrder(order.order)]
        if kind == 2:
            steps = [ShipOrder(order.order), DeliverOrder(order.order)]
        if kind == 4:
            steps = [CancelOrder(order.order), RefundOrder(order.order), ExpireOrders(3)]
        if kind == 5:
            steps = [WithdrawProduct(random.choice(SKUS))]
        return Batch([*steps, *goods(random.choice(SKUS), client, number)])


def opening(client: int, number: int) -> list[SingleCommand]:
    """A customer for the client, and each product with goods of its own delivery."""
    customer = RegisterCustomer(customer_of(client), f"Customer {client}")
    return [customer, *goods(SKUS[number % len(SKUS)], client, number)]


def goods(sku: str, client: int, number: int) -> list[SingleCommand]:
    return [PutProduct(sku, sku.title(), PRICES[sku], "USD"), AdjustStock(sku, 4, f"delivery-{client}-{number}")]


def customer_of(client: int) -> str:
    return f"c-{client}"


def order_of(client: int, number: int) -> PlaceOrder:
    """The client's order of that number: one to three lines that follow from both."""
    first = client + number
    skus = [SKUS[(first + offset) % len(SKUS)] for offset in range(1 + number % 3)]
    lines = [Wanted(sku, 1 + (number + offset) % 4) for offset, sku in enumerate(skus)]
    return PlaceOrder(f"o-{client}-{number}", customer_of(client), lines, 0, PAY_WITHIN_MS)


def payment_of(order: PlaceOrder, *, reference: str) -> PayOrder:
    amount_minor = sum(line.quantity * PRICES[line.sku] for line in order.lines)
    return PayOrder(order.order, amount_minor, "USD", reference)


def some_query(random: random_module.Random, client: int) -> Query:
    queries: list[Query] = [
        ProductQuery(random.choice(SKUS)),
        ProductsQuery(limit=2),
        LowStockQuery(3),
        OrderQuery(f"o-{client}-{random.randrange(5, 30)}"),
        CustomerOrdersQuery(customer_of(client), b"", 3),
        StatusOrdersQuery(random.choice(list(Status)), b"", 3),
        TotalsQuery(),
        DaysQuery(),
        AuditQuery(),
    ]
    return random.choice(queries)


def sim_workload() -> ShopWorkload:
    """What ``replog sim`` asks this package for."""
    return ShopWorkload()
