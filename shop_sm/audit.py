"""The shop's invariants, checked record by record, and books that must balance.

A walk over all records checks each against itself and against the records it points to, and books what it shows on
accounts: a product books its reserved units, each placed order takes its quantities off again, and so on. What is
booked from two sides sums to zero. ``find_violations`` walks a whole state with an account for each sku and day and
names what does not balance. On a running replica the walk goes in pages (``audit_page``), and the accounts are folded:
each amount is multiplied by the checksum of its account's name, so a page answers a handful of numbers, and amounts
under different names don't cancel out. The sums mean something only if all pages came from one state.

The rules are numbered; ``docs/SHOP.md`` has the same numbers.
"""

from __future__ import annotations

import zlib
from collections.abc import Callable, Iterator
from typing import Protocol

import msgspec

from replog.state_machine import StateView

from . import keys, records
from .answers import AuditPage
from .life_cycle import HOLDING, Holding, Status
from .ordering import index_key

MODULUS = 2**61 - 1


class Books(Protocol):
    """Where the walk books; ``account`` is a kind, ``name`` tells its accounts apart."""

    def book(self, account: str, name: bytes, amount: int) -> None: ...


class ExactBooks:
    """One account a name."""

    def __init__(self) -> None:
        self.accounts: dict[tuple[str, bytes], int] = {}

    def book(self, account: str, name: bytes, amount: int) -> None:
        self.accounts[account, name] = self.accounts.get((account, name), 0) + amount

    def violations(self) -> Iterator[str]:
        for (account, name), amount in self.accounts.items():
            if amount != 0:
                yield f"{account} of {name!r} does not balance: {amount:+}"


class FoldedBooks:
    """One number a kind of account."""

    def __init__(self) -> None:
        self.balances: dict[str, int] = {}

    def book(self, account: str, name: bytes, amount: int) -> None:
        weighted = amount * (zlib.crc32(name) + 1)
        self.balances[account] = (self.balances.get(account, 0) + weighted) % MODULUS


def find_violations(view: StateView) -> Iterator[str]:
    """Everything that must never be and is, in a whole state."""
    books = ExactBooks()
    for key, value in view.scan():
        yield from check_record(view, key, value, books)
    yield from books.violations()


def audit_page(view: StateView, cursor: bytes, limit: int) -> AuditPage:
    """The next ``limit`` records behind ``cursor``."""
    books = FoldedBooks()
    violations: list[str] = []
    record_count = 0
    last = cursor
    for key, value in view.scan(start=cursor[:500] + b"\0", stop=b"\xff"):
        if record_count == limit:
            return AuditPage(record_count, violations, books.balances, last)
        violations.extend(check_record(view, key, value, books))
        record_count += 1
        last = key
    return AuditPage(record_count, violations, books.balances, b"")


def check_record(view: StateView, key: bytes, value: bytes, books: Books) -> Iterator[str]:
    check = CHECKS.get(key[:1])
    if check is None:
        yield f"{key!r} is no key of the shop"
        return
    try:
        yield from check(view, key, value, books)
    except (msgspec.DecodeError, ValueError) as error:
        yield f"{key!r} can't be read: {error}"


def check_product(view: StateView, key: bytes, value: bytes, books: Books) -> Iterator[str]:
    product = records.decode_product(value)
    sku = key[1:]
    if min(product.on_hand, product.reserved, product.sold) < 0:  # S1
        yield f"product {sku.decode()}: negative stock in {product}"
    if product.on_hand + product.reserved + product.sold != product.received:  # S2
        yield f"product {sku.decode()}: on hand + reserved + sold is not received in {product}"
    books.book("reserved units", sku, product.reserved)  # S3
    books.book("sold units", sku, product.sold)  # S3
    books.book("received units", sku, product.received)  # S4
    books.book("product count", b"", 1)  # S9


def check_adjustment(view: StateView, key: bytes, value: bytes, books: Books) -> Iterator[str]:
    sku = key[1:].partition(keys.SEPARATOR)[0]
    books.book("received units", sku, -records.decode_adjustment(value).delta)  # S4
    if view.get(keys.PRODUCT + sku) is None:
        yield f"stock of an unknown product in {key!r}"


def check_customer(view: StateView, key: bytes, value: bytes, books: Books) -> Iterator[str]:
    customer = records.decode_customer(value)
    books.book("customer count", b"", 1)  # S9
    if view.get(keys.NAME + customer.name.encode()) != key[1:]:  # S8
        yield f"customer {key[1:].decode()}: the name {customer.name!r} leads elsewhere"


def check_payment(view: StateView, key: bytes, value: bytes, books: Books) -> Iterator[str]:
    stored = view.get(keys.ORDER + value)
    if stored is None or records.decode_order(stored).payment.encode() != key[1:]:  # S11
        yield f"payment {key[1:].decode()!r} leads to {value.decode()}, which it did not pay"


def check_name(view: StateView, key: bytes, value: bytes, books: Books) -> Iterator[str]:
    stored = view.get(keys.CUSTOMER + value)
    if stored is None or records.decode_customer(stored).name.encode() != key[1:]:  # S8
        yield f"name {key[1:].decode()!r} leads to {value.decode()}, who is not called so"


