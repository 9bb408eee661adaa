"""Orders: placed all lines or none, then moved along their life cycle.

Owns the order records, their two indexes, the reservation of goods and the totals of the day: whatever an order
changes is changed here, in ``place_order`` and ``move``. Placing an order of three lines is what this state machine
does most; it costs three reads and one more a line, and four writes and one more a line.
"""

from __future__ import annotations

import msgspec

from replog.state_machine import State

from . import keys, records
from .commands import PayOrder, PlaceOrder, Wanted
from .life_cycle import HOLDING, TRANSITIONS, Action, Holding, Status
from .limits import (
    DAY_MAX,
    DAY_MINOR_MAX,
    DAY_ORDERS_MAX,
    LINES_MAX,
    PAY_WITHIN_MS_MAX,
    QUANTITY_MAX,
)
from .moment import Moment
from .records import Day, Line, Order, Product
from .results import (
    AlreadyPaid,
    AmountTooLarge,
    DuplicateSku,
    InvalidField,
    MixedCurrencies,
    OrderAdvanced,
    OrderDiffers,
    OrderPlaced,
    OutOfStock,
    PaymentUsed,
    ProductWithdrawn,
    RefundOwed,
    SingleResult,
    TransitionRefused,
    UnknownCustomer,
    UnknownOrder,
    UnknownSku,
    WrongAmount,
)
from .rules import identifier_refusal, is_identifier, may_be_stored, short

DAY_MS = 86_400_000
PLACED = Status.PLACED
NO_DAY = records.encode(records.new_day())


class Basket(msgspec.Struct, gc=False):
    """An order's goods, found and reserved but not written. ``products`` is by key."""

    products: dict[bytes, Product]
    lines: list[Line]
    total_minor: int
    units: int
    currency: str


