"""Drivers between ports that do at once what they are asked for: no task, no socket, a clock that a test moves."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import msgspec
import structlog

from replog.apply.applier import Applier
from replog.apply.outcomes import SessionOpened
from replog.apply.submissions import Commands, OpenSession, session_key
from replog.node.events import (
    ClientMessages,
    ClientOpened,
    PeerMessages,
    PeerOpened,
    SlotsRead,
    StateJobDone,
)
from replog.node.fence import Around
from replog.node.life import Origin, begin_life
from replog.node.ports import Ports
from replog.node.reach import Way
from replog.node.settings import NodeOptions
from replog.node.state_jobs import Job
from replog.paxos.ballot import NodeId, Slot
from replog.paxos.effects import LogWrite, ReadSlots
from replog.paxos.membership import Membership
from replog.paxos.messages import AcceptedSlot, Message
from replog.paxos.options import PaxosOptions
from replog.sim.disk import SimLogStore
from replog.state.memory import MemoryStateStore
from replog.state_machine import StateMachine
from replog.wire.client_messages import ClientMessage, NodeMessage, Submit
from replog.wire.codec import HEADER_BYTES, Kind, decode_payload

from .machines import Ledger

STEP_S = 0.005
UNTIL_MAX_S = 10.0
SECRET = b"s" * 16


class Clock:
    """Stands still unless somebody moves it."""

    def __init__(self) -> None:
        self.now_s = 100.0

    def __call__(self) -> float:
        return self.now_s


class NearLink:
    """The node's end of a client's link; the client takes all that it is told."""

    def __init__(self, number: int) -> None:
        self.number = number
        self.bytes_received = 0
        self.is_closed = False
        self.unsent_bytes = 0
        self.write_buffer_bytes_max = 2**26
        self.peer_address = f"client {number}"
        self.heard: list[NodeMessage] = []

    def write(self, frame: bytes) -> bool:
        self.heard += decode_payload(Kind.NODE, frame[HEADER_BYTES:], list)
        return True

    def close(self) -> None:
        self.is_closed = True


class DrivenNode:
    """One driver and all of its ports. Its disks are as quick as memory, unless jobs are ``held``."""

    def __init__(self, cluster: Drivers, number: NodeId, machine: StateMachine, node: Mapping[str, Any]) -> None:
        self.number = number
        self.store = MemoryStateStore()
        self.log = SimLogStore(bytes(16), number, number.to_bytes(16, "big"), cluster.membership)
        self.link = NearLink(1)
        self.said: list[tuple[NodeId, Message]] = []
        self.held: list[Job] | None = None
        """Jobs on the state's disk that are under way, while they are held."""
        self.is_alone = False
        """Nobody hears it, and it hears nobody."""
        self._cluster = cluster
        origin = Origin(
            node=number,
            seeds={member: f"n{member}:1" for member in cluster.membership.members},
            paxos=PaxosOptions(are_invariants_checked=True),
            options=NodeOptions(**{"flush_interval_s": 1000.0, "scrub_interval_s": 1000.0, **node}),
            recovered=self.log.recover(),
            seed=number,
            now_s=cluster.clock.now_s,
            time_ms=0,
        )
        around = Around(
            make_applier=lambda: Applier(machine, self.store),
            state_store=self.store,
            ports=Ports(log=self, state=self, peers=self, clients=self),
            clock=cluster.clock,
            log=structlog.get_logger(),
            status=lambda: b"{}",
        )
        self.driver, _ = begin_life(origin, around)
        self.session = 0
        self._sequence = 1
        self._secret = SECRET

    @property
    def is_leading(self) -> bool:
        return self.driver.replica.is_leading

    def turn(self) -> None:
        now_s = self._cluster.clock.now_s
        self.driver.turn(now_s, int(now_s * 1000))

    # --- ``ports`` ---

    def write(self, _ticket: int, write: LogWrite, *, may_wait: bool) -> bool:
        self.log.write([write])
        return True

    def read(self, first: Slot, last: Slot, *, slots_max: int, bytes_max: int) -> list[AcceptedSlot]:
        return self.log.read(first, last, slots_max=slots_max, bytes_max=bytes_max)

    def read_for_peer(self, asked: ReadSlots) -> None:
        slots = self.read(asked.from_slot, asked.through, slots_max=asked.slots_max, bytes_max=asked.bytes_max)
        self.driver.put(SlotsRead(asked.target, slots))

    def compact(self, through: Slot) -> None:
        """The disk is large."""

    def install_floor(self, through: Slot, membership: Membership) -> None:
        raise AssertionError(f"no test here installs a state, and one at slot {through} was swapped in")

    def perform(self, job: Job) -> None:
        if self.held is not None:
            self.held.append(job)
        else:
            self.driver.put(StateJobDone(job, job.perform(self.store), None))

    def send(self, peer: NodeId, messages: list[Message]) -> None:
        self.said += [(peer, message) for message in messages]
        other = self._cluster[peer]
        if not (self.is_alone or other.is_alone):
            other.driver.put(PeerMessages(self.number, messages))

    def bytes_received(self, peer: NodeId) -> int:
        return -1  # these links are made of nothing, so none of them is ever closed for its silence

    def reset(self, peer: NodeId) -> None:
        raise AssertionError(peer)

    def follow(self, ways: Mapping[NodeId, Way]) -> None:
        """Everybody hears everybody here."""

    def find(self, client: int) -> NearLink | None:
        return self.link if client == self.link.number else None

    # --- its client ---

    def ask(self, *messages: ClientMessage) -> None:
        self.driver.put(ClientMessages(self.link.number, list(messages)))

    def open_session(self, secret: bytes = SECRET) -> None:
        """What is submitted from here on is submitted in it."""
        self._secret, self._sequence = secret, 1
        key = session_key(secret)
        self.ask(Submit(0, msgspec.msgpack.encode(OpenSession(key)), secret))
        self._cluster.until(lambda: any(opened.key == key for opened in self.heard(SessionOpened)))
        self.session = next(opened.session for opened in self.heard(SessionOpened) if opened.key == key)

    def submit(self, *payloads: bytes) -> None:
        """Commands of one session, as one submission."""
        secret = self._secret
        commands = Commands(self.session, self._sequence, self._sequence, list(payloads), session_key(secret))
        self._sequence += len(payloads)
        self.ask(Submit(self.session, msgspec.msgpack.encode(commands), secret))

    def heard(self, kind: type[Any]) -> list[Any]:
        return [message for message in self.link.heard if isinstance(message, kind)]


