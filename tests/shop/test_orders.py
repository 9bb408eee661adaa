"""The rules of an order, from placing to refund: each defined, each all or nothing."""

from __future__ import annotations

import pytest

from shop_sm.answers import OrderAnswer
from shop_sm.commands import (
    AdjustStock,
    Batch,
    CancelOrder,
    DeliverOrder,
    PayOrder,
    PlaceOrder,
    PutProduct,
    RefundOrder,
    ShipOrder,
    SingleCommand,
    Wanted,
    WithdrawProduct,
)
from shop_sm.life_cycle import Action, Status
from shop_sm.queries import OrderQuery
from shop_sm.results import (
    AlreadyPaid,
    AmountTooLarge,
    BatchDone,
    DuplicateSku,
    InvalidField,
    MixedCurrencies,
    OrderAdvanced,
    OrderDiffers,
    OrderPlaced,
    OutOfStock,
    PaymentUsed,
    ProductWithdrawn,
    RefundOwed,
    Refusal,
    TransitionRefused,
    UnknownCustomer,
    UnknownOrder,
    UnknownSku,
    WrongAmount,
)

from .shop_under_test import MONDAY_MS, ShopUnderTest, stocked_shop

TWO_TEAS = PlaceOrder("o-1", "ann", [Wanted("tea", 2), Wanted("pot", 1)])
PAID = PayOrder("o-1", 2_499, "USD", "payment-1")


def test_placing_reserves_and_prices_by_the_catalogue() -> None:
    """An order holds its goods and keeps the prices of the moment it was placed."""
    shop = stocked_shop()
    assert shop.do(TWO_TEAS) == OrderPlaced("o-1", 2_499, "USD", 3, MONDAY_MS, MONDAY_MS + 1_800_000)
    shop.do(PutProduct("tea", "Tea", 999, "USD"))
    assert shop.stock("tea") == (8, 2, 0)
    assert shop.stock("pot") == (9, 1, 0)
    order = shop.ask(OrderQuery("o-1"))
    assert isinstance(order, OrderAnswer)
    assert [(line.sku, line.quantity, line.price_minor) for line in order.lines] == [("tea", 2, 250), ("pot", 1, 1_999)]
    assert order.total_minor == 2_499
    assert shop.violations() == []


@pytest.mark.parametrize(
    ("command", "refusal"),
    [
        (PlaceOrder("o-1", "bob", [Wanted("tea", 1)]), UnknownCustomer("bob")),
        (PlaceOrder("o-1", "ann", [Wanted("tea", 1), Wanted("cup", 1)]), UnknownSku("cup")),
        (PlaceOrder("o-1", "ann", [Wanted("tea", 1), Wanted("pot", 11)]), OutOfStock("pot", 11, 10)),
        (PlaceOrder("o-1", "ann", [Wanted("tea", 1), Wanted("tea", 1)]), DuplicateSku("tea")),
        (PlaceOrder("o-1", "ann", [Wanted("tea", 0)]), InvalidField("quantity", "must be 1 to 10000")),
        (PlaceOrder("o-1", "ann", [Wanted("tea", -1)]), InvalidField("quantity", "must be 1 to 10000")),
        (PlaceOrder("o-1", "ann", [Wanted("tea", 10_001)]), InvalidField("quantity", "must be 1 to 10000")),
        (PlaceOrder("o-1", "ann", [Wanted("tea", 2**64 - 1)]), InvalidField("quantity", "must be 1 to 10000")),
        (PlaceOrder("o-1", "ann", []), InvalidField("lines", "must be 1 to 100")),
        (PlaceOrder("o-1", "ann", [Wanted("tea", 1)] * 101), InvalidField("lines", "must be 1 to 100")),
        (PlaceOrder("o-1", "ann", [Wanted("tea", 1)], -1), InvalidField),
        (PlaceOrder("o-1", "ann", [Wanted("tea", 1)], 65_536), InvalidField),
        (PlaceOrder("o-1", "ann", [Wanted("tea", 1)], 0, 0), InvalidField),
        (PlaceOrder("o-1", "ann", [Wanted("tea", 1)], 0, 2**63), InvalidField),
        (PlaceOrder("", "ann", [Wanted("tea", 1)]), InvalidField),
        (PlaceOrder("o" * 65, "ann", [Wanted("tea", 1)]), InvalidField),
        (PlaceOrder("o-1", "a" * 100_000, [Wanted("tea", 1)]), UnknownCustomer("a" * 64)),
        (PlaceOrder("o-1", "ann", [Wanted("t" * 100_000, 1)]), UnknownSku("t" * 64)),
    ],
)
def test_a_refused_order_changes_nothing(command: PlaceOrder, refusal: Refusal | type[Refusal]) -> None:
    """Whatever is wrong with an order is a defined result, and not one of its lines is reserved."""
    shop = stocked_shop()
    before = dict(shop.store.scan(b"", None))
    result = shop.do(command)
    assert isinstance(result, refusal) if isinstance(refusal, type) else result == refusal
    assert dict(shop.store.scan(b"", None)) == before