def place_order(state: State, command: PlaceOrder, moment: Moment) -> SingleResult:
    if not is_identifier(command.order):
        return identifier_refusal("order")
    order_id = command.order.encode()
    stored = state.get(keys.ORDER + order_id)
    if stored is not None:
        return repeat_order(command, records.decode_order(stored))
    refusal = check_order(state, command)
    if refusal is not None:
        return refusal
    basket = fill_basket(state, command.lines)
    if not isinstance(basket, Basket):
        return basket
    currency, units = basket.currency, basket.units

    now_ms = moment.now_ms
    day_key = keys.day_key(command.booked_day or min(now_ms // DAY_MS, DAY_MAX), currency)
    day = records.decode_day(state.get(day_key) or NO_DAY)
    number = day.placed_count
    if number >= DAY_ORDERS_MAX:
        return AmountTooLarge("orders of one day", DAY_ORDERS_MAX)
    day.placed_count = number + 1
    day.by_status[PLACED] += 1
    day.reserved_units += units

    customer, pay_within_ms = command.customer, command.pay_within_ms
    position = keys.position(day_key, number)
    order = Order(
        position,
        customer,
        basket.lines,
        basket.total_minor,
        units,
        PLACED,
        now_ms,
        command.booked_day,
        pay_within_ms,
    )
    due_ms = now_ms + pay_within_ms
    due = keys.due(due_ms)
    put, encode = state.put, records.encode
    for key, product in basket.products.items():
        put(key, encode(product))
    put(day_key, encode(day))
    put(keys.ORDER + order_id, encode(order))
    put(keys.customer_orders(customer) + position, order_id)
    put(keys.UNPAID + due + position, order_id)
    if due < moment.next_due:
        moment.next_due = due
        put(keys.NEXT_DUE, due)
    return OrderPlaced(command.order, basket.total_minor, currency, units, now_ms, due_ms)


def check_order(state: State, command: PlaceOrder) -> SingleResult | None:
    """Everything that can be refused without looking at a product."""
    if not 0 < len(command.lines) <= LINES_MAX:
        return InvalidField("lines", f"must be 1 to {LINES_MAX}")
    if not 0 <= command.booked_day <= DAY_MAX:
        return InvalidField("booked_day", f"must be 0 to {DAY_MAX} days since 1970-01-01")
    if not 0 < command.pay_within_ms <= PAY_WITHIN_MS_MAX:
        return InvalidField("pay_within_ms", f"must be 1 to {PAY_WITHIN_MS_MAX}")
    customer = command.customer
    if not may_be_stored(customer) or state.get(keys.CUSTOMER + customer.encode()) is None:
        return UnknownCustomer(short(customer))
    return None


def fill_basket(state: State, wanted: list[Wanted]) -> Basket | SingleResult:
    """The goods of all lines, moved from on hand to reserved; or the first line's refusal. Nothing is written here."""
    products: dict[bytes, Product] = {}
    lines: list[Line] = []
    total_minor = units = 0
    currency = ""
    for line in wanted:
        sku, quantity = line.sku, line.quantity
        if not 0 < quantity <= QUANTITY_MAX:
            return InvalidField("quantity", f"must be 1 to {QUANTITY_MAX}")
        key = keys.PRODUCT + sku.encode()
        stored = state.get(key) if may_be_stored(sku) else None
        if stored is None:
            return UnknownSku(short(sku))
        if key in products:
            return DuplicateSku(sku)
        products[key] = product = records.decode_product(stored)
        if product.is_withdrawn:
            return ProductWithdrawn(sku)
        if product.currency != currency:
            if currency:
                return MixedCurrencies(sku, product.currency, currency)
            currency = product.currency
        if quantity > product.on_hand:
            return OutOfStock(sku, quantity, product.on_hand)
        product.on_hand -= quantity
        product.reserved += quantity
        price_minor = product.price_minor
        lines.append(Line(sku, quantity, price_minor))
        total_minor += quantity * price_minor
        units += quantity
    if total_minor > DAY_MINOR_MAX:
        return AmountTooLarge("the order's total", DAY_MINOR_MAX)
    return Basket(products, lines, total_minor, units, currency)


def repeat_order(command: PlaceOrder, order: Order) -> SingleResult:
    """The first answer again if it is the same order; every part of that answer is in the record."""
    wanted = [(line.sku, line.quantity) for line in command.lines]
    is_same = (
        command.customer == order.customer
        and command.booked_day == order.booked_day
        and command.pay_within_ms == order.pay_within_ms
        and wanted == [(line.sku, line.quantity) for line in order.lines]
    )
    return order_placed(command.order, order) if is_same else OrderDiffers(command.order)


def order_placed(order_id: str, order: Order) -> OrderPlaced:
    return OrderPlaced(
        order_id,
        order.total_minor,
        keys.currency_of(order.position),
        order.units,
        order.placed_ms,
        order.placed_ms + order.pay_within_ms,
    )


def pay_order(state: State, command: PayOrder, now_ms: int) -> SingleResult:
    """Takes exactly the order's total, once, under a reference of its own; of an order that is over it is owed back."""
    if not is_identifier(command.reference):
        return identifier_refusal("reference")
    order = find_order(state, command.order)
    if order is None:
        return UnknownOrder(short(command.order))
    currency = keys.currency_of(order.position)
    if command.amount_minor != order.total_minor or command.currency != currency:
        return WrongAmount(command.order, order.total_minor, currency)
    if order.payment:
        is_same = order.payment == command.reference
        return paid(command.order, order) if is_same else AlreadyPaid(command.order, order.payment)
    payment_key = keys.PAYMENT + command.reference.encode()
    paid_by_it = state.get(payment_key)
    if paid_by_it is not None:
        return PaymentUsed(command.reference, paid_by_it.decode())
    if money_of_day(state, order) + order.total_minor > DAY_MINOR_MAX:
        return AmountTooLarge(f"{currency} taken on one day", DAY_MINOR_MAX)
    order.payment = command.reference
    state.put(payment_key, command.order.encode())
    if order.status is PLACED and now_ms < order.placed_ms + order.pay_within_ms:
        order.paid_ms = now_ms
        move(state, command.order, order, Status.PAID, now_ms)
    else:
        move(state, command.order, order, Status.REFUND_DUE, now_ms)
    return paid(command.order, order)


def paid(order_id: str, order: Order) -> OrderAdvanced | RefundOwed:
    """What the order's payment is answered, at first and again."""
    if order.paid_ms:
        return OrderAdvanced(order_id, Status.PAID, order.paid_ms)
    return RefundOwed(order_id, order.payment)


def money_of_day(state: State, order: Order) -> int:
    day = day_of(state, order)
    return day.revenue_minor + day.refund_due_minor


def advance_order(state: State, order_id: str, action: Action, now_ms: int) -> SingleResult:
    """Takes one step of the life cycle other than payment, or says why there is none from here."""
    order = find_order(state, order_id)
    if order is None:
        return UnknownOrder(short(order_id))
    status = TRANSITIONS.get((order.status, action))
    if status is None:
        return TransitionRefused(order_id, order.status, action)
    move(state, order_id, order, status, now_ms)
    return OrderAdvanced(order_id, status, now_ms)


def move(state: State, order_id: str, order: Order, status: Status, now_ms: int) -> None:
    """Puts an order at ``status`` and with it its goods, its day's totals, its index entry and its times."""
    before = order.status
    move_goods(state, order, HOLDING[before], HOLDING[status])
    move_totals(state, order, before, status)
    state.delete(index_key(order))
    order.status = status
    stamp(order, status, now_ms)
    state.put(index_key(order), order_id.encode())
    state.put(keys.ORDER + order_id.encode(), records.encode(order))


def move_goods(state: State, order: Order, before: Holding, after: Holding) -> None:
    if before is after:
        return
    for line in order.lines:
        key = keys.PRODUCT + line.sku.encode()
        product = records.decode_product(state.get(key) or b"")
        if before is Holding.RESERVED:
            product.reserved -= line.quantity
        else:
            product.sold -= line.quantity
        if after is Holding.SOLD:
            product.sold += line.quantity
        else:
            product.on_hand += line.quantity
        state.put(key, records.encode(product))


def move_totals(state: State, order: Order, before: Status, after: Status) -> None:
    day = day_of(state, order)
    day.by_status[before] -= 1
    day.by_status[after] += 1
    count_goods(day, order, HOLDING[before], -1)
    count_goods(day, order, HOLDING[after], 1)
    if before is Status.REFUND_DUE:
        day.refund_due_minor -= order.total_minor
    if after is Status.REFUND_DUE:
        day.refund_due_minor += order.total_minor
    state.put(keys.day_key_of(order.position), records.encode(day))


def count_goods(day: Day, order: Order, holding: Holding, sign: int) -> None:
    if holding is Holding.RESERVED:
        day.reserved_units += sign * order.units
    elif holding is Holding.SOLD:
        day.sold_units += sign * order.units
        day.revenue_minor += sign * order.total_minor


def stamp(order: Order, status: Status, now_ms: int) -> None:
    if status is Status.SHIPPED:
        order.shipped_ms = now_ms
    elif status is Status.DELIVERED:
        order.delivered_ms = now_ms
    elif status is Status.REFUNDED:
        order.refunded_ms = now_ms
    elif status is not Status.PAID and not order.closed_ms:
        order.closed_ms = now_ms


def index_key(order: Order) -> bytes:
    """Where the order stands in the lists by status."""
    if order.status is PLACED:
        return keys.UNPAID + keys.due(order.placed_ms + order.pay_within_ms) + order.position
    return keys.orders_at(order.status) + order.position


def day_of(state: State, order: Order) -> Day:
    """The day an order is booked on; there is one, for placing the order wrote it."""
    return records.decode_day(state.get(keys.day_key_of(order.position)) or NO_DAY)


def find_order(state: State, order_id: str) -> Order | None:
    stored = state.get(keys.ORDER + order_id.encode()) if may_be_stored(order_id) else None
    return None if stored is None else records.decode_order(stored)
