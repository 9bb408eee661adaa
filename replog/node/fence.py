"""A fence around a driver: all that it calls goes through here, and is told to a tape.

One tape writes: it lets each call through and notes what was called and what came of it. Another one reads: it lets
nothing through, compares what is called with what is noted, and gives the noted answer. So a recorded life is lived
again by the same driver between the same posts.

Never: change an answer; stand around a driver whose life is not recorded.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Protocol, TypedDict, TypeVar, cast

import attrs

from ..apply.applier import Applier
from ..apply.command_loop import Outcome
from ..errors import StorageError
from ..paxos.ballot import NodeId, Slot, node_name
from ..paxos.describe import describe_message, describe_write
from ..paxos.effects import LogWrite, ReadSlots
from ..paxos.membership import Membership
from ..paxos.messages import AcceptedSlot, Message
from ..state.contract import StateStore
from .client_link import ClientLink
from .event_log import EventLog
from .ports import ClientPort, LogPort, PeerPort, Ports, StatePort
from .queries import checked
from .reach import Way
from .record_contents import Contents
from .record_format import Applied, AppliedSoFar, LinkFacts
from .record_lines import frame_line, job_line, log_line
from .state_jobs import Job

_T = TypeVar("_T")


class Around(TypedDict):
    """What a ``Driver`` is made with and calls."""

    make_applier: Callable[[], Applier]
    state_store: StateStore
    ports: Ports
    clock: Callable[[], float]
    log: EventLog
    status: Callable[[], bytes]


class Tape(Protocol):
    """Where calls are noted, or read."""

    node: NodeId
    contents: Contents

    def call(self, line: str, kind: Any, act: Callable[[], _T], hide: Callable[[_T], Any] = ...) -> _T:
        """The answer to a call.

        Parameters
        ----------
        line: what is called.
        kind: the type of the noted answer.
        act: calls it.
        hide: makes of an answer what is noted.
        """

    def seen(self, sight: Sight, look: Callable[[], int]) -> int:
        """What something that changes by itself is at this moment."""

    def reading(self, clock: Callable[[], float]) -> float:
        """Of a clock."""

    def concerns(self, outcome: Outcome) -> bool:
        """Whether somebody who is connected waits for it."""


@attrs.define
class Sight:
    """Something that changes by itself, and what it was when it was looked at last."""

    name: str
    value: int | None = None


def fenced(tape: Tape, around: Around) -> Around:
    """The same, with the fence in between."""
    ports = around["ports"]
    return Around(
        make_applier=lambda: cast(Applier, _Applier(tape, around["make_applier"])),
        state_store=cast(StateStore, _Store(tape, around["state_store"])),
        ports=Ports(
            log=_Log(tape, ports.log),
            state=Jobs(tape, ports.state),
            peers=_Peers(tape, ports.peers),
            clients=_Clients(tape, ports.clients),
        ),
        clock=lambda: tape.reading(around["clock"]),
        log=_EventLog(tape, around["log"]),
        status=lambda: tape.call("reports its status", bytes, around["status"], tape.contents.data),
    )


@attrs.frozen
class _Log:
    """A ``LogPort``."""

    tape: Tape
    inner: LogPort

    def write(self, ticket: int, write: LogWrite, *, may_wait: bool) -> bool:
        contents, manner = self.tape.contents, "and may wait" if may_wait else "and goes on"
        told = f"{describe_write(self.tape.node, write)}, as {ticket}, {manner}"
        line = f"{told} {contents.fingerprint(contents.write(write))}"
        return self.tape.call(line, bool, lambda: self.inner.write(ticket, write, may_wait=may_wait))

    def read(self, first: Slot, last: Slot, *, slots_max: int, bytes_max: int) -> list[AcceptedSlot]:
        return self.tape.call(
            f"reads slots {first}..{last}, at most {slots_max} of {bytes_max} bytes",
            list[AcceptedSlot],
            lambda: self.inner.read(first, last, slots_max=slots_max, bytes_max=bytes_max),
            self.tape.contents.slots,
        )

    def read_for_peer(self, asked: ReadSlots) -> None:
        slots = f"slots {asked.from_slot}..{asked.through}, at most {asked.slots_max} of {asked.bytes_max} bytes"
        self.tape.call(f"reads {slots}, for {node_name(asked.target)}", None, lambda: self.inner.read_for_peer(asked))

    def compact(self, through: Slot) -> None:
        self.tape.call(f"compacts through {through}", None, lambda: self.inner.compact(through))

    def install_floor(self, through: Slot, membership: Membership) -> None:
        line = f"installs the floor {through} with membership {membership.version}"
        self.tape.call(line, None, lambda: self.inner.install_floor(through, membership))


@attrs.define
class Jobs:
    """A ``StatePort`` that knows what is under way."""

    tape: Tape
    inner: StatePort
    job: Job | None = None

    def perform(self, job: Job) -> None:
        self.job = job
        self.tape.call(job_line(job), None, lambda: self.inner.perform(job))


@attrs.frozen
class _Peers:
    """A ``PeerPort``."""

    tape: Tape
    inner: PeerPort
    received: dict[NodeId, Sight] = attrs.field(factory=dict)

    def send(self, peer: NodeId, messages: list[Message]) -> None:
        tape, contents = self.tape, self.tape.contents
        told = "; ".join(describe_message(tape.node, peer, message) for message in messages)
        line = f"{told} {contents.fingerprint(list(map(contents.message, messages)))}"
        tape.call(line, None, lambda: self.inner.send(peer, messages))

    def bytes_received(self, peer: NodeId) -> int:
        sight = self.received.setdefault(peer, Sight(f"bytes received from {node_name(peer)}"))
        return self.tape.seen(sight, lambda: self.inner.bytes_received(peer))

    def reset(self, peer: NodeId) -> None:
        self.tape.call(f"closes the link to {node_name(peer)}", None, lambda: self.inner.reset(peer))

    def follow(self, ways: Mapping[NodeId, Way]) -> None:
        told = ", ".join(f"{node_name(peer)} at {way.address}" for peer, way in ways.items())
        self.tape.call(f"keeps links to {told or 'nobody'}", None, lambda: self.inner.follow(ways))


class _Clients:
    """A ``ClientPort``."""

    def __init__(self, tape: Tape, inner: ClientPort) -> None:
        self._tape = tape
        self._inner = inner

    def find(self, client: int) -> ClientLink | None:
        found: list[ClientLink] = []

        def find() -> LinkFacts | None:
            link = self._inner.find(client)
            if link is None:
                return None
            found.append(link)
            return LinkFacts(link.write_buffer_bytes_max, link.peer_address)

        facts = self._tape.call(f"meets client {client}", LinkFacts | None, find)
        if facts is None:
            return None
        return cast(ClientLink, _Link(self._tape, found[0] if found else None, client, facts))


class _Link:
    """A ``ClientLink``."""

    def __init__(self, tape: Tape, inner: Any, client: int, facts: LinkFacts) -> None:
        self._tape = tape
        self._inner = inner
        self.number = client
        self.write_buffer_bytes_max = facts.write_buffer_bytes_max
        self.peer_address = facts.peer_address
        self._received = Sight(f"bytes received from client {client}")
        self._closed = Sight(f"client {client} is closed")
        self._unsent = Sight(f"bytes unsent to client {client}")

    @property
    def bytes_received(self) -> int:
        return self._tape.seen(self._received, lambda: self._inner.bytes_received)

    @property
    def is_closed(self) -> bool:
        return bool(self._tape.seen(self._closed, lambda: self._inner.is_closed))

    @property
    def unsent_bytes(self) -> int:
        return self._tape.seen(self._unsent, lambda: self._inner.unsent_bytes)

    def write(self, frame: bytes) -> bool:
        return self._tape.call(frame_line(self.number, frame), bool, lambda: bool(self._inner.write(frame)))

    def close(self) -> None:
        self._tape.call(f"closes client {self.number}", None, lambda: self._inner.close())


class _Store:
    """As much of a ``StateStore`` as a driver touches itself."""

    def __init__(self, tape: Tape, inner: StateStore) -> None:
        self._tape = tape
        self._inner = inner
        self._durable = Sight("the stored state is durable through")

    @property
    def durable_through(self) -> int:
        return self._tape.seen(self._durable, lambda: self._inner.durable_through)

    def finish_install(self, applied_through: Slot) -> None:
        line = f"swaps in the state at slot {applied_through}"
        self._tape.call(line, None, lambda: self._inner.finish_install(applied_through))


class _Applier:
    """As much of an ``Applier`` as a driver touches; the rest is the inner one's."""

    def __init__(self, tape: Tape, make: Callable[[], Applier]) -> None:
        self._tape = tape
        made: list[Applier] = []

        def begin() -> AppliedSoFar:
            made.append(make())
            return AppliedSoFar(
                made[0].applied_through, made[0].log_time_ms, *made[0].checkpoint(), membership=made[0].membership
            )

        begun = tape.call("opens the state", AppliedSoFar, begin)
        self._inner: Any = made[0] if made else None
        self.applied_through = begun.applied_through
        self.log_time_ms = begun.log_time_ms
        self._checkpoint = begun.checkpoint_slot, begun.checkpoint_digest
        self.membership = begun.membership
        self.is_inside_slot = False
        self._unflushed = Sight("unflushed keys")
        self._durable = Sight("the state is durable through")
        self._failed = Sight("the state has failed")

    def __getattr__(self, name: str) -> Any:
        return getattr(self._inner, name)

    def begin(self, slot: Slot, value: bytes) -> None:
        told = self._tape.contents.fingerprint(self._tape.contents.value(value))
        self._tape.call(f"begins slot {slot} {told}", None, lambda: self._inner.begin(slot, value))
        self.is_inside_slot = True

    def run(self, is_over: Callable[[], bool]) -> list[Outcome] | None:
        """How far it comes is noted, and not when it looked at the clock."""
        tape, contents, inner, slot = self._tape, self._tape.contents, self._inner, Slot(self.applied_through + 1)

        def act() -> Applied:
            return Applied(inner.run(is_over), inner.log_time_ms, *inner.checkpoint())

        def hide(applied: Applied) -> Applied:
            if applied.outcomes is None:
                return applied
            told = [contents.outcome(outcome) for outcome in applied.outcomes if tape.concerns(outcome)]
            return Applied(told, applied.log_time_ms, applied.checkpoint_slot, applied.checkpoint_digest)

        applied = tape.call(f"applies slot {slot}", Applied, act, hide)
        if applied.outcomes is not None:
            self.is_inside_slot = False
            self.applied_through = slot
            self.log_time_ms = applied.log_time_ms
            self._checkpoint = applied.checkpoint_slot, applied.checkpoint_digest
        return applied.outcomes

    def checkpoint(self) -> tuple[Slot, bytes]:
        return self._checkpoint

    def query(self, request: bytes) -> bytes:
        line = f"answers a read of {len(request)} bytes"
        return self._tape.call(line, bytes, lambda: checked(self._inner.query(request)), self._tape.contents.data)

    @property
    def failure(self) -> StorageError | None:
        if not self._tape.seen(self._failed, lambda: self._inner.failure is not None):
            return None
        return StorageError("the state has failed") if self._inner is None else self._inner.failure

    @property
    def unflushed_keys(self) -> int:
        return self._tape.seen(self._unflushed, lambda: self._inner.unflushed_keys)

    @property
    def durable_through(self) -> int:
        return self._tape.seen(self._durable, lambda: self._inner.durable_through)

    def begin_flush(self) -> bool:
        return self._tape.call("sets aside what is to be flushed", bool, lambda: bool(self._inner.begin_flush()))

    def end_flush(self) -> None:
        self._tape.call("lets go of what was flushed", None, lambda: self._inner.end_flush())


@attrs.frozen
class _EventLog:
    """An ``EventLog``."""

    tape: Tape
    inner: EventLog

    def info(self, event: str, **facts: Any) -> None:
        self.tape.call(log_line(event, facts), None, lambda: self.inner.info(event, **facts), _nothing)

    def warning(self, event: str, **facts: Any) -> None:
        self.tape.call(log_line(event, facts), None, lambda: self.inner.warning(event, **facts), _nothing)


def _nothing(_answer: object) -> None:
    """What a logger returns is nobody's business."""
