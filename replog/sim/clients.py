"""Simulated programs, each with the client that real ones have: they submit, alone and in groups, read in both ways,
give up, and begin anew. What they are told goes into the history.
"""

from __future__ import annotations

import math
import random as random_module
from collections import Counter
from collections.abc import Sequence

import attrs

from ..client.call import Call
from ..client.options import ClientOptions
from ..client.reads import Read
from ..errors import Overloaded
from ..paxos.ballot import NodeId
from .client_links import LinkWeather
from .history import History, Place
from .host import Host
from .traffic import SimTraffic
from .workload import Workload
from .world import World

RESTART_LOOK_S = 0.25
READS_MAX = 2


@attrs.define(kw_only=True)
class ClientWeather:
    """How clients behave, and what happens to their links."""

    links: LinkWeather
    options: ClientOptions
    think_s: float = 0.01
    burst_max: int = 4
    outstanding_max: int = 8
    group_rate: float = 0.3
    """Bursts that are one call."""
    read_rate: float = 0.3
    stale_rate: float = 0.3
    timeouts_s: Sequence[float] = (0.1, 0.5, 3.0, math.inf)
    abandon_rate: float = 0.0
    """Chances to ask that a caller takes to leave one of his calls instead."""
    submission_bytes_max: int = 2**20
    restart_rate: float = 0.0
    """Programs that end, in order or not, and begin anew: so many in each ``RESTART_LOOK_S``."""


class _Call(Call):
    """A call, and what its caller had heard before."""

    __slots__ = ("floor",)

    def __init__(self, payloads: Sequence[bytes], deadline_s: float, floor: Place) -> None:
        super().__init__(payloads, deadline_s)
        self.floor = floor


class Client:
    """One program after the other, under one name."""

    def __init__(
        self,
        number: int,
        world: World,
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
        self._hosts = hosts
        self._history = history
        self._workload = workload
        self._weather = weather
        self._random: random_module.Random = world.stream(f"client {number}")
        self._calls: dict[_Call, None] = {}
        self._reads: dict[Read, Place] = {}
        self._command_number = 0
        self.next_sequence = 1
        """As far as a stranger can know it."""
        self._begin_program()

    def _begin_program(self) -> None:
        self._traffic = SimTraffic(
            self._world,
            self._hosts,
            self._weather.links,
            self._weather.options,
            self._random,
            self._on_ended,
            lambda: self._history.on_again(self.number, self._world.now_s),
            self.count,
        )
        self._traffic.session.submission_bytes_max = self._weather.submission_bytes_max

    @property
    def session(self) -> int:
        return self._traffic.session.number

    @property
    def key(self) -> bytes:
        return self._traffic.key

    @property
    def is_idle(self) -> bool:
        """Whether everything it asked has ended, and the client has nothing left to bring to its end."""
        return not self._calls and not self._reads and not self._traffic.is_waited_for

    def start(self) -> None:
        self._world.after(self._random.random() * self._weather.think_s, self._think)
        if self._weather.restart_rate:
            self._world.after(RESTART_LOOK_S, self._maybe_restart)

    # --- asking ---

    def _think(self) -> None:
        if not self.is_asking:
            return
        random, weather = self._random, self._weather
        self._world.after(random.expovariate(1.0 / weather.think_s), self._think)
        if weather.abandon_rate and self._calls and random.random() < weather.abandon_rate:
            self._abandon(random.choice(list(self._calls)))
        elif random.random() < weather.read_rate:
            self._ask_read()
        else:
            self._ask_commands()

    def _ask_commands(self) -> None:
        random, weather = self._random, self._weather
        room = weather.outstanding_max - sum(len(call.payloads) for call in self._calls)
        count = min(room, random.randint(1, weather.burst_max))
        if count <= 0:
            return
        payloads = []
        for _ in range(count):
            self._command_number += 1
            payloads.append(self._workload.command(random, self.number, self._command_number))
        is_group = count > 1 and random.random() < weather.group_rate
        deadline_s, floor = self._deadline_s(), self._history.floor
        calls = [_Call(group, deadline_s, floor) for group in ([payloads] if is_group else [[one] for one in payloads])]
        for call in calls:
            self._begin(call)
        self._traffic.stir()

    def _begin(self, call: _Call) -> None:
        self._calls[call] = None
        try:
            self._traffic.session.add(call)
        except Overloaded as error:
            call.error = error
            self._on_ended(call)

    def _ask_read(self) -> None:
        if len(self._reads) < READS_MAX:
            is_stale = self._random.random() < self._weather.stale_rate
            request = self._workload.query(self._random, self.number)
            read = Read(request, self._deadline_s(), is_stale=is_stale)
            self._reads[read] = self._history.floor
            self._traffic.reads.add(read)
            self._traffic.stir()

    def _deadline_s(self) -> float:
        return self._world.now_s + self._random.choice(self._weather.timeouts_s)

    def _abandon(self, call: _Call) -> None:
        """Whoever waited for it was cancelled, and hears nothing."""
        self.count["client_abandoned"] += 1
        call.abandon()
        del self._calls[call]

    # --- being told ---

    def _on_ended(self, ended: _Call | Read) -> None:
        if isinstance(ended, Read):
            self._on_read_ended(ended)
            return
        del self._calls[ended]
        self._history.on_call_ended(ended, self.session, ended.floor, self._world.now_s)
        done = len(ended.payloads) - ended.results.count(None)
        self.answered += done
        if done:
            self.next_sequence = ended.first_sequence + len(ended.payloads)
        if done < len(ended.payloads):
            self.count[f"client_call_{type(ended.error).__name__}"] += 1

    def _on_read_ended(self, read: Read) -> None:
        self._history.on_read_ended(read, self._reads.pop(read), self._world.now_s)
        if read.answer is None:
            self.count["client_read_Unavailable"] += 1
            return
        self.answered += 1
        if read.is_stale:
            self.reads_stale += 1
        else:
            self.reads_linearizable += 1

    # --- beginning anew ---

    def _maybe_restart(self) -> None:
        if not self.is_asking:
            return
        self._world.after(RESTART_LOOK_S, self._maybe_restart)
        if self._random.random() < self._weather.restart_rate:
            is_killed = self._random.random() < 0.5
            self.count["client_killed" if is_killed else "client_left"] += 1
            self._traffic.leave(is_killed=is_killed)
            self._begin_program()
