"""``shop order``: an order's life, one word a step."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Awaitable, Callable

from replog.cli_kit import DEV_ENDPOINTS, AsJson, Endpoints, Seconds, Timeout, WholeNumber, parse_whole
from replog.errors import ConfigError

from ..answers import NotFound, OrderAnswer
from ..client import ShopClient
from ..life_cycle import Status
from ..limits import PAY_WITHIN_MS_DEFAULT
from ..money import format_money
from ..results import OrderAdvanced, RefundOwed, Refusal
from .connecting import collect, with_shop
from .presenting import (
    day_text,
    orders_table,
    present,
    present_fields,
    present_list,
    status_text,
    time_text,
)


def place_order(
    order: str,
    /,
    *lines: str,
    customer: str,
    pay_within_s: Seconds = PAY_WITHIN_MS_DEFAULT / 1000,
    endpoints: Endpoints = DEV_ENDPOINTS,
    timeout: Timeout = 10.0,
    json: AsJson = False,
) -> int:
    """Place an order and reserve its goods: all lines or none.

    Parameters
    ----------
    order
        an id of your choice; the same command again is the same order.
    lines
        each as sku=quantity, like tea-250=2.
    customer
        whose order it is.
    pay_within_s
        seconds until an unpaid order gives its goods back.
    """
    wanted = [parse_line(line) for line in lines]
    result = with_shop(
        endpoints,
        timeout,
        lambda shop: shop.place_order(order, customer, wanted, pay_within_ms=round(pay_within_s * 1000)),
    )
    sentence = ""
    if not isinstance(result, Refusal):
        total = format_money(result.total_minor, result.currency)
        sentence = f"{order} placed: {result.units} units, {total}, to be paid by {time_text(result.due_ms)}"
    return present(result, sentence, is_refused=isinstance(result, Refusal), as_json=json)


def parse_line(text: str) -> tuple[str, int]:
    """Read ``tea-250=2``. Raises ``ConfigError``."""
    sku, equals, quantity = text.rpartition("=")
    try:
        number = parse_whole(quantity)
    except ValueError:
        number = None
    if not equals or not sku or number is None:
        raise ConfigError(f"{text!r} is no line of an order; write sku=quantity, like tea-250=2")
    return sku, number


def pay_order(
    order: str,
    *,
    reference: str = "",
    endpoints: Endpoints = DEV_ENDPOINTS,
    timeout: Timeout = 10.0,
    json: AsJson = False,
) -> int:
    """Pay an order in full.

    Parameters
    ----------
    order
        its id.
    reference
        the payment's; the order's id if left out. The same one again is the same payment.
    """

    async def pay(shop: ShopClient) -> OrderAdvanced | RefundOwed | Refusal | NotFound:
        known = await shop.order(order)
        if isinstance(known, NotFound):
            return known
        return await shop.pay_order(order, known.total_minor, known.currency, reference or order)

    return advance(order, pay, endpoints, timeout, as_json=json)


def ship_order(
    order: str, *, endpoints: Endpoints = DEV_ENDPOINTS, timeout: Timeout = 10.0, json: AsJson = False
) -> int:
    """Record that a paid order left the house."""
    return advance(order, lambda shop: shop.ship_order(order), endpoints, timeout, as_json=json)


def deliver_order(
    order: str, *, endpoints: Endpoints = DEV_ENDPOINTS, timeout: Timeout = 10.0, json: AsJson = False
) -> int:
    """Record that a shipped order arrived."""
    return advance(order, lambda shop: shop.deliver_order(order), endpoints, timeout, as_json=json)


def cancel_order(
    order: str, *, endpoints: Endpoints = DEV_ENDPOINTS, timeout: Timeout = 10.0, json: AsJson = False
) -> int:
    """Cancel a placed or paid order; its goods return to stock."""
    return advance(order, lambda shop: shop.cancel_order(order), endpoints, timeout, as_json=json)


def refund_order(
    order: str, *, endpoints: Endpoints = DEV_ENDPOINTS, timeout: Timeout = 10.0, json: AsJson = False
) -> int:
    """Record that a cancelled order's money went back."""
    return advance(order, lambda shop: shop.refund_order(order), endpoints, timeout, as_json=json)


