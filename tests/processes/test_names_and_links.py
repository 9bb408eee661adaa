"""Real replica processes that are known by slow names, or do not hear each other, and what ``replog status`` says."""

from __future__ import annotations

import shutil
import signal
from collections.abc import Callable
from contextlib import AsyncExitStack
from pathlib import Path

import pytest
import trio

from replog import LocalCluster, local_cluster
from replog.cli.cluster_report import ClusterReport
from replog.cli.survey import survey
from replog.directory.layout import format_directory, read_identity
from replog.paxos.ballot import NodeId, parse_node
from replog.ports import free_ports

from .load import DEADLINE_S, MACHINE, has_said
from .slow_names import DOMAIN, SLOW_S

pytestmark = [pytest.mark.processes, pytest.mark.xdist_group("processes")]


async def looked(cluster: LocalCluster, until: Callable[[ClusterReport], bool]) -> ClusterReport:
    """The first report that is as it should be, or the last one."""
    report = await survey(cluster.endpoints, timeout_s=2.0)
    with trio.move_on_after(DEADLINE_S):
        while not until(report):
            report = await survey(cluster.endpoints, timeout_s=2.0)
    return report


def is_healthy(report: ClusterReport) -> bool:
    return report.verdict == "healthy"


class NamedCluster(LocalCluster):
    """Nodes that know each other by names."""

    def _config_text(self, name: str) -> str:
        text = super()._config_text(name)
        for other in self.nodes:
            address = self.endpoint(other)
            text = text.replace(f'{other} = "{address}"', f'{other} = "{address.replace("127.0.0.1", other + DOMAIN)}"')
        return f'bind = "{self.endpoint(name)}"\n{text}'


async def test_nodes_whose_names_are_looked_up_slowly_elect_a_leader(tmp_path: Path) -> None:
    """A lookup takes longer than a dial; it is waited for all the same, and a lost leader is replaced without one."""
    members = {NodeId(number): f"127.0.0.1:{port}" for number, port in enumerate(free_ports(3), 1)}
    settings = {"transport": {"dial_timeout_s": SLOW_S / 4}}
    cluster = NamedCluster(tmp_path, members, "tests.processes.slow_names:Ledger", settings)
    cluster._format()
    async with AsyncExitStack() as stack:
        stack.callback(cluster._end_all)
        for name in cluster.nodes:
            cluster._spawn(name)
        await cluster.wait_until_serving()
        assert (await looked(cluster, is_healthy)).verdict == "healthy"
        async with cluster.client() as client:
            await client.submit(b"one", timeout=DEADLINE_S)
            victim = await cluster.leader()
            cluster.kill(victim)
            await client.submit(b"two", timeout=DEADLINE_S)
            await cluster.start(victim)
        assert (await looked(cluster, is_healthy)).verdict == "healthy"


async def test_a_missing_link_is_named_and_counted(tmp_path: Path) -> None:
    """n1 has a wrong address for n3: all are up, and only n2 could lead without one of the others."""
    async with local_cluster(state_machine=MACHINE, data_dir=tmp_path) as cluster:
        assert (await looked(cluster, is_healthy)).summary.endswith("writes OK, survives 1 failure")
        await cluster.stop("n1")
        config = tmp_path / "n1.toml"
        (nobody,) = free_ports(1)
        config.write_text(config.read_text().replace(cluster.endpoint("n3"), f"127.0.0.1:{nobody}"))
        await cluster.start("n1")
        report = await looked(cluster, lambda report: report.can_write and len(report.gaps) == 1)
    assert (report.verdict, report.can_write, report.failures_survived) == ("degraded", True, 0)
    assert "3 of 3 voters up" in report.summary
    assert "one more failure stops writes, n1 and n3 do not hear each other" in report.summary
    assert any("n1 and n3 do not hear each other: connection refused" in step for step in report.next_steps)


async def test_a_node_that_was_formatted_anew_is_cut_off(tmp_path: Path) -> None:
    """It is up and is refused; the verdict says so, with the reason, and counts it out."""
    async with local_cluster(state_machine=MACHINE, data_dir=tmp_path) as cluster:
        async with cluster.client() as client:
            await client.submit(b"one", timeout=DEADLINE_S)
        await looked(cluster, is_healthy)
        victim = next(name for name in cluster.nodes if name != "n1")
        await cluster.stop(victim)
        directory = cluster.data_dir(victim)
        identity = read_identity(directory)
        assert identity is not None
        shutil.rmtree(directory)
        node = NodeId(parse_node(victim))
        format_directory(directory, node=node, cluster=identity.cluster, membership=identity.membership)
        await cluster.start(victim)
        report = await looked(cluster, lambda report: report.can_write and len(report.gaps) == 2)
    assert (report.verdict, report.failures_survived) == ("degraded", 0)
    assert f"{victim} is cut off from " in report.summary
    assert any(f"{victim} has another incarnation" in step for step in report.next_steps)


async def test_a_hangup_is_an_orderly_end(tmp_path: Path) -> None:
    """A terminal that is closed ends a node as SIGTERM does, though more than one hangup may come of it."""
    async with local_cluster(state_machine=MACHINE, data_dir=tmp_path) as cluster:
        leader = await cluster.leader()
        for _ in range(3):
            cluster.kill(leader, signal.SIGHUP)
        assert await cluster.wait_ended(leader) == 0
        await has_said(cluster, leader, "stopping", "SIGHUP")
        await has_said(cluster, leader, "stopped", "applied_through")
        assert await cluster.leader() != leader
