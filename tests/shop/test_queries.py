"""Every query: what it finds, how it pages, what it says when there is nothing."""

from __future__ import annotations

import pytest

from shop_sm.answers import (
    CustomerAnswer,
    DaysPage,
    InvalidQuery,
    NotFound,
    OrderAnswer,
    OrdersPage,
    ProductsPage,
    StockAnswer,
)
from shop_sm.commands import AdjustStock, PayOrder, PlaceOrder, PutProduct, RegisterCustomer, Wanted, WithdrawProduct
from shop_sm.life_cycle import Status
from shop_sm.queries import (
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
)

from .shop_under_test import ShopUnderTest, stocked_shop


def shop_with_orders() -> ShopUnderTest:
    """Five orders of ann, one a day from day 100 on, the even ones paid; one of bob."""
    shop = stocked_shop()
    shop.do(RegisterCustomer("bob", "Bob"))
    shop.do(RegisterCustomer("ann2", "Ann the second"))
    for number in range(5):
        shop.do(PlaceOrder(f"o-{number}", "ann", [Wanted("tea", 1)], 100 + number))
        if number % 2 == 0:
            shop.do(PayOrder(f"o-{number}", 250, "USD", f"payment-{number}"))
    shop.do(PlaceOrder("o-b", "bob", [Wanted("pot", 2)], 100, 60_000))
    return shop


@pytest.mark.parametrize("limit", [1, 2, 3, 5, 100])
def test_a_customers_orders_come_newest_first_in_pages_without_gap_or_repeat(limit: int) -> None:
    """Pages of any size join to the whole list, and end."""
    shop = shop_with_orders()
    seen: list[str] = []
    cursor = b""
    while True:
        page = shop.ask(CustomerOrdersQuery("ann", cursor, limit))
        assert isinstance(page, OrdersPage)
        assert len(page.orders) <= limit
        seen += [order.order for order in page.orders]
        cursor = page.next_cursor
        if not cursor:
            break
    assert seen == ["o-4", "o-3", "o-2", "o-1", "o-0"]


def test_a_customer_without_orders_has_an_empty_page() -> None:
    """A customer whose id begins like another's sees nothing of that one's orders."""
    shop = shop_with_orders()
    assert shop.ask(CustomerOrdersQuery("ann2")) == OrdersPage([], b"")
    assert shop.ask(CustomerOrdersQuery("nobody")) == NotFound("customer", "nobody")


@pytest.mark.parametrize("limit", [1, 2, 100])
def test_orders_by_status(limit: int) -> None:
    """Paid ones come oldest first, placed ones soonest due first."""
    shop = shop_with_orders()
    for status, expected in (
        (Status.PAID, ["o-0", "o-2", "o-4"]),
        (Status.PLACED, ["o-b", "o-1", "o-3"]),
        (Status.SHIPPED, []),
    ):
        seen: list[str] = []
        cursor = b""
        while True:
            page = shop.ask(StatusOrdersQuery(status, cursor, limit))
            assert isinstance(page, OrdersPage)
            seen += [order.order for order in page.orders]
            cursor = page.next_cursor
            if not cursor:
                break
        assert seen == expected


def test_products_by_prefix_in_pages() -> None:
    """A prefix selects, ``after`` goes on, and the last page says so."""
    shop = ShopUnderTest()
    for sku in ("tea-1", "tea-2", "tea-3", "teapot", "cup"):
        shop.do(PutProduct(sku, sku, 1, "USD"))
    first = shop.ask(ProductsQuery("tea-", limit=2))
    assert isinstance(first, ProductsPage)
    assert [product.sku for product in first.products] == ["tea-1", "tea-2"]
    second = shop.ask(ProductsQuery("tea-", first.next_after, 2))
    assert isinstance(second, ProductsPage)
    assert [product.sku for product in second.products] == ["tea-3"]
    assert second.next_after == ""
    everything = shop.ask(ProductsQuery())
    assert isinstance(everything, ProductsPage)
    assert [product.sku for product in everything.products] == ["cup", "tea-1", "tea-2", "tea-3", "teapot"]


