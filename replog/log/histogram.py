"""How often each latency came, in fixed memory, exact to a few percent whatever its size.

Buckets are log-linear, as in HdrHistogram: each power of two is cut into equally wide ones. Powers of two alone would
be off by up to two times, which is more than what a slower disk or a better program changes.
"""

from __future__ import annotations

import itertools
from typing import Final

import msgspec

_STEPS_BITS: Final = 4
_STEPS: Final = 1 << _STEPS_BITS
"""Buckets a power of two. The middle of a bucket is at most 1 / (2 * steps) = 3.2 % away from what is in it."""
_BITS_MAX: Final = 32
BUCKETS: Final = (_BITS_MAX - _STEPS_BITS + 1) * _STEPS
VALUE_MAX: Final = (1 << _BITS_MAX) - 1
"""As microseconds more than an hour; what is larger counts as this."""


class Quantiles(msgspec.Struct, frozen=True):
    """What a histogram held at one moment."""

    counts: tuple[int, ...]

    @property
    def count(self) -> int:
        """How many values there were."""
        return sum(self.counts)

    def at(self, quantile: float) -> int:
        """The value that ``quantile`` (0.99: p99) of all did not exceed, to 3.2 %; 0 if there were none."""
        rank = quantile * self.count
        for bucket, seen in enumerate(itertools.accumulate(self.counts)):
            if seen and seen >= rank:
                return _middle(bucket)
        return 0


class Histogram:
    """Belongs to one thread; ``quantiles`` may be asked for by any."""

    def __init__(self) -> None:
        self._counts = [0] * BUCKETS

    def add(self, value: int) -> None:
        """Count one ``value``, which is not negative."""
        shift = max(0, value.bit_length() - _STEPS_BITS - 1)
        self._counts[min((shift << _STEPS_BITS) + (value >> shift), BUCKETS - 1)] += 1

    def quantiles(self) -> Quantiles:
        """What it holds now."""
        return Quantiles(tuple(self._counts))


def _middle(bucket: int) -> int:
    shift = max(0, (bucket >> _STEPS_BITS) - 1)
    return ((bucket - (shift << _STEPS_BITS)) << shift) + (1 << shift >> 1)
