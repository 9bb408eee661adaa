"""A whole cluster as real processes on loopback: for development, demonstrations, benchmarks and tests.

The processes are ``replog serve`` on configuration files written here, each in its own data directory. They end with
the block that started them, however it ends; should this process be killed, the kernel ends them.

Never: leave one behind.
"""

from __future__ import annotations

import ctypes
import json
import os
import signal as signals
import stat
import subprocess
import sys
import tempfile
from collections.abc import AsyncIterator, Mapping
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager
from pathlib import Path

import trio

from .client import Client, ClientOptions, ask_status, connect
from .config import environment_variables
from .directory.layout import IDENTITY_FILE, LOCK_FILE, DirectoryLock, format_directory
from .errors import ConfigError, ReplogError, Unavailable
from .joining import join_directory
from .paxos.ballot import NodeId, node_name, parse_node
from .paxos.membership import Membership
from .ports import free_ports

START_TIMEOUT_S = 20.0
STOP_TIMEOUT_S = 10.0
_ASK_TIMEOUT_S = 0.5
_ASK_AGAIN_S = 0.02
_PR_SET_PDEATHSIG = 1
_LOG_LINES_SHOWN = 12
_CLUSTER_ID_FILE = "cluster-id"
_libc = ctypes.CDLL(None, use_errno=True)


@asynccontextmanager
async def local_cluster(
    *,
    replicas: int = 3,
    state_machine: str,
    data_dir: str | Path | None = None,
    base_port: int | None = None,
    settings: Mapping[str, object] = {},
) -> AsyncIterator[LocalCluster]:
    """Start replicas and wait until one of them leads.

    Parameters
    ----------
    replicas: how many.
    state_machine: ``module:Class`` that they run.
    data_dir: holds one directory a replica, formatted if absent, and stays; None: a temporary one.
    base_port: the first replica's; the others follow it. None: whatever is free.
    settings: more of ``replica.toml``, nested as there: ``{"node": {"flush_interval_s": 1.0}}``.

    Raises
    ------
    TypeError, ValueError: ``state_machine`` is no text of this form, or ``replicas`` no number of replicas.
    ConfigError: ``data_dir`` is somebody else's, or no name that a configuration file can hold.
    Refused: another cluster runs in ``data_dir``.
    Unavailable: they did not come up in time, or one of them ended; the message ends with what it said.
    """
    _check(replicas, state_machine)
    async with AsyncExitStack() as stack:
        if data_dir is None:
            folder = tempfile.TemporaryDirectory(prefix="replog-", dir=_disk_folder(), ignore_cleanup_errors=True)
            data_dir = stack.enter_context(folder)
        data_dir = Path(data_dir)
        data_dir.mkdir(mode=0o700, parents=True, exist_ok=True)
        _check_folder(data_dir, replicas)
        stack.callback(DirectoryLock(data_dir).release)  # first: nothing of a cluster that runs here is written over
        ports = free_ports(replicas) if base_port is None else list(range(base_port, base_port + replicas))
        members = {NodeId(number): f"127.0.0.1:{port}" for number, port in enumerate(ports, 1)}
        cluster = LocalCluster(data_dir.resolve(), members, state_machine, settings)
        cluster._format()
        stack.callback(cluster._end_all)
        for name in cluster.nodes:
            cluster._spawn(name)
        await cluster.wait_until_serving()
        yield cluster