def test_what_is_withdrawn_or_in_another_currency_can_not_be_ordered() -> None:
    """A withdrawn product takes no new orders, and an order has one currency."""
    shop = stocked_shop()
    shop.do(PutProduct("scone", "Scone", 300, "GBP"))
    shop.do(AdjustStock("scone", 5, "delivery-1"))
    shop.do(WithdrawProduct("pot"))
    assert shop.do(TWO_TEAS) == ProductWithdrawn("pot")
    mixed = PlaceOrder("o-2", "ann", [Wanted("tea", 1), Wanted("scone", 1)])
    assert shop.do(mixed) == MixedCurrencies("scone", "GBP", "USD")
    assert shop.stock("tea") == (10, 0, 0)


def test_the_same_order_again_answers_as_the_first_time_in_any_session() -> None:
    """An order id makes an order happen once, also when it comes back later, in another session, at other prices."""
    shop = stocked_shop()
    first = shop.do(TWO_TEAS)
    shop.do(PAID)
    shop.do(PutProduct("tea", "Tea", 999, "USD"))
    shop.now_ms += 86_400_000
    shop.session = shop.open_session()
    assert shop.do(TWO_TEAS) == first
    assert shop.stock("tea") == (8, 0, 2)
    assert shop.violations() == []


def test_an_order_id_with_other_content_is_refused() -> None:
    """An id names one order: other lines, customer or terms under it are refused."""
    shop = stocked_shop()
    shop.do(TWO_TEAS)
    for other in (
        PlaceOrder("o-1", "ann", [Wanted("tea", 2)]),
        PlaceOrder("o-1", "ann", [Wanted("tea", 2), Wanted("pot", 2)]),
        PlaceOrder("o-1", "bob", [Wanted("tea", 2), Wanted("pot", 1)]),
        PlaceOrder("o-1", "ann", [Wanted("tea", 2), Wanted("pot", 1)], 9_000),
        PlaceOrder("o-1", "ann", [Wanted("tea", 2), Wanted("pot", 1)], 0, 60_000),
    ):
        assert shop.do(other) == OrderDiffers("o-1")
    assert shop.stock("tea") == (8, 2, 0)


def test_two_equal_orders_with_different_ids_are_two_orders() -> None:
    """Content never makes two orders one."""
    shop = stocked_shop()
    for order in ("o-1", "o-2"):
        assert isinstance(shop.do(PlaceOrder(order, "ann", [Wanted("tea", 2)])), OrderPlaced)
    assert shop.stock("tea") == (6, 4, 0)


def test_paying_takes_exactly_the_total_once() -> None:
    """Another amount is refused, the same payment again answers as the first time, another payment is not taken."""
    shop = stocked_shop()
    shop.do(TWO_TEAS)
    assert shop.do(PayOrder("o-9", 2_499, "USD", "payment-1")) == UnknownOrder("o-9")
    for amount, currency in ((2_498, "USD"), (2_500, "USD"), (-2_499, "USD"), (2_499, "EUR"), (2**64 - 1, "USD")):
        assert shop.do(PayOrder("o-1", amount, currency, "payment-1")) == WrongAmount("o-1", 2_499, "USD")
    assert shop.do(PAID) == OrderAdvanced("o-1", Status.PAID, MONDAY_MS)
    shop.now_ms += 1_000
    assert shop.do(PAID) == OrderAdvanced("o-1", Status.PAID, MONDAY_MS)
    assert shop.do(PayOrder("o-1", 2_499, "USD", "payment-2")) == AlreadyPaid("o-1", "payment-1")
    assert shop.stock("tea") == (8, 0, 2)
    assert shop.totals().currencies[0].revenue_minor == 2_499
    assert shop.violations() == []


