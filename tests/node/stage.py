"""Nodes of one cluster in one trio program: real loopback sockets, disks that are memory.

A member outlives its node: ``crash`` ends the node as a failure would and takes the disks back to what was durable,
``start`` makes a new node on them.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path
from typing import Any

import attrs
import trio

from replog.apply.sessions import SessionOptions
from replog.client import Client, connect
from replog.config import NodeOptions, ReplicaConfig
from replog.directory.known_peers import KnownPeers
from replog.node.links import TransportOptions
from replog.node.server import Node
from replog.paxos.ballot import NodeId, Slot
from replog.paxos.membership import Membership
from replog.paxos.options import PaxosOptions
from replog.ports import free_ports
from replog.sim.disk import SimLogStore
from replog.state.memory import MemoryStateStore
from replog.state_machine import StateMachine

from .machines import Ledger

CLUSTER = bytes(range(16))
DEADLINE_S = 30.0
QUICK_PAXOS: Mapping[str, Any] = {"heartbeat_interval_s": 0.05, "patience_max_s": 0.03}
QUICK_NODE: Mapping[str, Any] = {"flush_interval_s": 0.02, "storage_check_interval_s": 0.02, "scrub_interval_s": 0.02}
ROOT_HOST = "127.0.0.1"


class Crashed(Exception):
    """How a test ends a node."""


class MemoryLog(SimLogStore):
    """The simulator's disk with what the node asks beside it."""

    def __init__(self, node: NodeId, membership: Membership, incarnation: bytes = b"") -> None:
        super().__init__(CLUSTER, node, incarnation or node.to_bytes(16, "big"), membership)
        self.is_full = False

    def is_nearly_full(self) -> bool:
        return self.is_full

    def scrub(self, from_slot: Slot, *, slots_max: int) -> tuple[Slot, list[Slot]]:
        """All of it at once: it is small."""
        return Slot(1), sorted(slot for slot in self.damaged if slot <= self.chosen_through)

    @property
    def file_bytes(self) -> int:
        return sum(len(record.value) for record in list(self.slots.values()))


class MemoryState(MemoryStateStore):
    """The state store in memory, with a size."""

    file_bytes = 0


async def eventually(holds: Callable[[], object], what: str = "") -> None:
    """Wait until something holds; other tasks and sockets make it so, so there is nothing better to wait for."""
    with trio.move_on_after(DEADLINE_S):
        while not holds():  # noqa: ASYNC110 - see above
            await trio.sleep(0.005)
        return
    raise AssertionError(f"not within {DEADLINE_S:.0f} s: {what or holds}")


@attrs.define(eq=False)
class Member:
    """One member: its disks, and its node while it runs."""

    number: NodeId
    port: int
    config: ReplicaConfig
    machine: StateMachine
    log: MemoryLog
    state: MemoryState
    nursery: trio.Nursery
    is_write_threaded: bool
    node: Node = attrs.field(init=False)
    error: BaseException | None = None
    is_running: bool = False
    is_awaited: bool = False
    _scope: trio.CancelScope = attrs.field(factory=trio.CancelScope)
    _ended: trio.Event = attrs.field(factory=trio.Event)

    @property
    def address(self) -> str:
        return f"{ROOT_HOST}:{self.port}"

    def new_node(self) -> Node:
        """A node over the disks as they are; ``start`` runs it."""
        self.config.data_dir.mkdir(exist_ok=True)
        admission = KnownPeers(self.config.data_dir)
        self.node = Node(
            self.config, self.machine, self.log, self.state, admission, is_write_threaded=self.is_write_threaded
        )
        return self.node

    async def start(self) -> None:
        self.new_node()
        await self.run()

    async def run(self) -> None:
        """Run the node that ``new_node`` made."""
        await self.nursery.start(self._live)

    async def _live(self, task_status: trio.TaskStatus[None]) -> None:
        self._scope, self._ended, self.error = trio.CancelScope(), trio.Event(), None
        self.is_awaited = False
        listeners = await trio.open_tcp_listeners(self.port, host=ROOT_HOST)
        self.is_running = True
        try:
            with self._scope:
                await self.node.run(listeners, task_status)
        except Exception as error:
            self.error = error
        finally:
            for listener in listeners:
                listener.socket.close()
            self.is_running = False
            self._ended.set()

    async def ended(self) -> BaseException | None:
        """Wait until the node has ended; returns what it ended with."""
        with trio.fail_after(DEADLINE_S):
            await self._ended.wait()
        self.is_awaited = True
        return self.error

    async def stop(self) -> None:
        """In order: hand over, flush."""
        self._scope.cancel()
        assert await self.ended() is None, self.error

    async def crash(self) -> None:
        """At once; what was not durable is lost."""
        self.node.fail(Crashed())
        await self.ended()
        self.state.crash()

    @property
    def digest(self) -> tuple[int, bytes]:
        return self.node.applier.applied_through, self.node.applier.digest


