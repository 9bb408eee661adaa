"""Orders that nobody paid give their goods back, by log time and a few per command.

Log time moves only with commands, so expiry is work done ahead of a command: at most ``EXPIRED_PER_COMMAND_MAX``
orders, soonest due first. ``NEXT_DUE`` is a lower bound of every due time, kept by placing and raised here; it is read
once a command, into the command's ``Moment``, and while it lies in the future, which is nearly always, that is all.
"""

from __future__ import annotations

from replog.state_machine import State

from . import keys
from .life_cycle import Status
from .moment import Moment
from .ordering import find_order, move


def expire_orders(state: State, moment: Moment, orders_max: int) -> int:
    """Closes up to ``orders_max`` orders that are due; answers how many."""
    now = keys.due(moment.now_ms)
    if moment.next_due > now:
        return 0
    overdue, next_due = due_orders(state, now, orders_max)
    for order_id in overdue:
        order = find_order(state, order_id)
        if order is not None:
            move(state, order_id, order, Status.EXPIRED, moment.now_ms)
    moment.next_due = next_due
    state.put(keys.NEXT_DUE, next_due)
    return len(overdue)


def due_orders(state: State, now: bytes, orders_max: int) -> tuple[list[str], bytes]:
    """The orders to close, and the due time of the first one left. Nothing is changed while the scan is open."""
    overdue: list[str] = []
    for key, order_id in state.scan(keys.UNPAID):
        due = key[1 : 1 + keys.DUE_BYTES]
        if due > now or len(overdue) == orders_max:
            return overdue, due
        overdue.append(order_id.decode())
    return overdue, keys.NEVER_DUE
