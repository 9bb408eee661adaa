"""Orders that nobody pays expire by log time, soonest due first, a bounded number a command."""

from __future__ import annotations

from shop_sm.commands import (
    Batch,
    CancelOrder,
    ExpireOrders,
    PayOrder,
    PlaceOrder,
    RefundOrder,
    RegisterCustomer,
    Wanted,
)
from shop_sm.life_cycle import Status
from shop_sm.limits import EXPIRED_PER_COMMAND_MAX
from shop_sm.results import OrderAdvanced, OrderPlaced, OrdersExpired, OutOfStock, RefundOwed, TransitionRefused

from .shop_under_test import ShopUnderTest, stocked_shop


def place(shop: ShopUnderTest, order: str, pay_within_ms: int, quantity: int = 1) -> None:
    placed = shop.do(PlaceOrder(order, "ann", [Wanted("tea", quantity)], 0, pay_within_ms))
    assert isinstance(placed, OrderPlaced), placed


def test_an_overdue_order_returns_its_goods_with_the_next_command() -> None:
    """One millisecond before it is due an order holds its goods; when it is due it does not."""
    shop = stocked_shop()
    place(shop, "o-1", 1_000, quantity=10)
    shop.now_ms += 999
    assert shop.do(PlaceOrder("o-2", "ann", [Wanted("tea", 1)])) == OutOfStock("tea", 1, 0)
    shop.now_ms += 1
    assert isinstance(shop.do(PlaceOrder("o-2", "ann", [Wanted("tea", 1)])), OrderPlaced)
    assert shop.totals().currencies[0].by_status[Status.EXPIRED] == 1
    assert shop.violations() == []


def test_a_late_payment_is_owed_back_even_while_others_wait_to_expire() -> None:
    """What is due is over for its payer, whether or not a command has closed it yet; the money is not forgotten."""
    shop = stocked_shop()
    for number in range(EXPIRED_PER_COMMAND_MAX + 2):
        place(shop, f"o-{number}", 1_000 + number)
    shop.now_ms += 10_000
    last = f"o-{EXPIRED_PER_COMMAND_MAX + 1}"
    for _time in range(2):
        assert shop.do(PayOrder(last, 250, "USD", "payment")) == RefundOwed(last, "payment")
    totals = shop.totals().currencies[0]
    assert totals.by_status[Status.EXPIRED] == EXPIRED_PER_COMMAND_MAX + 1
    assert (totals.by_status[Status.REFUND_DUE], totals.refund_due_minor, totals.revenue_minor) == (1, 250, 0)
    assert shop.do(RefundOrder(last)) == OrderAdvanced(last, Status.REFUNDED, shop.now_ms)
    assert shop.totals().currencies[0].refund_due_minor == 0
    assert shop.do(PayOrder(last, 250, "USD", "payment")) == RefundOwed(last, "payment")
    assert shop.violations() == []


def test_each_command_closes_a_few_and_soonest_due_first() -> None:
    """Expiry is bounded work a command, in order of due time whatever the order of placing."""
    shop = stocked_shop()
    for number in range(10):
        place(shop, f"o-{number}", 1_000 - number)
    shop.now_ms += 1_000
    shop.do(RegisterCustomer("bob", "Bob"))
    assert shop.stock("tea") == (EXPIRED_PER_COMMAND_MAX, 10 - EXPIRED_PER_COMMAND_MAX, 0)
    assert shop.do(CancelOrder("o-9")) == TransitionRefused("o-9", Status.EXPIRED, "cancel")
    assert shop.stock("tea") == (2 * EXPIRED_PER_COMMAND_MAX, 10 - 2 * EXPIRED_PER_COMMAND_MAX, 0)
    assert shop.violations() == []


def test_a_sweep_closes_what_is_due_and_says_what_is_left() -> None:
    """``ExpireOrders`` works a backlog off in as large steps as it is told."""
    shop = stocked_shop()
    for number in range(10):
        place(shop, f"o-{number}", 1_000)
    shop.now_ms += 1_000
    assert shop.do(ExpireOrders(3)) == OrdersExpired(3, True)
    assert shop.do(ExpireOrders(100)) == OrdersExpired(0, False)
    assert shop.stock("tea") == (10, 0, 0)
    assert shop.violations() == []


def test_paid_orders_do_not_expire() -> None:
    """An order paid in time stays, and the next one due is still found behind it."""
    shop = stocked_shop()
    place(shop, "o-1", 1_000)
    place(shop, "o-2", 2_000)
    shop.do(PayOrder("o-1", 250, "USD", "payment"))
    shop.now_ms += 1_500
    shop.do(ExpireOrders(10))
    assert shop.stock("tea") == (8, 1, 1)
    place(shop, "o-3", 100)
    shop.now_ms += 500
    assert shop.do(Batch([ExpireOrders(10)])) is not None
    assert shop.stock("tea") == (9, 0, 1)
    assert shop.violations() == []
