"""An order's life, as a table: what may follow what, and where its goods and money are meanwhile.

        place          pay          ship            deliver
    (stock) -> PLACED ------> PAID -------> SHIPPED ---------> DELIVERED
                 |   \\          \\
          cancel |    \\ expire   \\ cancel         refund
                 v     v          v              |
            CANCELLED EXPIRED  REFUND_DUE --------> REFUNDED
                 |     |   pay     ^
                 +-----+-----------+

Goods of a PLACED order are reserved; from PAID on they are sold; every other end returns them to stock. Nothing
returns from SHIPPED on: goods that come back are a stock adjustment, made when they are seen.
"""

from __future__ import annotations

import enum


class Status(enum.IntEnum):
    """Where an order stands. The numbers are stored: they never change their meaning."""

    PLACED = 0
    PAID = 1
    SHIPPED = 2
    DELIVERED = 3
    CANCELLED = 4
    EXPIRED = 5
    REFUND_DUE = 6
    REFUNDED = 7


class Action(enum.StrEnum):
    """What can be asked of an order."""

    PAY = "pay"
    SHIP = "ship"
    DELIVER = "deliver"
    CANCEL = "cancel"
    REFUND = "refund"
    EXPIRE = "expire"


TRANSITIONS: dict[tuple[Status, Action], Status] = {
    (Status.PLACED, Action.PAY): Status.PAID,
    (Status.CANCELLED, Action.PAY): Status.REFUND_DUE,
    (Status.EXPIRED, Action.PAY): Status.REFUND_DUE,
    (Status.PLACED, Action.CANCEL): Status.CANCELLED,
    (Status.PLACED, Action.EXPIRE): Status.EXPIRED,
    (Status.PAID, Action.SHIP): Status.SHIPPED,
    (Status.PAID, Action.CANCEL): Status.REFUND_DUE,
    (Status.SHIPPED, Action.DELIVER): Status.DELIVERED,
    (Status.REFUND_DUE, Action.REFUND): Status.REFUNDED,
}


class Holding(enum.IntEnum):
    """Where an order's goods are counted."""

    NOWHERE = 0
    RESERVED = 1
    SOLD = 2


HOLDING: dict[Status, Holding] = {
    Status.PLACED: Holding.RESERVED,
    Status.PAID: Holding.SOLD,
    Status.SHIPPED: Holding.SOLD,
    Status.DELIVERED: Holding.SOLD,
    Status.CANCELLED: Holding.NOWHERE,
    Status.EXPIRED: Holding.NOWHERE,
    Status.REFUND_DUE: Holding.NOWHERE,
    Status.REFUNDED: Holding.NOWHERE,
}
"""Revenue follows the goods: an order counts as revenue exactly while its goods are ``SOLD``."""
