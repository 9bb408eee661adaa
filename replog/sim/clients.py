"""Simulated clients: one session each, several commands under way, retries under the same numbers, reads of both kinds.

They behave like ``replog.client`` does: what has no answer is sent again, in order, under the numbers it was given;
only an expired session ends a command without an answer.
"""

from __future__ import annotations

import random as random_module
from collections import Counter, deque

import attrs
import msgspec

from ..apply.outcomes import Refused, Replies, SequenceGap, SessionExpired, SessionOpened
from ..apply.submissions import Commands, OpenSession, session_key
from ..paxos.ballot import NodeId
from ..wire.client_messages import NodeMessage, NotLeader, Query, QueryAnswers, QueryRefused, Submit
from .history import Acknowledged, Answered, History, Place
from .host import Host
from .network import Network
from .strangers import Stranger
from .workload import Workload
from .world import World

PATIENCE_MIN_S = 0.02
_encoder = msgspec.msgpack.Encoder()


@attrs.define(kw_only=True)
class ClientWeather:
    """How clients behave and what happens to their links."""

    think_s: float = 0.01
    timeout_s: float = 0.25
    burst_max: int = 4
    outstanding_max: int = 8
    loss: float = 0.0
    read_rate: float = 0.3
    stale_rate: float = 0.3
    delay_s: float = 0.0003
    session_restart_rate: float = 0.0
    """Clients that forget their session and begin a new one."""


class _Command:
    """One command on its way."""

    __slots__ = ("floor", "payload", "sequence")

    def __init__(self, sequence: int, payload: bytes, floor: Place) -> None:
        self.sequence = sequence
        self.payload = payload
        self.floor = floor


class _Read:
    """One read on its way."""

    __slots__ = ("floor", "is_stale", "number", "request")

    def __init__(self, number: int, request: bytes, is_stale: bool, floor: Place) -> None:
        self.number = number
        self.request = request
        self.is_stale = is_stale
        self.floor = floor


