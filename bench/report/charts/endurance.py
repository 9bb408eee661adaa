"""Pictures of ``bench steady``."""

from __future__ import annotations

import math
import statistics
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from .captions import Result, machine_line
from .style import Chart, Theme, label_ends, new_figure

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_HOUR_S = 3600.0
_MINUTE_S = 60.0
_PANELS = 6
_SIZES = {
    "own_mib": "memory of each replica, without the pages of its files, MiB",
    "rss_mib": "resident memory of each replica (RSS), MiB",
    "disk_mib": "files of each replica, log and state, MiB",
}
_MANY_KILLS = 20
_WIDE = 1.13
"""How much longer the axis of time is than the run: names stand at the lines' ends."""


def charts(result: Result) -> Iterator[Chart]:
    """One page of panels over one axis of time."""
    if result["facts"] and result["facts"][0].get("intervals"):
        yield Chart("steady", lambda theme: _steady(result, theme))


def _steady(result: Result, theme: Theme) -> Figure:
    facts = result["facts"][0]
    title = f"{span(facts['summary']['seconds'])} of one load, {_kills_in_words(facts)}"
    figure, grid = new_figure(
        theme, title, f"{machine_line(result)}\n{_caption(result, facts)}", rows=_PANELS, size=(9.2, 11.2), sharex=True
    )
    panels = [row[0] for row in grid]
    unit_s, unit = (_MINUTE_S, "minutes") if facts["summary"]["seconds"] >= 10 * _MINUTE_S else (1.0, "seconds")
    panels[-1].set_xlabel(f"{unit} after the load began · dotted: a kill of the leader · pale dots: of a follower")
    panels[-1].set_xlim(0, facts["summary"]["seconds"] / unit_s * _WIDE)
    _throughput(panels[0], facts, unit_s, theme)
    _gaps(panels[1], facts, unit_s, theme)
    for axes, (key, title) in zip(panels[2:5], _SIZES.items(), strict=True):
        _per_server(axes, facts, key, title, unit_s, theme)
    _elections(panels[5], facts, unit_s, theme)
    for axes in panels:
        _mark_kills(axes, facts["kills"], unit_s, theme)
        axes.yaxis.set_major_locator(MaxNLocator(4, integer=axes is panels[5]))
        axes.yaxis.set_major_formatter(lambda value, _at: f"{value:,.0f}")
        axes.set_ylim(bottom=0)
    figure.draw_without_rendering()
    for axes, key in zip(panels[2:5], _SIZES, strict=True):
        label_ends(axes, _ends(facts, key, unit_s, theme), gap=0.14)
    return figure


def span(seconds: float) -> str:
    """A length of time as a title says it."""
    if seconds >= _HOUR_S:
        hours = seconds / _HOUR_S
        return "An hour" if hours == 1 else f"{hours:.3g} hours"
    return f"{seconds / _MINUTE_S:.3g} minutes" if seconds >= 2 * _MINUTE_S else f"{seconds:.3g} seconds"


def _kills_in_words(facts: dict[str, Any]) -> str:
    kills = facts["summary"]["kills"]
    return f"{kills} {'kill' if kills == 1 else 'kills'}" if kills else "nobody killed"


def _caption(result: Result, facts: dict[str, Any]) -> str:
    settings, found = result["settings"], facts["summary"]
    states = {True: "all states the same", False: "STATES DIFFER", None: "states not compared"}[found["states_agree"]]
    load = f"{settings['clients']:,} callers over {settings['connections']} connections"
    checked = (
        f"{found['answered_sum']:,} answers checked: {found['lost']:,} lost, {found['doubled']:,} doubled · {states} · "
        f"{found['elections_unprovoked']:,} elections without a cause"
    )
    return f"{load}, {settings['value_bytes']} bytes beside each counter, {settings['replicas']} replicas\n{checked}"


def _throughput(axes: Axes, facts: dict[str, Any], unit_s: float, theme: Theme) -> None:
    xs = [each["at_s"] / unit_s for each in facts["intervals"]]
    ys = [each["answered"] / each["length_s"] for each in facts["intervals"]]
    _title(axes, f"commands a second (median {statistics.median(ys):,.0f})", theme)
    axes.plot(xs, ys, color=theme.shades[0], linewidth=1.4)


def _gaps(axes: Axes, facts: dict[str, Any], unit_s: float, theme: Theme) -> None:
    xs = [each["at_s"] / unit_s for each in facts["intervals"]]
    longest = [each["longest_gap_ms"] for each in facts["intervals"]]
    _title(axes, f"longest time without an answer in each interval, ms (longest {max(longest):,.0f})", theme)
    axes.vlines(xs, 0, longest, color=theme.shades[1], linewidth=1.4)


def _per_server(axes: Axes, facts: dict[str, Any], key: str, title: str, unit_s: float, theme: Theme) -> None:
    _title(axes, title, theme)
    for number, server in enumerate(_servers(facts)):
        xs, ys = zip(*_line(facts, server, key, unit_s), strict=True)
        colour = theme.shades[number % len(theme.shades)]
        axes.plot(xs, ys, color=colour, linewidth=1.6)


def _ends(facts: dict[str, Any], key: str, unit_s: float, theme: Theme) -> list[tuple[float, float, str, str]]:
    """The newest figure of each server, for the name at its line's end."""
    ends = []
    for number, server in enumerate(_servers(facts)):
        there = [(x, y) for x, y in _line(facts, server, key, unit_s) if not math.isnan(y)]
        if there:
            x, y = there[-1]
            ends.append((x, y, f"{server}  {y:,.{0 if y >= 10 else 1}f}", theme.shades[number % len(theme.shades)]))
    return ends


def _line(facts: dict[str, Any], server: str, key: str, unit_s: float) -> list[tuple[float, float]]:
    """One server over time; where it was down there is a gap."""
    keys = ("log_mib", "state_mib") if key == "disk_mib" else (key,)
    return [
        (sample["at_s"] / unit_s, sum(sample[each].get(server, math.nan) for each in keys))
        for sample in facts["samples"]
    ]


def _servers(facts: dict[str, Any]) -> list[str]:
    return sorted({server for sample in facts["samples"] for server in sample["own_mib"]})


def _elections(axes: Axes, facts: dict[str, Any], unit_s: float, theme: Theme) -> None:
    samples = facts["samples"]
    _title(axes, f"elections so far ({facts['summary']['elections']:,})", theme)
    axes.step(
        [sample["at_s"] / unit_s for sample in samples], [sample["elections"] for sample in samples], where="post",
        color=theme.shades[0], linewidth=1.6,
    )  # fmt: skip


def _mark_kills(axes: Axes, kills: Sequence[dict[str, Any]], unit_s: float, theme: Theme) -> None:
    for kill in kills:
        alpha = (1.0 if kill["was_leading"] else 0.35) * (0.6 if len(kills) > _MANY_KILLS else 1.0)
        axes.axvline(kill["at_s"] / unit_s, color=theme.quiet, linewidth=0.9, linestyle=(0, (1, 2)), alpha=alpha)


def _title(axes: Axes, text: str, theme: Theme) -> None:
    axes.set_title(text, loc="left", color=theme.text, fontsize=10)
