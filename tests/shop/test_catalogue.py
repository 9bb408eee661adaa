"""Products, stock and customers: what is taken, what is refused, what happens twice."""

from __future__ import annotations

import pytest

from shop_sm import keys
from shop_sm.answers import CustomerAnswer, OrderAnswer, OrdersPage, ProductAnswer
from shop_sm.commands import (
    AdjustStock,
    CancelOrder,
    PlaceOrder,
    PutProduct,
    RegisterCustomer,
    Wanted,
    WithdrawProduct,
)
from shop_sm.queries import CustomerOrdersQuery, CustomerQuery, OrderQuery, ProductQuery
from shop_sm.results import (
    AdjustmentDiffers,
    AmountTooLarge,
    CustomerDiffers,
    CustomerRegistered,
    InvalidField,
    NameTaken,
    OrderAdvanced,
    OrderPlaced,
    OutOfStock,
    ProductStored,
    StockAdjusted,
    UnknownSku,
)

from .shop_under_test import ShopUnderTest, stocked_shop

TEA = PutProduct("tea", "Tea", 250, "USD", "https://shop.example/tea.jpg")


def test_a_change_raises_the_revision_and_the_same_content_does_not() -> None:
    """A product's revision counts its changes."""
    shop = ShopUnderTest()
    assert shop.do(TEA) == ProductStored("tea", 1)
    assert shop.do(TEA) == ProductStored("tea", 1)
    assert shop.do(PutProduct("tea", "Tea", 275, "USD")) == ProductStored("tea", 2)
    assert shop.product("tea").price_minor == 275
    assert shop.violations() == []


def test_withdrawing_is_a_revision_and_putting_revives() -> None:
    """A withdrawn product comes back by being put again."""
    shop = stocked_shop()
    assert shop.do(WithdrawProduct("tea")) == ProductStored("tea", 2)
    assert shop.do(WithdrawProduct("tea")) == ProductStored("tea", 2)
    assert shop.product("tea").is_withdrawn
    assert shop.do(TEA) == ProductStored("tea", 3)
    assert not shop.product("tea").is_withdrawn


@pytest.mark.parametrize(
    ("command", "field"),
    [
        (PutProduct("", "Tea", 1, "USD"), "sku"),
        (PutProduct("t" * 65, "Tea", 1, "USD"), "sku"),
        (PutProduct("green tea", "Tea", 1, "USD"), "sku"),
        (PutProduct("tea\0", "Tea", 1, "USD"), "sku"),
        (PutProduct("thé", "Tea", 1, "USD"), "sku"),
        (PutProduct("tea", "", 1, "USD"), "name"),
        (PutProduct("tea", "é" * 101, 1, "USD"), "name"),
        (PutProduct("tea", "Tea", -1, "USD"), "price_minor"),
        (PutProduct("tea", "Tea", 10**9 + 1, "USD"), "price_minor"),
        (PutProduct("tea", "Tea", 2**63, "USD"), "price_minor"),
        (PutProduct("tea", "Tea", 1, "usd"), "currency"),
        (PutProduct("tea", "Tea", 1, "DOLLAR"), "currency"),
        (PutProduct("tea", "Tea", 1, "USD", "h" * 501), "picture_url"),
        (RegisterCustomer("", "Ann"), "customer"),
        (RegisterCustomer("ann\0bob", "Ann"), "customer"),
        (RegisterCustomer("ann", ""), "name"),
        (RegisterCustomer("ann", "a" * 201), "name"),
        (AdjustStock("tea", 0, "d"), "delta"),
        (AdjustStock("tea", 10**9 + 1, "d"), "delta"),
        (AdjustStock("tea", -(2**63), "d"), "delta"),
        (AdjustStock("tea", 1, ""), "reference"),
    ],
)
def test_a_field_out_of_bounds_is_refused_by_name(command: PutProduct | RegisterCustomer, field: str) -> None:
    """Over-long text, a negative price and their like are results that name the field, and change nothing."""
    shop = ShopUnderTest()
    result = shop.do(command)
    assert isinstance(result, InvalidField)
    assert result.field == field
    assert shop.totals().product_count == shop.totals().customer_count == 0


