"""The clients of the stories: the session and the reads that real ones have. Where to connect, the story says."""

from __future__ import annotations

import math
import random
from collections.abc import Callable

from replog.apply.outcomes import Replies, SessionGone, SessionOpened, SubmissionRefused
from replog.apply.submissions import Commands, session_key
from replog.client.call import Call
from replog.client.options import ClientOptions
from replog.client.reads import Asked, Read, Reads
from replog.client.session import ClientSession
from replog.errors import CommandFailed
from replog.paxos.ballot import Slot, node_name
from replog.sim.client_doors import SimLink
from replog.sim.host import Host
from replog.sim.world import World
from replog.wire.client_messages import (
    ClientMessage,
    Entries,
    Follow,
    NodeMessage,
    NotLeader,
    QueryAnswers,
    QueryRefused,
    Submit,
    admit,
)


class Nobody:
    """The far end of a link that is not there any more; satisfies ``client_doors.FarEnd``."""

    def carry(self, messages: list[NodeMessage], _frame_bytes: int) -> None:
        """Nobody hears it."""

    def on_closed(self) -> None:
        pass

    def on_killed(self) -> None:
        pass


class StageClient:
    """One client: what it asked, what it was told, and its link, on which nothing takes any time.

    Parameters
    ----------
    say: called with what it hears.
    """

    def __init__(self, number: int, world: World, say: Callable[[str], None]) -> None:
        self._number = number
        self._world = world
        self._say = say
        self._sessions = 0
        self._node = ""
        self._link: SimLink | None = None
        self._torn: SimLink | None = None
        self.session = ClientSession(self._on_ended, self._new_secret, random=random.Random(number))
        self._reads = Reads(self._on_read, ClientOptions(), random.Random(number))
        self.sent: dict[int, bytes] = {}
        """Commands of this session, by number."""
        self.done: set[bytes] = set()
        self.answer = b""
        self.followed_through = 0

    def _new_secret(self) -> bytes:
        self._sessions += 1
        return self.secret

    @property
    def secret(self) -> bytes:
        return b"client %9d" % (self._number + 100 * (self._sessions - 1))

    @property
    def key(self) -> bytes:
        return session_key(self.secret)

    # --- what the story lets it do ---

    def connect(self, host: Host) -> None:
        """To another node, or anew: what has no answer is sent again."""
        self.leave()
        self._node, self._link = node_name(host.node), host.open_client(self)
        self.session.on_connected(host.node)

    def go_to(self, host: Host) -> None:
        if self._node != node_name(host.node) or not self.session.is_accepting:
            self.connect(host)

    def submit(self, payloads: list[bytes]) -> Call:
        call = Call(payloads, math.inf)
        self.session.add(call)
        self.flush()
        return call

    def read(self, request: bytes, *, is_stale: bool) -> None:
        self._reads.add(Read(request, math.inf, is_stale=is_stale))
        self.flush()

    def follow(self, host: Host, first: int, count: int) -> None:
        """The log from slot ``first`` on."""
        self.go_to(host)
        assert self._link is not None
        self._link.receive([Follow(Slot(first), count)])

    def leave(self) -> None:
        """It closes its link."""
        if self._link is not None:
            self._link.on_left()
        self._disconnect()

    def tear(self) -> None:
        """Its link breaks; the node has not heard of that, and may have more of it to read."""
        assert self._link is not None
        self._torn = self._link
        self._torn._far = Nobody()
        self._disconnect()

    def forge(self, commands: list[Submit], *, is_late: bool = False) -> None:
        """What no sound client sends; or what it sent, and the node reads only now, of the link that broke."""
        link = self._torn if is_late else self._link
        assert link is not None
        for message in commands:
            link.receive([message])

    def flush(self) -> None:
        """Whatever may be sent; again when the session says so."""
        if self._link is None:
            return
        now_s, session = self._world.now_s, self.session
        messages: list[ClientMessage] = [*session.take_submissions(now_s)]
        messages += self._reads.take(now_s, is_accepting=session.is_accepting)
        for message in messages:
            if isinstance(message, Submit) and isinstance(commands := admit(message), Commands):
                self.sent |= dict(enumerate(commands.payloads, commands.first_sequence))
        if messages:
            self._link.receive(messages)
        deadline_s = min(session.deadline_s, self._reads.deadline_s)
        if deadline_s < math.inf:
            self._world.after(max(0.0, deadline_s - now_s), self.flush)

    # --- ``client_doors.FarEnd`` ---

    def carry(self, messages: list[NodeMessage], _frame_bytes: int) -> None:
        """It hears; what it says to that leaves at once."""
        for message in messages:
            self._say(f"<- {self._node}: {self._told(message)}")
            if isinstance(message, QueryAnswers):
                self._reads.on_answers(message)
            elif isinstance(message, QueryRefused):
                self._reads.on_refused(message, self._world.now_s)
            else:
                self.session.on_message(message, self._world.now_s)
                if isinstance(message, NotLeader) and self.session.is_accepting:
                    self._reads.on_leads(self._world.now_s)
        self.flush()

    def on_closed(self) -> None:
        self._disconnect()

    def on_killed(self) -> None:
        self._disconnect()

    def _disconnect(self) -> None:
        self._link = None
        self.session.on_disconnected()
        self._reads.on_disconnected()

    # --- what it hears ---

    def _on_ended(self, call: Call) -> None:
        if call.error is not None and not isinstance(call.error, CommandFailed):
            payloads = b" ".join(call.payloads).decode()
            self._say(f"gives up {payloads}: {type(call.error).__name__}")

    def _on_read(self, read: Asked) -> None:
        assert isinstance(read, Read)
        assert read.answer is not None
        self.answer = read.answer.reply

    def _told(self, message: NodeMessage) -> str:
        match message:
            case SessionOpened():
                self.sent.clear()
                return f"session {message.session} is open"
            case Replies():
                return "; ".join(self._take(message, position) for position in range(len(message.replies)))
            case QueryAnswers():
                return f"read {message.answers[0].decode()!r} at slot {message.applied_through}"
            case NotLeader():
                if message.leader and node_name(message.leader) == self._node:
                    return "it leads: send again"
                return f"not the leader{f', go to {node_name(message.leader)}' if message.leader else ''}"
            case QueryRefused() | SubmissionRefused():
                return f"refused: {message.code}"
            case SessionGone():
                return f"session {message.session} has expired"
            case Entries():
                return self._read_on(message)
        return type(message).__name__

    def _read_on(self, message: Entries) -> str:
        if not message.entries:
            self.followed_through = message.compacted_through
            return f"the log begins above slot {message.compacted_through}"
        first, last = message.entries[0].slot, message.entries[-1].slot
        assert self.followed_through in (0, first - 1), (self.followed_through, first)
        assert [entry.slot for entry in message.entries] == list(range(first, last + 1)), message.entries
        self.followed_through = last
        return f"slots {first}..{last} of the log"

    def _take(self, message: Replies, position: int) -> str:
        payload = self.sent[message.first_sequence + position]
        again = " again" if payload in self.done else ""
        self.done.add(payload)
        verdict = "failed" if position in message.failed else "done"
        place = f"{message.slot}.{message.first_offset + position}"
        return f"{payload.decode()} {verdict}{again} at {place}: {message.replies[position].decode()}"