TO: dict[Status, list[SingleCommand]] = {
    Status.PLACED: [],
    Status.PAID: [PAID],
    Status.SHIPPED: [PAID, ShipOrder("o-1")],
    Status.DELIVERED: [PAID, ShipOrder("o-1"), DeliverOrder("o-1")],
    Status.CANCELLED: [CancelOrder("o-1")],
    Status.REFUND_DUE: [PAID, CancelOrder("o-1")],
    Status.REFUNDED: [PAID, CancelOrder("o-1"), RefundOrder("o-1")],
}
STEPS: dict[Action, SingleCommand] = {
    Action.SHIP: ShipOrder("o-1"),
    Action.DELIVER: DeliverOrder("o-1"),
    Action.CANCEL: CancelOrder("o-1"),
    Action.REFUND: RefundOrder("o-1"),
}
ALLOWED = {
    (Status.PLACED, Action.CANCEL): Status.CANCELLED,
    (Status.PAID, Action.SHIP): Status.SHIPPED,
    (Status.PAID, Action.CANCEL): Status.REFUND_DUE,
    (Status.SHIPPED, Action.DELIVER): Status.DELIVERED,
    (Status.REFUND_DUE, Action.REFUND): Status.REFUNDED,
}
STOCK = {
    Status.PLACED: (8, 2, 0),
    Status.PAID: (8, 0, 2),
    Status.SHIPPED: (8, 0, 2),
    Status.DELIVERED: (8, 0, 2),
    Status.CANCELLED: (10, 0, 0),
    Status.REFUND_DUE: (10, 0, 0),
    Status.REFUNDED: (10, 0, 0),
}


def order_at(status: Status) -> ShopUnderTest:
    shop = stocked_shop()
    for command in (TWO_TEAS, *TO[status]):
        assert not isinstance(shop.do(command), Refusal)
    return shop


@pytest.mark.parametrize("action", list(STEPS))
@pytest.mark.parametrize("status", list(TO))
def test_every_step_from_every_status_is_taken_or_refused_with_the_reason(status: Status, action: Action) -> None:
    """The life cycle has exactly the steps written here; goods, revenue and lists follow each of them."""
    shop = order_at(status)
    result = shop.do(STEPS[action])
    after = ALLOWED.get((status, action))
    if after is None:
        assert result == TransitionRefused("o-1", status, action)
        after = status
    else:
        assert result == OrderAdvanced("o-1", after, MONDAY_MS)
    assert shop.stock("tea") == STOCK[after]
    row = shop.totals().currencies[0]
    assert row.revenue_minor == (2_499 if STOCK[after][2] else 0)
    assert row.refund_due_minor == (2_499 if after is Status.REFUND_DUE else 0)
    assert row.by_status[after] == row.orders == 1
    assert shop.violations() == []


@pytest.mark.parametrize("status", [Status.REFUND_DUE, Status.REFUNDED])
def test_an_order_takes_no_second_payment(status: Status) -> None:
    """However it ended."""
    shop = order_at(status)
    assert shop.do(PayOrder("o-1", 2_499, "USD", "payment-2")) == AlreadyPaid("o-1", "payment-1")
    assert shop.stock("tea") == (10, 0, 0)


def test_a_second_payment_of_an_order_leaves_no_trace_and_says_so() -> None:
    """Its reference stays free, its money is in no sum, and whoever took it reads that it is his to give back."""
    shop = order_at(Status.PAID)
    before = list(shop.store.scan(b"", None))
    refused = shop.do(PayOrder("o-1", 2_499, "USD", "payment-2"))
    assert list(shop.store.scan(b"", None)) == before
    assert "payment-1" in str(refused)
    assert "is not recorded, so let its money go back" in str(refused)
    shop.do(PlaceOrder("o-2", "ann", TWO_TEAS.lines))
    assert isinstance(shop.do(PayOrder("o-2", 2_499, "USD", "payment-2")), OrderAdvanced)
    assert shop.violations() == []


