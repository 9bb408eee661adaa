"""Links that this node begins: to whom, how often it tries, and when it lets the other end try first.

Whom to dial is told (``follow``, see ``reach``). A link that stands is left alone, whoever began it.

Never: say anything over a link.
"""

from __future__ import annotations

import math
import random
import socket
from collections.abc import Awaitable, Callable, Mapping

import trio

from ..paxos.ballot import NodeId
from ..process.resources import lack_of
from ..wire.dialing import connected_socket, in_words, told_address
from .link_notes import LinkNotes
from .reach import Way


class Dialling:
    """One task for each node that is to be dialled, as long as it is.

    Parameters
    ----------
    dial_timeout_s: so long one try looks for a peer's addresses.
    redial_first_s, redial_max_s: the first pause between two tries, and the longest that it grows to.
    is_linked: whether there is a link to a peer.
    serve: lives as long as the link over a connected socket does.
    """

    def __init__(
        self,
        notes: LinkNotes,
        *,
        dial_timeout_s: float,
        redial_first_s: float,
        redial_max_s: float,
        is_linked: Callable[[NodeId], bool],
        serve: Callable[[NodeId, socket.socket], Awaitable[None]],
    ) -> None:
        self._notes = notes
        self._dial_timeout_s = dial_timeout_s
        self._redial_first_s = redial_first_s
        self._redial_max_s = redial_max_s
        self._is_linked = is_linked
        self._serve = serve
        self.ways: dict[NodeId, Way] = {}
        self._scopes: dict[NodeId, trio.CancelScope] = {}
        self._nursery: trio.Nursery | None = None
        self._a_link_ended = trio.Event()

    def follow(self, ways: Mapping[NodeId, Way]) -> None:
        """See ``ports.PeerPort``."""
        self.ways = dict(ways)
        dialled = {peer for peer, way in ways.items() if way.patience_s < math.inf}
        for peer in self._scopes.keys() - dialled:
            self._scopes.pop(peer).cancel()
        if self._nursery is not None:
            for peer in dialled - self._scopes.keys():
                self._scopes[peer] = trio.CancelScope()
                self._nursery.start_soon(self._dial_within, self._scopes[peer], peer)

    def run_in(self, nursery: trio.Nursery) -> None:
        """From here on there are tasks."""
        self._nursery = nursery
        self.follow(self.ways)

    def on_link_ended(self) -> None:
        """Whoever waits for that may have to dial."""
        self._a_link_ended.set()
        self._a_link_ended = trio.Event()

    async def _dial_within(self, scope: trio.CancelScope, peer: NodeId) -> None:
        with scope:
            await self._dial_forever(peer)

    async def _dial_forever(self, peer: NodeId) -> None:
        """Keep a link to a peer; the first new try comes quickly, later ones with growing, jittered waits.

        The name is looked up for each try, since the peer may have moved; it counts as what it was last until there is
        an answer. A try that was lost on the way has waited itself.
        """
        wait_s = self._redial_first_s
        while True:
            await self._wait_for_turn(peer)
            began_s = trio.current_time()
            try:
                where = told_address(self.ways[peer].address)
                sock = await connected_socket(*where, timeout_s=self._dial_timeout_s)
            except OSError as error:
                self._notes.of_peer("dial", peer, in_words(error))
            except Exception as error:
                if not lack_of(error):
                    raise
                self._notes.of_peer("dial", peer, str(error))  # no thread for the lookup, at the moment
            else:
                await self._serve(peer, sock)
                if trio.current_time() - began_s > 2 * self._redial_max_s:
                    wait_s, began_s = self._redial_first_s, trio.current_time()
            await trio.sleep_until(began_s + wait_s * random.uniform(0.5, 1.0))
            wait_s = min(wait_s * 2, self._redial_max_s)

    async def _wait_for_turn(self, peer: NodeId) -> None:
        """Until there is no link to the peer, and it has had its time to make one."""
        while True:
            while self._is_linked(peer):
                await self._a_link_ended.wait()
            patience_s = self.ways[peer].patience_s
            if not patience_s:
                return
            await trio.sleep(patience_s * random.uniform(1.0, 2.0))
            if not self._is_linked(peer):
                return
