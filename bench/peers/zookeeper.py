"""Three ZooKeeper servers as Debian ships them: default settings, every write synced before it is answered."""

from __future__ import annotations

import shutil
import socket
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
from .generators import measure_with, missing_parts, package_version

_GENERATOR = "zookeeper_load"
_JAR = Path("/usr/share/java/zookeeper.jar")
_START_S_MAX = 60.0


@attrs.frozen
class _Server:
    name: str
    address: str
    port: int
    child: Child

    def mode(self) -> str:
        """``leader`` or ``follower``, as the server itself says; empty if it does not answer."""
        try:
            with socket.create_connection((self.address, self.port), timeout=2.0) as connection:
                connection.sendall(b"srvr")
                answer = b"".join(iter(lambda: connection.recv(4096), b"")).decode()
        except OSError:
            return ""
        modes = [line.split(":")[1].strip() for line in answer.splitlines() if line.startswith("Mode:")]
        return modes[0] if modes else ""


class ZooKeeperCluster(Cluster):
    """A running one."""

    def __init__(self, members: list[_Server], folder: Path) -> None:
        self._members = members
        self._folder = folder

    @property
    def servers(self) -> Mapping[str, int]:
        return {member.name: member.child.pid for member in self._members}

    async def leader(self, *, without: str = "") -> str:
        """Ask the servers in turn until all that run have a role and one of them leads."""
        with trio.move_on_after(_START_S_MAX):
            while True:
                running = [member for member in self._members if member.child.is_running and member.name != without]
                modes = {member.name: await trio.to_thread.run_sync(member.mode) for member in running}
                leaders = [name for name, mode in modes.items() if mode == "leader"]
                if leaders and all(modes.values()):
                    return leaders[0]
                await trio.sleep(0.1)
        raise ChildFailed("ZooKeeper: no server leads")

    async def measure(self, plan: LoadPlan, *, during: During | None = None) -> Measurement:
        """Load with the connections spread over all servers, as ZooKeeper's clients spread themselves.

        If the leader is to fail, only over those that stay: how long the cluster needs is wanted, not the session's
        timeout of a client that was connected to it.
        """
        leader = await self.leader() if during else ""
        endpoints = [f"{member.address}:{member.port}" for member in self._members if member.name != leader]
        return await measure_with(
            _GENERATOR, plan, endpoints, self.servers, system="zookeeper", folder=self._folder, during=during
        )


class ZooKeeper(System):
    """ZooKeeper from Debian's ``zookeeper``."""

    name = "zookeeper"
    durability = "fsync on a quorum before the answer"
    asked = "all servers, of which followers pass a put on"
    is_compiled_while_it_runs = True
    settles_s = 3.0  # its leader counts its followers once a tick, two seconds as shipped
    stop_gap_s_max = 20.0  # its servers give a silent leader syncLimit ticks, ten seconds as shipped

    def missing(self) -> str | None:
        if shutil.which("java") is None:
            return "no java here; run bench/peers/install.sh"
        return missing_parts(_JAR, _GENERATOR)

    def version(self) -> str:
        return package_version("zookeeper")

    @asynccontextmanager
    async def running(self, folder: Path, hosts: Sequence[Host]) -> AsyncIterator[ZooKeeperCluster]:
        ensemble = _ensemble_lines(hosts)
        with ExitStack() as stack:
            members = []
            for number, (host, port) in enumerate(zip(hosts, free_ports(len(hosts)), strict=True), start=1):
                name = f"zookeeper{number}"
                configuration = _write_configuration(folder / name, number, f"{host.address}:{port}", ensemble)
                command = [*host.enter, *_server_command(configuration)]
                child = stack.enter_context(started(command, log_path=folder / f"{name}.log"))
                members.append(_Server(name, host.address, port, child))
            cluster = ZooKeeperCluster(members, folder)
            await cluster.leader()
            yield cluster


def _ensemble_lines(hosts: Sequence[Host]) -> str:
    ports = zip(free_ports(len(hosts)), free_ports(len(hosts)), strict=True)
    return "".join(
        f"server.{number}={host.address}:{quorum_port}:{election_port}\n"
        for number, (host, (quorum_port, election_port)) in enumerate(zip(hosts, ports, strict=True), start=1)
    )


def _write_configuration(data: Path, number: int, client: str, ensemble: str) -> Path:
    """The timings of Debian's ``zoo.cfg``; the admin page is off, since three can't share its port."""
    address, port = client.split(":")
    data.mkdir()
    (data / "myid").write_text(f"{number}\n")
    configuration = data / "zoo.cfg"
    configuration.write_text(
        "tickTime=2000\ninitLimit=10\nsyncLimit=5\nadmin.enableServer=false\nmaxClientCnxns=0\n"
        f"dataDir={data}\nclientPort={port}\nclientPortAddress={address}\n{ensemble}"
    )
    return configuration


def _server_command(configuration: Path) -> list[str]:
    return [
        "java",
        "-Dzookeeper.log.dir=" + str(configuration.parent),
        "-cp",
        f"/etc/zookeeper/conf:{_JAR}",
        "-Dlog4j.rootLogger=WARN",
        "-Dzookeeper.root.logger=WARN,CONSOLE",
        "org.apache.zookeeper.server.quorum.QuorumPeerMain",
        str(configuration),
    ]
