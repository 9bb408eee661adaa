"""What a client has to say and hears, over one connection: many callers, one session.

Commands that wait together leave as one frame, and one frame of replies wakes all their callers. What is said, and what
comes of it, is decided in ``conversation``; here it meets a link, a clock and an event loop.
"""

from __future__ import annotations

import math
import os
import random as random_module
from collections.abc import Sequence

import anyio
import anyio.abc

from ..errors import ReplogError
from ..wire.client_messages import ClientMessage, NodeMessage, Query, Submit
from ..wire.codec import FrameError, Kind, Welcome, decode_payload, encode_frame
from ..wire.dialing import dial
from ..wire.link import Link, LinkClosed
from .conversation import Conversation
from .endpoints import Endpoints
from .options import ClientOptions
from .reads import Question, Read
from .silence import Verdict
from .waiting import Loop, ParkedCall

DIAL_ERRORS = (OSError, LinkClosed, FrameError, TimeoutError, ValueError, ReplogError)
"""Why a node could not be reached."""
_FAREWELL_S = 0.2
"""How long a client that is left waits for its last words to leave."""

GROUP_CALLS = 512
"""So many calls leave at once, though more callers may be ready: the leader and its disk begin meanwhile.
Fewer would leave the leader with small batches, and a disk writes a large one in about the same time."""