def test_low_stock_leaves_out_what_is_withdrawn() -> None:
    """Low stock is what somebody should order again."""
    shop = stocked_shop()
    shop.do(PutProduct("cup", "Cup", 1, "USD"))
    shop.do(PutProduct("old", "Old", 1, "USD"))
    shop.do(WithdrawProduct("old"))
    shop.do(AdjustStock("tea", -7, "lost"))
    page = shop.ask(LowStockQuery(3))
    assert isinstance(page, ProductsPage)
    assert [(product.sku, product.on_hand) for product in page.products] == [("cup", 0), ("tea", 3)]


def test_low_stock_looks_at_a_bounded_number_of_products(monkeypatch: pytest.MonkeyPatch) -> None:
    """A page may come back empty with a cursor; following it finds everything."""
    monkeypatch.setattr("shop_sm.reading.SCANNED_PER_QUERY_MAX", 2)
    shop = ShopUnderTest()
    for sku in ("a", "b", "c", "d", "e"):
        shop.do(PutProduct(sku, sku, 1, "USD"))
        shop.do(AdjustStock(sku, 100 if sku != "e" else 1, "delivery"))
    after, seen, pages = "", list[str](), 0
    while True:
        page = shop.ask(LowStockQuery(1, after))
        assert isinstance(page, ProductsPage)
        seen += [product.sku for product in page.products]
        after, pages = page.next_after, pages + 1
        if not after:
            break
    assert seen == ["e"]
    assert pages == 3


def test_customers_by_id_and_by_name() -> None:
    """Both lead to the same customer."""
    shop = stocked_shop()
    by_id = shop.ask(CustomerQuery("ann"))
    assert by_id == shop.ask(CustomerQuery(name="Ann")) == CustomerAnswer("ann", "Ann", shop.now_ms)
    assert shop.ask(CustomerQuery(name="Nobody")) == NotFound("customer", "Nobody")


def test_days_add_up_to_the_totals() -> None:
    """The totals are the sum of the days, day by day in order."""
    shop = shop_with_orders()
    page = shop.ask(DaysQuery(limit=2))
    assert isinstance(page, DaysPage)
    rest = shop.ask(DaysQuery(page.next_cursor))
    assert isinstance(rest, DaysPage)
    days = page.days + rest.days
    assert [day.day for day in days] == [100, 101, 102, 103, 104]
    (totals,) = shop.totals().currencies
    assert (totals.orders, totals.units, totals.revenue_minor, totals.reserved_units) == (6, 3, 750, 4)
    assert sum(day.revenue_minor for day in days) == 750
    assert sum(day.orders for day in days) == 6


def test_stock_alone() -> None:
    """Stock can be asked for without the catalogue's text."""
    assert shop_with_orders().ask(StockQuery("tea")) == StockAnswer("tea", 5, 2, 3, 10)


@pytest.mark.parametrize(
    "query",
    [
        ProductQuery("x" * 1_000),
        ProductQuery("nothing"),
        StockQuery(""),
        OrderQuery("nothing"),
        OrderQuery("o" * 1_000),
        CustomerQuery("é" * 300),
        CustomerQuery(name="é" * 300),
        CustomerOrdersQuery("\0"),
        ProductsQuery("p" * 600),
        ProductsQuery("", "p" * 600),
        LowStockQuery(1, "p" * 600),
        ProductsQuery(limit=0),
        DaysQuery(limit=10**9),
        StatusOrdersQuery(Status.PAID, limit=-1),
        AuditQuery(limit=0),
    ],
)
def test_there_is_an_answer_to_what_can_not_be_found(query: Query) -> None:
    """Unknown names and impossible limits are answers, not errors."""
    assert isinstance(shop_with_orders().ask(query), NotFound | InvalidQuery)


def test_an_order_shows_its_whole_life() -> None:
    """Times, payment and terms are part of the answer."""
    shop = stocked_shop()
    shop.do(PlaceOrder("o-1", "ann", [Wanted("tea", 2)], 9_999, 5_000))
    placed_ms = shop.now_ms
    shop.now_ms += 1_000
    shop.do(PayOrder("o-1", 500, "USD", "payment-1"))
    order = shop.ask(OrderQuery("o-1"))
    assert isinstance(order, OrderAnswer)
    assert (order.booked_day, order.placed_ms, order.due_ms) == (9_999, placed_ms, placed_ms + 5_000)
    assert (order.status, order.payment, order.paid_ms) == (Status.PAID, "payment-1", placed_ms + 1_000)
    assert order.lines[0].total_minor == order.total_minor == 500