def check_order(view: StateView, key: bytes, value: bytes, books: Books) -> Iterator[str]:
    order = records.decode_order(value)
    name = key[1:].decode()
    if sum(line.quantity * line.price_minor for line in order.lines) != order.total_minor:  # S5
        yield f"order {name}: its lines do not sum to {order.total_minor}"
    if sum(line.quantity for line in order.lines) != order.units:  # S5
        yield f"order {name}: its lines do not hold {order.units} units"
    if bool(order.payment) != (order.status not in (Status.PLACED, Status.CANCELLED, Status.EXPIRED)):  # S6
        yield f"order {name}: {order.status.name} and paid by {order.payment!r}"
    payment_of = view.get(keys.PAYMENT + order.payment.encode()) if order.payment else None
    if payment_of not in (None, key[1:]):  # S11; None: it was paid before payments were kept
        yield f"order {name}: paid by {order.payment!r}, which has paid {payment_of!r}"
    if view.get(index_key(order)) != key[1:]:  # S7
        yield f"order {name}: missing in the list of its status"
    if view.get(keys.customer_orders(order.customer) + order.position) != key[1:]:  # S7
        yield f"order {name}: missing in the list of its customer"
    if view.get(keys.CUSTOMER + order.customer.encode()) is None:
        yield f"order {name}: of an unknown customer {order.customer}"
    if order.status is Status.PLACED and (view.get(keys.NEXT_DUE) or keys.NEVER_DUE) > index_key(order)[1:9]:  # S10
        yield f"order {name}: due before anything is said to be due"
    book_order(order, books)


def book_order(order: records.Order, books: Books) -> None:
    holding = HOLDING[order.status]
    if holding is not Holding.NOWHERE:
        account = "reserved units" if holding is Holding.RESERVED else "sold units"
        for line in order.lines:
            books.book(account, line.sku.encode(), -line.quantity)  # S3
    day = keys.day_key_of(order.position)[1:]
    books.book("orders by day", day, -1)  # S5
    books.book("order numbers by day", day, -keys.number_of(order.position))  # S5
    books.book("orders by day and status", day + bytes((order.status,)), -1)
    if holding is Holding.RESERVED:
        books.book("reserved units by day", day, -order.units)
    if holding is Holding.SOLD:
        books.book("sold units by day", day, -order.units)
        books.book("revenue by day", day, -order.total_minor)
    if order.status is Status.REFUND_DUE:
        books.book("refunds due by day", day, -order.total_minor)
    books.book("list entries", b"status", 1)  # S7
    books.book("list entries", b"customer", 1)  # S7


def check_day(view: StateView, key: bytes, value: bytes, books: Books) -> Iterator[str]:
    day = records.decode_day(value)
    name = key[1:]
    books.book("orders by day", name, day.placed_count)
    books.book("order numbers by day", name, day.placed_count * (day.placed_count - 1) // 2)
    for status, count in enumerate(day.by_status):
        books.book("orders by day and status", name + bytes((status,)), count)
    books.book("reserved units by day", name, day.reserved_units)
    books.book("sold units by day", name, day.sold_units)
    books.book("revenue by day", name, day.revenue_minor)
    books.book("refunds due by day", name, day.refund_due_minor)
    if sum(day.by_status) != day.placed_count:
        yield f"day {keys.split_day_key(key)}: {day.placed_count} orders, {day.by_status} by status"


def check_status_entry(view: StateView, key: bytes, value: bytes, books: Books) -> Iterator[str]:
    books.book("list entries", b"status", -1)  # S7
    stored = view.get(keys.ORDER + value)
    if stored is None or index_key(records.decode_order(stored)) != key:
        yield f"list entry {key!r} leads to {value.decode()}, which does not stand there"


def check_customer_entry(view: StateView, key: bytes, value: bytes, books: Books) -> Iterator[str]:
    books.book("list entries", b"customer", -1)  # S7
    customer, _, position = key[1:].partition(keys.SEPARATOR)
    stored = view.get(keys.ORDER + value)
    order = None if stored is None else records.decode_order(stored)
    if order is None or (order.customer.encode(), order.position) != (customer, position):
        yield f"list entry {key!r} leads to {value.decode()}, which is not that customer's"


def check_next_due(view: StateView, key: bytes, value: bytes, books: Books) -> Iterator[str]:
    if len(value) != keys.DUE_BYTES:
        yield f"the next due time is {value!r}"


def check_counts(view: StateView, key: bytes, value: bytes, books: Books) -> Iterator[str]:
    counts = records.decode_counts(value)
    books.book("product count", b"", -counts.product_count)  # S9
    books.book("customer count", b"", -counts.customer_count)  # S9
    yield from ()


CHECKS: dict[bytes, Callable[[StateView, bytes, bytes, Books], Iterator[str]]] = {
    keys.PRODUCT: check_product,
    keys.ADJUSTMENT: check_adjustment,
    keys.CUSTOMER: check_customer,
    keys.PAYMENT: check_payment,
    keys.NAME: check_name,
    keys.ORDER: check_order,
    keys.DAY: check_day,
    keys.STATUS_ORDER: check_status_entry,
    keys.UNPAID: check_status_entry,
    keys.CUSTOMER_ORDER: check_customer_entry,
    keys.NEXT_DUE: check_next_due,
    keys.COUNTS: check_counts,
}
