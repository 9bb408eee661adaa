"""The measuring of costs measures: it runs to its end and leaves nothing out. What it finds is in docs/SHOP.md."""

from __future__ import annotations

from pathlib import Path

import pytest

from .cost import measure, measure_directory


def test_costs_in_memory() -> None:
    """Every figure is there and above nothing."""
    costs = measure(products=20, stored_orders=200, measured=100)
    assert {"order_of_3_lines_us", "product_query_us", "order_query_us", "anonymous_mib"} <= costs.keys()
    assert all(value > 0 for value in costs.values())


@pytest.mark.processes
@pytest.mark.xdist_group("processes")
def test_costs_over_a_data_directory_that_a_replica_starts_on(tmp_path: Path) -> None:
    """The directory made here is a replica's: a real one leads on it, with what was written."""
    costs = measure_directory(tmp_path, products=20, stored_orders=200, measured=100)
    assert {"state_bytes_per_order", "state_mib", "restart_s"} <= costs.keys()
    assert all(value > 0 for value in costs.values())
