"""The one connection of a client as a state machine, without I/O or a clock: where to go, when to leave, when to rest.

``TRANSITIONS`` is the whole of it: ``Connection`` moves through that table and nowhere else. Whoever holds the link
(``traffic``) tells it what happens and does what the state says.
"""

from __future__ import annotations

import enum
import random as random_module

from ..paxos.effects import Refusal
from ..wire.client_messages import NodeMessage, NotLeader, QueryRefused
from .backoff import Backoff
from .endpoints import Endpoints
from .options import ClientOptions
from .silence import Patience, Silence, Verdict


class State(enum.Enum):
    """What the connection is doing."""

    IDLE = "nobody waits for anything, and there is no link"
    DIALING = "a node is dialled and greeted"
    SERVED = "the node at the other end takes what is sent, as far as is known"
    LEADERLESS = "the node at the other end knows no leader, and will say when it does"
    RESTING = "a link was lost or not made; a pause before the next"
    CLOSED = "the client has been left"


class Event(enum.Enum):
    """What can happen to it."""

    WANTED = "somebody waits for something"
    GREETED = "the node let the client in"
    UNREACHED = "the node could not be reached, or refused"
    SENT_AWAY = "the node says that it does not lead"
    LEADS = "the node says that it leads"
    LOST = "the link has ended, whoever ended it"
    RESTED = "the pause is over"
    LEFT = "the program leaves the client"


TRANSITIONS: dict[State, dict[Event, State]] = {
    State.IDLE: {Event.WANTED: State.DIALING, Event.LEFT: State.CLOSED},
    State.DIALING: {Event.GREETED: State.SERVED, Event.UNREACHED: State.RESTING, Event.LEFT: State.CLOSED},
    State.SERVED: {
        Event.LEADS: State.SERVED,
        Event.SENT_AWAY: State.LEADERLESS,
        Event.LOST: State.RESTING,
        Event.LEFT: State.CLOSED,
    },
    State.LEADERLESS: {
        Event.LEADS: State.SERVED,
        Event.SENT_AWAY: State.LEADERLESS,
        Event.LOST: State.RESTING,
        Event.LEFT: State.CLOSED,
    },
    State.RESTING: {Event.RESTED: State.IDLE, Event.LEFT: State.CLOSED},
    State.CLOSED: {event: State.CLOSED for event in Event if event is not Event.WANTED},
}
"""What follows on what; anything else is a mistake of ours. Whatever was under way may still end after the program has
left."""


class Connection:
    """See the top of the module.

    Parameters
    ----------
    random: of the pauses between links.
    """

    def __init__(self, endpoints: Endpoints, options: ClientOptions, random: random_module.Random) -> None:
        self.state = State.IDLE
        self.address = ""
        """Where the link leads, or last led."""
        self.reconnects = 0
        self._endpoints = endpoints
        self._options = options
        self._backoff = Backoff(options.redial_first_s, options.redial_max_s, random)
        self._redirects = 0
        self._node = 0
        self._was_useful = False
        self._leaderless_since_s = 0.0
        self._patience = Patience(options)
        self._silence = Silence(options, self._patience)

    @property
    def is_linked(self) -> bool:
        return self.state in (State.SERVED, State.LEADERLESS)

    @property
    def is_closed(self) -> bool:
        return self.state is State.CLOSED

    def _move(self, event: Event) -> None:
        moves = TRANSITIONS[self.state]
        assert event in moves, f"{event.name} in state {self.state.name}"
        self.state = moves[event]

    # --- a link's life ---

    def dial(self, now_s: float) -> str:
        """Somebody waits for something: the address to dial."""
        self._move(Event.WANTED)
        self.address = self._endpoints.choose(now_s)
        return self.address

    def on_unreached(self, error: BaseException, now_s: float) -> None:
        """Nobody was there, or nobody who lets this client in."""
        self._move(Event.UNREACHED)
        self._endpoints.note_failure(self.address, error, now_s)
        self._was_useful = False

    def on_greeted(self, node: int, now_s: float) -> None:
        """The link stands."""
        self._move(Event.GREETED)
        self._endpoints.note_answer(self.address)
        self._node = node
        self._was_useful = False
        self._patience.on_greeted(self.address, now_s)
        self._silence = Silence(self._options, self._patience)

    def on_message(self, message: NodeMessage) -> None:
        """The node was of use, unless all that it said is that it does not lead."""
        if type(message) is not QueryRefused or message.code != Refusal.NOT_LEADER.value:
            self._was_useful = True

    def on_not_leader(self, message: NotLeader, now_s: float) -> bool:
        """Returns whether to end this link and go where the leader is said to be; else the node is waited for."""
        if message.leader and message.leader == self._node:
            self._move(Event.LEADS)
            return False
        if self.state is not State.LEADERLESS:
            self._leaderless_since_s = now_s
        self._move(Event.SENT_AWAY)
        address = message.address
        if not address or address == self.address or self._endpoints.failed_lately(address, now_s):
            return False
        self._endpoints.prefer(address)
        return True

    def on_lost(self, error: BaseException | None, now_s: float) -> None:
        """The link has ended; ``error`` is why, or None if this end has ended it."""
        self._move(Event.LOST)
        if error is not None:
            self._endpoints.note_failure(self.address, error, now_s)

    def rest(self) -> float:
        """How long to pause before the next link; where a node has said who leads, not at all, but for a few times."""
        self.reconnects += 1
        if self._was_useful:
            self._backoff.reset()
            self._redirects = 0
        self._redirects += 1
        if self._endpoints.has_preferred and self._redirects <= self._options.redirects_max:
            return 0.0
        return self._backoff.next_s()

    def on_rested(self) -> None:
        self._move(Event.RESTED)

    def on_left(self) -> None:
        """For good."""
        self._move(Event.LEFT)

    # --- a node that is of no use ---

    def judge(self, bytes_received: int, now_s: float, *, is_waiting: bool) -> Verdict:
        """A few times a second: is the node at the other end worth waiting for?"""
        if self.state is State.LEADERLESS:
            if now_s < self._leaderless_since_s + self._options.leader_patience_s:
                return Verdict.WAIT
            self._endpoints.note_problem(self.address, "knows no leader")
            return Verdict.LEAVE
        if not is_waiting:
            self._silence.on_heard(bytes_received, now_s)
            return Verdict.WAIT
        verdict = self._silence.judge(bytes_received, now_s)
        if verdict is Verdict.LEAVE:
            self._patience.on_left(self.address)
            self._endpoints.note_failure(self.address, "accepts connections but does not answer", now_s)
        return verdict

    def situation(self) -> str:
        """Why nothing comes, for a person."""
        if self.state is State.SERVED:
            return f"Connected to {self.address}, which has not answered yet."
        if self.state is State.LEADERLESS:
            return f"Connected to {self.address}, which waits for a leader to be elected."
        return self._endpoints.situation()
