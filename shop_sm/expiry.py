"""Orders that nobody paid give their goods back, by log time and a few per command.

Log time moves only with commands, so expiry is work done ahead of a command: at most ``EXPIRED_PER_COMMAND_MAX``
orders, soonest due first. ``NEXT_DUE`` is a lower bound of every due time, kept by placing and raised here; while it
lies in the future, which is nearly always, expiry costs one read.
"""

from __future__ import annotations

from replog.state_machine import State

from . import keys
from .life_cycle import Status
from .ordering import find_order, move


def expire_orders(state: State, now_ms: int, orders_max: int) -> tuple[int, bool]:
    """Closes up to ``orders_max`` orders that are due; answers how many, and whether others are due still."""
    now = keys.due(now_ms)
    if (state.get(keys.NEXT_DUE) or keys.NEVER_DUE) > now:
        return 0, False
    overdue, next_due = due_orders(state, now, orders_max)
    for order_id in overdue:
        order = find_order(state, order_id)
        if order is not None:
            move(state, order_id, order, Status.EXPIRED, now_ms)
    state.put(keys.NEXT_DUE, next_due)
    return len(overdue), next_due <= now


def due_orders(state: State, now: bytes, orders_max: int) -> tuple[list[str], bytes]:
    """The orders to close, and the due time of the first one left. Nothing is changed while the scan is open."""
    overdue: list[str] = []
    for key, order_id in state.scan(keys.UNPAID):
        due = key[1 : 1 + keys.DUE_BYTES]
        if due > now or len(overdue) == orders_max:
            return overdue, due
        overdue.append(order_id.decode())
    return overdue, keys.NEVER_DUE
