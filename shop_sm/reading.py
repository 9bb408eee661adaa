"""Answers queries from a view of the state. Every query looks at a bounded number of records."""

from __future__ import annotations

from collections.abc import Iterator
from typing import assert_never

from replog.state_machine import StateView

from . import keys, records
from .answers import (
    Answer,
    CustomerAnswer,
    DaysPage,
    DayTotals,
    InvalidQuery,
    LineAnswer,
    NotFound,
    OrderAnswer,
    OrdersPage,
    ProductAnswer,
    ProductsPage,
    StockAnswer,
    Totals,
)
from .audit import audit_page
from .life_cycle import Status
from .limits import IDENTIFIER_CHARS_MAX, PAGE_MAX, SCANNED_PER_QUERY_MAX
from .queries import (
    AuditQuery,
    CustomerOrdersQuery,
    CustomerQuery,
    DaysQuery,
    LowStockQuery,
    OrderQuery,
    ProductQuery,
    ProductsQuery,
    Query,
    StatusOrdersQuery,
    StockQuery,
    TotalsQuery,
)
from .records import Order, Product
from .rules import check_name, may_be_stored, short


def answer(view: StateView, query: Query) -> Answer:
    match query:
        case ProductQuery(sku=sku):
            product = find_product(view, sku)
            return NotFound("product", short(sku)) if product is None else product_answer(sku, product)
        case StockQuery(sku=sku):
            product = find_product(view, sku)
            return NotFound("product", short(sku)) if product is None else stock_answer(sku, product)
        case OrderQuery(order=order):
            return find_order(view, order)
        case CustomerQuery():
            return find_customer(view, query)
        case ProductsQuery() | LowStockQuery() | CustomerOrdersQuery() | StatusOrdersQuery() | DaysQuery():
            return page(view, query)
        case AuditQuery(cursor=cursor, limit=limit):
            if not 0 < limit <= SCANNED_PER_QUERY_MAX:
                return InvalidQuery("limit", f"must be 1 to {SCANNED_PER_QUERY_MAX}")
            return audit_page(view, cursor, limit)
        case TotalsQuery():
            return totals(view)
        case _:
            assert_never(query)


def page(
    view: StateView, query: ProductsQuery | LowStockQuery | CustomerOrdersQuery | StatusOrdersQuery | DaysQuery
) -> Answer:
    if not 0 < query.limit <= PAGE_MAX:
        return InvalidQuery("limit", f"must be 1 to {PAGE_MAX}")
    match query:
        case ProductsQuery():
            return products_page(view, query)
        case LowStockQuery():
            return low_stock_page(view, query)
        case CustomerOrdersQuery():
            return customer_orders_page(view, query)
        case StatusOrdersQuery():
            return status_orders_page(view, query)
        case DaysQuery():
            return days_page(view, query)
        case _:
            assert_never(query)


def find_product(view: StateView, sku: str) -> Product | None:
    stored = view.get(keys.PRODUCT + sku.encode()) if may_be_stored(sku) else None
    return None if stored is None else records.decode_product(stored)


def product_answer(sku: str, product: Product) -> ProductAnswer:
    return ProductAnswer(
        sku,
        product.name,
        product.picture_url,
        product.price_minor,
        product.currency,
        product.revision,
        product.is_withdrawn,
        product.on_hand,
        product.reserved,
        product.sold,
        product.received,
    )


def stock_answer(sku: str, product: Product) -> StockAnswer:
    return StockAnswer(sku, product.on_hand, product.reserved, product.sold, product.received)


def find_order(view: StateView, order_id: str) -> OrderAnswer | NotFound:
    stored = view.get(keys.ORDER + order_id.encode()) if may_be_stored(order_id) else None
    if stored is None:
        return NotFound("order", short(order_id))
    return order_answer(order_id, records.decode_order(stored))


def order_answer(order_id: str, order: Order) -> OrderAnswer:
    return OrderAnswer(
        order_id,
        order.customer,
        [LineAnswer(line.sku, line.quantity, line.price_minor) for line in order.lines],
        order.total_minor,
        keys.currency_of(order.position),
        order.units,
        order.status,
        keys.day_of(order.position),
        order.placed_ms,
        order.placed_ms + order.pay_within_ms,
        order.payment,
        order.paid_ms,
        order.shipped_ms,
        order.delivered_ms,
        order.closed_ms,
        order.refunded_ms,
    )


def find_customer(view: StateView, query: CustomerQuery) -> CustomerAnswer | NotFound:
    customer = query.customer
    if not customer and check_name(query.name) is None:
        customer = (view.get(keys.NAME + query.name.encode()) or b"").decode()
    stored = view.get(keys.CUSTOMER + customer.encode()) if may_be_stored(customer) else None
    if stored is None:
        return NotFound("customer", short(query.customer or query.name))
    record = records.decode_customer(stored)
    return CustomerAnswer(customer, record.name, record.registered_ms)


