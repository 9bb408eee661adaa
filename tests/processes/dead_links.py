"""How long nodes take to find dead links, where packets vanish and no kernel says so:
``python -m tests.processes.dead_links [LINKS [CUTS [SECONDS]]]``, as root.

One cluster of three machines (network namespaces). First what the links there are carry vanishes, one link at a time,
while a new one is sound, as where a node has moved or a firewall has forgotten a connection: how long until both ends
have a new link. Then no node hears another one for SECONDS, with a caller waiting: how long after that until it is
answered; and the same with the client cut off as well.
"""

from __future__ import annotations

import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from datetime import datetime
from itertools import combinations, cycle, islice
from pathlib import Path

import trio

from replog import Client, LocalCluster

from .load import said
from .namespaces import Network, missing, namespace_cluster, run_inside

APART_S = 1.0
WAIT_S = 300.0


def newest(cluster: LocalCluster, number: int, event: str, peer: int) -> float:
    """When a node last logged this of a peer, in seconds since the epoch; 0 if never."""
    times = [
        datetime.fromisoformat(line["timestamp"]).timestamp()
        for line in said(cluster, f"n{number}")
        if line["event"] == event and line["peer"] == f"n{peer}"
    ]
    return max(times, default=0.0)


async def lose(cluster: LocalCluster, network: Network, dialler: int, dialled: int) -> tuple[float, float]:
    """One link goes dead; after how many seconds an end has noticed, and both have a new one."""
    ends = ((dialler, dialled), (dialled, dialler))
    began_s = time.time()
    network.swallow(dialler, dialled)
    with trio.fail_after(WAIT_S):
        while min(newest(cluster, *end[:1], "peer_connected", end[1]) for end in ends) < began_s:  # noqa: ASYNC110
            await trio.sleep(0.02)
    noticed_s = [newest(cluster, one, "peer_disconnected", other) for one, other in ends]
    connected_s = [newest(cluster, one, "peer_connected", other) for one, other in ends]
    await trio.sleep(APART_S)
    network.heal()
    return min(noticed_s) - began_s, max(connected_s) - began_s


async def cut(client: Client, network: Network, begin: Callable[[], None], seconds: float) -> float:
    """Everybody is cut off for so long, while a command waits; how long it waits after that."""
    answered_s = 0.0

    async def call() -> None:
        nonlocal answered_s
        await client.submit(b"waits", timeout=seconds + WAIT_S)
        answered_s = time.perf_counter()

    async with trio.open_nursery() as nursery:
        begin()
        await trio.sleep(0.1)
        nursery.start_soon(call)
        await trio.sleep(seconds)
        network.heal()
        healed_s = time.perf_counter()
    return answered_s - healed_s


def told(what: str, values_s: list[float]) -> None:
    print(f"{what}: median {statistics.median(values_s):.2f} s, longest {max(values_s):.2f} s, of {len(values_s)}")


async def measure(network: Network, folder: Path, links: int, cuts: int, seconds: float) -> None:
    async with namespace_cluster(folder, network) as cluster, cluster.client(name="dead links") as client:
        await client.submit(b"begins")
        await trio.sleep(APART_S)
        found = [await lose(cluster, network, *pair) for pair in islice(cycle(combinations(network.numbers, 2)), links)]
        if found:
            told("a dead link is noticed", [noticed_s for noticed_s, _ in found])
            told("a dead link is made anew", [connected_s for _, connected_s in found])
        for what, begin in (("nodes", network.isolate), ("nodes and client", network.cut_off)):
            waits_s = []
            for number in range(1, cuts + 1):
                waits_s.append(await cut(client, network, begin, seconds))
                print(f"{what} cut off, {number}/{cuts}: {waits_s[-1]:.2f} s", file=sys.stderr)
                await trio.sleep(APART_S)
            if waits_s:
                told(f"first answer after {what} were cut off for {seconds:.0f} s", waits_s)


def main(links: int = 20, cuts: int = 3, seconds: float = 90.0) -> None:
    if reason := missing():
        sys.exit(reason)
    network = Network()
    with tempfile.TemporaryDirectory(prefix="replog-", dir="/var/tmp", ignore_cleanup_errors=True) as folder:
        try:
            network.build()
            run_inside(network, lambda: measure(network, Path(folder), links, cuts, seconds))
        finally:
            network.destroy()


if __name__ == "__main__":
    main(*(int(word) for word in sys.argv[1:]))
