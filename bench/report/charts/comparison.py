"""Pictures of ``bench compare``."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import FuncFormatter

from ...load.latencies import Latencies
from ...replog_system import OURS
from .captions import Result, asked_line, durability_line, machine_line, rounds_line
from .labels import Label, place_labels
from .style import SYSTEM_TITLES, Chart, Theme, label_ends, new_figure, plain_log_ticks

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_PERCENTS = tuple(100 * (1 - 10 ** (-step / 10)) for step in range(41))
"""Evenly spaced on the axis of nines, from the fastest put to 99.99 %."""
_TICKS = {50: "50 %", 90: "90 %", 99: "99 %", 99.9: "99.9 %", 99.99: "99.99 %"}

_LABELS_MAX = 24
"""Points of one picture that are all labelled."""

Line = tuple[str, int, str]
"""System, connections, title."""


def charts(result: Result) -> Iterator[Chart]:
    """All that its data allows."""
    if result["summaries"]:
        yield Chart("compare-throughput-latency", lambda theme: _throughput_latency(result, theme))
        yield Chart("compare-percentiles", lambda theme: _percentiles(result, theme))
        yield Chart("compare-cpu", lambda theme: _cpu(result, theme))


def _caption(result: Result) -> str:
    settings = result["settings"]
    what = f"{settings['value_bytes']}-byte puts, {settings['replicas']} nodes on one machine"
    return "\n".join([machine_line(result), rounds_line(result, what), durability_line(result), asked_line(result)])


def _lines(result: Result) -> list[Line]:
    """Ours once for each number of connections that has several points, or that is the largest."""
    rows = result["summaries"]
    systems = dict.fromkeys(row["system"] for row in rows)
    lines: list[Line] = []
    for system in systems:
        if system not in OURS:
            lines.append((system, 0, SYSTEM_TITLES[system]))
            continue
        ours = Counter(row["connections"] for row in rows if row["system"] == system)
        many = max(ours)
        lines += [
            (system, count, f"{SYSTEM_TITLES[system]}, {count} connection{'s' if count > 1 else ''}")
            for count in sorted(ours, reverse=True)
            if count == many or (count == 1 and ours[count] > 1)
        ]
    return lines


def _points(rows: Sequence[dict[str, Any]], line: Line) -> list[dict[str, Any]]:
    """A caller alone has one connection whatever the others have, so that point belongs to every line of ours."""
    system, connections, _title = line
    mine = [row for row in rows if row["system"] == system and row["ops_per_s"]]
    if connections > 1:
        mine = [row for row in mine if row["connections"] == min(connections, row["clients"])]
    elif connections == 1:
        mine = [row for row in mine if row["connections"] == 1]
    return sorted(mine, key=lambda row: int(row["clients"]))


def _style(line: Line) -> dict[str, Any]:
    system, connections, _title = line
    dashed = system in OURS and connections == 1
    return {"linestyle": (0, (4, 2)) if dashed else "-", "linewidth": 2.6 if system in OURS else 1.8}


def _throughput_latency(result: Result, theme: Theme) -> Figure:
    title = "Puts a second, and how long each one takes"
    lines = _lines(result)
    figure, all_axes = new_figure(
        theme, title, _caption(result), columns=2, size=(10.5, 5.0 + 0.25 * len(lines)), legend=_legend(lines, theme),
        sharex=True, sharey=True,
    )  # fmt: skip
    for axes, key, name in zip(all_axes[0], ("p50_ms", "p99_ms"), ("median", "99th percentile"), strict=True):
        for line in reversed(lines):
            _draw_line(axes, _measured(result, line, key), key, line, theme)
        axes.set_title(f"{name}, ms", loc="left", color=theme.text, fontsize=10.5)
        axes.set_xscale("log")
        axes.set_yscale("log")
        axes.set_xlabel("puts/s")
        axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _at: f"{value:,.0f}"))
        _frame(axes, result)
        plain_log_ticks(axes, which="y")
    figure.draw_without_rendering()  # what comes next has to know where everything is
    for axes, key in zip(all_axes[0], ("p50_ms", "p99_ms"), strict=True):
        _label_points(axes, result, lines, key, theme)
    return figure


def _measured(result: Result, line: Line, key: str) -> list[dict[str, Any]]:
    return [row for row in _points(result["summaries"], line) if row[key]]


def _draw_line(axes: Axes, points: Sequence[dict[str, Any]], key: str, line: Line, theme: Theme) -> None:
    colour = theme.systems[line[0]]
    xs, ys = [row["ops_per_s"] for row in points], [row[key] for row in points]
    axes.plot(xs, ys, color=colour, marker="o", markersize=5, markeredgecolor=theme.page, **_style(line))


def _label_points(axes: Axes, result: Result, lines: Sequence[Line], key: str, theme: Theme) -> None:
    """How many puts were under way; a point that two lines share is labelled once.

    Where there are many points, those between the first and the last of a peer's line are left to the reader: all lines
    have the same numbers, which ours shows.
    """
    labels: dict[tuple[float, float], Label] = {}
    drawn = []
    is_crowded = sum(len(_measured(result, line, key)) for line in lines) > _LABELS_MAX
    for line in lines:
        rows = _measured(result, line, key)
        drawn.append([(row["ops_per_s"], row[key]) for row in rows])
        for row, place in zip(rows, drawn[-1], strict=True):
            is_end = row in (rows[0], rows[-1])
            if is_end or line == lines[0] or not is_crowded:
                labels.setdefault(place, Label(place, f"{row['clients']:,}", theme.systems[line[0]]))
    place_labels(axes, list(labels.values()), drawn)


def _frame(axes: Axes, result: Result) -> None:
    rows = [row for row in result["summaries"] if row["ops_per_s"] and row["p50_ms"] and row["p99_ms"]]
    axes.set_xlim(min(row["ops_per_s"] for row in rows) / 1.5, max(row["ops_per_s"] for row in rows) * 1.7)
    axes.set_ylim(min(row["p50_ms"] for row in rows) / 1.6, max(row["p99_ms"] for row in rows) * 1.9)


def _legend(lines: Sequence[Line], theme: Theme) -> list[Line2D]:
    handles = [Line2D([], [], color=theme.systems[line[0]], label=line[2], **_style(line)) for line in lines]
    return [*handles, Line2D([], [], linestyle="", marker="$n$", color=theme.quiet, label="puts under way")]


def _percentiles(result: Result, theme: Theme) -> Figure:
    clients = _usual_clients(result)
    title = f"Latency of every put, {clients:,} of them under way"
    figure, all_axes = new_figure(theme, title, _caption(result), size=(8.4, 5.0))
    axes = all_axes[0][0]
    ends, seen = [], []
    for line in _lines(result):
        latencies = _latencies(result, line, clients)
        if latencies.is_empty:
            continue
        xs = [_nines(percent) for percent in _PERCENTS]
        ys = [latencies.percentile_ms(percent) for percent in _PERCENTS]
        axes.plot(xs, ys, color=theme.systems[line[0]], **_style(line))
        ends.append((xs[-1], ys[-1], line[2], theme.systems[line[0]]))
        seen += ys
    axes.set_yscale("log")
    axes.set_xticks([_nines(percent) for percent in _TICKS], list(_TICKS.values()))
    axes.set_xlim(0, _nines(_PERCENTS[-1]) * 1.34)
    axes.set_ylim(min(seen) / 1.4, max(seen) * 1.5)
    plain_log_ticks(axes, which="y", unit=" ms")
    axes.set_xlabel("share of the puts that took no longer")
    figure.draw_without_rendering()
    label_ends(axes, ends)
    return figure


def _nines(percent: float) -> float:
    """How rare what lies beyond is: 90 % is 1, 99 % is 2."""
    import math

    return -math.log10(1 - percent / 100)


def _usual_clients(result: Result) -> int:
    """256 if it was measured, or the number next to it at which most systems were."""
    counts = Counter(int(row["clients"]) for row in result["summaries"])
    most = max(counts.values())
    return min((each for each in counts if counts[each] == most or each == 256), key=lambda each: abs(each - 256))


def _latencies(result: Result, line: Line, clients: int) -> Latencies:
    system, connections, _title = line
    rounds = [
        each for each in result["rounds"]
        if each["system"] == system
        and each["plan"]["outstanding"] == clients
        and connections in (0, each["plan"]["connections"])
    ]  # fmt: skip
    return Latencies.merged(Latencies.of_pairs((us, count) for us, count in each["latencies_us"]) for each in rounds)


def _cpu(result: Result, theme: Theme) -> Figure:
    clients = _usual_clients(result)
    title = f"CPU for one put, {clients:,} under way: all servers and the client"
    bars = []
    for line in _lines(result):
        bars += [(line, row) for row in _points(result["summaries"], line) if row["clients"] == clients]
    bars.sort(key=lambda bar: float(bar[1]["cpu_us_per_op"]), reverse=True)
    figure, all_axes = new_figure(theme, title, _caption(result), size=(8.4, 1.5 + 0.52 * len(bars)))
    axes = all_axes[0][0]
    for height, (line, row) in enumerate(bars):
        _draw_bar(axes, height, line, row, theme)
    axes.set_yticks(range(len(bars)), [line[2] for line, _row in bars], color=theme.text)
    axes.grid(visible=False)
    axes.set_xlabel("microseconds of CPU · dark: servers, the busiest first · pale: client")
    axes.set_xlim(0, max(row["cpu_us_per_op"] for _line, row in bars) * 1.12)
    return figure


def _draw_bar(axes: Axes, height: int, line: Line, row: dict[str, Any], theme: Theme) -> None:
    left = 0.0
    for width, alpha in bar_parts(row):
        axes.barh(
            height, width, left=left, height=0.62, color=theme.systems[line[0]], alpha=alpha, edgecolor=theme.page
        )
        left += width
    axes.annotate(
        f"{row['cpu_us_per_op']:,.0f} µs", (left, height), xytext=(6, 0), textcoords="offset points", va="center",
        fontweight="bold",
    )  # fmt: skip


def bar_parts(row: dict[str, Any]) -> list[tuple[float, float]]:
    """Width and opacity of each part. Together as long as the label says: of the parts' medians that is not the sum."""
    parts = [*((float(each), 1.0) for each in row["server_cpu_us_per_op"]), (float(row["client_cpu_us_per_op"]), 0.4)]
    scale = row["cpu_us_per_op"] / (sum(width for width, _ in parts) or 1.0)
    return [(width * scale, alpha) for width, alpha in parts]
