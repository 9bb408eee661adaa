"""Three prices are found again in the loads that were made of them."""

from __future__ import annotations

import pytest

from bench.cost_model import Load, Prices, fit

KINDS = [(1.0, 1.0), (0.2, 0.5), (0.04, 0.04), (0.04, 0.3), (0.01, 0.01), (0.002, 0.004)]


def made_of(prices: Prices, error: float = 0.0) -> list[Load]:
    """Loads that cost what the prices say, every second one more and the others less."""
    loads = [Load(slots=slots, frames=frames, cpu_us=1.0) for slots, frames in KINDS]
    return [
        Load(slots=each.slots, frames=each.frames, cpu_us=prices.of(each) * (1 + error * (-1) ** number))
        for number, each in enumerate(loads)
    ]


def test_prices_are_found_in_what_they_made() -> None:
    """Exactly, if nothing disturbed the measurement."""
    found = fit(made_of(Prices(slot_us=900.0, frame_us=48.0, command_us=13.0)))
    assert (found.slot_us, found.frame_us, found.command_us) == pytest.approx((900.0, 48.0, 13.0))


def test_a_small_load_counts_as_much_as_a_large_one() -> None:
    """A command's own price is seen in the cheap loads, though the dear ones are off by more than it is."""
    found = fit(made_of(Prices(slot_us=900.0, frame_us=48.0, command_us=13.0), error=0.03))
    assert found.command_us == pytest.approx(13.0, rel=0.1)
    assert found.slot_us == pytest.approx(900.0, rel=0.15)


def test_no_price_is_below_zero() -> None:
    """What would be a refund is nothing, and the others are found without it."""
    loads = [Load(slots=slots, frames=frames, cpu_us=100 * slots + 5 - 4 * frames) for slots, frames in KINDS]
    found = fit(loads)
    assert found.frame_us == 0.0
    assert found.slot_us > 0
    assert found.command_us > 0


def test_too_few_loads_are_refused() -> None:
    """Two can't tell three prices apart."""
    with pytest.raises(ValueError, match="three prices"):
        fit(made_of(Prices(slot_us=1.0, frame_us=1.0, command_us=1.0))[:2])
