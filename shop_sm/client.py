"""The shop as typed methods, over a client of the log.

Refusals are results, not exceptions: ``OutOfStock`` is the shop working. What is raised is what the log's client
raises (``Unavailable``, ``OutcomeUnknown``, ...). Every command may be sent again after ``OutcomeUnknown``: it carries
an id of its own, so it happens once, whatever the session.

Results and answers keep the values of ``results`` and ``answers``; there is no second set of classes.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, Callable, Sequence
from typing import Literal, Protocol, TypeVar

import msgspec

from replog.errors import ReplogError

from . import answers, commands, queries
from .answers import Answer, InvalidQuery, NotFound
from .commands import Wanted
from .life_cycle import Status
from .limits import PAY_WITHIN_MS_DEFAULT
from .queries import Query
from .results import (
    BatchDone,
    CustomerRegistered,
    OrderAdvanced,
    OrderPlaced,
    OrdersExpired,
    ProductStored,
    RefundOwed,
    Refusal,
    SingleResult,
    StockAdjusted,
    decode_result,
)

Consistency = Literal["linearizable", "stale"]
Kind = TypeVar("Kind")

TIMEOUT_S = 10.0


class UnexpectedAnswer(ReplogError):
    """The replicas answered something this client has no name for: they run another version, or no shop at all."""

    exit_code = 4


class Reply(Protocol):
    """What a submitted command brings back."""

    @property
    def reply(self) -> bytes: ...


class LogClient(Protocol):
    """What is needed of ``replog.Client``: both raise its errors when ``timeout`` seconds have passed."""

    async def submit(self, payload: bytes, *, timeout: float) -> Reply: ...  # noqa: ASYNC109 - not ours to name

    async def query(
        self,
        request: bytes,
        *,
        consistency: Consistency,
        timeout: float,  # noqa: ASYNC109 - not ours to name
    ) -> bytes: ...


class ShopClient:
    """One shop.

    Parameters
    ----------
    log: an open ``replog.Client``; it stays the caller's.
    timeout_s: for each call.
    consistency: of queries; ``stale`` asks the nearest node, without a round to the others.
    """

    def __init__(
        self, log: LogClient, *, timeout_s: float = TIMEOUT_S, consistency: Consistency = "linearizable"
    ) -> None:
        self._log = log
        self._timeout_s = timeout_s
        self._consistency: Consistency = consistency

    # --- catalogue ---

    async def put_product(
        self, sku: str, name: str, price_minor: int, currency: str, picture_url: str = ""
    ) -> ProductStored | Refusal:
        command = commands.PutProduct(sku, name, price_minor, currency, picture_url)
        return expect(await self.run(command), ProductStored)

    async def withdraw_product(self, sku: str) -> ProductStored | Refusal:
        return expect(await self.run(commands.WithdrawProduct(sku)), ProductStored)

    async def adjust_stock(self, sku: str, delta: int, reference: str) -> StockAdjusted | Refusal:
        return expect(await self.run(commands.AdjustStock(sku, delta, reference)), StockAdjusted)

    async def register_customer(self, customer: str, name: str) -> CustomerRegistered | Refusal:
        return expect(await self.run(commands.RegisterCustomer(customer, name)), CustomerRegistered)

    # --- orders ---

    async def place_order(
        self,
        order: str,
        customer: str,
        lines: Sequence[tuple[str, int]],
        *,
        booked_day: int = 0,
        pay_within_ms: int = PAY_WITHIN_MS_DEFAULT,
    ) -> OrderPlaced | Refusal:
        """``lines`` are (sku, quantity); see ``commands.PlaceOrder`` for the rest."""
        wanted = [Wanted(sku, quantity) for sku, quantity in lines]
        command = commands.PlaceOrder(order, customer, wanted, booked_day, pay_within_ms)
        return expect(await self.run(command), OrderPlaced)

    async def pay_order(
        self, order: str, amount_minor: int, currency: str, reference: str
    ) -> OrderAdvanced | RefundOwed | Refusal:
        """``RefundOwed``: the order was over; its money is recorded and must go back."""
        result = await self.run(commands.PayOrder(order, amount_minor, currency, reference))
        return result if isinstance(result, RefundOwed) else expect(result, OrderAdvanced)

    async def ship_order(self, order: str) -> OrderAdvanced | Refusal:
        return expect(await self.run(commands.ShipOrder(order)), OrderAdvanced)

    async def deliver_order(self, order: str) -> OrderAdvanced | Refusal:
        return expect(await self.run(commands.DeliverOrder(order)), OrderAdvanced)

    async def cancel_order(self, order: str) -> OrderAdvanced | Refusal:
        return expect(await self.run(commands.CancelOrder(order)), OrderAdvanced)

    async def refund_order(self, order: str) -> OrderAdvanced | Refusal:
        return expect(await self.run(commands.RefundOrder(order)), OrderAdvanced)

    async def expire_orders(self, orders_max: int = 100) -> OrdersExpired | Refusal:
        return expect(await self.run(commands.ExpireOrders(orders_max)), OrdersExpired)

    # --- questions ---

    async def product(self, sku: str) -> answers.ProductAnswer | NotFound:
        return found(await self.ask(queries.ProductQuery(sku)), answers.ProductAnswer)

    async def stock(self, sku: str) -> answers.StockAnswer | NotFound:
        return found(await self.ask(queries.StockQuery(sku)), answers.StockAnswer)

    async def customer(self, customer: str = "", *, name: str = "") -> answers.CustomerAnswer | NotFound:
        return found(await self.ask(queries.CustomerQuery(customer, name)), answers.CustomerAnswer)

    async def order(self, order: str) -> answers.OrderAnswer | NotFound:
        return found(await self.ask(queries.OrderQuery(order)), answers.OrderAnswer)

    async def totals(self) -> answers.Totals:
        return page(await self.ask(queries.TotalsQuery()), answers.Totals)

    async def products(self, prefix: str = "", after: str = "") -> AsyncGenerator[answers.ProductAnswer, None]:
        """Products behind ``after`` in order of sku, fetched a page at a time; each page is a read of its own."""
        while True:
            one = page(await self.ask(queries.ProductsQuery(prefix, after)), answers.ProductsPage)
            for product in one.products:
                yield product
            after = one.next_after
            if not after:
                return

    async def low_stock(self, at_most: int) -> AsyncGenerator[answers.ProductAnswer, None]:
        """Products to order again, fetched a page at a time."""
        after = ""
        while True:
            one = page(await self.ask(queries.LowStockQuery(at_most, after)), answers.ProductsPage)
            for product in one.products:
                yield product
            after = one.next_after
            if not after:
                return

    async def orders_of(self, customer: str) -> AsyncGenerator[answers.OrderAnswer, None]:
        """A customer's orders, newest first. Raises ``LookupError`` for an unknown customer."""
        cursor = b""
        while True:
            answer = await self.ask(queries.CustomerOrdersQuery(customer, cursor))
            if isinstance(answer, NotFound):
                raise LookupError(str(answer))
            one = page(answer, answers.OrdersPage)
            for order in one.orders:
                yield order
            cursor = one.next_cursor
            if not cursor:
                return

    async def orders_at(self, status: Status) -> AsyncGenerator[answers.OrderAnswer, None]:
        """Orders at a status, oldest first; those placed: soonest due first."""
        cursor = b""
        while True:
            one = page(await self.ask(queries.StatusOrdersQuery(status, cursor)), answers.OrdersPage)
            for order in one.orders:
                yield order
            cursor = one.next_cursor
            if not cursor:
                return

    async def days(self) -> AsyncGenerator[answers.DayTotals, None]:
        """Totals by day and currency, oldest first."""
        cursor = b""
        while True:
            one = page(await self.ask(queries.DaysQuery(cursor)), answers.DaysPage)
            for day in one.days:
                yield day
            cursor = one.next_cursor
            if not cursor:
                return

    # --- any of them ---

    async def run(self, command: commands.SingleCommand) -> SingleResult:
        """Any command by value."""
        receipt = await self._log.submit(commands.encode_command(command), timeout=self._timeout_s)
        result = decoded(decode_result, receipt.reply)
        if isinstance(result, BatchDone):
            raise UnexpectedAnswer(f"a batch's results to {type(command).__name__}")
        return result

    async def run_batch(self, batch: Sequence[commands.SingleCommand]) -> list[SingleResult]:
        """Several commands in one place of the log; one result each, in order.

        A batch of a size that is not taken has one result, the refusal.
        """
        receipt = await self._log.submit(commands.encode_command(commands.Batch(list(batch))), timeout=self._timeout_s)
        result = decoded(decode_result, receipt.reply)
        return result.results if isinstance(result, BatchDone) else [result]

    async def ask(self, query: Query) -> Answer:
        """Any query by value."""
        request = queries.encode_query(query)
        answer = await self._log.query(request, consistency=self._consistency, timeout=self._timeout_s)
        return decoded(answers.decode_answer, answer)


def decoded(decode: Callable[[bytes], Kind], data: bytes) -> Kind:
    """What replicas answered, as a value. Raises ``UnexpectedAnswer``."""
    try:
        return decode(data)
    except msgspec.DecodeError as error:
        raise UnexpectedAnswer(
            f"the replicas do not answer as this shop does ({error}); do they run shop_sm:Shop, of this version?"
        ) from None


def expect(result: SingleResult, kind: type[Kind]) -> Kind | Refusal:
    if isinstance(result, kind | Refusal):
        return result
    raise UnexpectedAnswer(f"{result} where {kind.__name__} or a refusal belongs")


def found(answer: Answer, kind: type[Kind]) -> Kind | NotFound:
    if isinstance(answer, kind | NotFound):
        return answer
    raise UnexpectedAnswer(f"{answer} where {kind.__name__} belongs")


def page(answer: Answer, kind: type[Kind]) -> Kind:
    if isinstance(answer, InvalidQuery):
        raise ValueError(str(answer))
    if isinstance(answer, kind):
        return answer
    raise UnexpectedAnswer(f"{answer} where {kind.__name__} belongs")
