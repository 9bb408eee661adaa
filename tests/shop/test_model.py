"""The shop against the model: random histories, and hypothesis looking for the one where they part."""

from __future__ import annotations

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from shop_sm import commands as c

from .comparison import CUSTOMERS, ORDERS, SKUS, differences, first_difference, step
from .model import ModelShop
from .shop_under_test import ShopUnderTest

skus = st.sampled_from(SKUS)
orders = st.sampled_from(ORDERS[:5])
customers = st.sampled_from(CUSTOMERS)
lines = st.lists(st.builds(c.Wanted, skus, st.sampled_from([0, 1, 2, 7, 10_001])), max_size=4)


class ShopAndModel(RuleBasedStateMachine):
    """Every rule is one command on both; they must answer the same and show the same."""

    def __init__(self) -> None:
        super().__init__()
        self.shop = ShopUnderTest()
        self.model = ModelShop()
        for customer in CUSTOMERS:
            self.both(c.RegisterCustomer(customer, customer.title()))
        for sku in SKUS[:2]:
            self.both(c.PutProduct(sku, sku, 100, "USD"))
            self.both(c.AdjustStock(sku, 9, "first"))

    def both(self, command: c.Command) -> None:
        found = step(self.shop, self.model, command)
        assert found is None, found

    @rule(sku=skus, price=st.sampled_from([-1, 0, 1, 250]), currency=st.sampled_from(["USD", "GBP"]))
    def put_product(self, sku: str, price: int, currency: str) -> None:
        self.both(c.PutProduct(sku, sku, price, currency))

    @rule(sku=skus)
    def withdraw(self, sku: str) -> None:
        self.both(c.WithdrawProduct(sku))

    @rule(sku=skus, delta=st.sampled_from([-4, 3, 12]), reference=st.sampled_from(["a", "b", "c"]))
    def adjust(self, sku: str, delta: int, reference: str) -> None:
        self.both(c.AdjustStock(sku, delta, reference))

    @rule(customer=customers, name=st.sampled_from(["Ann", "Bob"]))
    def register(self, customer: str, name: str) -> None:
        self.both(c.RegisterCustomer(customer, name))

    @rule(order=orders, customer=customers, lines=lines, day=st.sampled_from([0, 9_000]), within=st.just(1_000))
    def place(self, order: str, customer: str, lines: list[c.Wanted], day: int, within: int) -> None:
        self.both(c.PlaceOrder(order, customer, lines, day, within))

    @rule(order=orders, is_right=st.booleans(), reference=st.sampled_from(["p", "q"]))
    def pay(self, order: str, is_right: bool, reference: str) -> None:
        known = self.model.orders.get(order)
        amount = known.total if known and is_right else 1
        self.both(c.PayOrder(order, amount, known.currency if known else "USD", reference))

    @rule(order=orders, kind=st.sampled_from([c.ShipOrder, c.DeliverOrder, c.CancelOrder, c.RefundOrder]))
    def advance(self, order: str, kind: type[c.ShipOrder]) -> None:
        self.both(kind(order))

    @rule(orders_max=st.sampled_from([1, 50]))
    def expire(self, orders_max: int) -> None:
        self.both(c.ExpireOrders(orders_max))

    @rule(ms=st.sampled_from([1, 500, 1_000]))
    def time_passes(self, ms: int) -> None:
        self.shop.now_ms += ms

    @invariant()
    def both_show_the_same(self) -> None:
        assert differences(self.shop, self.model) == []


TestShopAndModel = ShopAndModel.TestCase
TestShopAndModel.settings = settings(max_examples=40, stateful_step_count=40, deadline=None)


@pytest.mark.parametrize("seed", range(10))
def test_random_histories_agree_with_the_model(seed: int) -> None:
    """Long random histories give the same results, stock and money in the shop and in the model."""
    assert first_difference(seed, steps=400) is None
