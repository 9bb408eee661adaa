"""What can be asked of the shop through the log: one Struct a command, and the bytes they travel as.

Decoding is strict about the number of fields. A replica that skipped a field it does not know would do less than
another that knows it, and the two would diverge; so an unknown field is malformed everywhere.
"""

from __future__ import annotations

import msgspec

from .limits import PAY_WITHIN_MS_DEFAULT


class PutProduct(msgspec.Struct, array_like=True, forbid_unknown_fields=True, frozen=True, gc=False, tag=1):
    """Adds a product or changes it; the same content again changes nothing. Revives a withdrawn one.

    Parameters
    ----------
    price_minor: in the currency's minor unit (cents); 0 is a gift.
    currency: three capital letters (ISO 4217).
    """

    sku: str
    name: str
    price_minor: int
    currency: str
    picture_url: str = ""


class WithdrawProduct(msgspec.Struct, array_like=True, forbid_unknown_fields=True, frozen=True, gc=False, tag=2):
    """Takes no new orders for a product. What was ordered is not touched."""

    sku: str


class AdjustStock(msgspec.Struct, array_like=True, forbid_unknown_fields=True, frozen=True, gc=False, tag=3):
    """Books goods received (``delta`` > 0) or lost (< 0).

    ``reference`` (the delivery note's number) makes it happen once: sent again, it answers as the first time.
    """

    sku: str
    delta: int
    reference: str


class RegisterCustomer(msgspec.Struct, array_like=True, forbid_unknown_fields=True, frozen=True, gc=False, tag=4):
    """Makes a customer known. ``name`` is unique in the shop, compared byte for byte.

    (Case folding depends on the Unicode tables of each replica's Python and could diverge.)
    """

    customer: str
    name: str


class Wanted(msgspec.Struct, array_like=True, forbid_unknown_fields=True, frozen=True, gc=False):
    """A line of an order as the client asks for it."""

    sku: str
    quantity: int


class PlaceOrder(msgspec.Struct, array_like=True, forbid_unknown_fields=True, frozen=True, gc=False, tag=5):
    """Places an order at the catalogue's prices and reserves its goods: all lines or none.

    Parameters
    ----------
    order: chosen by the client. Sent again with the same content it answers as the first time, under any session;
        with other content it is refused. Ascending ids (a date first, say) keep the store's pages dense.
    lines: a sku may stand in one line only; twice is refused, not merged, because it is a caller's mistake.
    booked_day: days since 1970-01-01 for orders taken elsewhere; 0 is the day of log time.
    pay_within_ms: the order expires when log time has passed this long without payment.
    """

    order: str
    customer: str
    lines: list[Wanted]
    booked_day: int = 0
    pay_within_ms: int = PAY_WITHIN_MS_DEFAULT


class PayOrder(msgspec.Struct, array_like=True, forbid_unknown_fields=True, frozen=True, gc=False, tag=6):
    """Pays an order in full. ``reference`` is the payment provider's: the same one again answers as the first time."""

    order: str
    amount_minor: int
    currency: str
    reference: str


class ShipOrder(msgspec.Struct, array_like=True, forbid_unknown_fields=True, frozen=True, gc=False, tag=7):
    """Records that a paid order has left the house."""

    order: str


class DeliverOrder(msgspec.Struct, array_like=True, forbid_unknown_fields=True, frozen=True, gc=False, tag=8):
    """Records that a shipped order has arrived."""

    order: str


class CancelOrder(msgspec.Struct, array_like=True, forbid_unknown_fields=True, frozen=True, gc=False, tag=9):
    """Cancels a placed or paid order and returns its goods to stock; a paid one then waits for its refund."""

    order: str


class RefundOrder(msgspec.Struct, array_like=True, forbid_unknown_fields=True, frozen=True, gc=False, tag=10):
    """Records that the money of a cancelled paid order went back."""

    order: str


class ExpireOrders(msgspec.Struct, array_like=True, forbid_unknown_fields=True, frozen=True, gc=False, tag=11):
    """Closes up to ``orders_max`` overdue orders at once; a quiet shop sends it now and then."""

    orders_max: int = 100


SingleCommand = (
    PutProduct
    | WithdrawProduct
    | AdjustStock
    | RegisterCustomer
    | PlaceOrder
    | PayOrder
    | ShipOrder
    | DeliverOrder
    | CancelOrder
    | RefundOrder
    | ExpireOrders
)


class Batch(msgspec.Struct, array_like=True, forbid_unknown_fields=True, frozen=True, gc=False, tag=12):
    """Commands run one after the other in one place of the log; each succeeds or is refused for itself."""

    commands: list[SingleCommand]


Command = SingleCommand | Batch

_encoder = msgspec.msgpack.Encoder()
_decoder: msgspec.msgpack.Decoder[Command] = msgspec.msgpack.Decoder(Command)


def encode_command(command: Command) -> bytes:
    return _encoder.encode(command)


def decode_command(payload: bytes) -> Command:
    """Raises ``msgspec.DecodeError`` for bytes that are no command."""
    return _decoder.decode(payload)
