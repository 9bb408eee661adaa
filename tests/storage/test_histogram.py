"""What a histogram says of its values is right to a few percent, whatever they are."""

from __future__ import annotations

from math import ceil

from hypothesis import given
from hypothesis import strategies as st

from replog.log.histogram import VALUE_MAX, Histogram

ERROR_MAX = 0.04
values = st.integers(0, 32) | st.integers(0, 10**6) | st.integers(0, VALUE_MAX)


def histogram_of(some: list[int]) -> Histogram:
    made = Histogram()
    for value in some:
        made.add(value)
    return made


@given(st.lists(values, min_size=1, max_size=50), st.floats(0.0, 1.0))
def test_a_quantile_is_off_by_four_percent_at_most(some: list[int], quantile: float) -> None:
    """The value at a rank lies in the bucket that is found for it."""
    exact = sorted(some)[max(1, ceil(quantile * len(some))) - 1]
    found = histogram_of(some).quantiles()
    assert abs(found.at(quantile) - exact) <= ERROR_MAX * exact
    assert found.count == len(some)


@given(st.integers(VALUE_MAX + 1, 2**70))
def test_what_is_beyond_its_range_counts_as_its_largest_value(value: int) -> None:
    """Memory is fixed, so somewhere it ends; nothing is lost."""
    assert abs(histogram_of([value]).quantiles().at(0.5) - VALUE_MAX) <= ERROR_MAX * VALUE_MAX


def test_nothing_has_no_quantile() -> None:
    """A writer that has written nothing yet says 0."""
    assert Histogram().quantiles().at(0.99) == 0


def test_what_was_read_stands() -> None:
    """Counts that go on change no earlier answer."""
    histogram = histogram_of([1])
    before = histogram.quantiles()
    histogram.add(1000)
    assert (before.at(1.0), before.count) == (1, 1)