class LocalCluster:
    """Replica processes of one cluster. Made by ``local_cluster``; nodes are called ``n1``, ``n2``, ...

    Parameters
    ----------
    name: in each method, the node that is meant.
    timeout_s: how long a method waits; then it raises ``Unavailable`` with what the nodes logged last.
    """

    def __init__(
        self, folder: Path, members: dict[NodeId, str], state_machine: str, settings: Mapping[str, object]
    ) -> None:
        self.folder = folder
        self._members = members
        self._state_machine = state_machine
        self._settings = settings
        self._processes: dict[str, subprocess.Popen[bytes]] = {}

    @property
    def nodes(self) -> tuple[str, ...]:
        """Every node's name, whether it runs or not."""
        return tuple(node_name(node) for node in self._members)

    @property
    def endpoints(self) -> tuple[str, ...]:
        """``host:port`` of every node, in the order of the names."""
        return tuple(self._members.values())

    @property
    def pids(self) -> Mapping[str, int]:
        """Process id of each running node."""
        return {name: process.pid for name, process in self._processes.items() if process.poll() is None}

    def endpoint(self, name: str) -> str:
        """``host:port`` of one node."""
        return self._members[parse_node(name)]

    def data_dir(self, name: str) -> Path:
        """Its data directory."""
        return self.folder / name

    def log_path(self, name: str) -> Path:
        """Where its log lines go."""
        return self.folder / f"{name}.log"

    def exit_code(self, name: str) -> int | None:
        """Of its last process; None while that runs."""
        return self._processes[name].poll()

    # --- who belongs ---

    async def join(self, *, timeout_s: float = 10.0) -> str:
        """One more node: a learner, in a directory of its own, that runs; ``Client.change_members`` lets it vote.

        Returns its name.

        Raises
        ------
        Unavailable: nobody leads, or the new node does not answer in time.
        """
        address = f"127.0.0.1:{free_ports(1)[0]}"
        async with self.client(name="join") as client:
            name = (await client.members(timeout=timeout_s)).next_node
            identity, _ = await join_directory(client, self.data_dir(name), address, timeout_s=timeout_s)
        self._members[identity.node] = address
        self._config_path(name).write_text(self._config_text(name), "utf-8")
        self._spawn(name)
        await self._wait_until_answering(name, timeout_s)
        return name

    # --- who leads ---

    async def leader(self, *, timeout_s: float = 10.0) -> str:
        """Name of the node that leads, waiting until one does.

        Raises
        ------
        Unavailable: none does in time.
        """
        deadline_s = trio.current_time() + timeout_s
        while trio.current_time() < deadline_s:
            for name in self.pids:
                if await self._leads(name):
                    return name
            await trio.sleep(_ASK_AGAIN_S)
        raise Unavailable(f"no replica leads after {timeout_s:.0f} s. {self._last_words()}")

    async def _leads(self, name: str) -> bool:
        try:
            return (await ask_status(self.endpoint(name), timeout=_ASK_TIMEOUT_S)).role == "leader"
        except ReplogError:
            return False

    async def wait_until_serving(self, *, timeout_s: float = START_TIMEOUT_S) -> None:
        """Until every running node answers and one of them leads.

        Raises
        ------
        Unavailable: one has ended, or they don't come so far in time.
        """
        deadline_s = trio.current_time() + timeout_s
        for name in self.nodes:
            while not await self._answers(name):
                self._check_alive(name)
                if trio.current_time() > deadline_s:
                    raise Unavailable(f"{name} does not answer after {timeout_s:.0f} s. {self._last_words()}")
                await trio.sleep(_ASK_AGAIN_S)
        await self.leader(timeout_s=max(1.0, deadline_s - trio.current_time()))

    async def _answers(self, name: str) -> bool:
        try:
            await ask_status(self.endpoint(name), timeout=_ASK_TIMEOUT_S)
        except ReplogError:
            return False
        return True

    def _check_alive(self, name: str) -> None:
        code = self._processes[name].poll()
        if code is not None:
            raise Unavailable(f"{name} ended with exit code {code}. {self._last_words()}")

    def _last_words(self) -> str:
        """The end of every node's log, for whoever has to find out why."""
        said = []
        for name in self.nodes:
            path = self.log_path(name)
            lines = path.read_text(errors="replace").splitlines()[-_LOG_LINES_SHOWN:] if path.exists() else []
            said.append("\n".join([f"--- {name} said last:", *lines]))
        return "\n".join(said)

    def client(self, *, name: str = "", options: ClientOptions | None = None) -> AbstractAsyncContextManager[Client]:
        """A client of all nodes.

        Parameters
        ----------
        name, options: as for ``connect``.
        """
        return connect(self.endpoints, name=name, options=options)

    # --- life and death ---

    def kill(self, name: str, signal: signals.Signals = signals.SIGKILL) -> None:
        """Send a signal to a node's process.

        Parameters
        ----------
        signal: SIGKILL ends it at once, SIGSTOP makes it hang, SIGCONT lets it go on.
        """
        self._processes[name].send_signal(signal)

    async def wait_ended(self, name: str, *, timeout_s: float = STOP_TIMEOUT_S) -> int:
        """Until a node's process has ended; returns its exit code.

        Raises
        ------
        Unavailable: it does not end in time.
        """
        process = self._processes[name]
        with trio.move_on_after(timeout_s):
            while process.poll() is None:  # noqa: ASYNC110 - another process: there is no event to wait for
                await trio.sleep(0.005)
        code = process.poll()
        if code is None:
            raise Unavailable(f"{name} still runs {timeout_s:.0f} s after it was told to end")
        return code

    async def stop(self, name: str, *, timeout_s: float = STOP_TIMEOUT_S) -> int:
        """SIGTERM, and wait; returns the exit code.

        Raises
        ------
        Unavailable: it does not end in time.
        """
        self.kill(name, signals.SIGTERM)
        return await self.wait_ended(name, timeout_s=timeout_s)

    async def start(self, name: str, *, timeout_s: float = START_TIMEOUT_S) -> None:
        """Start a node that has ended, on its own directory, and wait until it answers.

        Raises
        ------
        Unavailable: it ends again, or does not answer in time.
        """
        await self.wait_ended(name)
        self._spawn(name)
        await self._wait_until_answering(name, timeout_s)

    async def _wait_until_answering(self, name: str, timeout_s: float) -> None:
        deadline_s = trio.current_time() + timeout_s
        while not await self._answers(name):
            self._check_alive(name)
            if trio.current_time() > deadline_s:
                raise Unavailable(f"{name} does not answer after {timeout_s:.0f} s. {self._last_words()}")
            await trio.sleep(_ASK_AGAIN_S)

    # --- processes and files ---

    def _format(self) -> None:
        """Format what is not formatted yet, under one cluster id, and write every node's configuration."""
        id_path = self.folder / _CLUSTER_ID_FILE
        if not id_path.exists():
            id_path.write_text(os.urandom(16).hex())
        cluster = bytes.fromhex(id_path.read_text())
        membership = Membership(version=1, voters=tuple(self._members))
        for node in self._members:
            directory = self.data_dir(node_name(node))
            if not (directory / IDENTITY_FILE).exists():
                format_directory(directory, node=node, cluster=cluster, membership=membership)
            self._config_path(node_name(node)).write_text(self._config_text(node_name(node)), "utf-8")

    def _config_path(self, name: str) -> Path:
        return self.folder / f"{name}.toml"

    def _config_text(self, name: str) -> str:
        members = {node_name(node): address for node, address in self._members.items()}
        top = {"data_dir": str(self.data_dir(name)), "state_machine": self._state_machine}
        return _toml({**top, **self._settings, "members": members})

    def _command(self, name: str) -> list[str]:
        return [sys.executable, "-P", "-m", "replog", "serve", "--config", str(self._config_path(name))]

    def _spawn(self, name: str) -> None:
        with self.log_path(name).open("ab") as log_file:
            self._processes[name] = subprocess.Popen(
                self._command(name),
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=log_file,
                preexec_fn=_die_with_parent,
                env=_environment(),
                start_new_session=True,
            )

    def _end_all(self) -> None:
        """End what was started here: politely first, since a process that may be stopped can't hear."""
        running = [process for process in self._processes.values() if process.poll() is None]
        for process in running:
            process.send_signal(signals.SIGTERM)
            process.send_signal(signals.SIGCONT)
        for process in running:
            try:
                process.wait(STOP_TIMEOUT_S)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()


