"""Pictures of ``bench scale``, ``bench recovery``, ``bench latency`` and ``bench throughput``."""

from __future__ import annotations

import statistics
from collections.abc import Iterator, Sequence
from typing import Any

from matplotlib.figure import Figure

from .captions import Result, machine_line, rounds_line
from .style import Chart, Theme, label_ends, new_figure, plain_log_ticks

_RECOVERIES = {
    "restart": "stopped and started",
    "crash": "killed and started",
    "catch_up": "was away, log caught up",
    "state_transfer": "was away, state fetched",
}
_LATENCIES = {"p50_ms": "median", "p99_ms": "99 %", "p999_ms": "99.9 %", "max_ms": "longest"}


def scale_charts(result: Result) -> Iterator[Chart]:
    """Cost of a command against everything that grows."""
    if result["summaries"]:
        yield Chart("scale-cost", lambda theme: _scale(result, theme))


def _scale(result: Result, theme: Theme) -> Figure:
    rows = list(reversed(result["summaries"]))
    base = result["summaries"][0]
    clients = base["clients"]
    caption = f"{machine_line(result)}\n{rounds_line(result, f'{clients} puts under way')}"
    size = (8.4, 1.5 + 0.4 * len(rows))
    figure, grid = new_figure(theme, "Cost of a put as things grow", caption, columns=2, size=size, sharey=True)
    for axes, key, name in zip(
        grid[0], ("cpu_us_per_op", "ops_per_s"), ("CPU of all processes, µs a put", "puts/s"), strict=True
    ):
        values = [row[key] for row in rows]
        colours = [theme.shades[0] if row is not base else theme.quiet for row in rows]
        axes.barh(range(len(rows)), values, height=0.6, color=colours)
        for height, value in enumerate(values):
            axes.annotate(
                f"{value:,.0f}  {value / base[key]:.2f}x", (value, height), xytext=(5, 0), textcoords="offset points",
                va="center", fontsize=8.5,
            )  # fmt: skip
        axes.set_title(name, loc="left", fontsize=10.5)
        axes.set_xlim(0, max(values) * 1.38)
        axes.xaxis.set_major_formatter(lambda value, _at: f"{value:,.0f}")
        axes.grid(visible=False)
        axes.set_ylim(-0.6, len(rows) - 0.4)
    grid[0][0].set_yticks(range(len(rows)), [row["label"] for row in rows], color=theme.text)
    return figure


def recovery_charts(result: Result) -> Iterator[Chart]:
    """Time until a replica is back against what it has to make up for."""
    if result["facts"]:
        yield Chart("recovery-time", lambda theme: _recovery(result, theme))


def _recovery(result: Result, theme: Theme) -> Figure:
    facts = result["facts"]
    rounds = result["settings"]["rounds"]
    times = f"median of {rounds} returns" if rounds > 1 else "one return each"
    caption = f"{machine_line(result)}\n{result['settings']['value_bytes']}-byte values · {times}"
    figure, grid = new_figure(theme, "How soon a replica is back", caption, size=(8.4, 4.8))
    axes = grid[0][0]
    ends, seen = [], []
    for number, (kind, title) in enumerate(_RECOVERIES.items()):
        sizes = sorted({fact["commands"] for fact in facts if fact["kind"] == kind})
        if not sizes:
            continue
        seconds = [_median_s(facts, kind, size) for size in sizes]
        axes.plot(sizes, seconds, color=theme.shades[number], marker="o", markersize=5, markeredgecolor=theme.page)
        ends.append((sizes[-1], seconds[-1], title, theme.shades[number]))
        seen += seconds
    sizes = sorted({fact["commands"] for fact in facts})
    axes.set_xscale("log")
    axes.set_yscale("log")
    axes.set_xlim(sizes[0] / 1.3, sizes[-1] * (sizes[-1] / sizes[0] * 2.2) ** 0.5)
    axes.set_ylim(min(seen) / 1.7, max(seen) * 1.7)
    plain_log_ticks(axes, which="x")
    axes.set_xticks(sizes)
    plain_log_ticks(axes, which="y", unit=" s")
    axes.set_xlabel("commands, each on a key of its own")
    figure.draw_without_rendering()
    label_ends(axes, ends, gap=0.065)
    return figure


