"""What a client has to say and hears, over one connection: many callers, one session.

Commands that wait together leave as one frame, and one frame of replies wakes all their callers. What is said, and what
comes of it, is decided in ``session``, ``reads`` and ``connection``; here they meet a link, a clock and an event loop.
"""

from __future__ import annotations

import math
import os
import random as random_module
from collections.abc import Sequence

import anyio
import anyio.abc

from ..apply.outcomes import Replies, SequenceGap, SessionGone, SessionOpened, SubmissionRefused
from ..errors import ReplogError
from ..wire.client_messages import (
    ClientMessage,
    Entries,
    NodeMessage,
    NotLeader,
    Ping,
    Pong,
    Query,
    QueryAnswers,
    QueryRefused,
    Status,
    Submit,
    TransferAnswer,
)
from ..wire.codec import FrameError, Kind, Welcome, decode_payload, encode_frame
from ..wire.dialing import dial
from ..wire.link import Link, LinkClosed
from .connection import Connection
from .endpoints import Endpoints
from .options import ClientOptions
from .reads import Question, Read, Reads
from .session import ClientSession
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
        self.session = ClientSession(loop.wake, lambda: os.urandom(16), options, random)
        self.reads = Reads(loop.wake, options, random)
        self.connection = Connection(endpoints, options, random)
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

    @property
    def _is_waited_for(self) -> bool:
        return self.session.has_work or self.reads.has_work

    # --- its life ---

    async def run(self) -> None:
        """Until it is cancelled."""
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(self._stay_connected)
            tasks.start_soon(self._send_forever)
            tasks.start_soon(self._watch_forever)

    async def leave(self) -> None:
        """End every call, and close the session, so that the log need not remember it; nobody waits for the answer."""
        closing = self.session.closing()
        self.end_all("this client was left")
        self.connection.on_left()
        link = self.link
        if link is not None:
            if closing is not None:
                self._write([closing])
                with anyio.move_on_after(_FAREWELL_S, shield=True):
                    await link.wait_drained()
            link.close()

    def end_all(self, why: str) -> None:
        """Everybody who waits hears that nobody works for him any more."""
        self.session.end_all(why)
        self.reads.end_all(why)

    async def _stay_connected(self) -> None:
        connection = self.connection
        while True:
            while not self._is_waited_for:
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
                        self._take(decode_payload(Kind.NODE, payload, list))
            except (LinkClosed, FrameError) as lost:
                error = None if link.is_closed else lost  # else this end closed it, and has noted why
            finally:
                link.close()
                self.link = None
                self.session.on_disconnected()
                self.reads.on_disconnected()
                tasks.cancel_scope.cancel()
        self.connection.on_lost(error, anyio.current_time())

    def _open(self, link: Link, welcome: Welcome) -> None:
        self.link = link
        self.meet(welcome)
        self.session.submission_bytes_max = welcome.submission_bytes_max or self.session.submission_bytes_max
        self.connection.on_greeted(welcome.node, anyio.current_time())
        self.session.on_connected(welcome.node)
        self._stir()

    def meet(self, welcome: Welcome) -> None:
        """A node has greeted: its cluster is the one to keep to, and its members are endpoints too."""
        self.cluster = welcome.cluster
        self.endpoints.learn(address for _, address in welcome.members)

    # --- sending ---

    async def _send_forever(self) -> None:
        """Everything that waits leaves as one frame; what comes meanwhile makes the next one."""
        while True:
            deadline_s = min(self.session.deadline_s, self.reads.deadline_s)
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
        messages: list[ClientMessage] = [*session.take_submissions(now_s)]
        self._was_alone = session.commands_in_flight - before == 1
        if self.link is not None and self.reads.has_work:
            messages += self.reads.take(now_s, is_accepting=session.is_accepting)
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

    def _take(self, messages: Sequence[NodeMessage]) -> None:
        now_s = anyio.current_time()
        for message in messages:
            match message:
                case Replies():
                    self.session.on_replies(message)
                case QueryAnswers():
                    self.reads.on_answers(message)
                case SessionOpened() | SessionGone() | SequenceGap() | SubmissionRefused():
                    self.session.on_message(message, now_s)
                case NotLeader():
                    self._on_not_leader(message, now_s)
                    continue
                case QueryRefused():
                    self.reads.on_refused(message, now_s)
                case Status() | TransferAnswer():
                    self.reads.on_reply(message)
                case Pong() | Entries():
                    pass
            self.connection.on_message(message)
        if self._is_waited_for:
            self._stir()

    def _on_not_leader(self, message: NotLeader, now_s: float) -> None:
        """Go where the leader is; where nobody knows it, wait to be told."""
        self.session.on_message(message, now_s)
        if self.connection.on_not_leader(message, now_s):
            if self.link is not None:
                self.link.close()
        elif self.session.is_accepting:
            self.reads.on_leads(now_s)

    # --- deadlines, and nodes that hang ---

    async def _watch_forever(self) -> None:
        """A few times a second, however many wait: a timer a call would cost more than the call."""
        while True:
            await anyio.sleep(self._options.watch_interval_s)
            now_s = anyio.current_time()
            self.session.end_overdue(now_s, self.connection.situation)
            self.reads.end_overdue(now_s, self.connection.situation)
            link = self.link
            if link is None or not self.connection.is_linked:
                continue
            match self.connection.judge(link.bytes_received, now_s, is_waiting=self._is_waited_for):
                case Verdict.PING:
                    self._write([Ping(self.reads.take_id())])
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