def _check(replicas: object, state_machine: object) -> None:
    if not isinstance(state_machine, str) or not all(state_machine.partition(":")):
        raise TypeError(
            f'state_machine is "module:Class", by which each replica\'s process finds it, not {state_machine!r:.100}'
        )
    if type(replicas) is not int or replicas < 1:
        raise ValueError(f"replicas = {replicas!r} is no number of replicas; 3 or 5 is usual")


def _check_folder(folder: Path, replicas: int) -> None:
    """Nothing is written through a link that somebody else may have put there. Raises ``ConfigError``."""
    try:
        str(folder.resolve()).encode()
    except UnicodeEncodeError:
        raise ConfigError(
            f"{folder}: a configuration file is UTF-8 and can't hold this name; choose another folder."
        ) from None
    there = folder.stat()
    if there.st_uid != os.geteuid() or there.st_mode & stat.S_IWOTH:
        raise ConfigError(f"{folder} is another user's, or others may write there; choose a folder of your own.")
    nodes = [node_name(NodeId(number)) for number in range(1, replicas + 1)]
    names = [LOCK_FILE, _CLUSTER_ID_FILE, *nodes, *(f"{node}{end}" for node in nodes for end in (".toml", ".log"))]
    links = [name for name in names if (folder / name).is_symlink()]
    if links:
        raise ConfigError(f"{folder / links[0]} is a link, which is not followed; remove it, or choose another folder.")


def _environment() -> dict[str, str]:
    """This process's, without the variables that would give every replica the same directory or address."""
    own = {variable for variable, key in environment_variables().items() if "." not in key}
    kept = {name: value for name, value in os.environ.items() if name not in own}
    return {**kept, "PYTHONPATH": os.pathsep.join(path for path in sys.path if path)}


def _disk_folder() -> str | None:
    """Where temporary files are on a disk: ``/tmp`` is memory on many machines, which would make a sync a lie."""
    return None if os.environ.get("TMPDIR") or not os.access("/var/tmp", os.W_OK) else "/var/tmp"


def _die_with_parent() -> None:
    """Ask the kernel to kill this process when its parent is gone, however that went."""
    _libc.prctl(_PR_SET_PDEATHSIG, signals.SIGKILL)


def _toml(values: Mapping[str, object]) -> str:
    """Plain values first, then one table a mapping."""
    lines = [f"{key} = {_toml_value(value)}" for key, value in values.items() if not isinstance(value, Mapping)]
    for key, table in values.items():
        if isinstance(table, Mapping):
            lines += ["", f"[{key}]", *(f"{name} = {_toml_value(value)}" for name, value in table.items())]
    return "\n".join([*lines, ""])


def _toml_value(value: object) -> str:
    """As JSON writes it, but for characters beyond 16 bits, which TOML does not take in halves."""
    return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")
