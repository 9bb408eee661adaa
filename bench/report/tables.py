"""Measured series as tables for people and as lines for programs."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from replog.cli_kit import new_table, note, print_json, print_table

from ..load.measurement import Series
from .result_file import finite

if TYPE_CHECKING:
    from rich.table import Table

Column = tuple[str, Callable[[Series], str]]

_FIGURES = ("OPS/S", "RANGE", "P50 MS", "P99 MS", "P99.9 MS", "MAX MS", "ERRORS", "CPU/OP", "SERVERS", "CLIENT")


def number(value: float, digits: int = 0) -> str:
    """A figure with thousands set apart; ``-`` if there is none."""
    return f"{value:,.{digits}f}" if math.isfinite(value) else "-"


def milliseconds(value: float) -> str:
    """Three significant digits: what the histogram knows."""
    if not math.isfinite(value):
        return "-"
    return f"{value:,.0f}" if value >= 100 else f"{value:.3g}" if value >= 1 else f"{value:.2f}"


def series_table(series: Sequence[Series], columns: Sequence[Column], *, title: str | None = None) -> Table:
    """One row a series: what it was, then what it gave. CPU is in microseconds for one operation.

    Parameters
    ----------
    columns: heading and text of what sets the rows apart.
    """
    headings = [heading for heading, _text in columns]
    numeric = [heading for heading in headings if heading not in ("SYSTEM", "LOAD")]
    table = new_table(*headings, *_FIGURES, right=[*numeric, *_FIGURES], title=title)
    for each in series:
        table.add_row(*(text(each) for _heading, text in columns), *_figures(each))
    return table


def _figures(series: Series) -> list[str]:
    lowest, highest = series.per_s_range
    latencies = series.latencies
    return [
        number(series.per_s),
        f"{lowest:,.0f}-{highest:,.0f}",
        *(milliseconds(latencies.percentile_ms(percent)) for percent in (50, 99, 99.9)),
        milliseconds(latencies.max_ms),
        number(series.errors),
        number(series.cpu_us_per_op, 1),
        "+".join(number(each, 1) for each in series.server_cpu_us_per_op()),
        number(series.client_cpu_us_per_op, 1),
    ]


def print_series(
    series: Sequence[Series], columns: Sequence[Column], *, is_json: bool, title: str | None = None
) -> None:
    """A table on stdout, or one JSON object a line; remarks go to stderr."""
    if is_json:
        for each in series:
            print_json(
                finite(each.summary() | {"work": each.plan.work, "label": each.label} | _settings(each)), is_line=True
            )
    else:
        print_table(series_table(series, columns, title=title))
    for each in series:
        if each.is_client_bound:
            note(
                f"client-bound: {each.label or each.system} at {each.plan.outstanding} outstanding used all of the "
                "load generator's one core; the system may be faster than this."
            )


def _settings(series: Series) -> dict[str, Any]:
    plan = series.plan
    return {"value_bytes": plan.value_bytes, "batch": plan.batch, "rate_per_s": plan.rate_per_s}


def print_facts(facts: Sequence[dict[str, Any]], *, is_json: bool, title: str | None = None) -> None:
    """Rows that are no load windows: the keys are the headings, with underscores as spaces."""
    if is_json:
        for fact in facts:
            print_json(finite(fact), is_line=True)
        return
    headings = list(dict.fromkeys(key for fact in facts for key in fact))
    words = {key: key.replace("_per_s", "/s").replace("_", " ").upper() for key in headings}
    texts = {key for key in headings if any(isinstance(fact.get(key), str) for fact in facts)}
    table = new_table(*words.values(), right=[words[key] for key in headings if key not in texts], title=title)
    for fact in facts:
        table.add_row(*(_text(fact.get(key, "-")) for key in headings))
    print_table(table)


def _text(value: Any) -> str:
    match value:
        case bool() | str():
            return str(value)
        case int():
            return number(value)
        case float():
            return number(value) if abs(value) >= 100 else f"{value:.3g}"
    return "-" if value is None else str(value)


def say_where(path: Path) -> None:
    """Name the result file."""
    note(f"result file: {path}")
