"""The one look of all pictures, for light and for dark pages, and writing them to files."""

from __future__ import annotations

import textwrap
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import attrs
import matplotlib
from matplotlib.figure import Figure
from matplotlib.layout_engine import ConstrainedLayoutEngine
from matplotlib.ticker import FuncFormatter, LogLocator

if TYPE_CHECKING:
    from matplotlib.artist import Artist
    from matplotlib.axes import Axes

_DPI = 160
_SHORT_AXIS = 100
_CAPTION_LINES = 3
"""Lines of a caption that a size allows for."""
_CAPTION_LINE = 0.17
_CAPTION_LETTERS = 16.0
"""Letters an inch, of the caption's font at its usual mixture of letters."""
_LEGEND_LINE = 0.21
_LEGEND_LETTER = 0.072
_LEGEND_HANDLE = 0.58
"""Of an entry of the legend: inches for its line and the space after it."""


@attrs.frozen(kw_only=True)
class Theme:
    """Colours that have contrast with one kind of page."""

    name: str
    page: str
    text: str
    quiet: str
    grid: str
    systems: dict[str, str]
    shades: tuple[str, ...]
    """For lines that are no systems, the most important first."""


LIGHT = Theme(
    name="light",
    page="#ffffff",
    text="#1f2328",
    quiet="#656d76",
    grid="#e4e8ec",
    systems={
        "replog": "#0a66c2", "replog-journal": "#0a9ec2", "etcd": "#d9600a", "etcd35": "#a8440a",
        "zookeeper": "#0f8a5f", "nats-always": "#c2185b", "nats": "#e0699a",
        "rabbitmq": "#8a6d00", "pysyncobj": "#8a4fbf",
    },
    shades=("#0a66c2", "#d9600a", "#0f8a5f", "#8a4fbf"),
)  # fmt: skip
DARK = Theme(
    name="dark",
    page="#0d1117",
    text="#e6edf3",
    quiet="#9198a1",
    grid="#262c34",
    systems={
        "replog": "#58a6ff", "replog-journal": "#58dfff", "etcd": "#f0883e", "etcd35": "#ffb27a",
        "zookeeper": "#3fb98c", "nats-always": "#ff5c95", "nats": "#ffa3c2",
        "rabbitmq": "#d8b429", "pysyncobj": "#bc8cff",
    },
    shades=("#58a6ff", "#f0883e", "#3fb98c", "#bc8cff"),
)  # fmt: skip
SYSTEM_TITLES = {
    "replog": "replog", "replog-journal": "replog with a journal", "etcd": "etcd", "etcd35": "etcd 3.5",
    "zookeeper": "ZooKeeper", "nats-always": "NATS, sync always", "nats": "NATS, as shipped",
    "rabbitmq": "RabbitMQ", "pysyncobj": "PySyncObj",
}  # fmt: skip

Draw = Callable[[Theme], Figure]


@attrs.frozen
class Chart:
    """One picture.

    Parameters
    ----------
    name: of its files.
    draw: makes it in one theme.
    """

    name: str
    draw: Draw


def save(chart: Chart, folder: Path) -> list[Path]:
    """Write it as SVG and PNG for both themes; the same results give the same bytes."""
    folder.mkdir(parents=True, exist_ok=True)
    paths = []
    for theme in (LIGHT, DARK):
        with _look(theme):
            figure = chart.draw(theme)
            for suffix, options in (("svg", {"metadata": {"Date": None}}), ("png", {"dpi": _DPI})):
                path = folder / f"{chart.name}-{theme.name}.{suffix}"
                figure.savefig(path, facecolor=theme.page, **options)
                paths.append(path)
    return paths


@contextmanager
def _look(theme: Theme) -> Iterator[None]:
    settings: dict[str, Any] = {
        "svg.fonttype": "none",
        "svg.hashsalt": "replog",
        "font.family": "sans-serif",
        "font.size": 10,
        "text.color": theme.text,
        "axes.edgecolor": theme.grid,
        "axes.facecolor": theme.page,
        "axes.labelcolor": theme.quiet,
        "axes.grid": True,
        "axes.axisbelow": True,
        "axes.spines.top": False,
        "axes.spines.right": False,
        "axes.spines.left": False,
        "grid.color": theme.grid,
        "grid.linewidth": 0.8,
        "xtick.color": theme.quiet,
        "ytick.color": theme.quiet,
        "xtick.major.size": 0,
        "ytick.major.size": 0,
        "xtick.minor.size": 0,
        "ytick.minor.size": 0,
        "lines.linewidth": 2.0,
        "lines.solid_capstyle": "round",
    }
    with matplotlib.rc_context(settings):  # type: ignore[arg-type]  # its stub lists every key by name
        yield


