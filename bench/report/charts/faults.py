"""Pictures of ``bench failover``."""

from __future__ import annotations

import statistics
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from ...gaps import FAULT_KINDS, STEP_S
from .captions import Result, machine_line
from .style import SYSTEM_TITLES, Chart, Theme, new_figure

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_BIN_STEPS = 5
_BEFORE_S = 0.5
_AFTER_S = 1.0
_HEADINGS = {
    "kill": "leader killed (kill -9)",
    "stop": "leader hangs (SIGSTOP)",
    "partition": "leader's cable pulled",
}


def charts(result: Result) -> Iterator[Chart]:
    """The timelines, if there are any."""
    if result["facts"]:
        yield Chart("failover-timelines", lambda theme: _timelines(result, theme))


def _timelines(result: Result, theme: Theme) -> Figure:
    facts = result["facts"]
    systems = list(dict.fromkeys(fact["system"] for fact in facts))
    kinds = [kind for kind in FAULT_KINDS if any(fact["kind"] == kind for fact in facts)]
    settings = result["settings"]
    strikes = max(len(_of(facts, system, kind)) for system in systems for kind in kinds)
    chosen = f"of {strikes} strikes each the one with the median gap" if strikes > 1 else "one strike each"
    caption = (
        f"{machine_line(result)}\n{settings['clients']} puts of {settings['value_bytes']} bytes under way, 3 nodes, "
        f"clients at the servers that stay · {chosen} · a line ends where its measurement ended"
    )
    size = (4.0 * len(kinds) + 0.6, 1.5 * len(systems) + 1.5)
    figure, grid = new_figure(
        theme, "What clients see when the leader fails", caption, rows=len(systems), columns=len(kinds), size=size,
        sharex="col", sharey="row",
    )  # fmt: skip
    for column, kind in enumerate(kinds):
        grid[0][column].set_title(_HEADINGS[kind], loc="left", color=theme.text, fontsize=10.5)
        grid[-1][column].set_xlabel("seconds after the fault")
        for row, system in enumerate(systems):
            found = _of(facts, system, kind)
            if found:
                _panel(grid[row][column], _typical(found), theme)
        grid[0][column].set_xlim(-_BEFORE_S, _width_s(facts, kind))
        grid[0][column].xaxis.set_major_locator(MaxNLocator(5))
        grid[0][column].xaxis.set_major_formatter(lambda value, _at: f"{value:g}")
    for row, system in enumerate(systems):
        grid[row][0].set_ylabel(
            f"{SYSTEM_TITLES[system].replace(', ', chr(10))}\nputs/s", color=theme.systems[system], fontweight="bold"
        )
        grid[row][0].set_ylim(bottom=0)
    for row, system in enumerate(systems):
        for column, kind in enumerate(kinds):
            _shade_unmeasured(grid[row][column], _of(facts, system, kind), theme)
    return figure


def _shade_unmeasured(axes: Axes, found: Sequence[dict[str, Any]], theme: Theme) -> None:
    """White where nobody measured would look like no answers. A column is as wide as its longest gap."""
    end_s = ended_s(_typical(found)) if found else -_BEFORE_S
    left, right = axes.get_xlim()
    if end_s < right:
        axes.axvspan(max(left, end_s), right, color=theme.grid, linewidth=0, zorder=0)
    if right - max(left, end_s) > 0.25 * (right - left):
        axes.text(
            (max(left, end_s) + right) / 2, 0.5, "not measured", transform=axes.get_xaxis_transform(), ha="center",
            va="center", color=theme.quiet, fontsize=8,
        )  # fmt: skip


def ended_s(fact: dict[str, Any]) -> float:
    """When its measurement ended, in seconds after the fault."""
    return float(len(fact["answers_per_10_ms"]) * STEP_S - fact["struck_at_s"])


def _of(facts: Sequence[dict[str, Any]], system: str, kind: str) -> list[dict[str, Any]]:
    return [fact for fact in facts if fact["system"] == system and fact["kind"] == kind]


def _typical(found: Sequence[dict[str, Any]]) -> dict[str, Any]:
    median = statistics.median_low(float(fact["gap_ms"]) for fact in found)
    return next(fact for fact in found if fact["gap_ms"] == median)


def _width_s(facts: Sequence[dict[str, Any]], kind: str) -> float:
    """Long enough for the longest gap of all systems and what comes after it."""
    gaps = [_typical(_of(facts, system, kind))["gap_ms"] for system in {f["system"] for f in facts}
            if _of(facts, system, kind)]  # fmt: skip
    return float(max(gaps)) / 1e3 + _AFTER_S


def _panel(axes: Axes, fact: dict[str, Any], theme: Theme) -> None:
    colour = theme.systems[fact["system"]]
    counts = fact["answers_per_10_ms"]
    bins = [sum(counts[start : start + _BIN_STEPS]) for start in range(0, len(counts) - _BIN_STEPS, _BIN_STEPS)]
    times = [(number * _BIN_STEPS) * STEP_S - fact["struck_at_s"] for number in range(len(bins))]
    rates = [count / (_BIN_STEPS * STEP_S) for count in bins]
    axes.fill_between(times, rates, step="post", color=colour, alpha=0.22, linewidth=0)
    axes.step(times, rates, where="post", color=colour, linewidth=1.4)
    axes.axvline(0, color=theme.quiet, linewidth=1, linestyle=(0, (2, 2)))
    text = f"{fact['gap_ms'] / 1e3:.2f} s" if fact["gap_ms"] >= 1000 else f"{fact['gap_ms']:,.0f} ms"
    text = text if fact["is_over"] else f"longer than {text}"
    axes.set_title(f"gap {text}", loc="right", color=colour, fontweight="bold", fontsize=10)
    axes.yaxis.set_major_locator(MaxNLocator(3))
    axes.yaxis.set_major_formatter(lambda value, _at: f"{value:,.0f}")
