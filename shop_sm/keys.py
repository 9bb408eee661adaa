"""Where every record of the shop lives in the ordered map, and why there.

    p <sku>                          Product            catalogue and stock together: an order touches one key a line
    a <sku> 00 <reference>           Adjustment         the stock ledger of a product is one prefix
    c <customer>                     Customer
    n <name>                         customer id        names are unique
    o <order>                        Order              ascending order ids append
    k <customer> 00 <position>       order id           a customer's orders, newest last
    s <status> <position>            order id           orders by status; those placed are under ``u`` instead
    u <due> <position>               order id           unpaid orders, soonest due first
    d <day> <currency>               Day                totals of a day; the shop's totals are the sum over days
    r <reference>                    order id           the order a payment has paid: it pays no other
    t                                due                nothing unpaid is due before: spares a scan per command
    m                                Counts

A position is (day, currency, number within both): unique, made from the ``Day`` record that the order changes anyway,
and ascending in the order of the books. There is no counter of all orders and no record of all totals: each would be
one more write for every order.
"""

from __future__ import annotations

PRODUCT = b"p"
ADJUSTMENT = b"a"
CUSTOMER = b"c"
NAME = b"n"
ORDER = b"o"
CUSTOMER_ORDER = b"k"
STATUS_ORDER = b"s"
UNPAID = b"u"
DAY = b"d"
PAYMENT = b"r"
NEXT_DUE = b"t"
COUNTS = b"m"

SEPARATOR = b"\0"
DUE_BYTES = 8
NEVER_DUE = b"\xff" * DUE_BYTES

DAY_BYTES = 2
NUMBER_BYTES = 4


def day_key(day: int, currency: str) -> bytes:
    return DAY + day.to_bytes(DAY_BYTES, "big") + currency.encode()


def position(day_key: bytes, number: int) -> bytes:
    return day_key[1:] + number.to_bytes(NUMBER_BYTES, "big")


def day_key_of(position: bytes) -> bytes:
    return DAY + position[:-NUMBER_BYTES]


def day_of(position: bytes) -> int:
    return int.from_bytes(position[:DAY_BYTES], "big")


def currency_of(position: bytes) -> str:
    return position[DAY_BYTES:-NUMBER_BYTES].decode()


def number_of(position: bytes) -> int:
    return int.from_bytes(position[-NUMBER_BYTES:], "big")


def split_day_key(key: bytes) -> tuple[int, str]:
    return int.from_bytes(key[1 : 1 + DAY_BYTES], "big"), key[1 + DAY_BYTES :].decode()


def due(at_ms: int) -> bytes:
    """Log time as it sorts."""
    return at_ms.to_bytes(DUE_BYTES, "big")


def customer_orders(customer: str) -> bytes:
    """The prefix of a customer's orders."""
    return CUSTOMER_ORDER + customer.encode() + SEPARATOR


def adjustments(sku: str) -> bytes:
    """The prefix of a product's stock ledger."""
    return ADJUSTMENT + sku.encode() + SEPARATOR


def orders_at(status: int) -> bytes:
    """The prefix of the orders at a status other than placed."""
    return STATUS_ORDER + bytes((status,))


def past(prefix: bytes) -> bytes:
    """The first key behind all keys under ``prefix``, whose last byte is never 0xff here (ASCII, UTF-8, a status)."""
    return prefix[:-1] + bytes((prefix[-1] + 1,))
