"""The script that measures the core's own cost measures what it says; how much that is depends on the machine."""

from __future__ import annotations

from .cost import Trio


def test_a_batch_goes_from_its_submissions_to_its_release_on_all_three() -> None:
    """One slot a batch, released everywhere once the next one has told the followers."""
    trio = Trio()
    for _ in range(10):
        trio.order()
    assert {replica.chosen_through for replica in trio.replicas.values()} <= {10, 11}
    assert trio.leader.chosen_through == 11
