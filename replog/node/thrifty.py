"""Sends a lone command at once to as many voters as its quorum needs, and to the others a moment later.

While nothing else is under way, a command waits for its leader's disk and for those of a quorum, and whoever is not
needed for that only competes with them for processors and disks. So what the others are sent is kept for five
milliseconds and leaves with the first turn after that, together with what came till then: one frame, one write; a turn
is taken for it alone only if none has come half as much later. This is the "thrifty" optimization of
Moraru, Andersen and Kaminsky, *There Is More Consensus in Egalitarian Parliaments* (SOSP 2013), but for the others
being sent everything after all.

It changes when a message leaves, never which messages leave or in what order a peer gets them; so it needs to know
nothing of ballots. If those that were asked first turn out to be slow, nothing is kept for a while, and then others
come first.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Collection, Iterable

from ..paxos.ballot import BEFORE_LOG, NodeId, Slot
from ..paxos.messages import Message

_GENEROUS_TIMES = 100
"""After those asked first were slow, nothing is kept for so many times as long as a message is kept otherwise."""

KEPT_MESSAGES_MAX = 64
"""With so many kept for one peer nobody is spared any more, and what is kept leaves with what comes next."""


class Thrifty:
    """Messages kept for peers that a quorum does not need.

    Parameters
    ----------
    keep_s: how long a message is kept; 0: none is.
    send: sends a frame to a peer.
    is_chosen: whether a slot is known to be chosen.
    """

    def __init__(
        self,
        keep_s: float,
        send: Callable[[NodeId, list[Message]], None],
        is_chosen: Callable[[Slot], bool],
    ) -> None:
        self._order: list[NodeId] = []
        self._keep_s = keep_s
        self._send = send
        self._is_chosen = is_chosen
        self._kept: dict[NodeId, list[Message]] = {}
        self._first_slot = BEFORE_LOG
        self._asked: list[NodeId] = []
        self._generous_until_s = 0.0
        self.due_s = math.inf
        """From when on ``send_due`` has something to send."""
        self.deadline_s = math.inf
        """Not later than this it ought to be called: a turn for this alone is worth less than one that comes anyway."""

    def follow(self, peers: Iterable[NodeId]) -> None:
        """These are the peers, in the order in which they are asked first; those that were there keep their places."""
        there = dict.fromkeys(peers)
        self._order = list(dict.fromkeys(peer for peer in (*self._order, *there) if peer in there))

    @property
    def kept_count(self) -> int:
        """Messages kept for one peer, at most."""
        return max(map(len, self._kept.values()), default=0)

    def spare(self, slot: Slot, reachable: Collection[NodeId], needed: int, now_s: float) -> Collection[NodeId]:
        """Whom the proposal of ``slot`` need not reach at once.

        Parameters
        ----------
        reachable: the voters that are connected, without this node.
        needed: how many of them make a quorum with this node.
        now_s: monotonic seconds.
        """
        if not self._keep_s or len(reachable) <= needed or now_s < self._generous_until_s:
            return ()
        if self.kept_count >= KEPT_MESSAGES_MAX:
            return ()
        if self.due_s == math.inf:
            self.due_s = now_s + self._keep_s
            self.deadline_s = self.due_s + self._keep_s / 2
            self._first_slot, self._asked = slot, [peer for peer in self._order if peer in reachable][:needed]
        return [peer for peer in reachable if peer not in self._asked]

    def keep(self, peer: NodeId, messages: list[Message]) -> None:
        """Keep messages for a peer that is spared."""
        self._kept.setdefault(peer, []).extend(messages)

    def with_kept(self, peer: NodeId, messages: list[Message]) -> list[Message]:
        """What is sent to a peer when it is sent ``messages``: nothing overtakes what was kept for it."""
        kept = self._kept.pop(peer, None)
        return messages if kept is None else kept + messages

    def send_due(self, now_s: float) -> None:
        """Send what was kept for long enough."""
        if now_s < self.due_s:
            return
        self.due_s = self.deadline_s = math.inf
        if not self._is_chosen(self._first_slot):
            self._generous_until_s = now_s + _GENEROUS_TIMES * self._keep_s
            self._order.sort(key=self._asked.__contains__)  # stable: who was asked goes to the end
        kept, self._kept = self._kept, {}
        for peer, messages in kept.items():
            self._send(peer, messages)
