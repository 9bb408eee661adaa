"""A cluster whose nodes are machines of their own, as far as the network goes: a namespace each, joined by a bridge.

Everything is inside namespaces made here, so the machine's own network is not touched. The test's program runs in the
bridge's namespace and always reaches every node; what nodes hear of each other is cut with nftables, one way or both.
"""

from __future__ import annotations

import ctypes
import os
import shutil
import subprocess
import threading
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import trio

from replog.local_cluster import LocalCluster
from replog.paxos.ballot import NodeId

from .load import MACHINE

PORT = 7101
_CLONE_NEWNET = 0x40000000
_libc = ctypes.CDLL(None, use_errno=True)


def missing() -> str:
    """Empty, or why namespaces can't be made here."""
    if os.geteuid() != 0:
        return "needs root"
    for tool in ("ip", "nft"):
        if shutil.which(tool) is None:
            return f"needs the command {tool}"
    probe = f"replog-probe-{os.getpid()}"
    try:
        _run("ip", "netns", "add", probe)
        try:
            _run("ip", "netns", "exec", probe, "nft", "add", "table", "inet", "probe")
        finally:
            _run("ip", "netns", "delete", probe)
    except subprocess.CalledProcessError as error:
        return f"can't make a network namespace: {error.stderr.strip()}"
    return ""


def _run(*words: str) -> str:
    return subprocess.run(words, check=True, capture_output=True, text=True).stdout


def address(number: int) -> str:
    return f"10.77.0.{number}"


class Network:
    """Three machines and a bridge."""

    def __init__(self) -> None:
        self._prefix = f"replog-{os.getpid()}"
        self.numbers = (1, 2, 3)

    @property
    def bridge(self) -> str:
        return f"{self._prefix}-bridge"

    def machine(self, number: int) -> str:
        return f"{self._prefix}-{number}"

    def build(self) -> None:
        bridge = self.bridge
        _run("ip", "netns", "add", bridge)
        _run("ip", "-n", bridge, "link", "add", "bridge", "type", "bridge")
        _run("ip", "-n", bridge, "addr", "add", f"{address(100)}/24", "dev", "bridge")
        _run("ip", "-n", bridge, "link", "set", "bridge", "up")
        for number in self.numbers:
            machine = self.machine(number)
            _run("ip", "netns", "add", machine)
            _run("ip", "-n", machine, "link", "set", "lo", "up")
            _run(
                "ip",
                "-n",
                machine,
                "link",
                "add",
                "wire",
                "type",
                "veth",
                "peer",
                "name",
                f"n{number}",
                "netns",
                bridge,
            )
            _run("ip", "-n", machine, "addr", "add", f"{address(number)}/24", "dev", "wire")
            _run("ip", "-n", machine, "link", "set", "wire", "up")
            _run("ip", "-n", bridge, "link", "set", f"n{number}", "master", "bridge", "up")
            self._nft(number, "add table inet cut")
            self._nft(number, "add chain inet cut input { type filter hook input priority 0; policy accept; }")

    def destroy(self) -> None:
        for name in (self.bridge, *map(self.machine, self.numbers)):
            subprocess.run(["ip", "netns", "delete", name], check=False, capture_output=True)

    def _nft(self, number: int, rule: str) -> None:
        _run("ip", "netns", "exec", self.machine(number), "nft", rule)

    def deafen(self, number: int, *, to: int) -> None:
        """Nothing from ``to`` arrives at ``number`` any more."""
        self._nft(number, f"add rule inet cut input ip saddr {address(to)} drop")

    def isolate(self) -> None:
        """No node hears another one; the bridge still reaches all."""
        for number in self.numbers:
            others = ", ".join(address(other) for other in self.numbers if other != number)
            self._nft(number, f"add rule inet cut input ip saddr {{ {others} }} drop")

    def cut_off(self) -> None:
        """Nobody hears anybody, whoever is on the bridge included."""
        for number in self.numbers:
            self._nft(number, "add rule inet cut input iifname wire drop")

    def ports(self, dialler: int, dialled: int) -> set[int]:
        """Which ports of ``dialler`` connections to the node on ``dialled`` have."""
        listed = _run(
            *("ip", "netns", "exec", self.machine(dialler), "ss", "-Htn", "state", "established"),
            *("dst", f"{address(dialled)}:{PORT}"),
        )
        return {int(line.split()[2].rpartition(":")[2]) for line in listed.splitlines()}

    def swallow(self, dialler: int, dialled: int) -> set[int]:
        """What is sent over the connections that there are vanishes, both ways; a new one is sound. Their ports."""
        ports = self.ports(dialler, dialled)
        for port in ports:
            self._nft(dialler, f"add rule inet cut input tcp sport {PORT} tcp dport {port} drop")
            self._nft(dialled, f"add rule inet cut input tcp sport {port} tcp dport {PORT} drop")
        return ports

    def heal(self) -> None:
        for number in self.numbers:
            self._nft(number, "flush chain inet cut input")


class NamespaceCluster(LocalCluster):
    """Replica processes, each in its machine."""

    def __init__(self, folder: Path, network: Network) -> None:
        members = {NodeId(number): f"{address(number)}:{PORT}" for number in network.numbers}
        super().__init__(folder, members, MACHINE, {})
        self.network = network

    def _command(self, name: str) -> list[str]:
        machine = self.network.machine(int(name[1:]))
        return ["ip", "netns", "exec", machine, *super()._command(name)]


@asynccontextmanager
async def namespace_cluster(folder: Path, network: Network) -> AsyncIterator[NamespaceCluster]:
    """Like ``local_cluster``; from inside the bridge's namespace."""
    cluster = NamespaceCluster(folder, network)
    cluster._format()
    try:
        for name in cluster.nodes:
            cluster._spawn(name)
        await cluster.wait_until_serving()
        yield cluster
    finally:
        cluster._end_all()


def run_inside(network: Network, program: Callable[[], Awaitable[None]]) -> None:
    """Run a trio program in the bridge's namespace, in a thread of its own that ends with it."""
    failures: list[BaseException] = []

    def run() -> None:
        try:
            with open(f"/run/netns/{network.bridge}") as handle:
                if _libc.setns(handle.fileno(), _CLONE_NEWNET):
                    raise OSError(ctypes.get_errno(), "setns")
            trio.run(program)
        except BaseException as error:
            failures.append(error)

    thread = threading.Thread(target=run)
    thread.start()
    thread.join()
    if failures:
        raise failures[0]
