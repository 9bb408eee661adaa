"""The log itself, read as it grows, over a connection of its own that is made again whenever it is lost."""

from __future__ import annotations

import random as random_module
from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing

import anyio

from ..errors import Refused, Unavailable
from ..paxos.ballot import Slot
from ..wire.client_messages import ClientMessage, Entries, Follow, LogEntry, Ping
from ..wire.codec import FrameError, Kind, Welcome, decode_payload, encode_frame
from ..wire.dialing import dial
from ..wire.link import Link, LinkClosed
from .backoff import Backoff
from .endpoints import Endpoints
from .options import ClientOptions
from .silence import Patience, Silence, Verdict
from .traffic import DIAL_ERRORS

CREDIT_SLOTS = 256
"""Slots that a node may send before it is told that some have been taken."""


class Hung(Exception):
    """The node takes connections, and answers nothing."""


class Follower:
    """One reader of the log.

    Parameters
    ----------
    first: the first slot to read.
    """

    def __init__(self, endpoints: Endpoints, options: ClientOptions, name: str, first: int) -> None:
        self._endpoints = endpoints
        self._options = options
        self._name = name
        self._next_slot = first
        self._cluster = b""
        self._backoff = Backoff(options.redial_first_s, options.redial_max_s, random_module.Random())
        self._compacted: set[str] = set()
        self._link: Link | None = None
        self._is_closed = False

    def close(self) -> None:
        """The client has been left: whoever reads hears so."""
        self._is_closed = True
        if self._link is not None:
            self._link.close()

    async def entries(self, cluster: bytes) -> AsyncGenerator[LogEntry, None]:
        """Slot by slot, for ever. ``cluster``: the one to keep to, empty for whichever answers first."""
        self._cluster = cluster
        while True:
            self._link, welcome, address = await self._dial()
            try:
                async with aclosing(self._read(self._link)) as entries:
                    async for entry in entries:
                        self._next_slot = entry.slot + 1
                        self._compacted.clear()
                        self._backoff.reset()
                        yield entry
            except _Compacted as gone:
                self._on_compacted(welcome, gone)
            except (LinkClosed, FrameError, Hung) as error:
                self._endpoints.note_failure(address, error, anyio.current_time())
            finally:
                self._link.close()
            self._check_open()
            await anyio.sleep(self._backoff.next_s())

    def _check_open(self) -> None:
        if self._is_closed:
            raise Unavailable("the log can't be followed any more: this client was left.")

    def _on_compacted(self, welcome: Welcome, gone: _Compacted) -> None:
        """Another node may still have the slot. Raises ``Refused`` if no reachable one has."""
        self._compacted.add(dict(welcome.members).get(welcome.node, ""))
        now_s = anyio.current_time()
        others = {other for _, other in welcome.members if not self._endpoints.failed_lately(other, now_s)}
        if self._compacted >= others:
            raise Refused(
                f"slot {self._next_slot} is compacted away; the log begins at slot {gone.through + 1}"
            ) from None

    async def _dial(self) -> tuple[Link, Welcome, str]:
        """A connection to whatever node answers first, in turn. Raises ``Unavailable``."""
        endpoints, options = self._endpoints, self._options
        deadline_s = anyio.current_time() + options.timeout_s
        while True:
            self._check_open()
            address = endpoints.choose(anyio.current_time())
            try:
                link, welcome = await dial(address, self._cluster, self._name, timeout_s=options.dial_timeout_s)
            except DIAL_ERRORS as error:
                endpoints.note_failure(address, error, anyio.current_time())
            else:
                endpoints.note_answer(address)
                endpoints.learn(other for _, other in welcome.members)
                self._cluster = welcome.cluster
                return link, welcome, address
            if anyio.current_time() > deadline_s:
                raise Unavailable(f"nobody can be asked for the log. {endpoints.situation()}")
            await anyio.sleep(self._backoff.next_s())

    async def _read(self, link: Link) -> AsyncGenerator[LogEntry, None]:
        """Entries as they come over one link, asking for more before they run out."""
        _say(link, Follow(Slot(self._next_slot), CREDIT_SLOTS))
        silence = Silence(self._options, Patience(self._options))
        silence.on_heard(link.bytes_received, anyio.current_time())
        while True:
            for _, payload in await self._receive(link, silence):
                for message in decode_payload(Kind.NODE, payload, list):
                    if not isinstance(message, Entries):
                        continue
                    if not message.entries and message.compacted_through:
                        raise _Compacted(message.compacted_through)
                    for entry in message.entries:
                        if entry.slot != self._next_slot:
                            raise FrameError(f"slot {entry.slot} came where {self._next_slot} was due")
                        yield entry
                    _say(link, Follow(Slot(self._next_slot), len(message.entries)))

    async def _receive(self, link: Link, silence: Silence) -> Sequence[tuple[Kind, bytes]]:
        """The next frames. A log that does not grow is silent for long, so the node is asked whether it lives.

        Raises ``Hung`` if it does not.
        """
        while True:
            with anyio.move_on_after(self._options.ping_after_s):
                return await link.receive()
            match silence.judge(link.bytes_received, anyio.current_time()):
                case Verdict.PING:
                    _say(link, Ping(1))
                case Verdict.LEAVE:
                    raise Hung("accepts connections but does not answer")
                case Verdict.WAIT:
                    pass


class _Compacted(Exception):
    """The node asked has dropped the slots asked for."""

    def __init__(self, through: Slot) -> None:
        super().__init__(through)
        self.through = through


def _say(link: Link, message: ClientMessage) -> None:
    """What does not fit ends the link, as everywhere."""
    if not link.write(encode_frame(Kind.CLIENT, [message])):
        link.close()
