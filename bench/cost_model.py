"""The cost of a command as three prices: for its share of a slot, for its share of a client's frame, for itself.

A slot is written, sent and answered once whatever is in it; so is a frame. What a load costs therefore follows from
how many commands share a slot and how many share a frame, and those two follow from how many are under way.
"""

from __future__ import annotations

from collections.abc import Sequence

import attrs
import numpy


@attrs.frozen(kw_only=True)
class Load:
    """One load as it was measured.

    Parameters
    ----------
    slots, frames: for one command; 1.0 means that each had its own.
    cpu_us: of all processes together, for one command.
    """

    slots: float
    frames: float
    cpu_us: float


@attrs.frozen(kw_only=True)
class Prices:
    """Microseconds of CPU, of all replicas and the client together."""

    slot_us: float
    frame_us: float
    command_us: float

    def of(self, load: Load) -> float:
        """What a command of this load should cost."""
        return self.slot_us * load.slots + self.frame_us * load.frames + self.command_us


def fit(loads: Sequence[Load]) -> Prices:
    """The prices that are nearest to what was measured, each load counting by its share and no price below zero.

    Raises
    ------
    ValueError: fewer loads than prices.
    """
    if len(loads) < len(attrs.fields(Prices)):
        raise ValueError(f"{len(loads)} loads can't tell three prices apart; measure more kinds.")
    rows = numpy.array([[each.slots, each.frames, 1.0] for each in loads])
    costs = numpy.array([each.cpu_us for each in loads])
    return Prices(**dict(zip(("slot_us", "frame_us", "command_us"), _nearest(rows / costs[:, None]), strict=True)))


def _nearest(shares: numpy.ndarray) -> list[float]:
    """Least squares against 1; a price that comes out below zero is zero, and the others are found without it."""
    kept = list(range(shares.shape[1]))
    while kept:
        found = numpy.linalg.lstsq(shares[:, kept], numpy.ones(len(shares)), rcond=None)[0]
        if (found >= 0).all():
            break
        kept.remove(kept[int(found.argmin())])
    prices = [0.0] * shares.shape[1]
    for place, price in zip(kept, found if kept else (), strict=True):
        prices[place] = float(price)
    return prices