class Drivers:
    """A cluster of them: what one says is heard in the other's next turn. The first one leads."""

    def __init__(
        self,
        count: int = 3,
        machine: Callable[[Clock], StateMachine] = lambda _clock: Ledger(),
        **node: Any,
    ) -> None:
        self.clock = Clock()
        self.membership = Membership(1, tuple(NodeId(number) for number in range(1, count + 1)))
        self._nodes = {
            number: DrivenNode(self, number, machine(self.clock), node) for number in self.membership.members
        }
        for one in self.nodes:
            one.driver.put(ClientOpened(one.link.number))
            for other in self.membership.members:
                if other != one.number:
                    one.driver.put(PeerOpened(other))

    def __getitem__(self, number: int) -> DrivenNode:
        return self._nodes[NodeId(number)]

    @property
    def nodes(self) -> list[DrivenNode]:
        return list(self._nodes.values())

    def settle(self) -> None:
        """Turns until nobody has anything to do at this moment."""
        while due := [node for node in self.nodes if node.driver.is_due]:
            for node in due:
                node.turn()

    def until(self, holds: Callable[[], object]) -> float:
        """Let time pass until something holds; returns how much did."""
        began_s = self.clock.now_s
        self.settle()
        while not holds():
            assert self.clock.now_s < began_s + UNTIL_MAX_S, [node.driver.replica.role for node in self.nodes]
            self.clock.now_s += STEP_S
            for node in self.nodes:
                node.driver.is_due = node.driver.is_due or node.driver.deadline_s <= self.clock.now_s
            self.settle()
        return self.clock.now_s - began_s

    def leader(self) -> DrivenNode:
        """Somebody leads, and its client has a session."""
        leader = self.until_led()
        leader.open_session()
        return leader

    def until_led(self) -> DrivenNode:
        """Somebody leads."""

        def leading() -> list[DrivenNode]:
            return [node for node in self.nodes if node.is_leading and node.driver.applied_through > 0]

        self.until(leading)
        (leader,) = leading()
        return leader
