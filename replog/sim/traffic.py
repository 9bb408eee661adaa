"""The twin of ``client.traffic`` in simulated time: the client that programs run meets simulated links and the world's
clock.

What is said, and what comes of it, is decided in ``client.conversation``; here it is only counted.

Never: decide anything that the client decides.
"""

from __future__ import annotations

import math
import random as random_module
from collections import Counter
from collections.abc import Callable
from typing import Any

from ..apply.outcomes import SequenceGap, SessionGone, SubmissionRefused
from ..apply.submissions import session_key
from ..client.connection import State
from ..client.conversation import Conversation
from ..client.endpoints import Endpoints
from ..client.options import ClientOptions
from ..client.silence import Verdict
from ..paxos.ballot import NodeId
from ..wire.client_messages import NodeMessage, NotLeader, QueryRefused
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
        endpoints = Endpoints([address_of(node) for node in hosts], options, random)
        self._conversation = Conversation(wake, self._new_secret, endpoints, options, random)
        self.session = self._conversation.session
        self.reads = self._conversation.reads
        self.connection = self._conversation.connection
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
        return self._conversation.is_waited_for

    def leave(self, *, is_killed: bool) -> None:
        """The program ends, in order or not."""
        last_words = self._conversation.leave()
        if self._link is not None:
            if last_words and not is_killed:
                self._link.send(last_words)
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
        self._conversation.on_greeted(link.node, self._world.now_s)
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
        self._conversation.on_lost(error, self._world.now_s)
        self._rest()

    # --- sending ---

    def _flush(self) -> None:
        """One frame of everything that may leave."""
        now_s, session = self._world.now_s, self.session
        repeated_before = session.commands_repeated
        messages = self._conversation.take(now_s)
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
        opened_before = self.session.sessions_opened
        for message in messages:
            self._count_message(message)
        is_sent_away = self._conversation.on_messages(messages, self._world.now_s)
        self._count["client_new_session"] += self.session.sessions_opened > max(1, opened_before)
        if is_sent_away:
            self._count["client_redirected"] += 1
            link.close()
        if link.is_closed:
            self._end_link(None)
        elif self.is_waited_for:
            self._flush()

    def _count_message(self, message: NodeMessage) -> None:
        match message:
            case SessionGone() | SequenceGap() | NotLeader():
                self._count[f"client_told_{type(message).__name__}"] += 1
            case SubmissionRefused():
                self._count[f"client_refused_{message.code}"] += 1
            case QueryRefused():
                self._count[f"client_read_refused_{message.code}"] += 1
            case _:
                pass

    # --- deadlines, and nodes that hang ---

    def _watch(self) -> None:
        if self.connection.is_closed:
            return
        now_s = self._world.now_s
        self._world.after(self._options.watch_interval_s, self._watch)
        self._conversation.end_overdue(now_s)
        link = self._link
        if link is None:
            return
        match self._conversation.judge(link.bytes_received, now_s):
            case Verdict.PING:
                self._count["client_ping"] += 1
                link.send([self._conversation.ping()])
            case Verdict.LEAVE:
                self._count["client_node_left"] += 1
                link.close()
                self._end_link(None)
            case Verdict.WAIT:
                pass
