"""Three PySyncObj nodes: everything in memory, the callers inside a node's process, batches sent each millisecond.

That is the library at its best: no client connection to pay for, and nothing ever written to disk.
"""

from __future__ import annotations

import importlib.metadata
import importlib.util
import json
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import ExitStack, asynccontextmanager
from pathlib import Path

import attrs
import trio

from ..child_process import Child, free_ports, python_command, started
from ..errors import ChildFailed
from ..load.measurement import Measurement
from ..load.plan import LoadPlan
from ..load.window import During, follow_window
from ..systems import Cluster, Host, System

_START_S_MAX = 30.0


class PySyncObjCluster(Cluster):
    """A running one; each node answers ``role`` and ``load`` on its stdin."""

    def __init__(self, nodes: Mapping[str, Child]) -> None:
        self._nodes = nodes
        self._loading = ""

    @property
    def servers(self) -> Mapping[str, int]:
        return {name: child.pid for name, child in self._nodes.items()}

    async def leader(self, *, without: str = "") -> str:
        """Ask the nodes in turn until one says it leads.

        Raises ``ChildFailed`` at once if it must be the one that the callers live in, which can't be asked.
        """
        with trio.move_on_after(_START_S_MAX):
            while True:
                for name, child in self._nodes.items():
                    if name not in (self._loading, without) and child.is_running and await _is_leading(child):
                        return name
                if self._loading:
                    raise ChildFailed(f"PySyncObj: no node but {self._loading} can lead, and the callers live in it")
                await trio.sleep(0.1)
        raise ChildFailed("PySyncObj: no node leads")

    async def measure(self, plan: LoadPlan, *, during: During | None = None) -> Measurement:
        """Load from inside the leader, its fastest place; from inside a follower if the leader is to be killed."""
        leader = await self.leader()
        followers = [name for name, child in self._nodes.items() if name != leader and child.is_running]
        self._loading = followers[0] if during else leader
        caller = self._nodes[self._loading]
        caller.say(json.dumps({"do": "load", "plan": attrs.asdict(plan)}))
        try:
            return await follow_window(
                caller, plan, system="pysyncobj", servers=self.servers, is_client_apart=False, during=during
            )
        finally:
            self._loading = ""


async def _is_leading(child: Child) -> bool:
    child.say(json.dumps({"do": "role"}))
    async for line in child.lines():
        return bool(json.loads(line)["is_leading"])
    return False


class PySyncObj(System):
    """PySyncObj from PyPI."""

    name = "pysyncobj"
    durability = "none: memory only, never synced"
    asked = "its leader, from inside its process"
    needs_fresh_cluster = True  # its log stays in one list: a tenth of the speed after ten seconds of load

    def missing(self) -> str | None:
        if importlib.util.find_spec("pysyncobj") is None:
            return "pysyncobj is not installed; `make env` installs it"
        return None

    def version(self) -> str:
        return importlib.metadata.version("pysyncobj")

    @asynccontextmanager
    async def running(self, folder: Path, hosts: Sequence[Host]) -> AsyncIterator[PySyncObjCluster]:
        addresses = [f"{host.address}:{port}" for host, port in zip(hosts, free_ports(len(hosts)), strict=True)]
        with ExitStack() as stack:
            nodes = {}
            for number, (host, address) in enumerate(zip(hosts, addresses, strict=True), start=1):
                name = f"pysyncobj{number}"
                others = [each for each in addresses if each != address]
                command = [*host.enter, *python_command("bench.peers.pysyncobj_node", address, *others)]
                nodes[name] = stack.enter_context(started(command, log_path=folder / f"{name}.log", has_pipes=True))
            cluster = PySyncObjCluster(nodes)
            await cluster.leader()
            yield cluster
