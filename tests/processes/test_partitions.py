"""Nodes that can't hear each other, both ways or one way: commands go on where a quorum is reached, without duels."""

from __future__ import annotations

from pathlib import Path

import pytest

from replog import LocalCluster

from .load import check, load, status_of
from .namespaces import Network, namespace_cluster, run_inside

pytestmark = [pytest.mark.processes, pytest.mark.network_namespace, pytest.mark.xdist_group("processes")]

COMMANDS_DURING_CUT = 3_000
LEADER_CHANGES_MAX = 3

BOTH_WAYS_LEADER_ONE = (("leader", "one"), ("one", "leader"))
BOTH_WAYS_LEADER_OTHER = (("leader", "other"), ("other", "leader"))
BOTH_WAYS_ONE_OTHER = (("one", "other"), ("other", "one"))

CUTS: dict[str, tuple[tuple[str, str], ...]] = {
    "the leader from everybody": (*BOTH_WAYS_LEADER_ONE, *BOTH_WAYS_LEADER_OTHER),
    "the leader from one follower": BOTH_WAYS_LEADER_ONE,
    "the followers from each other": BOTH_WAYS_ONE_OTHER,
    "one follower from everybody": (*BOTH_WAYS_LEADER_ONE, *BOTH_WAYS_ONE_OTHER),
    "the leader hears nobody": (("leader", "one"), ("leader", "other")),
    "nobody hears the leader": (("one", "leader"), ("other", "leader")),
    "the leader does not hear one follower": (("leader", "one"),),
    "one follower does not hear the leader": (("one", "leader"),),
}
"""Who does not hear whom: the leader, one follower, the other."""


async def elections(cluster: LocalCluster) -> int:
    """How often a node has come to lead, over all nodes."""
    return sum([(await status_of(cluster, name)).counters["times_leader"] for name in cluster.nodes])


@pytest.mark.parametrize("cut", CUTS)
def test_commands_go_on_while_a_quorum_can_be_reached(tmp_path: Path, network: Network, cut: str) -> None:
    """No command is lost or doubled, leaders change a few times at most, and all are equal when it is healed."""

    async def program() -> None:
        async with namespace_cluster(tmp_path, network) as cluster:
            async with load(cluster) as the_load:
                leader = int((await cluster.leader())[1:])
                one, other = (number for number in network.numbers if number != leader)
                roles = {"leader": leader, "one": one, "other": other}
                before = await elections(cluster)
                for deaf, unheard in CUTS[cut]:
                    network.deafen(roles[deaf], to=roles[unheard])
                await the_load.goes_on(COMMANDS_DURING_CUT)
                network.heal()
                await the_load.goes_on(200)
                assert await elections(cluster) - before <= LEADER_CHANGES_MAX
            await check(cluster, the_load)

    run_inside(network, program)