class Client:
    """One simulated client."""

    def __init__(
        self,
        number: int,
        world: World,
        network: Network,
        hosts: dict[NodeId, Host],
        history: History,
        workload: Workload,
        weather: ClientWeather,
    ) -> None:
        self.number = number
        self.is_asking = True
        """Whether it goes on asking for new things."""
        self.answered = 0
        self.reads_linearizable = 0
        self.reads_stale = 0
        self.count: Counter[str] = Counter()
        """What went wrong for it, and what it did about that, by kind."""
        self._world = world
        self._network = network
        self._hosts = hosts
        self._history = history
        self._workload = workload
        self._weather = weather
        self._random: random_module.Random = world.stream(f"client {number}")
        self._node = self._random.choice(sorted(hosts))
        self.session = 0
        self._secret = self._random.randbytes(16)
        self.key = session_key(self._secret)
        self.next_sequence = 1
        self._commands: deque[_Command] = deque()
        self._reads: dict[int, _Read] = {}
        self._command_number = 0
        self._read_number = 0
        self._quiet_since_s = 0.0
        self._is_resend_due = False
        self._resent_at = 0
        self._patience_s = PATIENCE_MIN_S

    @property
    def is_idle(self) -> bool:
        """Whether everything it asked has ended."""
        return not self._commands and not self._reads

    def start(self) -> None:
        self._open_session()
        self._world.after(self._random.random() * self._weather.think_s, self._think)
        self._world.after(self._weather.timeout_s, self._watch)

    def reach_only(self, nodes: set[NodeId]) -> None:
        """From here on only these nodes can be reached."""
        self._hosts = {node: host for node, host in self._hosts.items() if node in nodes}
        if self._node not in nodes:
            self._node = self._other_node()
            self._resend()

    # --- asking ---

    def _think(self) -> None:
        if not self.is_asking:
            return
        self._world.after(self._random.expovariate(1.0 / self._weather.think_s), self._think)
        if self._random.random() < self._weather.read_rate:
            self._ask_read()
        elif self.session:
            self._ask_commands()

    def _ask_commands(self) -> None:
        room = self._weather.outstanding_max - len(self._commands)
        count = min(room, self._random.randint(1, self._weather.burst_max))
        if count <= 0:
            return
        fresh: list[_Command] = []
        for _ in range(count):
            self._command_number += 1
            payload = self._workload.command(self._random, self.number, self._command_number)
            fresh.append(_Command(self.next_sequence, payload, self._history.floor))
            self.next_sequence += 1
        if not self._commands:
            self._quiet_since_s = self._world.now_s
        self._commands.extend(fresh)
        self._submit(fresh)

    def _submit(self, commands: list[_Command]) -> None:
        submission = Commands(
            self.session,
            commands[0].sequence,
            self._commands[0].sequence,
            [one.payload for one in commands],
            self.key,
        )
        self._send(Submit(self.session, _encoder.encode(submission), self._secret))

    def _open_session(self) -> None:
        self._send(Submit(0, _encoder.encode(OpenSession(self.key)), self._secret))

    def _ask_read(self) -> None:
        if len(self._reads) >= 2:
            return
        self._read_number += 1
        is_stale = self._random.random() < self._weather.stale_rate
        request = self._workload.query(self._random, self.number)
        read = _Read(self._read_number, request, is_stale, self._history.floor)
        self._reads[read.number] = read
        self._send(Query(read.number, is_stale, [request]))

    def _send(self, message: Submit | Query) -> None:
        if self._weather.loss and self._random.random() < self._weather.loss:
            self.count["client_message_lost"] += 1
            return
        delay_s = self._weather.delay_s * (0.5 + self._random.random())
        self._world.after(delay_s, self._arrive, self._node, message)

    def _arrive(self, node: NodeId, message: Submit | Query) -> None:
        host = self._hosts.get(node)
        if host is None or not host.is_up or host.is_foreign:
            self._world.after(self._weather.delay_s, self._on_refused_link, node)
        else:
            host.receive_client(self.number, message)

    # --- being told ---

    def receive(self, node: NodeId, message: NodeMessage) -> None:
        match message:
            case Replies():
                self._patience_s = PATIENCE_MIN_S
                self._on_replies(message)
            case QueryAnswers():
                self._on_answers(message)
            case SessionOpened():
                self._on_session(message)
            case NotLeader():
                self._on_not_leader(node, message.leader)
            case QueryRefused():
                if message.code == "not_leader":
                    self._on_not_leader(node, NodeId(0))
            case SessionExpired():
                self.count["client_session_expired"] += message.session == self.session
                self._on_expired(message)
            case SequenceGap():
                self._on_gap(message)
            case Refused():
                pass  # the watch sends it again
            case _:
                raise AssertionError(message)

    def _on_session(self, message: SessionOpened) -> None:
        if message.key == self.key and not self.session:
            self.session = message.session
            self.next_sequence = 1

    def _on_replies(self, message: Replies) -> None:
        if message.session != self.session:
            return
        last = message.first_sequence + len(message.replies) - 1
        while self._commands and message.first_sequence <= self._commands[0].sequence <= last:
            command = self._commands.popleft()
            position = command.sequence - message.first_sequence
            place = (int(message.slot), message.first_offset + position)
            self._quiet_since_s = self._world.now_s
            self.answered += 1
            self._history.on_acknowledged(
                Acknowledged(
                    self.session,
                    command.sequence,
                    command.payload,
                    place,
                    message.replies[position],
                    position in message.failed,
                ),
                command.floor,
            )

    def _on_answers(self, message: QueryAnswers) -> None:
        read = self._reads.pop(message.first_id, None)
        if read is None:
            return
        self.answered += 1
        if read.is_stale:
            self.reads_stale += 1
        else:
            self.reads_linearizable += 1
        answered = Answered(read.request, message.applied_through, message.answers[0])
        self._history.on_answered(answered, None if read.is_stale else read.floor)

    def _on_not_leader(self, node: NodeId, leader: NodeId) -> None:
        if node != self._node:
            return
        if leader in self._hosts:
            self._go_to(leader)
            self._resend_in(self._weather.delay_s * 4)
        else:
            self._go_to(self._other_node())
            self._resend_patiently()

    def _on_refused_link(self, node: NodeId) -> None:
        if node == self._node:
            self._go_to(self._other_node())
            self._resend_patiently()

    def _on_expired(self, message: SessionExpired) -> None:
        if message.session != self.session:
            return
        self.count["client_outcome_unknown"] += len(self._commands)
        self._commands.clear()
        self._resent_at = 0
        self.session = 0
        self._secret = self._random.randbytes(16)
        self.key = session_key(self._secret)
        self._open_session()

    def _on_gap(self, message: SequenceGap) -> None:
        if message.session == self.session and message.acknowledged_below >= self._resent_at:
            self._resend_in(self._weather.delay_s)

    # --- trying again ---

    def _watch(self) -> None:
        """Once a timeout: what has been quiet for too long is asked again, elsewhere."""
        self._world.after(self._weather.timeout_s * (0.5 + self._random.random()), self._watch)
        if self.session and self._random.random() < self._weather.session_restart_rate and self.is_asking:
            self.count["client_new_session"] += 1
            self._on_expired(SessionExpired(self.session))
            return
        is_quiet = self._world.now_s - self._quiet_since_s > self._weather.timeout_s
        if (self._commands and is_quiet) or self._reads or not self.session:
            self.count["client_timeout"] += 1
            if self._random.random() < 0.7:
                self._go_to(self._other_node())
            self._resend()

    def _resend_in(self, delay_s: float) -> None:
        """Ask again a little later, once, however many answers said no."""
        if not self._is_resend_due:
            self._is_resend_due = True
            self._world.after(delay_s, self._resend)

    def _resend_patiently(self) -> None:
        """Nobody knows a leader: ask again, each time after twice as long."""
        self._resend_in(self._patience_s * (0.5 + self._random.random()))
        self._patience_s = min(2 * self._patience_s, self._weather.timeout_s)

    def _resend(self) -> None:
        self._is_resend_due = False
        self.count["client_retry"] += 1
        self._history.on_resent(self.number, self._world.now_s)
        if not self.session:
            self._open_session()
        elif self._commands:
            self._resent_at = self._commands[0].sequence
            self._submit(list(self._commands))
        for read in self._reads.values():
            self._send(Query(read.number, read.is_stale, [read.request]))

    def _other_node(self) -> NodeId:
        return self._random.choice([node for node in sorted(self._hosts) if node != self._node] or [self._node])

    def _go_to(self, node: NodeId) -> None:
        self.count["client_other_node"] += node != self._node
        self._node = node


class ClientGroup:
    """All clients, as hosts see them."""

    def __init__(self, world: World, weather: ClientWeather) -> None:
        self._world = world
        self._weather = weather
        self._random = world.stream("answers")
        self.clients: list[Client] = []
        self.strangers: list[Stranger] = []
        """Numbered behind the clients."""

    def deliver(self, client: int, node: NodeId, message: NodeMessage) -> None:
        """An answer travels back; it may be lost on the way."""
        if self._weather.loss and self._random.random() < self._weather.loss:
            return
        delay_s = self._weather.delay_s * (0.5 + self._random.random())
        everybody: list[Client | Stranger] = [*self.clients, *self.strangers]
        receiver = everybody[client]
        self._world.after(delay_s, receiver.receive, node, message)

    @property
    def is_idle(self) -> bool:
        return all(client.is_idle for client in self.clients)
