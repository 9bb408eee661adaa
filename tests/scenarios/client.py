"""The clients of the stories."""

from __future__ import annotations

from replog.apply.outcomes import Refused, Replies, SessionExpired, SessionOpened
from replog.apply.submissions import session_key
from replog.paxos.ballot import node_name
from replog.wire.client_messages import Entries, NodeMessage, NotLeader, QueryAnswers, QueryRefused


class StageClient:
    """One client: its session, what it asked, and what it was told."""

    def __init__(self, number: int) -> None:
        self.number = number
        self.session = 0
        self.next_sequence = 1
        self.waiting: dict[int, bytes] = {}
        self.done: set[bytes] = set()
        self.answer = b""
        self.followed_through = 0

    @property
    def secret(self) -> bytes:
        return b"client %9d" % self.number

    @property
    def key(self) -> bytes:
        return session_key(self.secret)

    def receive(self, message: NodeMessage) -> str:
        """Take an answer; returns what it says."""
        match message:
            case SessionOpened():
                self.session = message.session
                return f"session {message.session} is open"
            case Replies():
                return "; ".join(self._take(message, position) for position in range(len(message.replies)))
            case QueryAnswers():
                self.answer = message.answers[0]
                return f"read {self.answer.decode()!r} at slot {message.applied_through}"
            case NotLeader():
                return f"not the leader{f', go to {node_name(message.leader)}' if message.leader else ''}"
            case QueryRefused() | Refused():
                return f"refused: {message.code}"
            case SessionExpired():
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
        number = message.first_sequence + position
        payload = self.waiting.pop(number, b"number %d again" % number)
        self.done.add(payload)
        verdict = "failed" if position in message.failed else "done"
        place = f"{message.slot}.{message.first_offset + position}"
        return f"{payload.decode()} {verdict} at {place}: {message.replies[position].decode()}"
