"""The state machine of a web shop: decode, expire what is due, run, encode.

Owns nothing: every byte the shop keeps is in the replicated state (``keys`` has the layout). Arbitrary bytes are
answered with a result; no command raises. There is no clock, randomness, float, set order or ``hash()`` in what
``apply`` runs; ``tests/shop/test_determinism.py`` reads the sources for it.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import assert_never

import msgspec

from replog.state_machine import Command as LogCommand
from replog.state_machine import State, StateMachine, StateView

from . import catalogue, keys, ordering
from .answers import encode_answer
from .audit import find_violations
from .commands import (
    AdjustStock,
    Batch,
    CancelOrder,
    Command,
    DeliverOrder,
    ExpireOrders,
    PayOrder,
    PlaceOrder,
    PutProduct,
    RefundOrder,
    RegisterCustomer,
    ShipOrder,
    SingleCommand,
    WithdrawProduct,
    decode_command,
)
from .expiry import expire_orders
from .life_cycle import Action
from .limits import BATCH_COMMANDS_MAX, EXPIRED_PER_COMMAND_MAX, SWEEP_MAX
from .moment import Moment, moment_of
from .queries import decode_query
from .reading import answer
from .results import BatchDone, InvalidField, Malformed, OrdersExpired, Result, SingleResult, encode_result

MALFORMED = encode_result(Malformed())


class Shop(StateMachine):
    """Products, stock, customers, orders and payments; see ``commands``, ``results``, ``queries``, ``answers``."""

    def apply(self, state: State, command: LogCommand) -> bytes:
        try:
            wanted = decode_command(command.payload)
        except (msgspec.DecodeError, UnicodeDecodeError):
            return MALFORMED
        moment = moment_of(state, command.time_ms)
        expire_orders(state, moment, EXPIRED_PER_COMMAND_MAX)
        return encode_result(run(state, wanted, moment))

    def query(self, view: StateView, request: bytes) -> bytes:
        """Answers a query; bytes that are none raise ``msgspec.DecodeError``, which goes back to the one who asked."""
        return encode_answer(answer(view, decode_query(request)))

    def violations(self, view: StateView) -> Iterable[str]:
        return find_violations(view)


def run(state: State, command: Command, moment: Moment) -> Result:
    if isinstance(command, Batch):
        return run_batch(state, command, moment)
    return run_single(state, command, moment)


def run_batch(state: State, batch: Batch, moment: Moment) -> Result:
    if not 0 < len(batch.commands) <= BATCH_COMMANDS_MAX:
        return InvalidField("commands", f"a batch holds 1 to {BATCH_COMMANDS_MAX}")
    return BatchDone([run_single(state, command, moment) for command in batch.commands])


def run_single(state: State, command: SingleCommand, moment: Moment) -> SingleResult:
    match command:
        case PlaceOrder():
            return ordering.place_order(state, command, moment)
        case PayOrder():
            return ordering.pay_order(state, command, moment.now_ms)
        case ShipOrder(order=order):
            return ordering.advance_order(state, order, Action.SHIP, moment.now_ms)
        case DeliverOrder(order=order):
            return ordering.advance_order(state, order, Action.DELIVER, moment.now_ms)
        case CancelOrder(order=order):
            return ordering.advance_order(state, order, Action.CANCEL, moment.now_ms)
        case RefundOrder(order=order):
            return ordering.advance_order(state, order, Action.REFUND, moment.now_ms)
        case PutProduct():
            return catalogue.put_product(state, command)
        case WithdrawProduct():
            return catalogue.withdraw_product(state, command)
        case AdjustStock():
            return catalogue.adjust_stock(state, command, moment.now_ms)
        case RegisterCustomer():
            return catalogue.register_customer(state, command, moment.now_ms)
        case ExpireOrders(orders_max=orders_max):
            return expire(state, orders_max, moment)
        case _:
            assert_never(command)


def expire(state: State, orders_max: int, moment: Moment) -> SingleResult:
    if not 0 < orders_max <= SWEEP_MAX:
        return InvalidField("orders_max", f"must be 1 to {SWEEP_MAX}")
    count = expire_orders(state, moment, orders_max)
    return OrdersExpired(count, is_more=moment.next_due <= keys.due(moment.now_ms))
