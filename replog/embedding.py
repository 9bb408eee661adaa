"""A replica inside a trio program: open its directory, run its node, use it like a client.

``open_replica`` is for programs that use the log, ``run_replica`` for those that only serve it. A submission from
inside goes the same way as any client's, over loopback to whoever leads, so it is exactly once and survives a change of
leader; a stale query is answered in place.

Never: hide a failure of the replica.
"""

from __future__ import annotations

import errno
import socket
from collections.abc import AsyncGenerator, AsyncIterator, Iterator, Sequence
from contextlib import ExitStack, asynccontextmanager, contextmanager

import attrs
import structlog
import trio

from .addresses import split_address
from .client import Answer, Client, ClientOptions, Consistency, Receipt, connect
from .client.door import payload_checked
from .client.reads import query_failed
from .directory.known_peers import KnownPeers
from .directory.layout import open_directory
from .errors import ConfigError, Unavailable
from .node.recording import Recorder
from .node.server import Node, unwrapped
from .node.settings import ReplicaConfig
from .paxos.ballot import node_name
from .process.forking import close_descriptor, own
from .process.resources import lacking
from .state.store import LmdbStateStore
from .state_machine import StateMachine
from .wire.client_messages import LogEntry
from .wire.names import is_passing, why_unknown
from .wire.status import NodeStatus

log = structlog.get_logger(__name__)


async def run_replica(
    config: ReplicaConfig,
    machine: StateMachine,
    *,
    recorder: Recorder | None = None,
    task_status: trio.TaskStatus[Node] = trio.TASK_STATUS_IGNORED,
) -> None:
    """Run a replica until it is cancelled; then it hands over leadership, flushes and returns.

    Parameters
    ----------
    config: settings; ``format_directory`` or ``replog init`` formatted its ``data_dir``.
    machine: an instance of the state machine; the same class on every member.
    recorder: records this life, so that ``replog sim --replay-record`` can live it again.
    task_status: told when the replica listens.

    Raises
    ------
    Refused: the directory is unformatted, or another process uses it.
    StorageError: the disk failed or is damaged; the node must be started again.
    StateDiverged: the state machine is not deterministic.
    Unavailable: the name of its own address can't be looked up at the moment.
    ConfigError: an address can't be listened on, or nobody says where a member is.
    TypeError, RuntimeError: ``config`` or ``machine`` is something else, or this is no trio program.
    """
    check_arguments(config, machine)
    with _opened_node(config, machine, recorder) as node:
        listeners = await _listen(node)
        door = _Door(listeners)
        try:
            await node.run(listeners, _Started(node, task_status))
        except BaseExceptionGroup as group:
            raise unwrapped(group) from None
        finally:
            door.close()


class _Door:
    """What the node listens on; no child of this process does."""

    def __init__(self, listeners: Sequence[trio.SocketListener]) -> None:
        self._listeners = listeners
        own(self)

    def close(self) -> None:
        for listener in self._listeners:
            listener.socket.close()

    def on_forked(self) -> None:
        for listener in self._listeners:
            close_descriptor(listener.socket.detach())


def check_arguments(config: object, machine: object) -> None:
    """Say at the door what could only fail late, or fail every command.

    Raises
    ------
    TypeError: ``config`` or ``machine`` is something else.
    RuntimeError: this is no trio program.
    """
    if isinstance(machine, type):
        name = machine.__name__
        raise TypeError(f"machine is the class {name}; give an instance of it: {name}()")
    if not isinstance(machine, StateMachine):
        raise TypeError(f"machine is an instance of a class derived from replog.StateMachine, not {machine!r:.100}")
    if not isinstance(config, ReplicaConfig):
        raise TypeError(f"config is a replog.ReplicaConfig, not {config!r:.100}; replog.load_config(path) reads a file")
    if not trio.lowlevel.in_trio_run():
        raise RuntimeError(
            "a replica lives in a trio program. In an asyncio program run it in a thread of its own, or as a process "
            '(replog serve), and use it with replog.connect: docs/COOKBOOK.md, "A replica beside asyncio".'
        )


@attrs.frozen
class _Started:
    """Passes the node on when it says that it runs."""

    _node: Node
    _task_status: trio.TaskStatus[Node]

    def started(self, value: None = None) -> None:
        self._task_status.started(self._node)


@contextmanager
def _opened_node(config: ReplicaConfig, machine: StateMachine, recorder: Recorder | None) -> Iterator[Node]:
    with ExitStack() as stack:
        directory = open_directory(config.data_dir)
        stack.callback(directory.close)
        if recorder is not None:
            stack.callback(recorder.close)
        log_store = directory.open_log(config.log)
        stack.callback(log_store.close)
        state_store = LmdbStateStore.open(directory.state_path)
        stack.callback(state_store.close)
        node = Node(config, machine, log_store, state_store, KnownPeers(config.data_dir), recorder=recorder)
        _check_members(node)
        try:
            yield node
        finally:
            if node.is_forked_off:
                stack.pop_all()  # what is open is the parent's


def _check_members(node: Node) -> None:
    config, addresses = node.config, node.driver.following.reach.addresses
    unknown = ", ".join(node_name(member) for member, address in addresses.items() if not address)
    if unknown:
        raise ConfigError(
            f"members has no address of {unknown}, nor has the log in {config.data_dir}: name every node that the "
            "directory was formatted for, with the address it has today."
        )
    if not own_address(node):
        raise ConfigError(f"{node_name(node.node)} has no address to listen on: set bind, like 0.0.0.0:7101.")


