"""The twin of ``client.traffic`` in simulated time: the client that programs run meets simulated links and the world's
clock.

What is said, and what comes of it, is decided in ``client.session``, ``client.reads`` and ``client.connection``.

Never: decide anything that the client decides.
"""

from __future__ import annotations

import math
import random as random_module
from collections import Counter
from collections.abc import Callable
from typing import Any

from ..apply.outcomes import Replies, SequenceGap, SessionGone, SessionOpened, SubmissionRefused
from ..apply.submissions import session_key
from ..client.connection import Connection, State
from ..client.endpoints import Endpoints
from ..client.options import ClientOptions
from ..client.reads import Reads
from ..client.session import ClientSession
from ..client.silence import Verdict
from ..paxos.ballot import NodeId
from ..wire.client_messages import ClientMessage, NodeMessage, NotLeader, Ping, QueryAnswers, QueryRefused
from .client_links import ClientLink, LinkWeather
from .host import Host, address_of
from .world import World

DIAL_AGAIN_S = 0.01
"""How often a frozen node that is dialled is looked at."""


class SimTraffic:
    """One client's session, reads and connection, for as long as its program runs; satisfies ``client_links.LinkUser``.

    Parameters
    ----------
    wake: called with each call or read that is over.
    on_again: called whenever it dials again, or sends commands again of which none was answered since the last time.
    count: of what went wrong for it, and what it did about that, by kind.
    """

    def __init__(
        self,
        world: World,
        hosts: dict[NodeId, Host],
        weather: LinkWeather,
        options: ClientOptions,
        random: random_module.Random,
        wake: Callable[[Any], None],
        on_again: Callable[[], None],
        count: Counter[str],
    ) -> None:
        self._world = world
        self._hosts = {address_of(node): host for node, host in hosts.items()}
        self._weather = weather
        self._options = options
        self._random = random
        self._on_again = on_again
        self._count = count
        self.key = b""
        """Of the session; anybody can read it in the log."""
        self.session = ClientSession(wake, self._new_secret, options, random)
        self.reads = Reads(wake, options, random)
        endpoints = Endpoints([address_of(node) for node in hosts], options, random)
        self.connection = Connection(endpoints, options, random)
        self._link: ClientLink | None = None
        self._timer_s = math.inf
        self._again_from = (0, 0)
        """The session, and from where on it was unanswered, when commands were last sent again."""
        world.after(options.watch_interval_s, self._watch)

    def _new_secret(self) -> bytes:
        secret = self._random.randbytes(16)
        self.key = session_key(secret)
        return secret

    # --- callers ---

    def stir(self) -> None:
        """Somebody has given the session or the reads something to do."""
        if self._link is not None and self.connection.is_linked:
            self._flush()
        elif self.connection.state is State.IDLE and self.is_waited_for:
            host = self._hosts[self.connection.dial(self._world.now_s)]
            self._world.after(self._weather.delay_s, self._reach, host, self._world.now_s)

    @property
    def is_waited_for(self) -> bool:
        return self.session.has_work or self.reads.has_work

    def leave(self, *, is_killed: bool) -> None:
        """The program ends, in order or not."""
        closing = self.session.closing() if self.connection.is_linked and not is_killed else None
        self.session.end_all("this client was left")
        self.reads.end_all("this client was left")
        self.connection.on_left()
        if self._link is not None:
            if closing is not None:
                self._link.send([closing])
            self._link.close()

    # --- its connection ---

    def _reach(self, host: Host, dialled_s: float) -> None:
        """A frozen node does not greet, and may come back before the client is tired of it."""
        if self.connection.is_closed:
            return
        if not host.is_up or host.is_foreign:
            self._world.after(self._weather.delay_s, self._unreached, ConnectionRefusedError())
        elif not host.is_paused:
            self._link = ClientLink(self._world, self._weather, self._random, self._count, host, self)
        elif self._world.now_s < dialled_s + self._options.dial_timeout_s:
            self._world.after(DIAL_AGAIN_S, self._reach, host, dialled_s)
        else:
            self._unreached(TimeoutError())

    def _unreached(self, error: BaseException) -> None:
        if not self.connection.is_closed:
            self._link = None
            self._count["client_unreached"] += 1
            self.connection.on_unreached(error, self._world.now_s)
            self._rest()

    def _rest(self) -> None:
        self._on_again()
        self._world.after(self.connection.rest(), self._rested)

    def _rested(self) -> None:
        self.connection.on_rested()
        if not self.connection.is_closed:
            self.stir()

    def on_greeted(self, link: ClientLink) -> None:
        if link.is_closed:
            return
        self.connection.on_greeted(link.node, self._world.now_s)
        self.session.on_connected(link.node)
        self._flush()

    def on_lost(self, link: ClientLink) -> None:
        if link is not self._link:
            return
        error = ConnectionResetError()
        if self.connection.is_linked:
            self._end_link(error)
        else:
            self._unreached(error)

    def _end_link(self, error: BaseException | None) -> None:
        self._link = None
        self.session.on_disconnected()
        self.reads.on_disconnected()
        self.connection.on_lost(error, self._world.now_s)
        self._rest()

    # --- sending ---

    def _flush(self) -> None:
        """One frame of everything that may leave."""
        now_s, session = self._world.now_s, self.session
        repeated_before = session.commands_repeated
        messages: list[ClientMessage] = [*session.take_submissions(now_s)]
        if session.commands_repeated > repeated_before:
            self._count["client_repeated"] += 1
            if (session.number, session.unanswered_from) == self._again_from:
                self._on_again()
            self._again_from = (session.number, session.unanswered_from)
        if self._link is not None:
            if self.reads.has_work:
                messages += self.reads.take(now_s, is_accepting=session.is_accepting)
            if messages:
                self._link.send(messages)
        deadline_s = min(session.deadline_s, self.reads.deadline_s)
        if deadline_s < self._timer_s:
            self._timer_s = deadline_s
            self._world.after(max(0.0, deadline_s - now_s), self._on_timer, deadline_s)

    def _on_timer(self, deadline_s: float) -> None:
        if deadline_s == self._timer_s:
            self._timer_s = math.inf
            if self._link is not None and self.connection.is_linked:
                self._flush()

    # --- what nodes say ---

    def on_frame(self, link: ClientLink, messages: list[NodeMessage]) -> None:
        now_s = self._world.now_s
        for message in messages:
            match message:
                case Replies():
                    self.session.on_replies(message)
                case QueryAnswers():
                    self.reads.on_answers(message)
                case SessionOpened():
                    self.session.on_message(message, now_s)
                    self._count["client_new_session"] += self.session.sessions_opened > 1
                case SessionGone() | SequenceGap():
                    self._count[f"client_told_{type(message).__name__}"] += 1
                    self.session.on_message(message, now_s)
                case SubmissionRefused():
                    self._count[f"client_refused_{message.code}"] += 1
                    self.session.on_message(message, now_s)
                case NotLeader():
                    self._on_not_leader(message, now_s)
                    continue
                case QueryRefused():
                    self._count[f"client_read_refused_{message.code}"] += 1
                    self.reads.on_refused(message, now_s)
                case _:
                    pass  # a Pong
            self.connection.on_message(message)
        if link.is_closed:
            self._end_link(None)
        elif self.is_waited_for:
            self._flush()

    def _on_not_leader(self, message: NotLeader, now_s: float) -> None:
        self._count["client_told_NotLeader"] += 1
        assert self._link is not None
        self.session.on_message(message, now_s)
        if self.connection.on_not_leader(message, now_s):
            self._count["client_redirected"] += 1
            self._link.close()
        elif self.session.is_accepting:
            self.reads.on_leads(now_s)

    # --- deadlines, and nodes that hang ---

    def _watch(self) -> None:
        if self.connection.is_closed:
            return
        now_s = self._world.now_s
        self._world.after(self._options.watch_interval_s, self._watch)
        self.session.end_overdue(now_s, self.connection.situation)
        self.reads.end_overdue(now_s, self.connection.situation)
        link = self._link
        if link is None or not self.connection.is_linked:
            return
        match self.connection.judge(link.bytes_received, now_s, is_waiting=self.is_waited_for):
            case Verdict.PING:
                self._count["client_ping"] += 1
                link.send([Ping(self.reads.take_id())])
            case Verdict.LEAVE:
                self._count["client_node_left"] += 1
                link.close()
                self._end_link(None)
            case Verdict.WAIT:
                pass
