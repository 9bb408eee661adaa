"""Several clusters side by side, of which only the one under load runs.

Idle clusters are not quiet: etcd's and ZooKeeper's heartbeats take 2 to 4 % of a core here, and PySyncObj's polling
most of one. So whoever is not measured is stopped by SIGSTOP and woken for its window; a Java server keeps its
compiled code that way, which a restart for each window would take from it.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path

import attrs
import trio

from .systems import LOOPBACK, Cluster, Host, System

_ASK_AGAIN_S = 0.1

Prepare = Callable[[Cluster], Awaitable[None]]


async def nothing(_cluster: Cluster) -> None:
    """Most clusters are measured as they start."""


@attrs.frozen(eq=False)
class Setup:
    """One cluster that is to be measured.

    Parameters
    ----------
    prepare: done to it once, after it started: fill it, say.
    """

    system: System
    replicas: int = 3
    prepare: Prepare = nothing

    @property
    def hosts(self) -> list[Host]:
        return [LOOPBACK] * self.replicas


class Stage:
    """Opened by ``open_stage``; ``on`` lends one cluster, awake and with a leader that stays."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._clusters: dict[Setup, Cluster] = {}
        self._starts = 0

    async def start(self, setup: Setup, stack: AsyncExitStack) -> None:
        """Start a cluster that stays as long as the stage, and put it to sleep."""
        if setup.system.needs_fresh_cluster:
            return
        cluster = await stack.enter_async_context(setup.system.running(self._fresh_folder(setup), setup.hosts))
        self._clusters[setup] = cluster
        stack.callback(_wake, cluster)
        await setup.prepare(cluster)
        _sleep(cluster)

    def _fresh_folder(self, setup: Setup) -> Path:
        self._starts += 1
        folder = self._folder / f"{setup.system.name}-{self._starts}"
        folder.mkdir()
        return folder

    @asynccontextmanager
    async def on(self, setup: Setup) -> AsyncIterator[Cluster]:
        """The cluster for one window."""
        if setup.system.needs_fresh_cluster:
            async with setup.system.running(self._fresh_folder(setup), setup.hosts) as cluster:
                await setup.prepare(cluster)
                yield cluster
            return
        cluster = self._clusters[setup]
        _wake(cluster)
        try:
            await wait_until_settled(cluster, setup.system.settles_s)
            yield cluster
        finally:
            _sleep(cluster)


@asynccontextmanager
async def open_stage(setups: Sequence[Setup], folder: Path) -> AsyncIterator[Stage]:
    """Start all clusters, one after the other, each asleep before the next one starts."""
    async with AsyncExitStack() as stack:
        stage = Stage(folder)
        for setup in setups:
            await stage.start(setup, stack)
        yield stage


async def wait_until_settled(cluster: Cluster, seconds: float) -> None:
    """Wait until the same server has led for so long: those that slept may elect anew when they wake."""
    leader, since = await cluster.leader(), trio.current_time()
    while trio.current_time() < since + seconds:
        await trio.sleep(_ASK_AGAIN_S)
        if (now_leading := await cluster.leader()) != leader:
            leader, since = now_leading, trio.current_time()


def _sleep(cluster: Cluster) -> None:
    for server in cluster.servers:
        cluster.stop(server)


def _wake(cluster: Cluster) -> None:
    for server in cluster.servers:
        cluster.resume(server)
