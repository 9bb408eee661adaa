"""Hosts of their own for servers: network namespaces on one bridge, whose cables can be pulled.

A server that is cut off is the fault that neither a killed nor a stopped process shows: it runs on and believes that
it leads, its sockets stay open, and nothing answers. Needs root and iproute2; everything made here is removed again.
"""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

from .errors import BenchError
from .systems import Host


def missing_namespaces() -> str | None:
    """Why hosts can't be made here, or None."""
    if os.geteuid() != 0:
        return "network namespaces need root"
    if shutil.which("ip") is None:
        return "network namespaces need iproute2"
    done = subprocess.run(["ip", "netns", "add", _name(0)], capture_output=True, check=False)
    if done.returncode:
        return "this kernel or container allows no network namespaces"
    _ip("netns", "delete", _name(0))
    return None


def _name(number: int) -> str:
    """Names that two benchmarks on one machine do not share; an interface's name has 15 characters at most."""
    return f"rb{os.getpid()}x{number}"


def _ip(*words: str) -> None:
    done = subprocess.run(["ip", *words], capture_output=True, text=True, check=False)
    if done.returncode:
        raise BenchError(f"ip {' '.join(words)} failed: {done.stderr.strip()}")


class Network:
    """Hosts ``0 .. count - 1`` on one bridge; this process is on it too. Made by ``private_network``."""

    def __init__(self, count: int) -> None:
        # Two benchmarks at once get different subnets, since process ids differ.
        self._subnet = f"10.213.{os.getpid() % 256}"
        self.hosts = [
            Host(f"{self._subnet}.{number}", ("ip", "netns", "exec", _name(number))) for number in range(1, count + 1)
        ]

    def pull(self, host: Host) -> None:
        """Pull a host's cable: nothing reaches it and nothing it sends arrives; no connection is closed."""
        _ip("link", "set", _name(self.hosts.index(host) + 1), "down")

    def plug(self, host: Host) -> None:
        """Put the cable back."""
        _ip("link", "set", _name(self.hosts.index(host) + 1), "up")

    def make(self, stack: ExitStack) -> None:
        """Make everything, and have ``stack`` remove it."""
        bridge = _name(0)
        _ip("link", "add", bridge, "type", "bridge")
        stack.callback(_ip, "link", "delete", bridge)
        _ip("address", "add", f"{self._subnet}.254/24", "dev", bridge)
        _ip("link", "set", bridge, "up")
        for number, host in enumerate(self.hosts, start=1):
            self._make_host(_name(number), host.address, bridge, stack)

    def _make_host(self, name: str, address: str, bridge: str, stack: ExitStack) -> None:
        _ip("netns", "add", name)
        stack.callback(_ip, "netns", "delete", name)
        _ip("link", "add", name, "type", "veth", "peer", "name", "eth0", "netns", name)
        # A namespace lives on while a socket in it still waits for an answer; its cable must not.
        stack.callback(_ip, "link", "delete", name)
        _ip("link", "set", name, "master", bridge, "up")
        _ip("-n", name, "address", "add", f"{address}/24", "dev", "eth0")
        _ip("-n", name, "link", "set", "eth0", "up")
        _ip("-n", name, "link", "set", "lo", "up")


@contextmanager
def private_network(count: int) -> Iterator[Network]:
    """A network of ``count`` hosts that is gone when the block ends."""
    with ExitStack() as stack:
        network = Network(count)
        network.make(stack)
        yield network
