"""Rows that were measured in several rounds, as one row each."""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from typing import Any

Row = dict[str, Any]


def median_rows(rows: Sequence[Row], keys: Sequence[str], *, ranged: str) -> list[Row]:
    """The median of every number over the rows that agree in ``keys``, in the order in which they first came.

    Parameters
    ----------
    ranged: the figure whose lowest and highest are told too, in a column ``range``.
    """
    groups: dict[tuple[Any, ...], list[Row]] = {}
    for row in rows:
        groups.setdefault(tuple(row[key] for key in keys), []).append(row)
    return [_median_row(group, keys, ranged) for group in groups.values()]


def _median_row(group: Sequence[Row], keys: Sequence[str], ranged: str) -> Row:
    found: Row = {}
    for key, value in group[0].items():
        is_figure = key not in keys and isinstance(value, int | float)
        found[key] = statistics.median(row[key] for row in group) if is_figure else value
        if key == ranged:
            digits = 0 if found[key] >= 100 else 2
            lowest, highest = (pick(row[key] for row in group) for pick in (min, max))
            found["range"] = f"{lowest:,.{digits}f}-{highest:,.{digits}f}"
    return found
