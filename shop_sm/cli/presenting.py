"""What the shop answers, for people and for machines.

A refusal is a sentence on stderr and exit code 4, or with ``--json`` an object whose ``result`` is the refusal's name.
"""

from __future__ import annotations

import datetime
import enum
from collections.abc import Iterable, Mapping
from contextlib import nullcontext
from typing import TYPE_CHECKING, Any

import msgspec

from replog.cli_kit import ExitCode, done, new_table, note, print_json, print_table, print_text

from ..answers import DayTotals, OrderAnswer, ProductAnswer
from ..life_cycle import Status
from ..money import format_money
from ..results import SingleResult

if TYPE_CHECKING:
    from rich.table import Table

EPOCH = datetime.date(1970, 1, 1)
LAST_MS = 253_402_300_799_999
"""The end of the year 9999, where Python's calendar ends."""


def fields_of(value: object) -> Any:
    """A Struct as a mapping, with statuses by name and days as dates, as ``--json`` shows it."""
    match value:
        case enum.Enum():
            return value.name.lower()
        case msgspec.Struct():
            fields = {name: fields_of(getattr(value, name)) for name in value.__struct_fields__}
            return fields | extra_fields(value)
        case list():
            return [fields_of(item) for item in value]
    return value


def extra_fields(value: msgspec.Struct) -> dict[str, Any]:
    match value:
        case DayTotals():
            by_status = {status.name.lower(): value.by_status[status] for status in Status}
            return {"by_status": by_status, "day": day_text(value.day) if value.day else None}
        case OrderAnswer():
            return {"booked_day": day_text(value.booked_day)}
    return {}


def present(value: msgspec.Struct, sentence: str, *, is_refused: bool, as_json: bool) -> int:
    """One result or answer: its sentence, or its fields as JSON. Answers the exit code."""
    with done() if isinstance(value, SingleResult) else nullcontext():
        if as_json:
            print_json({"result": type(value).__name__, **fields_of(value)})
        elif is_refused:
            note(f"refused: {value}")
        else:
            print_text(sentence)
    return ExitCode.REFUSED if is_refused else ExitCode.OK


def present_list(
    name: str, items: Iterable[msgspec.Struct], table: Table, *, is_more: bool, go_on: str = "", as_json: bool
) -> int:
    """A list as a table or as JSON; that it was cut is never left unsaid. ``go_on`` is how the rest is listed."""
    if as_json:
        print_json({name: [fields_of(item) for item in items], "is_more": is_more})
    else:
        print_table(table)
        if is_more:
            note(f"there are more: {go_on or 'raise --limit'}")
    return ExitCode.OK


def present_fields(fields: Mapping[str, object], *, title: str) -> None:
    """One thing as two columns."""
    table = new_table("", "", title=title)
    table.show_header = False
    for name, value in fields.items():
        table.add_row(name, str(value))
    print_table(table)


def products_table(products: Iterable[ProductAnswer]) -> Table:
    table = new_table(
        "SKU", "NAME", "PRICE", "ON HAND", "RESERVED", "SOLD", "REVISION", "",
        right=("PRICE", "ON HAND", "RESERVED", "SOLD", "REVISION"),
    )  # fmt: skip
    for one in products:
        table.add_row(
            one.sku,
            one.name,
            format_money(one.price_minor, one.currency),
            f"{one.on_hand:,}",
            f"{one.reserved:,}",
            f"{one.sold:,}",
            str(one.revision),
            "withdrawn" if one.is_withdrawn else "",
        )
    return table


def orders_table(orders: Iterable[OrderAnswer]) -> Table:
    table = new_table("ORDER", "CUSTOMER", "DAY", "STATUS", "UNITS", "TOTAL", right=("UNITS", "TOTAL"))
    for one in orders:
        table.add_row(
            one.order,
            one.customer,
            day_text(one.booked_day),
            status_text(one.status),
            f"{one.units:,}",
            format_money(one.total_minor, one.currency),
        )
    return table


def totals_table(rows: Iterable[DayTotals], *, by_day: bool) -> Table:
    numbers = ("ORDERS", "UNITS", "REVENUE", "UNPAID", "REFUND DUE")
    table = new_table(*(("DAY",) if by_day else ()), *numbers, right=numbers)
    for row in rows:
        table.add_row(
            *((day_text(row.day),) if by_day else ()),
            f"{row.orders:,}",
            f"{row.units:,}",
            format_money(row.revenue_minor, row.currency),
            f"{row.by_status[Status.PLACED]:,}",
            format_money(row.refund_due_minor, row.currency),
        )
    return table


def status_text(status: Status) -> str:
    return status.name.lower().replace("_", " ")


def day_text(day: int) -> str:
    return (EPOCH + datetime.timedelta(days=day)).isoformat()


def time_text(at_ms: int) -> str:
    """Log time in UTC; a dash where it has not come to that."""
    if at_ms == 0:
        return "-"
    if at_ms > LAST_MS:
        return f"{at_ms} ms after 1970"
    return datetime.datetime.fromtimestamp(at_ms / 1000, datetime.UTC).isoformat(sep=" ", timespec="seconds")
