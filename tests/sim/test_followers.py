"""The simulated followers of the log are believed when they have caught something."""

from __future__ import annotations

import pytest

from replog.paxos.ballot import Slot
from replog.sim.checkers import ViolationFound
from replog.sim.client_links import LinkWeather
from replog.sim.followers import Follower
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
    for host in simulation.hosts.values():
        host.start()
    follower = Follower(9, simulation.world, simulation.hosts, LinkWeather(), simulation.checker)
    follower.start()
    assert follower.link is not None
    follower.link.carry([told], 0)
    with pytest.raises(ViolationFound) as found:
        simulation.world.run(0.01)
    assert found.value.violation.checker == "a follower sees the log"
