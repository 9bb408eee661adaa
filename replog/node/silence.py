"""Links that are dead without having been closed: packets vanish, and nobody says so.

The kernel tries for minutes before it gives such a link up, so it is judged here, by what comes over it: a peer asks
and answers in every heartbeat round, and where the core has missed both for so many rounds and not one byte has come
meanwhile, the link is closed. Bytes count, not heartbeats alone, since those wait behind a large message on a slow
link; rounds of this node's own count, not seconds, so that whoever was held up or frozen closes nothing for it.

Both ends judge for themselves: the one that dials dials again, and the other one lets go of what it had to say over a
link that nobody reads. Closing a link that was not dead costs a new connection, and no promise rests on it.

Never: work per message or turn; read a clock.
"""

from __future__ import annotations

from ..paxos.ballot import NodeId, node_name
from .event_log import EventLog
from .ports import PeerPort


class SilentLinks:
    """Closes those over which nothing comes.

    Parameters
    ----------
    rounds_max: of silence.
    """

    def __init__(self, peers: PeerPort, rounds_max: int, log: EventLog) -> None:
        self._peers = peers
        self._rounds_max = rounds_max
        self._log = log
        self._heard: dict[NodeId, tuple[int, int]] = {}
        """How many bytes had come, and after which silent round that was first seen."""

    def on_silence(self, peer: NodeId, rounds: int) -> None:
        """Another round without a heartbeat or an answer, the ``rounds``-th in a row; told from the first one on."""
        received = self._peers.bytes_received(peer)
        if received < 0:
            return
        before, since = self._heard.get(peer, (-1, 0))
        if rounds == 1 or received != before:
            self._heard[peer] = received, rounds
        elif rounds - since >= self._rounds_max:
            self._log.warning("peer_silent", peer=node_name(peer), rounds=rounds - since)
            self._peers.reset(peer)
