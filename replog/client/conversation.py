"""What one client says to the nodes and hears from them, without I/O or a clock: its session, its reads and its
connection as one machine.

Whoever holds the link (``traffic`` in programs, ``sim.traffic`` in simulated time) tells it what happens, sends what it
hands out, and ends the link when it says so. So the simulator's clients are the clients that programs run.

Never: open a link, read a clock, wait.
"""

from __future__ import annotations

import random as random_module
from collections.abc import Callable, Iterable
from typing import Any

from ..apply.outcomes import Replies, SequenceGap, SessionGone, SessionOpened, SubmissionRefused
from ..wire.client_messages import (
    ChangeMembersAnswer,
    ClientMessage,
    Entries,
    NodeMessage,
    NotLeader,
    Ping,
    Pong,
    QueryAnswers,
    QueryRefused,
    Status,
    TransferAnswer,
)
from .connection import Connection
from .endpoints import Endpoints
from .options import ClientOptions
from .reads import Reads
from .session import ClientSession
from .silence import Verdict


class Conversation:
    """See the top of the module.

    Parameters
    ----------
    wake: called with each call or read that is over.
    new_secret: 16 random bytes for each session.
    """

    def __init__(
        self,
        wake: Callable[[Any], None],
        new_secret: Callable[[], bytes],
        endpoints: Endpoints,
        options: ClientOptions,
        random: random_module.Random,
    ) -> None:
        self.session = ClientSession(wake, new_secret, options, random)
        self.reads = Reads(wake, options, random)
        self.connection = Connection(endpoints, options, random)

    @property
    def is_waited_for(self) -> bool:
        """Whether anybody wants anything of a node."""
        return self.session.has_work or self.reads.has_work

    @property
    def deadline_s(self) -> float:
        """When ``take`` has something to say though nothing happens."""
        return min(self.session.deadline_s, self.reads.deadline_s)

    def end_all(self, why: str) -> None:
        """Everybody who waits hears that nobody works for him any more."""
        self.session.end_all(why)
        self.reads.end_all(why)

    def leave(self) -> list[ClientMessage]:
        """The program leaves: every call ends. Returns the last words, which close the session in the log."""
        closing = self.session.closing() if self.connection.is_linked else None
        self.end_all("this client was left")
        self.connection.on_left()
        return [] if closing is None else [closing]

    # --- a link's life ---

    def on_greeted(self, node: int, now_s: float) -> None:
        """The link stands."""
        self.connection.on_greeted(node, now_s)
        self.session.on_connected(node)

    def on_lost(self, error: BaseException | None, now_s: float) -> None:
        """Nothing more comes or leaves over this link; ``error`` as in ``Connection.on_lost``."""
        self.session.on_disconnected()
        self.reads.on_disconnected()
        self.connection.on_lost(error, now_s)

    # --- what is said ---

    def take(self, now_s: float) -> list[ClientMessage]:
        """Everything that may leave now."""
        session = self.session
        messages: list[ClientMessage] = [*session.take_submissions(now_s)]
        if self.connection.is_linked and self.reads.has_work:
            messages += self.reads.take(now_s, is_accepting=session.is_accepting)
        return messages

    def on_messages(self, messages: Iterable[NodeMessage], now_s: float) -> bool:
        """What a node says, in its order. Returns whether to end the link, because the leader is elsewhere."""
        is_sent_away = False
        for message in messages:
            match message:
                case Replies():
                    self.session.on_replies(message)
                case QueryAnswers():
                    self.reads.on_answers(message)
                case SessionOpened() | SessionGone() | SequenceGap() | SubmissionRefused():
                    self.session.on_message(message, now_s)
                case NotLeader():
                    is_sent_away |= self._on_not_leader(message, now_s)
                    continue
                case QueryRefused():
                    self.reads.on_refused(message, now_s)
                case Status() | TransferAnswer() | ChangeMembersAnswer():
                    self.reads.on_reply(message)
                case Pong() | Entries():
                    pass
            self.connection.on_message(message)
        return is_sent_away

    def _on_not_leader(self, message: NotLeader, now_s: float) -> bool:
        """Go where the leader is; where nobody knows it, wait to be told."""
        self.session.on_message(message, now_s)
        if self.connection.on_not_leader(message, now_s):
            return True
        if self.session.is_accepting:
            self.reads.on_leads(now_s)
        return False

    # --- deadlines, and nodes that hang ---

    def end_overdue(self, now_s: float) -> None:
        """A few times a second, however many wait: a timer a call would cost more than the call."""
        self.session.end_overdue(now_s, self.connection.situation)
        self.reads.end_overdue(now_s, self.connection.situation)

    def judge(self, bytes_received: int, now_s: float) -> Verdict:
        """As often: is the node at the other end worth waiting for? ``bytes_received`` counts what has come from it."""
        if not self.connection.is_linked:
            return Verdict.WAIT
        return self.connection.judge(bytes_received, now_s, is_waiting=self.is_waited_for)

    def ping(self) -> Ping:
        """Asks a silent node whether it lives."""
        return Ping(self.reads.take_id())
