"""Packets between nodes vanish and no kernel says so: the nodes notice it themselves, from both ends."""

from __future__ import annotations

from itertools import combinations
from pathlib import Path

import pytest
import trio

from replog import LocalCluster

from .load import DEADLINE_S, check, has_said, load, said
from .namespaces import Network, namespace_cluster, run_inside

pytestmark = [pytest.mark.processes, pytest.mark.network_namespace, pytest.mark.xdist_group("processes")]

LONG_S = 8.0
"""Longer than a silence may last; by then the kernel leaves ever longer pauses between its attempts."""


def peers_named(cluster: LocalCluster, number: int, event: str) -> list[str]:
    """The peers of which a node has logged this, in order."""
    return [line["peer"] for line in said(cluster, f"n{number}") if line["event"] == event]


def test_a_link_whose_packets_vanish_is_given_up_and_made_anew(tmp_path: Path, network: Network) -> None:
    """By the node that notices first; the kernel alone would try for a quarter of an hour."""

    async def program() -> None:
        async with namespace_cluster(tmp_path, network) as cluster:
            async with load(cluster) as the_load:
                for dialler, dialled in combinations(network.numbers, 2):
                    dead = network.swallow(dialler, dialled)
                    assert dead
                    with trio.fail_after(DEADLINE_S):
                        while not network.ports(dialler, dialled) - dead:  # noqa: ASYNC110 - the kernel's sockets
                            await trio.sleep(0.05)
                    noticed = [
                        peers_named(cluster, dialler, "peer_silent").count(f"n{dialled}"),
                        peers_named(cluster, dialled, "peer_silent").count(f"n{dialler}"),
                    ]
                    assert any(noticed), "the kernel gave the link up before either node did"
                    await the_load.goes_on(200)
                    for one, other in ((dialler, dialled), (dialled, dialler)):
                        assert peers_named(cluster, one, "peer_connected").count(f"n{other}") >= 2
            await check(cluster, the_load)

    run_inside(network, program)


@pytest.mark.parametrize("is_client_cut", [False, True], ids=["nodes", "nodes and client"])
def test_after_a_long_cut_without_a_word_commands_go_on(tmp_path: Path, network: Network, is_client_cut: bool) -> None:
    """All links are dead by then, and all are new when packets pass again."""

    async def program() -> None:
        async with namespace_cluster(tmp_path, network) as cluster:
            async with load(cluster) as the_load:
                (network.cut_off if is_client_cut else network.isolate)()
                await trio.sleep(LONG_S)
                network.heal()
                await the_load.goes_on(200)
                for number in network.numbers:
                    others = {f"n{other}" for other in network.numbers if other != number}
                    assert set(peers_named(cluster, number, "peer_silent")) == others
            await check(cluster, the_load)

    run_inside(network, program)


def test_a_link_that_is_dead_one_way_is_closed_by_the_end_that_hears_nothing(tmp_path: Path, network: Network) -> None:
    """The other end hears of it, and the link is made anew when it carries both ways again."""

    async def program() -> None:
        async with namespace_cluster(tmp_path, network) as cluster:
            async with load(cluster) as the_load:
                network.deafen(2, to=1)
                await has_said(cluster, "n2", "peer_silent", "n1")
                await has_said(cluster, "n1", "peer_disconnected", "n2")
                network.heal()
                before = peers_named(cluster, 1, "peer_connected").count("n2")
                with trio.fail_after(DEADLINE_S):
                    while peers_named(cluster, 1, "peer_connected").count("n2") <= before:  # noqa: ASYNC110 - a log
                        await trio.sleep(0.05)
                await the_load.goes_on(200)
            await check(cluster, the_load)

    run_inside(network, program)
