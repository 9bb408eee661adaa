"""Our own cluster under measurement: real replica processes on loopback, with the default settings."""

from __future__ import annotations

import importlib.metadata
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path

import replog

from .child_process import python_command, started
from .load_window import During, follow_window
from .measurement import Measurement
from .plan import LoadPlan
from .systems import Cluster, System


class ReplogCluster(Cluster):
    """A running one.

    Parameters
    ----------
    local: the cluster as ``replog.local_cluster`` gives it.
    folder: where the load generator's words go.
    """

    def __init__(self, local: replog.LocalCluster, folder: Path) -> None:
        self.local = local
        self._folder = folder

    @property
    def servers(self) -> Mapping[str, int]:
        return self.local.pids

    @property
    def endpoints(self) -> list[str]:
        return list(self.local.endpoints)

    async def leader(self) -> str:
        return await self.local.leader()

    async def measure(self, plan: LoadPlan, *, during: During | None = None) -> Measurement:
        """Load from one process with ``plan.connections`` client objects; each finds the leader by itself."""
        words = ["--work", plan.work, "--batch", str(plan.batch), "--rate-per-s", str(plan.rate_per_s)]
        command = python_command("bench.load", *plan.words(self.endpoints), *words)
        with started(command, log_path=self._folder / "load.log", has_pipes=True) as child:
            return await follow_window(
                child, plan, system="replog", servers=self.servers, is_client_single_threaded=True, during=during
            )


class Replog(System):
    """replog from this tree.

    Parameters
    ----------
    state_machine: ``module:Class`` that the replicas run.
    """

    name = "replog"
    durability = "fsync on a quorum before the answer"

    def __init__(self, state_machine: str = "bench.put_machine:PutMachine") -> None:
        self._state_machine = state_machine

    def missing(self) -> str | None:
        return None

    def version(self) -> str:
        return importlib.metadata.version("replog")

    @asynccontextmanager
    async def running(self, folder: Path, replicas: int = 3) -> AsyncIterator[ReplogCluster]:
        data = folder / "replicas"
        async with replog.local_cluster(replicas=replicas, state_machine=self._state_machine, data_dir=data) as local:
            yield ReplogCluster(local, folder)
