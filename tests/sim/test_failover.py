"""How soon somebody else leads, in simulated time: a fact of the algorithm, not of this machine."""

from __future__ import annotations

import statistics

import pytest

from .failover import measure, percentile


@pytest.mark.parametrize("replicas", [3, 5])
@pytest.mark.parametrize("delay_s", [0.0001, 0.01])
def test_a_leader_whose_links_close_is_replaced_within_three_heartbeats_and_two_ballots(
    replicas: int, delay_s: float
) -> None:
    """Suspicion at once, and order among the candidates: no timeout and hardly ever a duel."""
    found = measure(range(50), replicas=replicas, delay_s=delay_s)
    assert statistics.median(one.intervals for one in found) < 3.0
    assert percentile([one.ballots for one in found], 0.99) <= 2
    assert all(one.ballots >= 1 for one in found)
