"""What the shop keeps, one Struct a record; the tag is the record's version.

A record is read, changed in place and written back within one command, so records are not frozen; they never leave the
state machine. A later version of a record gets a tag of its own and joins its decoder's union.
"""

from __future__ import annotations

import msgspec

from .life_cycle import Status


class Product(msgspec.Struct, array_like=True, gc=False, tag=1):
    """A product and its stock: ``on_hand + reserved + sold == received`` at all times."""

    name: str
    picture_url: str
    price_minor: int
    currency: str
    revision: int
    is_withdrawn: bool = False
    on_hand: int = 0
    reserved: int = 0
    sold: int = 0
    received: int = 0


class Adjustment(msgspec.Struct, array_like=True, gc=False, tag=1):
    """One booking of the stock ledger; ``on_hand`` after it is what its repetition answers."""

    delta: int
    on_hand: int
    at_ms: int


class Customer(msgspec.Struct, array_like=True, gc=False, tag=1):
    name: str
    registered_ms: int


class Line(msgspec.Struct, array_like=True, gc=False):
    """A line of an order, at the price of the catalogue when it was placed."""

    sku: str
    quantity: int
    price_minor: int


class Order(msgspec.Struct, array_like=True, gc=False, tag=1):
    """An order with its payment. Times are log time in ms, 0 where it has not come to that.

    Parameters
    ----------
    position: see ``keys``.
    booked_day, pay_within_ms: as the client sent them, to tell a repetition from another order.
    payment: the payment's reference; its amount is ``total_minor``, for no other is taken.
    paid_ms: 0 also if the money came when the order was over, so that it is owed back.
    closed_ms: when it was cancelled or expired.
    """

    position: bytes
    customer: str
    lines: list[Line]
    total_minor: int
    units: int
    status: Status
    placed_ms: int
    booked_day: int
    pay_within_ms: int
    payment: str = ""
    paid_ms: int = 0
    shipped_ms: int = 0
    delivered_ms: int = 0
    closed_ms: int = 0
    refunded_ms: int = 0


class Day(msgspec.Struct, array_like=True, gc=False, tag=1):
    """Totals of the orders booked on one day in one currency.

    Parameters
    ----------
    placed_count: orders ever placed, which is the next order's number.
    by_status: how many stand at each ``Status``.
    """

    placed_count: int
    by_status: list[int]
    reserved_units: int = 0
    sold_units: int = 0
    revenue_minor: int = 0
    refund_due_minor: int = 0


class Counts(msgspec.Struct, array_like=True, gc=False, tag=1):
    product_count: int = 0
    customer_count: int = 0


encode = msgspec.msgpack.Encoder().encode
decode_product = msgspec.msgpack.Decoder(Product).decode
decode_adjustment = msgspec.msgpack.Decoder(Adjustment).decode
decode_customer = msgspec.msgpack.Decoder(Customer).decode
decode_order = msgspec.msgpack.Decoder(Order).decode
decode_day = msgspec.msgpack.Decoder(Day).decode
decode_counts = msgspec.msgpack.Decoder(Counts).decode


def new_day() -> Day:
    return Day(placed_count=0, by_status=[0] * len(Status))
