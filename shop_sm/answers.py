"""What a query answers. Closed; every page says where the next one goes on."""

from __future__ import annotations

import msgspec

from .life_cycle import Status


class NotFound(msgspec.Struct, array_like=True, frozen=True, gc=False, tag=1):
    """There is no such product, customer or order."""

    what: str
    name: str

    def __str__(self) -> str:
        return f"there is no {self.what} {self.name}"


class InvalidQuery(msgspec.Struct, array_like=True, frozen=True, gc=False, tag=2):
    field: str
    reason: str

    def __str__(self) -> str:
        return f"{self.field}: {self.reason}"


class ProductAnswer(msgspec.Struct, array_like=True, frozen=True, gc=False, tag=3):
    """``on_hand`` is free to order; ``reserved`` waits for payment; ``on_hand + reserved + sold == received``."""

    sku: str
    name: str
    picture_url: str
    price_minor: int
    currency: str
    revision: int
    is_withdrawn: bool
    on_hand: int
    reserved: int
    sold: int
    received: int


class StockAnswer(msgspec.Struct, array_like=True, frozen=True, gc=False, tag=4):
    sku: str
    on_hand: int
    reserved: int
    sold: int
    received: int


class ProductsPage(msgspec.Struct, array_like=True, frozen=True, gc=False, tag=5):
    """``next_after``: the ``after`` of the next page, empty on the last one."""

    products: list[ProductAnswer]
    next_after: str


class CustomerAnswer(msgspec.Struct, array_like=True, frozen=True, gc=False, tag=6):
    customer: str
    name: str
    registered_ms: int


class LineAnswer(msgspec.Struct, array_like=True, frozen=True, gc=False):
    sku: str
    quantity: int
    price_minor: int

    @property
    def total_minor(self) -> int:
        return self.quantity * self.price_minor


class OrderAnswer(msgspec.Struct, array_like=True, frozen=True, gc=False, tag=7):
    """An order as it stands; times are log time in ms, 0 where it has not come to that.

    ``booked_day`` counts days since 1970-01-01; ``payment`` is the payment's reference.
    """

    order: str
    customer: str
    lines: list[LineAnswer]
    total_minor: int
    currency: str
    units: int
    status: Status
    booked_day: int
    placed_ms: int
    due_ms: int
    payment: str
    paid_ms: int
    shipped_ms: int
    delivered_ms: int
    closed_ms: int
    refunded_ms: int


class OrdersPage(msgspec.Struct, array_like=True, frozen=True, gc=False, tag=8):
    """``next_cursor``: the ``cursor`` of the next page, empty on the last one."""

    orders: list[OrderAnswer]
    next_cursor: bytes


class DayTotals(msgspec.Struct, array_like=True, frozen=True, gc=False):
    """Totals of orders booked on a day (of all days in ``Totals``, where ``day`` is 0).

    Parameters
    ----------
    by_status: how many orders stand at each ``Status``, in its order.
    units, revenue_minor: of the orders paid and not cancelled.
    reserved_units: of the orders placed and not yet paid.
    refund_due_minor: taken, and owed back.
    """

    day: int
    currency: str
    orders: int
    by_status: list[int]
    units: int
    revenue_minor: int
    reserved_units: int
    refund_due_minor: int


class DaysPage(msgspec.Struct, array_like=True, frozen=True, gc=False, tag=9):
    days: list[DayTotals]
    next_cursor: bytes


class Totals(msgspec.Struct, array_like=True, frozen=True, gc=False, tag=10):
    """One row a currency, in order of its code."""

    product_count: int
    customer_count: int
    currencies: list[DayTotals]


class AuditPage(msgspec.Struct, array_like=True, frozen=True, gc=False, tag=11):
    """What a stretch of records showed.

    Parameters
    ----------
    record_count: records looked at.
    violations: sentences about records that contradict themselves or one another.
    balances: per kind of account what this stretch adds to it, modulo ``audit.MODULUS``. Over all pages of one
        state every account sums to 0.
    next_cursor: empty on the last page.
    """

    record_count: int
    violations: list[str]
    balances: dict[str, int]
    next_cursor: bytes


Answer = (
    NotFound
    | InvalidQuery
    | ProductAnswer
    | StockAnswer
    | ProductsPage
    | CustomerAnswer
    | OrderAnswer
    | OrdersPage
    | DaysPage
    | Totals
    | AuditPage
)

_encoder = msgspec.msgpack.Encoder()
_decoder: msgspec.msgpack.Decoder[Answer] = msgspec.msgpack.Decoder(Answer)


def encode_answer(answer: Answer) -> bytes:
    return _encoder.encode(answer)


def decode_answer(data: bytes) -> Answer:
    return _decoder.decode(data)
