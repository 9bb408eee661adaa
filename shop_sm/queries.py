"""What can be asked of the shop without changing it. Pages go on from the cursor that the page before answered."""

from __future__ import annotations

import msgspec

from .life_cycle import Status


class ProductQuery(msgspec.Struct, array_like=True, frozen=True, gc=False, tag=1):
    """A product with its stock."""

    sku: str


class ProductsQuery(msgspec.Struct, array_like=True, frozen=True, gc=False, tag=2):
    """Products whose sku begins with ``prefix``, in order of sku."""

    prefix: str = ""
    after: str = ""
    limit: int = 100


class LowStockQuery(msgspec.Struct, array_like=True, frozen=True, gc=False, tag=3):
    """Products not withdrawn with at most ``at_most`` units on hand, in order of sku; a page may come back short."""

    at_most: int
    after: str = ""
    limit: int = 100


class CustomerQuery(msgspec.Struct, array_like=True, frozen=True, gc=False, tag=4):
    """A customer by id or, if that is empty, by exact name."""

    customer: str = ""
    name: str = ""


class OrderQuery(msgspec.Struct, array_like=True, frozen=True, gc=False, tag=5):
    order: str


class CustomerOrdersQuery(msgspec.Struct, array_like=True, frozen=True, gc=False, tag=6):
    """Orders of a customer, newest first."""

    customer: str
    cursor: bytes = b""
    limit: int = 100


class StatusOrdersQuery(msgspec.Struct, array_like=True, frozen=True, gc=False, tag=7):
    """Orders at a status, oldest first; those placed: soonest due first."""

    status: Status
    cursor: bytes = b""
    limit: int = 100


class TotalsQuery(msgspec.Struct, array_like=True, frozen=True, gc=False, tag=8):
    """The whole shop in one row a currency."""


class DaysQuery(msgspec.Struct, array_like=True, frozen=True, gc=False, tag=9):
    """Totals by day and currency, oldest first."""

    cursor: bytes = b""
    limit: int = 100


class AuditQuery(msgspec.Struct, array_like=True, frozen=True, gc=False, tag=10):
    """Checks a stretch of the records; see ``audit``."""

    cursor: bytes = b""
    limit: int = 1_000


class StockQuery(msgspec.Struct, array_like=True, frozen=True, gc=False, tag=11):
    """A product's stock alone."""

    sku: str


Query = (
    ProductQuery
    | ProductsQuery
    | LowStockQuery
    | CustomerQuery
    | OrderQuery
    | CustomerOrdersQuery
    | StatusOrdersQuery
    | TotalsQuery
    | DaysQuery
    | AuditQuery
    | StockQuery
)

_encoder = msgspec.msgpack.Encoder()
_decoder: msgspec.msgpack.Decoder[Query] = msgspec.msgpack.Decoder(Query)


def encode_query(query: Query) -> bytes:
    return _encoder.encode(query)


def decode_query(request: bytes) -> Query:
    return _decoder.decode(request)
