"""Several systems side by side, of which only the one under load runs.

Idle clusters are not quiet: etcd's and ZooKeeper's heartbeats take 2 to 4 % of a core here, and PySyncObj's polling
most of one. So whoever is not measured is stopped by SIGSTOP and woken for its window; a Java server keeps its
compiled code that way, which a restart for each window would take from it.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path

import trio

from .systems import Cluster, System

_SETTLED_S = 1.0
_ASK_AGAIN_S = 0.1


class Stage:
    """Opened by ``open_stage``; ``on`` lends one system's cluster, awake and with a leader that stays."""

    def __init__(self, folder: Path, replicas: int) -> None:
        self._folder = folder
        self._replicas = replicas
        self._clusters: dict[str, Cluster] = {}
        self._starts = 0

    async def start(self, system: System, stack: AsyncExitStack) -> None:
        """Start a system that stays for the whole comparison, and put it to sleep."""
        if system.needs_fresh_cluster:
            return
        cluster = await stack.enter_async_context(system.running(self._fresh_folder(system), self._replicas))
        self._clusters[system.name] = cluster
        stack.callback(_wake, cluster)
        _sleep(cluster)

    def _fresh_folder(self, system: System) -> Path:
        self._starts += 1
        folder = self._folder / f"{system.name}-{self._starts}"
        folder.mkdir()
        return folder

    @asynccontextmanager
    async def on(self, system: System) -> AsyncIterator[Cluster]:
        """The system's cluster for one window."""
        if system.needs_fresh_cluster:
            async with system.running(self._fresh_folder(system), self._replicas) as cluster:
                yield cluster
            return
        cluster = self._clusters[system.name]
        _wake(cluster)
        try:
            await wait_until_settled(cluster)
            yield cluster
        finally:
            _sleep(cluster)


@asynccontextmanager
async def open_stage(systems: Sequence[System], folder: Path, replicas: int = 3) -> AsyncIterator[Stage]:
    """Start all systems, one after the other, each asleep before the next one starts."""
    async with AsyncExitStack() as stack:
        stage = Stage(folder, replicas)
        for system in systems:
            await stage.start(system, stack)
        yield stage


async def wait_until_settled(cluster: Cluster) -> None:
    """Wait until the same server has led for a second: those that slept may elect anew when they wake."""
    leader, since = await cluster.leader(), trio.current_time()
    while trio.current_time() < since + _SETTLED_S:
        await trio.sleep(_ASK_AGAIN_S)
        if (now_leading := await cluster.leader()) != leader:
            leader, since = now_leading, trio.current_time()


def _sleep(cluster: Cluster) -> None:
    for server in cluster.servers:
        cluster.stop(server)


def _wake(cluster: Cluster) -> None:
    for server in cluster.servers:
        cluster.resume(server)
