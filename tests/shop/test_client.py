"""The typed client: one method a command and a query, and paging that nobody has to see."""

from __future__ import annotations

from shop_sm.answers import CustomerAnswer, NotFound, OrderAnswer, ProductAnswer, StockAnswer
from shop_sm.client import ShopClient
from shop_sm.commands import PutProduct, RegisterCustomer, ShipOrder
from shop_sm.life_cycle import Status
from shop_sm.results import InvalidField, OrderAdvanced, OrderPlaced, OutOfStock, ProductStored, UnknownOrder

from .memory_log import MemoryLog


async def opened_shop() -> ShopClient:
    shop = ShopClient(MemoryLog())
    await shop.put_product("tea", "Tea", 250, "USD", "https://shop.example/tea.jpg")
    await shop.adjust_stock("tea", 1_000, "delivery-1")
    await shop.register_customer("ann", "Ann")
    return shop


async def test_an_order_goes_through_its_life_by_typed_calls() -> None:
    """Each step answers a value of its own type."""
    shop = await opened_shop()
    placed = await shop.place_order("o-1", "ann", [("tea", 2)])
    assert isinstance(placed, OrderPlaced)
    paid = await shop.pay_order("o-1", placed.total_minor, placed.currency, "payment-1")
    assert isinstance(paid, OrderAdvanced)
    for step in (shop.ship_order, shop.deliver_order):
        assert isinstance(await step("o-1"), OrderAdvanced)
    order = await shop.order("o-1")
    assert isinstance(order, OrderAnswer)
    assert order.status is Status.DELIVERED
    assert isinstance(await shop.place_order("o-2", "ann", [("tea", 999)]), OutOfStock)
    assert isinstance(await shop.cancel_order("o-9"), UnknownOrder)


async def test_questions_have_typed_answers() -> None:
    """What is there comes as its type, what is not as ``NotFound``."""
    shop = await opened_shop()
    assert isinstance(await shop.product("tea"), ProductAnswer)
    assert isinstance(await shop.product("cup"), NotFound)
    assert await shop.stock("tea") == StockAnswer("tea", 1_000, 0, 0, 1_000)
    assert isinstance(await shop.customer(name="Ann"), CustomerAnswer)
    assert (await shop.totals()).product_count == 1


async def test_lists_are_paged_unseen() -> None:
    """250 orders come as one list, newest first, though a page holds 100."""
    shop = await opened_shop()
    for number in range(250):
        await shop.place_order(f"o-{number:03}", "ann", [("tea", 1)])
    seen = [order.order async for order in shop.orders_of("ann")]
    assert seen == [f"o-{number:03}" for number in reversed(range(250))]
    assert len([order async for order in shop.orders_at(Status.PLACED)]) == 250
    assert [day.orders async for day in shop.days()] == [250]
    assert [product.sku async for product in shop.low_stock(10_000)] == ["tea"]


async def test_a_batch_has_a_result_for_each_command_or_one_refusal() -> None:
    """Its size is bounded, and the refusal says so."""
    shop = await opened_shop()
    results = await shop.run_batch([PutProduct("cup", "Cup", 1, "USD"), ShipOrder("o-1")])
    assert [type(result) for result in results] == [ProductStored, UnknownOrder]
    assert [type(result) for result in await shop.run_batch([RegisterCustomer("b", "B")] * 300)] == [InvalidField]
