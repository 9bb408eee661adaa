"""Our own cluster under measurement: real replica processes with the default settings."""

from __future__ import annotations

import json
import subprocess
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import ExitStack, asynccontextmanager
from pathlib import Path

import trio

import replog

from .child_process import free_ports, python_command, started
from .errors import ChildFailed
from .load.measurement import Measurement
from .load.plan import LoadPlan
from .load.window import During, follow_window
from .systems import LOOPBACK, Cluster, Host, System

_START_S_MAX = 20.0
_CLUSTER_ID = "be" * 16


class ReplogCluster(Cluster):
    """A running one.

    Parameters
    ----------
    endpoints: address of each replica, by its name.
    pids: says which process ids the running ones have.
    folder: where the load generator's words go.
    system: whose it is, in results.
    """

    def __init__(
        self, endpoints: Mapping[str, str], pids: Callable[[], Mapping[str, int]], folder: Path, system: str
    ) -> None:
        self._endpoints = endpoints
        self._pids = pids
        self.folder = folder
        self._system = system

    @property
    def servers(self) -> Mapping[str, int]:
        return self._pids()

    @property
    def endpoints(self) -> list[str]:
        return list(self._endpoints.values())

    async def leader(self, *, without: str = "") -> str:
        """Ask the replicas in turn until one says it leads."""
        with trio.move_on_after(_START_S_MAX):
            while True:
                for name, endpoint in self._endpoints.items():
                    if name != without and name in self.servers and await _is_leading(endpoint):
                        return name
                await trio.sleep(0.02)
        raise ChildFailed("replog: no replica leads")

    async def measure(self, plan: LoadPlan, *, during: During | None = None) -> Measurement:
        """Load from one process with ``plan.connections`` client objects; each finds the leader by itself."""
        words = ["--work", plan.work, "--batch", str(plan.batch), "--rate-per-s", str(plan.rate_per_s)]
        command = python_command("bench.load.generator", *plan.words(self.endpoints), *words)
        with started(command, log_path=self.folder / "load.log", has_pipes=True) as child:
            return await follow_window(
                child, plan, system=self._system, servers=self.servers, is_client_single_threaded=True, during=during
            )


async def _is_leading(endpoint: str) -> bool:
    try:
        async with replog.connect([endpoint]) as client:
            return (await client.status(timeout=0.5)).role == "leader"
    except replog.ReplogError:
        return False


class Replog(System):
    """replog from this tree.

    Parameters
    ----------
    state_machine: ``module:Class`` that the replicas run.
    settings: differences from the defaults, nested as in ``replica.toml``.
    """

    name = "replog"
    durability = "fsync on a quorum before the answer"
    asked = "its leader, which the clients find"

    def __init__(
        self, state_machine: str = "bench.load.put_machine:PutMachine", settings: Mapping[str, object] | None = None
    ) -> None:
        self._state_machine = state_machine
        self._settings = settings or {}

    def missing(self) -> str | None:
        return None

    def version(self) -> str:
        return replog.__version__

    @asynccontextmanager
    async def running(self, folder: Path, hosts: Sequence[Host]) -> AsyncIterator[ReplogCluster]:
        if any(host != LOOPBACK for host in hosts):
            async with self._running_on(folder, hosts) as cluster:
                yield cluster
            return
        async with replog.local_cluster(
            replicas=len(hosts),
            state_machine=self._state_machine,
            data_dir=folder / "replicas",
            settings=self._settings,
        ) as local:
            endpoints = {name: local.endpoint(name) for name in local.nodes}
            yield ReplogCluster(endpoints, lambda: local.pids, folder, self.name)

    @asynccontextmanager
    async def _running_on(self, folder: Path, hosts: Sequence[Host]) -> AsyncIterator[ReplogCluster]:
        """Replicas with addresses of their own, by the commands that an operator uses."""
        ports = free_ports(len(hosts))
        endpoints = {
            f"n{number}": f"{host.address}:{port}"
            for number, (host, port) in enumerate(zip(hosts, ports, strict=True), 1)
        }
        with ExitStack() as stack:
            children = {}
            for host, name in zip(hosts, endpoints, strict=True):
                self._format(folder / name, name, endpoints)
                config = self._write_config(folder, name, endpoints)
                command = [*host.enter, *python_command("replog", "serve", "--config", str(config))]
                children[name] = stack.enter_context(started(command, log_path=folder / f"{name}.log"))
            cluster = ReplogCluster(
                endpoints,
                lambda: {name: child.pid for name, child in children.items() if child.is_running},
                folder,
                self.name,
            )
            await cluster.leader()
            yield cluster

    def _format(self, directory: Path, name: str, endpoints: Mapping[str, str]) -> None:
        members = [word for each, address in endpoints.items() for word in ("--member", f"{each}={address}")]
        words = ["init", str(directory), "--node", name, "--cluster", _CLUSTER_ID, *members]
        done = subprocess.run(python_command("replog", *words), capture_output=True, text=True, check=False)
        if done.returncode:
            raise ChildFailed(f"replog init ended with exit code {done.returncode}: {done.stderr.strip()}")

    def _write_config(self, folder: Path, name: str, endpoints: Mapping[str, str]) -> Path:
        path = folder / f"{name}.toml"
        lines = [f"data_dir = {json.dumps(str(folder / name))}", f'state_machine = "{self._state_machine}"']
        for section, values in self._settings.items():
            assert isinstance(values, Mapping), section
            lines += [f"[{section}]", *(f"{key} = {json.dumps(value)}" for key, value in values.items())]
        lines += ["[members]", *(f'{each} = "{address}"' for each, address in endpoints.items())]
        path.write_text("\n".join([*lines, ""]))
        return path


class ReplogJournal(Replog):
    """The same with the log's journal, which is no default yet."""

    name = "replog-journal"

    def __init__(self) -> None:
        super().__init__(settings={"log": {"journal": True}})


OURS = (Replog.name, ReplogJournal.name)
"""The systems of this tree."""