def new_figure(
    theme: Theme,
    title: str,
    caption: str,
    *,
    size: tuple[float, float],
    rows: int = 1,
    columns: int = 1,
    legend: Sequence[Artist] = (),
    **grid: Any,
) -> tuple[Figure, Any]:
    """A figure with its title at the left above, its caption below, and axes between (always a 2-d array).

    Parameters
    ----------
    size: width and height in inches; the page grows where the caption or the legend need more lines than usual.
    legend: what is explained under the title.
    grid: more for ``Figure.subplots``.
    """
    width, height = size
    caption = wrapped(caption, width)
    legend_rows, legend_columns = legend_grid([str(handle.get_label()) for handle in legend], width)
    height += _CAPTION_LINE * max(0, caption.count("\n") + 1 - _CAPTION_LINES) + _LEGEND_LINE * max(0, legend_rows - 1)
    figure = Figure(figsize=(width, height))
    above = 0.52 + (0.26 + _LEGEND_LINE * (legend_rows - 1) if legend else 0)
    left, top, bottom = 0.16 / width, 1 - above / height, _caption_share(caption, height)
    figure.set_layout_engine(ConstrainedLayoutEngine(rect=(left / 2, bottom, 1 - left, top - bottom)))
    axes = figure.subplots(rows, columns, squeeze=False, **grid)
    figure.text(left, 1 - 0.14 / height, title, ha="left", va="top", fontsize=13.5, fontweight="bold")
    figure.text(left, 0.12 / height, caption, ha="left", va="bottom", fontsize=8, color=theme.quiet, linespacing=1.5)
    if legend:
        figure.legend(
            handles=legend, loc="upper left", bbox_to_anchor=(left, 1 - 0.42 / height), ncols=legend_columns,
            frameon=False, fontsize=9, labelcolor=theme.text, handlelength=1.8, columnspacing=1.6, borderpad=0,
            borderaxespad=0,
        )  # fmt: skip
    return figure, axes


def wrapped(caption: str, width: float) -> str:
    """A caption whose lines end before the page does, broken between words.

    Parameters
    ----------
    width: of the page, in inches.
    """
    letters = int((width - 2 * 0.16) * _CAPTION_LETTERS)
    return "\n".join(part for line in caption.splitlines() for part in textwrap.wrap(line, letters))


def legend_grid(labels: Sequence[str], width: float) -> tuple[int, int]:
    """Rows and columns of a legend that stays on the page; a column is as wide as the longest name."""
    if not labels:
        return 0, 0
    cell = max(len(label) for label in labels) * _LEGEND_LETTER + _LEGEND_HANDLE
    columns = max(1, min(len(labels), int((width - 0.16) / cell)))
    rows = -(-len(labels) // columns)
    return rows, -(-len(labels) // rows)


def _caption_share(caption: str, height: float) -> float:
    return (0.2 + _CAPTION_LINE * (caption.count("\n") + 1)) / height


def _plain(value: float) -> str:
    return f"{value:,.0f}" if value >= 1 else f"{value:.6g}"


def plain_log_ticks(axes: Axes, *, which: str, unit: str = "") -> None:
    """A logarithmic axis with 1, 10, 100 written out, and 2 and 5 between them where there is room."""
    axis = axes.xaxis if which == "x" else axes.yaxis
    lowest, highest = sorted(axes.get_xlim() if which == "x" else axes.get_ylim())
    axis.set_major_locator(LogLocator(subs=(1, 2, 5) if highest / lowest < _SHORT_AXIS else (1,)))
    axis.set_major_formatter(FuncFormatter(lambda value, _position: _plain(value) + unit))
    axis.set_minor_formatter(FuncFormatter(lambda _value, _position: ""))


def label_ends(axes: Axes, ends: Sequence[tuple[float, float, str, str]], *, gap: float = 0.055) -> None:
    """Name lines at their right ends instead of in a legend, none over another.

    Parameters
    ----------
    ends: x, y, text, colour.
    gap: least distance between two names, in heights of the axes.
    """
    to_share = axes.transData + axes.transAxes.inverted()
    placed = sorted((to_share.transform((x, y))[1], x, y, text, colour) for x, y, text, colour in ends)
    heights = _apart([each[0] for each in placed], gap)
    for height, (_share, x, y, text, colour) in zip(heights, placed, strict=True):
        shift = (height - _share) * axes.bbox.height * 72 / axes.figure.dpi
        axes.annotate(
            text, (x, y), xytext=(9, shift), textcoords="offset points", color=colour, va="center", fontweight="bold"
        )


def _apart(heights: Sequence[float], gap: float) -> list[float]:
    """Push ascending heights apart, and back down if the highest left the axes."""
    found: list[float] = []
    for height in heights:
        found.append(max(height, found[-1] + gap) if found else height)
    ceiling = 1.0
    for index in reversed(range(len(found))):
        found[index] = min(found[index], ceiling)
        ceiling = found[index] - gap
    return found
