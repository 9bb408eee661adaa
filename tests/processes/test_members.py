"""Real processes whose members change under load: every acknowledged command is there, once, on those that are left."""

from __future__ import annotations

from pathlib import Path

import pytest
import trio

from replog import LocalCluster, local_cluster
from replog.errors import ReplogError

from .load import DEADLINE_S, MACHINE, Load, check, load

pytestmark = [pytest.mark.processes, pytest.mark.xdist_group("processes")]


async def change(cluster: LocalCluster, voters: list[str], learners: list[str]) -> None:
    """A change that waits for newcomers to catch up."""
    async with cluster.client() as client:
        await client.change_members(voters, learners, timeout=DEADLINE_S)


async def end(cluster: LocalCluster, *names: str) -> None:
    for name in names:
        cluster.kill(name)
        await cluster.wait_ended(name)


async def test_one_process_grows_to_five(tmp_path: Path) -> None:
    """By two at a time, under load that never fails; a client that has stayed with its leader knows no newcomer, so
    that one is not among the two that are lost."""
    async with (
        local_cluster(state_machine=MACHINE, replicas=1, data_dir=tmp_path) as cluster,
        load(cluster) as the_load,
    ):
        voters = ["n1"]
        for _ in range(2):
            newcomers = [await cluster.join(), await cluster.join()]
            voters += newcomers
            await change(cluster, voters, [])
            await the_load.goes_on()
        assert voters == ["n1", "n2", "n3", "n4", "n5"]
        leader = await cluster.leader()
        await end(cluster, *[name for name in voters if name != leader][:2])
        await the_load.goes_on()
        await checked(cluster, the_load)


async def test_all_processes_are_replaced(tmp_path: Path) -> None:
    """{1,2,3} -> {4,5,6} in one step; the client was given the founders, which are gone for good."""
    async with local_cluster(state_machine=MACHINE, data_dir=tmp_path) as cluster, load(cluster) as the_load:
        newcomers = [await cluster.join() for _ in range(3)]
        await change(cluster, newcomers, [])
        await the_load.goes_on()
        await end(cluster, "n1", "n2", "n3")
        await the_load.goes_on(300)
        for name in newcomers:
            await end(cluster, name)
            await cluster.start(name)
        await the_load.goes_on()
        await checked(cluster, the_load)


async def test_a_dead_process_is_replaced(tmp_path: Path) -> None:
    """Its disk is lost: a newcomer takes its place in one step, and the cluster survives another loss."""
    async with local_cluster(state_machine=MACHINE, data_dir=tmp_path) as cluster, load(cluster) as the_load:
        dead = await cluster.leader()
        await end(cluster, dead)
        left = [name for name in ("n1", "n2", "n3") if name != dead]
        await the_load.goes_on()
        newcomer = await cluster.join()
        await change(cluster, [*left, newcomer], [])
        await end(cluster, left[0])
        await the_load.goes_on()
        await checked(cluster, the_load)


async def checked(cluster: LocalCluster, the_load: Load) -> None:
    """No call of the load has failed, and what it was told is so, on every process that runs."""
    errors: list[ReplogError] = the_load.errors
    assert not errors, errors[:3]
    acknowledged = Load(the_load.client)
    acknowledged.acknowledged = list(the_load.acknowledged)
    with trio.fail_after(DEADLINE_S):
        await check(cluster, acknowledged)
