"""Latencies as all load generators report them, and the percentiles of them.

A generator reports pairs (microseconds, times) whose first numbers are rounded to one part in a thousand, the lower
ends of HdrHistogram's buckets. So what several rounds or generators report is merged without losing anything more.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from functools import cached_property

import attrs
from hdrh.histogram import HdrHistogram

HIGHEST_US = 3_600_000_000
DIGITS = 3
_FINE = 2048


def rounded_us(us: int) -> int:
    """The lower end of the bucket ``us`` falls into."""
    shift = max(0, us.bit_length() - _FINE.bit_length() + 1)
    return us >> shift << shift


@attrs.define(slots=False, eq=False)
class Latencies:
    """How often each latency was seen.

    Parameters
    ----------
    times: microseconds (rounded) to how often.
    """

    times: Counter[int] = attrs.field(factory=Counter)

    @classmethod
    def of_seconds(cls, seconds: Iterable[float]) -> Latencies:
        """Round what was measured with a clock of this process."""
        return cls(Counter(rounded_us(int(each * 1e6)) for each in seconds))

    @classmethod
    def of_pairs(cls, pairs: Iterable[tuple[int, int]]) -> Latencies:
        """Read what a generator reported."""
        return cls(Counter(dict(pairs)))

    @classmethod
    def merged(cls, many: Iterable[Latencies]) -> Latencies:
        """All of them together."""
        total: Counter[int] = Counter()
        for each in many:
            total.update(each.times)
        return cls(total)

    def pairs(self) -> list[tuple[int, int]]:
        """Microseconds and counts, ascending: what goes into JSON."""
        return sorted(self.times.items())

    @cached_property
    def _histogram(self) -> HdrHistogram:
        histogram = HdrHistogram(1, HIGHEST_US, DIGITS)
        for us, count in self.times.items():
            histogram.record_value(min(max(us, 1), HIGHEST_US), count)
        return histogram

    @property
    def is_empty(self) -> bool:
        return not self.times

    def percentile_ms(self, percent: float) -> float:
        """Milliseconds that ``percent`` of all operations did not exceed; NaN if there were none."""
        return float("nan") if self.is_empty else self._histogram.get_value_at_percentile(percent) / 1e3

    @property
    def max_ms(self) -> float:
        return float("nan") if self.is_empty else max(self.times) / 1e3