_LISTENING_STEPS = {
    errno.EADDRINUSE: "end the process that uses it, or set bind to another address",
    errno.EADDRNOTAVAIL: "no network interface of this machine has it: set bind to one that is here, like 0.0.0.0:7101",
    errno.EACCES: "ports below 1024 need a privilege (CAP_NET_BIND_SERVICE): set bind to a higher one",
    errno.EPERM: "a sandbox or a firewall forbids it: allow it, or set bind to another address",
}
"""Not for a moment, so another start doesn't mend it."""


def own_address(node: Node) -> str:
    """Where it listens: as it is configured, else where the log says that it is reached; empty: nobody says."""
    config, addresses = node.config, node.driver.following.reach.addresses
    return config.bind or config.members.get(node.node, "") or addresses.get(node.node, "")


async def _listen(of: Node) -> Sequence[trio.SocketListener]:
    node, address = of.node, own_address(of)
    host, port = split_address(address)
    try:
        return await trio.open_tcp_listeners(port, host=host, backlog=512)
    except socket.gaierror as error:
        kind = Unavailable if is_passing(error) else ConfigError
        raise kind(f"{node_name(node)} can't listen on {address}: {why_unknown(error)}.") from error
    except OSError as error:
        what = f"{node_name(node)} can't listen on {address}"
        may_come = error.errno not in _LISTENING_STEPS and lacking(what, error)
        if may_come:
            raise may_come from error
        step = _LISTENING_STEPS.get(error.errno or 0, "set bind to another address")
        raise ConfigError(f"{what}: {error.strerror or error}; {step}.") from error


class EmbeddedReplica:
    """A running replica and a client of its cluster. Made by ``open_replica``."""

    def __init__(self, node: Node, client: Client) -> None:
        self._node = node
        self._client = client

    async def submit(self, payload: bytes, *, timeout: float | None = None) -> Receipt:  # noqa: ASYNC109
        """See ``Client.submit``."""
        return await self._client.submit(payload, timeout=timeout)

    async def submit_many(self, payloads: Sequence[bytes], *, timeout: float | None = None) -> list[Receipt]:  # noqa: ASYNC109
        """See ``Client.submit_many``."""
        return await self._client.submit_many(payloads, timeout=timeout)

    async def query(
        self,
        request: bytes,
        *,
        consistency: Consistency = "linearizable",
        timeout: float | None = None,  # noqa: ASYNC109
    ) -> bytes:
        """See ``Client.query``; a stale one is answered by this very replica."""
        return (await self.read(request, consistency=consistency, timeout=timeout)).reply

    async def read(
        self,
        request: bytes,
        *,
        consistency: Consistency = "linearizable",
        timeout: float | None = None,  # noqa: ASYNC109
    ) -> Answer:
        """See ``Client.read``; a stale one is answered by this very replica."""
        if consistency != "stale":
            return await self._client.read(request, consistency=consistency, timeout=timeout)
        await trio.lowlevel.checkpoint()
        answer, is_failed = self._node.answer_stale(payload_checked(request, "request"))
        if is_failed:
            raise query_failed(answer)
        return Answer(answer, self._node.applied_through)

    def follow(self, from_slot: int = 1) -> AsyncGenerator[LogEntry, None]:
        """See ``Client.follow``."""
        return self._client.follow(from_slot)

    def status(self) -> NodeStatus:
        """What this replica says of itself, at once."""
        return self._node.status()

    async def transfer_leadership(self, target: str = "", *, timeout: float = 5.0) -> None:  # noqa: ASYNC109
        """See ``Client.transfer_leadership``."""
        await self._client.transfer_leadership(target, timeout=timeout)


@asynccontextmanager
async def open_replica(
    config: ReplicaConfig, machine: StateMachine, *, options: ClientOptions | None = None
) -> AsyncIterator[EmbeddedReplica]:
    """A replica that lives as long as the block, in the caller's trio program; a failure of it cancels the block.

    A child that the program forks off has no part in it: what it asks of the replica fails, and it holds neither the
    directory nor the port.

    Parameters
    ----------
    config: settings; ``format_directory`` or ``replog init`` formatted its ``data_dir``.
    machine: an instance of the state machine; the same class on every member.
    options: of the client that ``EmbeddedReplica`` submits with; every one has a default.

    Raises
    ------
    What ``run_replica`` raises.
    """
    check_arguments(config, machine)
    failure: Exception | None = None
    try:
        async with trio.open_nursery() as nursery:
            node: Node = await nursery.start(lambda task_status: run_replica(config, machine, task_status=task_status))
            others = {**config.members, **node.driver.following.reach.addresses}
            others.pop(node.node, None)
            async with connect(
                [own_address(node), *filter(None, others.values())],
                name=f"embedded in {node_name(node.node)}",
                options=options,
            ) as client:
                try:
                    yield EmbeddedReplica(node, client)
                except Exception as error:
                    failure = error  # raised below, so that it is not wrapped in a group
            nursery.cancel_scope.cancel()
    except BaseExceptionGroup as group:
        raise unwrapped(group) from failure
    if failure is not None:
        raise failure
