"""Labels at points: each beside its own, on no other label and no other point, and off the lines where that can be."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

import attrs

if TYPE_CHECKING:
    from matplotlib.axes import Axes

FONT_POINTS = 7.0
_DISTANCES = (7.0, 12.0, 17.0, 24.0)
_DIRECTIONS = ((0, 1), (0, -1), (1, 0), (-1, 0), (0.8, 0.8), (-0.8, 0.8), (0.8, -0.8), (-0.8, -0.8))
_LINE_STEPS = 40
_MARK = 3.5
"""Half the size of a point's mark."""

Place = tuple[float, float]


@attrs.frozen
class Label:
    """What stands beside a point of the data."""

    at: Place
    text: str
    colour: str

    @property
    def half(self) -> Place:
        """Half of its width and height, in points of the page."""
        return 0.3 * FONT_POINTS * len(self.text) + 0.5, 0.5 * FONT_POINTS


def place_labels(axes: Axes, labels: Sequence[Label], lines: Sequence[Sequence[Place]]) -> None:
    """Write them; the limits and scales of the axes are what they will be.

    Parameters
    ----------
    lines: points of the data that are joined; the labels' own points are on them.
    """
    to_page = axes.transData
    scale = 72 / axes.figure.dpi

    def on_page(place: Place) -> Place:
        x, y = to_page.transform(place)
        return float(x) * scale, float(y) * scale

    drawn = [[on_page(place) for place in line] for line in lines]
    marks = [place for line in drawn for place in line]
    strokes = [place for line in drawn for pair in itertools.pairwise(line) for place in _between(*pair)]
    taken: list[tuple[Place, Place]] = []
    frame = axes.bbox.x0 * scale, axes.bbox.y0 * scale, axes.bbox.x1 * scale, axes.bbox.y1 * scale
    for label in labels:
        own = on_page(label.at)
        inside = [spot for spot in _candidates(own, label.half) if _is_inside(spot, label.half, frame)]
        centre = min(
            inside or _candidates(own, label.half),
            key=lambda spot: _cost(spot, label.half, own, taken, marks, strokes),
        )
        taken.append((centre, label.half))
        axes.annotate(
            label.text, label.at, xytext=(centre[0] - own[0], centre[1] - own[1]), textcoords="offset points",
            fontsize=FONT_POINTS, color=label.colour, ha="center", va="center",
        )  # fmt: skip


def _between(first: Place, last: Place) -> Iterator[Place]:
    for step in range(1, _LINE_STEPS):
        share = step / _LINE_STEPS
        yield first[0] + share * (last[0] - first[0]), first[1] + share * (last[1] - first[1])


def _candidates(own: Place, half: Place) -> Iterator[Place]:
    for distance in _DISTANCES:
        for x, y in _DIRECTIONS:
            yield own[0] + x * (distance + half[0] - half[1]), own[1] + y * distance


def _is_inside(spot: Place, half: Place, frame: tuple[float, float, float, float]) -> bool:
    left, bottom, right, top = frame
    return left <= spot[0] - half[0] and spot[0] + half[0] <= right and bottom <= spot[1] - half[1] and spot[1] <= top


def _cost(
    spot: Place, half: Place, own: Place, taken: Sequence[tuple[Place, Place]], marks: Sequence[Place],
    strokes: Sequence[Place],
) -> float:  # fmt: skip
    """Another label is worst, then a point, then a line; of equals the nearest."""
    labels = sum(_is_over(spot, place, (half[0] + other[0], half[1] + other[1])) for place, other in taken)
    points = sum(_is_over(spot, place, (half[0] + _MARK, half[1] + _MARK)) for place in marks)
    crossed = sum(_is_over(spot, place, half) for place in strokes)
    return 1e6 * labels + 1e4 * points + 10.0 * crossed + abs(spot[0] - own[0]) + abs(spot[1] - own[1])


def _is_over(spot: Place, place: Place, reach: Place) -> bool:
    return abs(spot[0] - place[0]) < reach[0] and abs(spot[1] - place[1]) < reach[1]