def advance(
    order: str,
    step: Callable[[ShopClient], Awaitable[OrderAdvanced | RefundOwed | Refusal | NotFound]],
    endpoints: tuple[str, ...],
    timeout_s: float,
    *,
    as_json: bool,
) -> int:
    result = with_shop(endpoints, timeout_s, step)
    is_refused = not isinstance(result, OrderAdvanced)
    sentence = f"{order} is {status_text(result.status)}" if isinstance(result, OrderAdvanced) else ""
    return present(result, sentence, is_refused=is_refused, as_json=as_json)


def expire_order(
    *,
    orders_max: WholeNumber = 100,
    endpoints: Endpoints = DEV_ENDPOINTS,
    timeout: Timeout = 10.0,
    json: AsJson = False,
) -> int:
    """Close orders that nobody paid in time. Any command closes a few; a quiet shop needs this one."""
    result = with_shop(endpoints, timeout, lambda shop: shop.expire_orders(orders_max))
    sentence = ""
    if not isinstance(result, Refusal):
        sentence = f"{result.count} orders expired{', more are due' if result.is_more else ''}"
    return present(result, sentence, is_refused=isinstance(result, Refusal), as_json=json)


def show_order(
    order: str, *, endpoints: Endpoints = DEV_ENDPOINTS, timeout: Timeout = 10.0, json: AsJson = False
) -> int:
    """Show one order with its lines and its life so far."""
    answer = with_shop(endpoints, timeout, lambda shop: shop.order(order))
    if json or isinstance(answer, NotFound):
        return present(answer, "", is_refused=isinstance(answer, NotFound), as_json=json)
    present_fields(order_fields(answer), title=order)
    return 0


def order_fields(order: OrderAnswer) -> dict[str, str]:
    fields = {
        "customer": order.customer,
        "status": status_text(order.status),
        "booked on": day_text(order.booked_day),
        "placed": time_text(order.placed_ms),
        "due": time_text(order.due_ms),
        "paid": paid_text(order),
        "shipped": time_text(order.shipped_ms),
        "delivered": time_text(order.delivered_ms),
    }
    if order.closed_ms:
        fields["closed"] = time_text(order.closed_ms)
    if order.refunded_ms:
        fields["refunded"] = time_text(order.refunded_ms)
    for line in order.lines:
        each = format_money(line.price_minor, order.currency)
        fields[line.sku] = f"{line.quantity} x {each} = {format_money(line.total_minor, order.currency)}"
    fields["total"] = format_money(order.total_minor, order.currency)
    return fields


def paid_text(order: OrderAnswer) -> str:
    if order.payment and not order.paid_ms:
        return f"too late {order.payment}"
    return f"{time_text(order.paid_ms)} {order.payment}".strip()


def list_order(
    *,
    customer: str = "",
    status: str = "",
    limit: WholeNumber = 50,
    endpoints: Endpoints = DEV_ENDPOINTS,
    timeout: Timeout = 10.0,
    json: AsJson = False,
) -> int:
    """List a customer's orders, newest first, or those at a status, oldest first.

    Parameters
    ----------
    customer
        whose orders.
    status
        placed, paid, shipped, delivered, cancelled, expired, refund_due or refunded.
    limit
        at most this many.
    """
    if bool(customer) == bool(status):
        raise ConfigError("say either --customer or --status, so that it is clear which orders are meant")

    def chosen(shop: ShopClient) -> AsyncGenerator[OrderAnswer, None]:
        return shop.orders_of(customer) if customer else shop.orders_at(parse_status(status))

    try:
        orders, is_more = with_shop(endpoints, timeout, lambda shop: collect(chosen(shop), limit))
    except LookupError:
        missing = NotFound("customer", customer)
        return present(missing, "", is_refused=True, as_json=json)
    return present_list("orders", orders, orders_table(orders), is_more=is_more, as_json=json)


def parse_status(text: str) -> Status:
    """Read a status by name. Raises ``ConfigError`` with the names there are."""
    try:
        return Status[text.upper().replace(" ", "_").replace("-", "_")]
    except KeyError:
        names = ", ".join(status.name.lower() for status in Status)
        raise ConfigError(f"--status {text!r} is none; there are {names}") from None
