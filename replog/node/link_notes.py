"""What is said of links that were refused, dropped or not made: everything is counted, and little of it is logged.

What strangers make a node say is at most a line a minute and host, however often and from however many ports.

What a line leaves out it tells as a number: ``more`` others from that host since the line before. Hosts are remembered
up to a number; beyond it all others count as one, so that nobody can switch a diagnosis off by filling the table. Peers
have lines of their own: a stranger's never stand in for one of theirs.

Never: let what strangers do decide what is told of peers.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from typing import Any, Final

import attrs

from ..paxos.ballot import NodeId, node_name
from .event_log import EventLog

INTERVAL_S: Final = 60.0
HOSTS_MAX: Final = 1024
REASONS_MAX: Final = 256
OTHERS: Final = ("others", "")
"""Whoever is not remembered."""


@attrs.define(eq=False)
class _Told:
    at_s: float
    more: int = 0


class LinkNotes:
    """Satisfies ``EventLog``: events with a fact ``other``, the address of who made the node say it, are rare; those
    without pass. What somebody says in the name of a member (``claims``) has a line of its own.

    Parameters
    ----------
    log: where the lines go.
    clock: monotonic seconds.
    """

    def __init__(self, log: EventLog, clock: Callable[[], float]) -> None:
        self._log = log
        self._clock = clock
        self._hosts: dict[tuple[str, str], _Told] = {}
        self._peers: dict[tuple[str, NodeId, str], _Told] = {}
        self.counts: Counter[str] = Counter()
        self.problems: dict[NodeId, str] = {}
        """Why there is no link to a peer, as far as that was told last. Nothing rests on it: whoever says a member's
        name may be a stranger."""

    # --- ``EventLog`` ---

    def info(self, event: str, **facts: Any) -> None:
        self._say(self._log.info, event, facts)

    def warning(self, event: str, **facts: Any) -> None:
        self._say(self._log.warning, event, facts)

    # --- links ---

    def of_peer(self, what: str, peer: NodeId, reason: str, *, is_warning: bool = False) -> None:
        """What happens with a peer, perhaps over and over: each reason is told once a minute."""
        self.counts[what] += 1
        self.problems[peer] = reason
        while len(self._peers) >= REASONS_MAX:
            del self._peers[next(iter(self._peers))]
        more = self._more(self._peers, (what, peer, reason))
        if more is not None:
            say = self._log.warning if is_warning else self._log.info
            say(f"link_{what}", other=node_name(peer), reason=reason, **more)

    def of_stranger(self, what: str, other: str, reason: str, *, is_warning: bool = False, **claims: str) -> None:
        """What happens with somebody at the address ``other``."""
        self.counts[what] += 1
        (self.warning if is_warning else self.info)(f"link_{what}", other=other, reason=reason, **claims)

    def of_end(self, what: str, peer: NodeId | None, other: str, reason: str, *, is_warning: bool = False) -> None:
        """How a link has ended that led to ``peer``, or to somebody at the address ``other``."""
        if peer is None:
            self.of_stranger(what, other, reason, is_warning=is_warning)
        else:
            self.of_peer(what, peer, reason, is_warning=is_warning)

    def _say(self, say: Callable[..., object], event: str, facts: dict[str, Any]) -> None:
        if "other" not in facts:
            say(event, **facts)
            return
        host = (facts["other"].rpartition(":")[0] or facts["other"], facts.get("claims", ""))
        if host not in self._hosts:
            self._forget()
            if len(self._hosts) >= HOSTS_MAX:
                host = OTHERS
        more = self._more(self._hosts, host)
        if more is not None:
            say(event, **facts, **more)

    def _more(self, table: dict[Any, _Told], key: Any) -> dict[str, int] | None:
        """None: this one is only counted; else how many were, to be told with it."""
        now_s = self._clock()
        told = table.get(key)
        if told is not None and now_s < told.at_s + INTERVAL_S:
            told.more += 1
            return None
        table.pop(key, None)  # the latest stands last
        table[key] = _Told(now_s)
        return {"more": told.more} if told is not None and told.more else {}

    def _forget(self) -> None:
        """Hosts whose last line is old enough for another one."""
        now_s = self._clock()
        while self._hosts:
            host, told = next(iter(self._hosts.items()))
            if now_s < told.at_s + INTERVAL_S:
                return
            del self._hosts[host]
