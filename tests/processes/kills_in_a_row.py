"""How long callers wait when leaders are killed in a row: ``python -m tests.processes.kills_in_a_row [KILLS]``.

One cluster all along, 64 callers over one client. Each leader is killed with SIGKILL under load and started again, and
shortly after that the next one is killed. Prints the longest time without any answer, a kill at a time and in all.
"""

from __future__ import annotations

import statistics
import sys
import time
from itertools import count

import trio

from replog import Client, LocalCluster, local_cluster

from .load import MACHINE

CALLERS = 64
APART_S = 0.6


class Gap:
    """The longest time between two answers since ``begin``."""

    def __init__(self) -> None:
        self.begin()

    def begin(self) -> None:
        self.longest_s = 0.0
        self._last = time.perf_counter()

    def answered(self) -> None:
        now = time.perf_counter()
        self.longest_s = max(self.longest_s, now - self._last)
        self._last = now


async def call(client: Client, name: str, gap: Gap) -> None:
    for number in count():
        await client.submit(f"{name}-{number}".encode(), timeout=60.0)
        gap.answered()


async def kill(cluster: LocalCluster, gap: Gap) -> float:
    """One kill; returns the gap in ms when the node is back."""
    leader = await cluster.leader()
    gap.begin()
    cluster.kill(leader)
    await cluster.wait_ended(leader)
    await trio.sleep(APART_S)
    gap_ms = gap.longest_s * 1e3
    await cluster.start(leader)
    await trio.sleep(APART_S)
    return gap_ms


async def run(kills: int) -> None:
    gap = Gap()
    gaps_ms = []
    async with (
        local_cluster(state_machine=MACHINE) as cluster,
        cluster.client(name="kills") as client,
        trio.open_nursery() as nursery,
    ):
        for number in range(CALLERS):
            nursery.start_soon(call, client, f"c{number}", gap)
        await trio.sleep(1.0)
        for number in range(1, kills + 1):
            gaps_ms.append(await kill(cluster, gap))
            print(f"kill {number}/{kills}: {gaps_ms[-1]:.0f} ms", file=sys.stderr)
        nursery.cancel_scope.cancel()
    p90 = statistics.quantiles(gaps_ms, n=10)[-1]
    print(f"median {statistics.median(gaps_ms):.0f} ms, p90 {p90:.0f} ms, longest {max(gaps_ms):.0f} ms")


if __name__ == "__main__":
    trio.run(run, int(sys.argv[1]) if len(sys.argv) > 1 else 50)
