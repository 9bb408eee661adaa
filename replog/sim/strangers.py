"""Simulated strangers: they reach every node, guess every session's number and read every key in the log, and hold no
secret but their own. Nothing they send may be run, opened or closed under somebody else's name.
"""

from __future__ import annotations

import random as random_module
from collections import Counter
from typing import TYPE_CHECKING

import msgspec

from ..apply.outcomes import SessionGone, SubmissionRefused
from ..apply.submissions import CloseSession, Commands, OpenSession, Submission, session_key
from ..paxos.ballot import NodeId
from ..wire.client_messages import NodeMessage, NotLeader, Pong, Submit
from .checkers import Violation, ViolationFound
from .client_doors import SimLink
from .history import History
from .host import Host
from .world import World

if TYPE_CHECKING:
    from .clients import Client


class Stranger:
    """Somebody who pretends now and then to be one of the clients."""

    def __init__(
        self,
        number: int,
        world: World,
        hosts: dict[NodeId, Host],
        history: History,
        victims: list[Client],
        mean_gap_s: float,
    ) -> None:
        self.count: Counter[str] = Counter()
        self._world = world
        self._hosts = hosts
        self._links: dict[NodeId, SimLink] = {}
        self._history = history
        self._victims = victims
        self._mean_gap_s = mean_gap_s
        self._random: random_module.Random = world.stream(f"stranger {number}")
        self._secret = self._random.randbytes(16)
        self._key = session_key(self._secret)

    def start(self) -> None:
        self._world.after(self._random.expovariate(1.0 / self._mean_gap_s), self._intrude)

    def _intrude(self) -> None:
        self.start()
        victim = self._random.choice(self._victims)
        host = self._hosts[self._random.choice(sorted(self._hosts))]
        if host.is_up and not host.is_foreign and victim.session:
            submission = self._forged(victim)
            self.count[f"stranger_{type(submission).__name__}"] += 1
            secret = self._random.choice((self._secret, self._secret, b""))
            self._link(host).receive([Submit(victim.session, msgspec.msgpack.encode(submission), secret)])

    def _link(self, host: Host) -> SimLink:
        link = self._links.get(host.node)
        if link is None or link.is_closed:
            link = self._links[host.node] = host.open_client(self)
        return link

    def _forged(self, victim: Client) -> Submission:
        """The victim's session under the stranger's own key, or under the victim's."""
        key = self._random.choice((self._key, victim.key))
        match self._random.randrange(4):
            case 0:
                return OpenSession(victim.key)
            case 1:
                return CloseSession(victim.session, key)
        payload = b"stranger %d" % self._random.getrandbits(64)
        self._history.on_forged(payload)
        first = max(1, victim.next_sequence - self._random.randrange(3))
        return Commands(victim.session, first, first, [payload], key)

    # --- ``client_doors.FarEnd`` ---

    def carry(self, messages: list[NodeMessage], _frame_bytes: int) -> None:
        """It may be told that there is no such session of its own, and nothing of anybody else's."""
        for message in messages:
            if not isinstance(message, SessionGone | SubmissionRefused | NotLeader | Pong):
                raise ViolationFound(Violation("strangers", f"a stranger was told {message!r}"))

    def on_closed(self) -> None:
        pass

    def on_killed(self) -> None:
        pass
