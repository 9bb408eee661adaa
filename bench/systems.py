"""What the benchmark asks of a system, ours or another: start a cluster, find its leader, put load on it."""

from __future__ import annotations

import abc
import os
import signal
from collections.abc import Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from pathlib import Path

import attrs

from .load.measurement import Measurement
from .load.plan import LoadPlan
from .load.window import During


@attrs.frozen
class Host:
    """Where a server runs.

    Parameters
    ----------
    address: what it listens on and is reached at.
    enter: words before a command that make it run there.
    """

    address: str = "127.0.0.1"
    enter: tuple[str, ...] = ()


LOOPBACK = Host()


class Cluster(abc.ABC):
    """A running cluster."""

    @property
    @abc.abstractmethod
    def servers(self) -> Mapping[str, int]:
        """Process id of each server, by its name."""

    @abc.abstractmethod
    async def leader(self, *, without: str = "") -> str:
        """Name of the server that leads at the moment, waiting until one does.

        Parameters
        ----------
        without: a server that is not asked, since it hangs or is cut off.

        Raises
        ------
        ChildFailed: none leads for too long.
        """

    @abc.abstractmethod
    async def measure(self, plan: LoadPlan, *, during: During | None = None) -> Measurement:
        """Put load on it from a process of its own and say what came of it."""

    def kill(self, server: str) -> None:
        """SIGKILL: the process is gone and its sockets close."""
        os.kill(self.servers[server], signal.SIGKILL)

    def stop(self, server: str) -> None:
        """SIGSTOP: the process hangs and its sockets stay open, as with a stalled disk or a frozen host."""
        os.kill(self.servers[server], signal.SIGSTOP)

    def resume(self, server: str) -> None:
        """SIGCONT: a stopped server goes on."""
        os.kill(self.servers[server], signal.SIGCONT)


class System(abc.ABC):
    """A kind of system that can be measured."""

    name: str
    durability: str
    """What is on disk when an operation is answered, as it is measured here."""
    asked: str
    """Whom its clients are connected to: a server that is not the leader costs a hop more."""
    needs_fresh_cluster: bool = False
    """Whether it gets slower the more it has done, so that only a new cluster for each window shows its best."""
    is_compiled_while_it_runs: bool = False
    """Whether it gets faster in its first seconds under load, as Java does."""
    settles_s: float = 1.0
    """How long its leader must have led after a pause to be believed."""
    stop_gap_s_max: float = 4.0
    """How long it may need to notice that its leader hangs: windows of that fault are longer than this."""

    @abc.abstractmethod
    def missing(self) -> str | None:
        """Why it can't be measured here, or None."""

    @abc.abstractmethod
    def version(self) -> str:
        """Version of what is installed."""

    def about(self) -> dict[str, str]:
        """What a result file says of it."""
        return {"version": self.version(), "durability": self.durability, "asked": self.asked}

    @abc.abstractmethod
    def running(self, folder: Path, hosts: Sequence[Host]) -> AbstractAsyncContextManager[Cluster]:
        """A cluster of one server a host, with its data in ``folder``, ready to serve; gone when the block ends."""
