"""What a command answers: done, or refused and why. Closed, and never an exception.

A refusal is a ``Refusal`` and reads as a sentence (``str``). It has changed nothing.
"""

from __future__ import annotations

import msgspec

from .life_cycle import Status


class ProductStored(msgspec.Struct, array_like=True, frozen=True, gc=False, tag=1):
    """The product stands at ``revision`` (1 when it is new); an unchanged one keeps its revision."""

    sku: str
    revision: int


class StockAdjusted(msgspec.Struct, array_like=True, frozen=True, gc=False, tag=2):
    """``on_hand`` is what was free to order right after the adjustment."""

    sku: str
    on_hand: int


class CustomerRegistered(msgspec.Struct, array_like=True, frozen=True, gc=False, tag=3):
    customer: str


class OrderPlaced(msgspec.Struct, array_like=True, frozen=True, gc=False, tag=4):
    """The goods are reserved until log time ``due_ms``."""

    order: str
    total_minor: int
    currency: str
    units: int
    placed_ms: int
    due_ms: int


class OrderAdvanced(msgspec.Struct, array_like=True, frozen=True, gc=False, tag=5):
    """The order came to stand at ``status`` at log time ``at_ms``."""

    order: str
    status: Status
    at_ms: int


class OrdersExpired(msgspec.Struct, array_like=True, frozen=True, gc=False, tag=6):
    """``count`` overdue orders were closed; ``is_more``: others are overdue still."""

    count: int
    is_more: bool


class RefundOwed(msgspec.Struct, array_like=True, frozen=True, gc=False, tag=8):
    """The money for ``order`` came when that had expired or was cancelled: it is recorded, and its refund is due."""

    order: str
    reference: str

    def __str__(self) -> str:
        return f"order {self.order} was over when payment {self.reference} came; it is recorded, and its refund is due"


class Refusal(msgspec.Struct, array_like=True, frozen=True, gc=False):
    """Base of every refusal."""


class Malformed(Refusal, frozen=True, tag=20):
    """The bytes are no command of this shop.

    It does not say where they stop being one: a decoder's words change with its version, and replies must not.
    """

    def __str__(self) -> str:
        return "the bytes are not a command of this shop; is the client newer than the replicas?"


class InvalidField(Refusal, frozen=True, tag=21):
    """A field is outside its bounds (``limits``)."""

    field: str
    reason: str

    def __str__(self) -> str:
        return f"{self.field}: {self.reason}"


class UnknownSku(Refusal, frozen=True, tag=22):
    sku: str

    def __str__(self) -> str:
        return f"there is no product {self.sku}"


class ProductWithdrawn(Refusal, frozen=True, tag=23):
    sku: str

    def __str__(self) -> str:
        return f"product {self.sku} is withdrawn and takes no new orders"


class UnknownCustomer(Refusal, frozen=True, tag=24):
    customer: str

    def __str__(self) -> str:
        return f"there is no customer {self.customer}; register it first"


class UnknownOrder(Refusal, frozen=True, tag=25):
    order: str

    def __str__(self) -> str:
        return f"there is no order {self.order}"


class DuplicateSku(Refusal, frozen=True, tag=26):
    sku: str

    def __str__(self) -> str:
        return f"product {self.sku} stands in two lines of the order; join them"


class OutOfStock(Refusal, frozen=True, tag=27):
    sku: str
    wanted: int
    on_hand: int

    def __str__(self) -> str:
        return f"product {self.sku}: {self.wanted} wanted, {self.on_hand} on hand"


class MixedCurrencies(Refusal, frozen=True, tag=28):
    sku: str
    currency: str
    expected: str

    def __str__(self) -> str:
        return f"product {self.sku} is sold in {self.currency}, the rest of the order in {self.expected}"


class AmountTooLarge(Refusal, frozen=True, tag=29):
    """A sum would leave the range that is kept exactly."""

    what: str
    limit: int

    def __str__(self) -> str:
        return f"{self.what} would pass {self.limit}"


class NameTaken(Refusal, frozen=True, tag=30):
    name: str

    def __str__(self) -> str:
        return f"another customer is called {self.name}"


class CustomerDiffers(Refusal, frozen=True, tag=31):
    customer: str
    name: str

    def __str__(self) -> str:
        return f"customer {self.customer} is registered already, as {self.name}"


class OrderDiffers(Refusal, frozen=True, tag=32):
    order: str

    def __str__(self) -> str:
        return f"order {self.order} was placed before with other content; a new order needs a new id"


class AdjustmentDiffers(Refusal, frozen=True, tag=33):
    sku: str
    reference: str
    delta: int

    def __str__(self) -> str:
        return f"adjustment {self.reference} of {self.sku} was booked before, as {self.delta:+}"


class WrongAmount(Refusal, frozen=True, tag=34):
    order: str
    expected_minor: int
    currency: str

    def __str__(self) -> str:
        return (
            f"order {self.order} costs {self.expected_minor} minor units of {self.currency}, no more and no less; "
            "this payment is not recorded"
        )


class AlreadyPaid(Refusal, frozen=True, tag=35):
    """Another payment has paid it. Money of this one is owed back by whoever took it: the shop knows nothing of it."""

    order: str
    reference: str

    def __str__(self) -> str:
        return (
            f"order {self.order} was paid already, by {self.reference}; this payment is not recorded, so let its "
            "money go back"
        )


class PaymentUsed(Refusal, frozen=True, tag=37):
    """A payment pays one order."""

    reference: str
    order: str

    def __str__(self) -> str:
        return f"payment {self.reference} has paid order {self.order}; each payment has a reference of its own"


class TransitionRefused(Refusal, frozen=True, tag=36):
    """The order's life cycle has no such step from where it stands."""

    order: str
    status: Status
    action: str

    def __str__(self) -> str:
        return f"order {self.order} is {self.status.name.lower()}: {self.action} is not possible from there"


SingleResult = (
    ProductStored
    | StockAdjusted
    | CustomerRegistered
    | OrderPlaced
    | OrderAdvanced
    | OrdersExpired
    | RefundOwed
    | Malformed
    | InvalidField
    | UnknownSku
    | ProductWithdrawn
    | UnknownCustomer
    | UnknownOrder
    | DuplicateSku
    | OutOfStock
    | MixedCurrencies
    | AmountTooLarge
    | NameTaken
    | CustomerDiffers
    | OrderDiffers
    | AdjustmentDiffers
    | WrongAmount
    | AlreadyPaid
    | PaymentUsed
    | TransitionRefused
)


class BatchDone(msgspec.Struct, array_like=True, frozen=True, gc=False, tag=7):
    """One result a command of the batch, in order."""

    results: list[SingleResult]


Result = SingleResult | BatchDone

_encoder = msgspec.msgpack.Encoder()
_decoder: msgspec.msgpack.Decoder[Result] = msgspec.msgpack.Decoder(Result)


def encode_result(result: Result) -> bytes:
    return _encoder.encode(result)


def decode_result(reply: bytes) -> Result:
    """Raises ``msgspec.DecodeError`` when the reply is of a shop newer than this client."""
    return _decoder.decode(reply)