class Traffic:
    """Runs beside the program for as long as its client lives."""

    def __init__(
        self, endpoints: Endpoints, options: ClientOptions, name: str, loop: Loop, random: random_module.Random
    ) -> None:
        self.endpoints = endpoints
        self._conversation = Conversation(loop.wake, lambda: os.urandom(16), endpoints, options, random)
        self.session = self._conversation.session
        self.reads = self._conversation.reads
        self.connection = self._conversation.connection
        self.link: Link | None = None
        self.cluster = b""
        """Which cluster was met first; no other one is spoken to."""
        self._options = options
        self._name = name
        self._has_work = anyio.Event()
        self._is_stirred = False
        """Whether ``_has_work`` is set: it is asked for each call, and an event takes longer to say so."""
        self._was_alone = False
        self._gathered = 0
        """Calls since the last frame."""

    # --- callers ---

    def begin(self, call: ParkedCall, now_s: float) -> None:
        """Take a call in. Where nobody is likely to join, it leaves at once, without waking the sending task.

        Raises ``Overloaded``.
        """
        is_lone = self._was_alone and self.session.is_ready
        self.session.add(call)
        self._gathered += 1
        is_due = is_lone or self._gathered >= GROUP_CALLS
        if not (is_due and self._flush(now_s)):
            self._stir()

    def read(self, read: Read) -> None:
        self.reads.add(read)
        self._stir()

    def ask(self, question: Question) -> None:
        self.reads.ask(question)
        self._stir()

    def _stir(self) -> None:
        """There is something to do."""
        if not self._is_stirred:
            self._is_stirred = True
            self._has_work.set()

    # --- its life ---

    async def run(self) -> None:
        """Until it is cancelled."""
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(self._stay_connected)
            tasks.start_soon(self._send_forever)
            tasks.start_soon(self._watch_forever)

    async def leave(self) -> None:
        """End every call, and close the session, so that the log need not remember it; nobody waits for the answer."""
        last_words = self._conversation.leave()
        link = self.link
        if link is not None:
            if last_words:
                self._write(last_words)
                with anyio.move_on_after(_FAREWELL_S, shield=True):
                    await link.wait_drained()
            link.close()

    def end_all(self, why: str) -> None:
        """Everybody who waits hears that nobody works for him any more."""
        self._conversation.end_all(why)

    async def _stay_connected(self) -> None:
        connection = self.connection
        while True:
            while not self._conversation.is_waited_for:
                await self._has_work.wait()
                await anyio.lowlevel.checkpoint()
            if connection.is_closed:
                return
            address = connection.dial(anyio.current_time())
            try:
                link, welcome = await dial(address, self.cluster, self._name, timeout_s=self._options.dial_timeout_s)
            except DIAL_ERRORS as error:
                connection.on_unreached(error, anyio.current_time())
            else:
                await self._use(link, welcome)
            await anyio.sleep(connection.rest())
            connection.on_rested()

    async def _use(self, link: Link, welcome: Welcome) -> None:
        """One connection, from its welcome to its end."""
        error: BaseException | None = None
        self._open(link, welcome)
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(link.drain_forever)
            try:
                while True:
                    for _, payload in await link.receive():
                        self._on_messages(link, decode_payload(Kind.NODE, payload, list))
            except (LinkClosed, FrameError) as lost:
                error = None if link.is_closed else lost  # else this end closed it, and has noted why
            finally:
                link.close()
                self.link = None
                self._conversation.on_lost(error, anyio.current_time())
                tasks.cancel_scope.cancel()

    def _open(self, link: Link, welcome: Welcome) -> None:
        self.link = link
        self.meet(welcome)
        self.session.submission_bytes_max = welcome.submission_bytes_max or self.session.submission_bytes_max
        self._conversation.on_greeted(welcome.node, anyio.current_time())
        self._stir()

    def meet(self, welcome: Welcome) -> None:
        """A node has greeted: its cluster is the one to keep to, and its members are endpoints too."""
        self.cluster = welcome.cluster
        self.endpoints.learn(address for _, address in welcome.members)

    # --- sending ---

    async def _send_forever(self) -> None:
        """Everything that waits leaves as one frame; what comes meanwhile makes the next one."""
        while True:
            deadline_s = self._conversation.deadline_s
            if deadline_s == math.inf or self.link is None:
                await self._has_work.wait()
            else:
                with anyio.move_on_after(max(0.0, deadline_s - anyio.current_time())):
                    await self._has_work.wait()
            self._has_work, self._is_stirred = anyio.Event(), False
            self._flush(anyio.current_time())
            link = self.link
            if link is not None and link.unsent_bytes > self._options.unsent_bytes_max:
                await link.wait_drained()

    def _flush(self, now_s: float) -> bool:
        """One frame of everything that may leave. Whether there was anything."""
        session = self.session
        before, self._gathered = session.commands_in_flight, 0
        messages = self._conversation.take(now_s)
        self._was_alone = session.commands_in_flight - before == 1
        if messages:
            self._write(messages)
        return bool(messages)

    def _write(self, messages: Sequence[ClientMessage]) -> None:
        """As one frame, or as several where one would be larger than a node is sure to take."""
        if self.link is None:
            return
        frame: list[ClientMessage] = []
        frame_bytes = 0
        for message in messages:
            message_bytes = _bytes_of(message)
            if frame and frame_bytes + message_bytes > self.session.submission_bytes_max:
                self._write_frame(self.link, frame)
                frame, frame_bytes = [], 0
            frame.append(message)
            frame_bytes += message_bytes
        self._write_frame(self.link, frame)

    def _write_frame(self, link: Link, frame: Sequence[ClientMessage]) -> None:
        if not link.write(encode_frame(Kind.CLIENT, frame)):
            link.close()  # nothing may be sent behind what was lost

    # --- what nodes say ---

    def _on_messages(self, link: Link, messages: Sequence[NodeMessage]) -> None:
        if self._conversation.on_messages(messages, anyio.current_time()):
            link.close()
        if self._conversation.is_waited_for:
            self._stir()

    # --- deadlines, and nodes that hang ---

    async def _watch_forever(self) -> None:
        """A few times a second, however many wait: a timer a call would cost more than the call."""
        while True:
            await anyio.sleep(self._options.watch_interval_s)
            now_s = anyio.current_time()
            self._conversation.end_overdue(now_s)
            link = self.link
            if link is None:
                continue
            match self._conversation.judge(link.bytes_received, now_s):
                case Verdict.PING:
                    self._write([self._conversation.ping()])
                case Verdict.LEAVE:
                    link.close()
                case Verdict.WAIT:
                    pass


def _bytes_of(message: ClientMessage) -> int:
    """About what a message takes on the wire."""
    match message:
        case Submit():
            return len(message.submission)
        case Query():
            return sum(map(len, message.requests))
    return 0