def test_money_for_a_cancelled_order_is_owed_back() -> None:
    """It is recorded once, is never revenue, and its refund ends the story."""
    shop = order_at(Status.CANCELLED)
    for _time in range(2):
        shop.now_ms += 1_000
        assert shop.do(PAID) == RefundOwed("o-1", "payment-1")
    row = shop.totals().currencies[0]
    assert (row.revenue_minor, row.refund_due_minor, row.by_status[Status.REFUND_DUE]) == (0, 2_499, 1)
    order = shop.ask(OrderQuery("o-1"))
    assert isinstance(order, OrderAnswer)
    assert (order.closed_ms, order.paid_ms, order.payment) == (MONDAY_MS, 0, "payment-1")
    assert shop.stock("tea") == (10, 0, 0)
    assert shop.do(RefundOrder("o-1")) == OrderAdvanced("o-1", Status.REFUNDED, shop.now_ms)
    assert shop.violations() == []


def test_a_payment_pays_one_order() -> None:
    """Whatever became of that order; a payment that was refused may pay another."""
    shop = order_at(Status.PAID)
    shop.do(PlaceOrder("o-2", "ann", [Wanted("tea", 2)]))
    assert shop.do(PayOrder("o-2", 1, "USD", "payment-2")) == WrongAmount("o-2", 500, "USD")
    for step in (None, CancelOrder("o-1"), RefundOrder("o-1")):
        if step is not None:
            shop.do(step)
        assert shop.do(PayOrder("o-2", 500, "USD", "payment-1")) == PaymentUsed("payment-1", "o-1")
    assert isinstance(shop.do(PayOrder("o-2", 500, "USD", "payment-2")), OrderAdvanced)
    assert shop.violations() == []


def test_steps_of_an_unknown_order_are_refused() -> None:
    """There is nothing to ship that was not ordered, however long its name."""
    shop = stocked_shop()
    assert shop.do(ShipOrder("o-1")) == UnknownOrder("o-1")
    assert shop.do(CancelOrder("o" * 100_000)) == UnknownOrder("o" * 64)


def test_a_batch_runs_in_order_and_each_command_stands_alone() -> None:
    """Commands of a batch see those before them; a refused one leaves the others be."""
    shop = stocked_shop()
    result = shop.do(Batch([TWO_TEAS, ShipOrder("o-1"), PAID, ShipOrder("o-1")]))
    assert isinstance(result, BatchDone)
    assert [type(one) for one in result.results] == [OrderPlaced, TransitionRefused, OrderAdvanced, OrderAdvanced]
    assert isinstance(shop.do(Batch([])), InvalidField)
    assert isinstance(shop.do(Batch([ShipOrder("o-1")] * 257)), InvalidField)
    assert shop.violations() == []


def test_no_sum_leaves_its_range(monkeypatch: pytest.MonkeyPatch) -> None:
    """An order or a day above the bound of money is refused, before anything is taken."""
    monkeypatch.setattr("shop_sm.ordering.DAY_MINOR_MAX", 5_000)
    shop = stocked_shop()
    assert isinstance(shop.do(PlaceOrder("o-0", "ann", [Wanted("pot", 3)])), AmountTooLarge)
    for order in ("o-1", "o-2", "o-3"):
        shop.do(PlaceOrder(order, "ann", [Wanted("pot", 1)]))
    results = [shop.do(PayOrder(order, 1_999, "USD", f"for-{order}")) for order in ("o-1", "o-2", "o-3")]
    assert [type(result) for result in results] == [OrderAdvanced, OrderAdvanced, AmountTooLarge]
    shop.do(CancelOrder("o-1"))
    assert isinstance(shop.do(PayOrder("o-3", 1_999, "USD", "for-o-3")), AmountTooLarge)
    shop.do(RefundOrder("o-1"))
    assert isinstance(shop.do(PayOrder("o-3", 1_999, "USD", "for-o-3")), OrderAdvanced)
    assert shop.violations() == []