class Stage:
    """All members of one cluster."""

    def __init__(self, members: dict[NodeId, Member]) -> None:
        self._members = members

    def __getitem__(self, number: int) -> Member:
        return self._members[NodeId(number)]

    @property
    def members(self) -> list[Member]:
        return list(self._members.values())

    @property
    def running(self) -> list[Member]:
        return [member for member in self.members if member.is_running]

    @property
    def endpoints(self) -> list[str]:
        return [member.address for member in self.members]

    def client(self, *numbers: int) -> AbstractAsyncContextManager[Client]:
        """``connect`` to some of the nodes, or to all."""
        return connect([self[number].address for number in numbers] or self.endpoints)

    async def leader(self) -> Member:
        """The one that leads, with a slot of its own ballot applied."""
        found: list[Member] = []

        def is_there() -> bool:
            found[:] = [member for member in self.running if member.node.replica.is_leading]
            return len(found) == 1 and found[0].node.applied_through > 0

        await eventually(is_there, "somebody leads")
        return found[0]

    async def followers(self) -> list[Member]:
        leader = await self.leader()
        return [member for member in self.running if member is not leader]

    async def settled(self) -> None:
        """Every running node has applied the same slots, to the same digest."""

        def is_settled() -> bool:
            return len({member.digest for member in self.running}) == 1

        await eventually(is_settled, "all replicas are equal")


@asynccontextmanager
async def stage(
    path: Path,
    *,
    count: int = 3,
    machine: Callable[[NodeId], StateMachine] = lambda _number: Ledger(),
    paxos: Mapping[str, Any] = {},
    node: Mapping[str, Any] = {},
    transport: Mapping[str, Any] = {},
    sessions: Mapping[str, Any] = {},
    is_write_threaded: bool = False,
    starts: bool = True,
    newcomers: int = 0,
) -> AsyncIterator[Stage]:
    """A cluster that lives as long as the block; its nodes end with it, and whatever a node raised is checked.

    ``newcomers``: so many more nodes, which know where the founders are and nobody knows of; they are not started.
    """
    numbers = [NodeId(number) for number in range(1, count + newcomers + 1)]
    ports = dict(zip(numbers, free_ports(len(numbers)), strict=True))
    addresses = {number: f"{ROOT_HOST}:{port}" for number, port in list(ports.items())[:count]}
    membership = Membership(version=1, voters=tuple(numbers[:count]))
    async with trio.open_nursery() as nursery:
        members: dict[NodeId, Member] = {}
        for number in numbers:
            config = ReplicaConfig(
                data_dir=path / f"n{number}",
                members=addresses,
                paxos=PaxosOptions(**{**QUICK_PAXOS, **paxos}),
                node=NodeOptions(**{**QUICK_NODE, **node}),
                transport=TransportOptions(**transport),
                sessions=SessionOptions(**sessions),
            )
            members[number] = Member(
                number,
                ports[number],
                config,
                machine(number),
                MemoryLog(number, membership),
                MemoryState(),
                nursery,
                is_write_threaded,
            )
        the_stage = Stage(members)
        if starts:
            for member in the_stage.members[:count]:
                await member.start()
            await the_stage.leader()
        yield the_stage
        ended = [member for member in members.values() if not member.is_running and not member.is_awaited]
        unexpected = [member.error for member in ended]
        for member in the_stage.running:
            await member.crash()
        assert not any(unexpected), unexpected
        nursery.cancel_scope.cancel()