def _median_s(facts: Sequence[dict[str, Any]], kind: str, size: int) -> float:
    return statistics.median(
        float(fact["complete_after_s"]) for fact in facts if fact["kind"] == kind and fact["commands"] == size
    )


def latency_charts(result: Result) -> Iterator[Chart]:
    """Latency at given rates."""
    if any(row["ops_per_s"] for row in result["summaries"]):
        yield Chart("latency-at-rate", lambda theme: _latency(result, theme))


def _latency(result: Result, theme: Theme) -> Figure:
    rows = [row for row in result["summaries"] if row["p50_ms"]]
    rates = [float(row["label"].removesuffix("/s").replace(",", "")) for row in rows]
    caption = f"{machine_line(result)}\n{rounds_line(result, 'open loop: a put counts from the moment it was due')}"
    title = "Latency when puts arrive at a steady rate"
    figure, grid = new_figure(theme, title, caption, size=(8.4, 4.8))
    axes = grid[0][0]
    ends = []
    for number, (key, name) in enumerate(_LATENCIES.items()):
        values = [row[key] for row in rows]
        axes.plot(rates, values, color=theme.shades[number], marker="o", markersize=5, markeredgecolor=theme.page)
        ends.append((rates[-1], values[-1], name, theme.shades[number]))
    axes.set_yscale("log")
    axes.xaxis.set_major_formatter(lambda value, _at: f"{value:,.0f}")
    axes.set_xlabel("puts due a second")
    axes.set_xlim(0, max(rates) * 1.16)
    axes.set_ylim(min(row["p50_ms"] for row in rows) / 1.6, max(row["max_ms"] for row in rows) * 1.6)
    plain_log_ticks(axes, which="y", unit=" ms")
    figure.draw_without_rendering()
    label_ends(axes, ends)
    return figure


def throughput_charts(result: Result) -> Iterator[Chart]:
    """Every load of the table as one bar."""
    if result["summaries"]:
        yield Chart("throughput", lambda theme: _throughput(result, theme))


def _throughput(result: Result, theme: Theme) -> Figure:
    rows = list(reversed(result["summaries"]))
    caption = f"{machine_line(result)}\n{rounds_line(result, 'line: lowest and highest round')}"
    size = (8.4, 1.5 + 0.32 * len(rows))
    figure, grid = new_figure(theme, "Commands a second", caption, size=size)
    axes = grid[0][0]
    values = [row["ops_per_s"] for row in rows]
    axes.barh(range(len(rows)), values, height=0.62, color=theme.shades[0])
    for height, row in enumerate(rows):
        lowest, highest = row["ops_per_s_range"]
        axes.plot([lowest, highest], [height, height], color=theme.quiet, linewidth=1.4)
        axes.annotate(
            f"{row['ops_per_s']:,.0f}", (highest, height), xytext=(6, 0), textcoords="offset points", va="center",
            fontsize=8.5,
        )  # fmt: skip
    axes.set_yticks(range(len(rows)), [_load(row) for row in rows], color=theme.text, fontsize=8.5)
    axes.set_xlim(0, max(row["ops_per_s_range"][1] for row in rows) * 1.12)
    axes.xaxis.set_major_formatter(lambda value, _at: f"{value:,.0f}")
    axes.grid(visible=False)
    axes.set_ylim(-0.6, len(rows) - 0.4)
    return figure


def _load(row: dict[str, Any]) -> str:
    connections = row["connections"]
    return f"{row['label']} · {row['clients']:,} under way · {connections} connection{'s' if connections > 1 else ''}"
