"""Load on a cluster of processes, and the one checker: what was acknowledged is applied once, everywhere."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from itertools import count
from typing import Any

import trio

from replog import Client, LocalCluster, NodeStatus, connect
from replog.client import ask_status
from replog.errors import ReplogError

MACHINE = "tests.processes.ledger_machine:Ledger"
DEADLINE_S = 60.0
CALLERS = 16
ASKED_AT_ONCE = 1_000


class Load:
    """Callers that submit one id after the other until they are stopped; ids are never used twice."""

    def __init__(self, client: Client) -> None:
        self.client = client
        self.acknowledged: list[bytes] = []
        self.errors: list[ReplogError] = []

    async def run_caller(self, name: str) -> None:
        for number in count():
            payload = f"{name}-{number}".encode()
            try:
                receipt = await self.client.submit(payload, timeout=DEADLINE_S)
            except ReplogError as error:
                self.errors.append(error)
                continue
            assert receipt.reply == b"1", (payload, receipt)
            self.acknowledged.append(payload)

    async def goes_on(self, commands: int = 100) -> None:
        """Wait until so many more are acknowledged."""
        goal = len(self.acknowledged) + commands
        with trio.move_on_after(DEADLINE_S):
            while len(self.acknowledged) < goal:  # noqa: ASYNC110 - other processes: there is no event to wait for
                await trio.sleep(0.01)
            return
        raise AssertionError(f"no {commands} commands more within {DEADLINE_S:.0f} s; errors: {self.errors[-3:]}")


@asynccontextmanager
async def load(cluster: LocalCluster, *, callers: int = CALLERS, name: str = "load") -> AsyncIterator[Load]:
    """Load while the block lasts, by one client of all nodes that retries; no call may fail."""
    async with cluster.client(name=name) as client, trio.open_nursery() as nursery:
        the_load = Load(client)
        for number in range(callers):
            nursery.start_soon(the_load.run_caller, f"{name}{number}")
        await the_load.goes_on()
        yield the_load
        nursery.cancel_scope.cancel()
    assert not the_load.errors, the_load.errors[:3]


async def status_of(cluster: LocalCluster, name: str) -> NodeStatus:
    return await ask_status(cluster.endpoint(name), timeout=DEADLINE_S)


async def settled(cluster: LocalCluster, *names: str) -> list[NodeStatus]:
    """Wait until the nodes (all that run) stand at one slot with one digest; a difference at one slot is an error."""
    names = names or tuple(cluster.pids)
    with trio.fail_after(DEADLINE_S):
        while True:
            found = [await status_of(cluster, name) for name in names]
            digests: dict[int, set[str]] = {}
            for status in found:
                digests.setdefault(status.applied_through, set()).add(status.digest)
            assert all(len(equal) == 1 for equal in digests.values()), found
            if len(digests) == 1:
                return found
            await trio.sleep(0.05)


async def check(cluster: LocalCluster, *loads: Load) -> None:
    """Every acknowledged command was applied once on every replica that runs, and nothing was applied twice."""
    acknowledged = [payload for the_load in loads for payload in the_load.acknowledged]
    assert acknowledged
    await settled(cluster)
    for name in cluster.pids:
        async with connect([cluster.endpoint(name)]) as client:
            assert await client.query(b"doubled", consistency="stale") == b"0", name
            total = int(await client.query(b"total", consistency="stale"))
            assert total >= len(acknowledged), name
            for first in range(0, len(acknowledged), ASKED_AT_ONCE):
                asked = acknowledged[first : first + ASKED_AT_ONCE]
                counts = (await client.query(b" ".join(asked), consistency="stale")).split()
                wrong = [pair for pair in zip(asked, counts, strict=True) if pair[1] != b"1"]
                assert not wrong, (name, wrong[:5])


def said(cluster: LocalCluster, name: str) -> list[dict[str, Any]]:
    """The log lines of a node."""
    lines = cluster.log_path(name).read_text().splitlines()
    return [json.loads(line) for line in lines if line.startswith("{")]


async def has_said(cluster: LocalCluster, name: str, event: str, text: str) -> None:
    """Wait until a node has logged this event with this text in it."""
    with trio.move_on_after(DEADLINE_S):
        while not _has_said(cluster, name, event, text):  # noqa: ASYNC110 - as above
            await trio.sleep(0.05)
        return
    raise AssertionError(f"{name} never said {event} with {text!r}: {said(cluster, name)[-10:]}")


def _has_said(cluster: LocalCluster, name: str, event: str, text: str) -> bool:
    return any(line["event"] == event and text in str(line) for line in said(cluster, name))