def test_an_adjustment_happens_once_under_its_reference() -> None:
    """Goods booked twice under one delivery note are booked once, and answer as the first time."""
    shop = stocked_shop()
    assert shop.do(AdjustStock("tea", 5, "delivery-2")) == StockAdjusted("tea", 15)
    assert shop.do(AdjustStock("tea", -1, "broken")) == StockAdjusted("tea", 14)
    assert shop.do(AdjustStock("tea", 5, "delivery-2")) == StockAdjusted("tea", 15)
    assert shop.do(AdjustStock("tea", 6, "delivery-2")) == AdjustmentDiffers("tea", "delivery-2", 5)
    assert shop.stock("tea") == (14, 0, 0)
    assert shop.product("tea").received == 14
    assert shop.violations() == []


def test_stock_never_goes_below_zero_nor_above_its_bound() -> None:
    """An adjustment that would is refused."""
    shop = stocked_shop()
    assert shop.do(AdjustStock("tea", -11, "lost")) == OutOfStock("tea", 11, 10)
    assert shop.do(AdjustStock("nothing", 1, "d")) == UnknownSku("nothing")
    assert shop.stock("tea") == (10, 0, 0)


def test_units_received_stay_in_range(monkeypatch: pytest.MonkeyPatch) -> None:
    """The bound of units received is kept (lowered here, for reaching it takes nine million deliveries)."""
    monkeypatch.setattr("shop_sm.catalogue.RECEIVED_MAX", 12)
    shop = stocked_shop()
    assert isinstance(shop.do(AdjustStock("tea", 3, "delivery-2")), AmountTooLarge)
    assert shop.do(AdjustStock("tea", 2, "delivery-3")) == StockAdjusted("tea", 12)


def test_a_customers_name_is_unique() -> None:
    """One id, one name, both ways; the same registration again answers as the first time."""
    shop = stocked_shop()
    assert shop.do(RegisterCustomer("ann", "Ann")) == CustomerRegistered("ann")
    assert shop.do(RegisterCustomer("ann", "Anne")) == CustomerDiffers("ann", "Ann")
    assert shop.do(RegisterCustomer("ann-2", "Ann")) == NameTaken("Ann")
    assert shop.do(RegisterCustomer("ann-2", "ann")) == CustomerRegistered("ann-2")
    assert shop.totals().customer_count == 2
    assert shop.violations() == []


@pytest.mark.parametrize("currency", ["XYZ", "XAU", "usd", "US", "USDX", "\u0406UR"])
def test_what_is_no_currency_is_refused(currency: str) -> None:
    """Nobody can say how many decimals it has, so nobody can say what a price in it is."""
    shop = ShopUnderTest()
    refusal = InvalidField("currency", "must be one of ISO 4217, like USD")
    assert shop.do(PutProduct("tea", "Tea", 500, currency)) == refusal
    assert shop.do(PutProduct("tea", "Tea", 500, "XOF")) == ProductStored("tea", 1)


@pytest.mark.parametrize("name", ["a/b", "..", "-x", "[/]", "a b", "a&b=c?#%"])
def test_what_was_stored_under_a_looser_rule_is_found_and_changed(name: str) -> None:
    """Ids that are taken no longer are still those of what is there."""
    shop = stocked_shop()
    for kind, record in ((keys.PRODUCT, b"tea"), (keys.CUSTOMER, b"ann")):
        shop.store.write({kind + name.encode(): shop.store.get(kind + record)})
    assert isinstance(shop.ask(ProductQuery(name)), ProductAnswer)
    assert isinstance(shop.ask(CustomerQuery(name)), CustomerAnswer)
    assert isinstance(shop.do(AdjustStock(name, 3, "delivery-2")), StockAdjusted)
    assert isinstance(shop.do(PlaceOrder("o-1", name, [Wanted(name, 2)])), OrderPlaced)
    page = shop.ask(CustomerOrdersQuery(name, b"", 5))
    assert isinstance(page, OrdersPage)
    assert [order.order for order in page.orders] == ["o-1"]
    assert isinstance(shop.do(WithdrawProduct(name)), ProductStored)
    assert isinstance(shop.do(PutProduct(name, "Tea", 500, "USD")), InvalidField)
    shop.store.write({keys.ORDER + name.encode(): shop.store.get(keys.ORDER + b"o-1")})
    assert isinstance(shop.ask(OrderQuery(name)), OrderAnswer)
    assert isinstance(shop.do(CancelOrder(name)), OrderAdvanced)
