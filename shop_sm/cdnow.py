"""CDNOW's orders, and the catalogue that makes them come out to the cent.

The files give an order's number of CDs and what they cost together, but no products. The catalogue derived here has
one product for each price in cents, and an order of ``units`` CDs for ``cents`` takes

    units - cents % units   pieces at the price  cents // units
            cents % units   pieces at the price  cents // units + 1

so one line, or two of neighbouring prices when the sum does not divide. Units and money are then exact for each order
and need no rounding anywhere; an order that cost nothing takes a product at price 0. Stock is what the file sells and
not a piece more: an order that ran twice would leave another one refused, and after the last one all stock is 0.

Order ids are the file's name and the line's number, never the content: 215 lines of the master file stand more than
once, letter for letter, and are different orders.
"""

from __future__ import annotations

import codecs
import datetime
import importlib.resources
import re
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from decimal import Decimal
from pathlib import Path

import attrs

from .commands import AdjustStock, Batch, PayOrder, PlaceOrder, PutProduct, RegisterCustomer, Wanted

CURRENCY = "USD"
EPOCH = datetime.date(1970, 1, 1)
LINE = re.compile(r"(\d{1,8})(?: +\d{1,8})? +(\d{8}) +(\d{1,5}) +(\d{1,7}\.\d\d)")
HEADER = ["customer_id", "date", "number_of_cds", "dollar_value"]


class FileError(ValueError):
    """A line of the file is not an order; the message names it."""


@attrs.frozen
class Purchase:
    """One line of a file.

    Parameters
    ----------
    line: its number in the file, from 1.
    day: days since 1970-01-01.
    """

    line: int
    customer: str
    day: int
    units: int
    cents: int


@attrs.frozen
class KnownTotals:
    """What a file is known to sum to, or what a shop shows."""

    orders: int
    customers: int
    units: int
    revenue_minor: int


SAMPLE_TOTALS = KnownTotals(orders=6_919, customers=2_357, units=16_479, revenue_minor=24_409_194)
MASTER_TOTALS = KnownTotals(orders=69_659, customers=23_570, units=167_881, revenue_minor=250_031_563)


@contextmanager
def sample_file() -> Iterator[Path]:
    """The sample that comes with this package."""
    with importlib.resources.as_file(importlib.resources.files("shop_sm") / "data" / "cdnow_sample.txt") as path:
        yield path


def read_purchases(path: Path) -> list[Purchase]:
    """Every order of a file, sample or master. Raises ``FileError`` at the first line that is none."""
    purchases = []
    for number, line in enumerate(_text(path).splitlines(), start=1):
        if line.strip() and line.split() != HEADER:
            purchases.append(parse_line(line, number))
    return purchases


def _text(path: Path) -> str:
    data = path.read_bytes()
    if data.startswith((codecs.BOM_UTF8, codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        raise FileError("the file begins with a byte order mark; save it as plain ASCII text without one")
    try:
        return data.decode("ascii")
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        raise FileError(f"line {line} has a byte that is no ASCII text: 0x{data[error.start]:02x}") from None


def parse_line(line: str, number: int) -> Purchase:
    match = LINE.fullmatch(line.strip())
    if match is None:
        raise FileError(
            f"line {number} is not an order: {line.strip()[:80]!r}; expected customer, date (yyyymmdd), number of CDs "
            "and dollar value, as in CDNOW's master or sample file"
        )
    customer, date, units, dollars = match.groups()
    try:
        day = (datetime.datetime.strptime(date, "%Y%m%d").date() - EPOCH).days
    except ValueError:
        raise FileError(f"line {number} has no date: {date}; expected yyyymmdd") from None
    if int(units) == 0:
        raise FileError(f"line {number} orders no CD; every order has at least one")
    return Purchase(number, customer, day, int(units), int(Decimal(dollars) * 100))


def totals_of(purchases: Iterable[Purchase]) -> KnownTotals:
    """Summed from the file itself: what the shop must show after loading it."""
    orders = units = cents = 0
    customers: dict[str, None] = {}
    for purchase in purchases:
        orders += 1
        units += purchase.units
        cents += purchase.cents
        customers[purchase.customer] = None
    return KnownTotals(orders=orders, customers=len(customers), units=units, revenue_minor=cents)


@attrs.frozen
class Import:
    """A file's purchases as commands of the shop. ``name`` begins every id made for it."""

    name: str
    purchases: list[Purchase]

    def catalogue(self) -> Iterator[PutProduct | AdjustStock]:
        """A product a price, and its stock: the pieces that the file sells, booked once under the import's name."""
        pieces: dict[int, int] = {}
        for purchase in self.purchases:
            for price, quantity in split_price(purchase):
                pieces[price] = pieces.get(price, 0) + quantity
        for price in sorted(pieces):
            yield PutProduct(self.sku(price), f"CD at {price // 100}.{price % 100:02} dollars", price, CURRENCY)
            yield AdjustStock(self.sku(price), pieces[price], self.name)

    def customers(self) -> Iterator[RegisterCustomer]:
        """In order of first purchase. A customer of the sample is the same one in the master file."""
        for customer in dict.fromkeys(purchase.customer for purchase in self.purchases):
            yield RegisterCustomer(customer_id(customer), f"CDNOW customer {customer}")

    def order(self, purchase: Purchase) -> Batch:
        """Placed and paid in one place of the log, so an import never leaves an order half made."""
        order_id = self.order_id(purchase)
        lines = [Wanted(self.sku(price), quantity) for price, quantity in split_price(purchase)]
        return Batch(
            [
                PlaceOrder(order_id, customer_id(purchase.customer), lines, booked_day=purchase.day),
                PayOrder(order_id, purchase.cents, CURRENCY, order_id),
            ]
        )

    def order_id(self, purchase: Purchase) -> str:
        return f"{self.name}-{purchase.line:07}"

    def sku(self, price: int) -> str:
        return f"{self.name}-{price:07}"


def customer_id(customer: str) -> str:
    return f"cdnow-{customer}"


def split_price(purchase: Purchase) -> list[tuple[int, int]]:
    """(price in cents, pieces), one or two of them, that sum to the order exactly."""
    price, rest = divmod(purchase.cents, purchase.units)
    parts = [(price, purchase.units - rest), (price + 1, rest)]
    return [(price, quantity) for price, quantity in parts if quantity]
