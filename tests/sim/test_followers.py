"""The simulated followers of the log are believed when they have caught something."""

from __future__ import annotations

import pytest

from replog.paxos.ballot import NodeId, Slot
from replog.sim.checkers import ViolationFound
from replog.sim.followers import FIRST_NUMBER, Follower
from replog.sim.runner import Simulation
from replog.sim.workload import RegisterWorkload
from replog.wire.client_messages import Entries, LogEntry


@pytest.mark.parametrize(
    "told",
    [
        Entries([LogEntry(Slot(1), b"never chosen")]),
        Entries([LogEntry(Slot(2), b"")]),
        Entries([], Slot(0)),
    ],
    ids=["what was never chosen", "with a gap", "nothing is gone"],
)
def test_a_follower_that_is_told_something_else_than_the_log_says_so(told: Entries) -> None:
    """A value that nobody chose, a slot that is not the next one, a floor that is none."""
    simulation = Simulation(0, replicas=3, workload=RegisterWorkload(), steps=200, trace=None)
    follower = Follower(9, simulation.world, simulation.hosts, simulation.audience, simulation.checker)
    follower.start()
    simulation.audience.deliver(FIRST_NUMBER, NodeId(1), told)
    with pytest.raises(ViolationFound) as found:
        simulation.world.run(0.01)
    assert found.value.violation.checker == "a follower sees the log"