def products_page(view: StateView, query: ProductsQuery) -> Answer:
    if len(query.prefix) > IDENTIFIER_CHARS_MAX or len(query.after) > IDENTIFIER_CHARS_MAX:
        return InvalidQuery("prefix, after", f"must be at most {IDENTIFIER_CHARS_MAX} characters")
    prefix = keys.PRODUCT + query.prefix.encode()
    products: list[ProductAnswer] = []
    for sku, product in products_from(view, prefix, query.after):
        if len(products) == query.limit:
            return ProductsPage(products, products[-1].sku)
        products.append(product_answer(sku, product))
    return ProductsPage(products, "")


def low_stock_page(view: StateView, query: LowStockQuery) -> Answer:
    if len(query.after) > IDENTIFIER_CHARS_MAX:
        return InvalidQuery("after", f"must be at most {IDENTIFIER_CHARS_MAX} characters")
    products: list[ProductAnswer] = []
    last = query.after
    for scanned, (sku, product) in enumerate(products_from(view, keys.PRODUCT, query.after)):
        if len(products) == query.limit or scanned == SCANNED_PER_QUERY_MAX:
            return ProductsPage(products, last)
        if product.on_hand <= query.at_most and not product.is_withdrawn:
            products.append(product_answer(sku, product))
        last = sku
    return ProductsPage(products, "")


def products_from(view: StateView, prefix: bytes, after: str) -> Iterator[tuple[str, Product]]:
    start = max(prefix, keys.PRODUCT + after.encode() + b"\0") if after else prefix
    for key, value in view.scan(start=start, stop=keys.past(prefix)):
        yield key[1:].decode(), records.decode_product(value)


def customer_orders_page(view: StateView, query: CustomerOrdersQuery) -> Answer:
    if not may_be_stored(query.customer) or view.get(keys.CUSTOMER + query.customer.encode()) is None:
        return NotFound("customer", short(query.customer))
    prefix = keys.customer_orders(query.customer)
    stop = prefix + query.cursor[:64] if query.cursor else keys.past(prefix)
    return orders_page(view, view.scan(start=prefix, stop=stop, is_reverse=True), prefix, query.limit)


def status_orders_page(view: StateView, query: StatusOrdersQuery) -> Answer:
    prefix = keys.UNPAID if query.status is Status.PLACED else keys.orders_at(query.status)
    start = prefix + query.cursor[:64] + b"\0" if query.cursor else prefix
    return orders_page(view, view.scan(start=start, stop=keys.past(prefix)), prefix, query.limit)


def orders_page(view: StateView, entries: Iterator[tuple[bytes, bytes]], prefix: bytes, limit: int) -> OrdersPage:
    """The orders an index's entries name; the cursor is the last entry's key behind the prefix."""
    orders: list[OrderAnswer] = []
    cursor = b""
    for key, order_id in entries:
        if len(orders) == limit:
            return OrdersPage(orders, cursor)
        order = find_order(view, order_id.decode())
        if isinstance(order, OrderAnswer):
            orders.append(order)
        cursor = key[len(prefix) :]
    return OrdersPage(orders, b"")


def days_page(view: StateView, query: DaysQuery) -> DaysPage:
    start = keys.DAY + query.cursor[:64] + b"\0" if query.cursor else keys.DAY
    days: list[DayTotals] = []
    cursor = b""
    for key, value in view.scan(start=start, stop=keys.past(keys.DAY)):
        if len(days) == query.limit:
            return DaysPage(days, cursor)
        days.append(day_totals(key, value))
        cursor = key[1:]
    return DaysPage(days, b"")


def day_totals(key: bytes, value: bytes) -> DayTotals:
    number, currency = keys.split_day_key(key)
    day = records.decode_day(value)
    return DayTotals(
        number,
        currency,
        day.placed_count,
        day.by_status,
        day.sold_units,
        day.revenue_minor,
        day.reserved_units,
        day.refund_due_minor,
    )


def totals(view: StateView) -> Totals:
    """Sums the days: at most one record for each day there was an order, a few hundred a year."""
    sums: dict[str, DayTotals] = {}
    for key, value in view.scan(keys.DAY):
        day = day_totals(key, value)
        so_far = sums.get(day.currency)
        sums[day.currency] = day_sum(so_far, day)
    stored = view.get(keys.COUNTS)
    counts = records.Counts() if stored is None else records.decode_counts(stored)
    return Totals(counts.product_count, counts.customer_count, [sums[currency] for currency in sorted(sums)])


def day_sum(so_far: DayTotals | None, day: DayTotals) -> DayTotals:
    if so_far is None:
        so_far = DayTotals(0, day.currency, 0, [0] * len(Status), 0, 0, 0, 0)
    return DayTotals(
        0,
        day.currency,
        so_far.orders + day.orders,
        [a + b for a, b in zip(so_far.by_status, day.by_status, strict=True)],
        so_far.units + day.units,
        so_far.revenue_minor + day.revenue_minor,
        so_far.reserved_units + day.reserved_units,
        so_far.refund_due_minor + day.refund_due_minor,
    )
