"""A log behind a ``ClientSession``: the real Applier, whose leader may lose, repeat and refuse what it is sent."""

from __future__ import annotations

from collections import deque
from math import inf

from replog.apply.applier import Applier
from replog.apply.outcomes import SubmissionRefused
from replog.apply.sessions import SessionOptions
from replog.apply.submissions import CloseSession, Commands, OpenSession, Submission
from replog.client.call import Call
from replog.client.session import ClientSession
from replog.paxos.ballot import Slot
from replog.paxos.values import Batch, encode_value
from replog.state.memory import MemoryStateStore
from replog.state_machine import Command, State, StateMachine, StateView
from replog.wire.client_messages import NodeMessage, Submit, admit

NODE = 1
"""Who leads, unless a test says otherwise."""


def decoded(message: Submit) -> Submission:
    """What a node takes it for."""
    submission = admit(message)
    assert not isinstance(submission, SubmissionRefused), submission
    return submission


class Recorder(StateMachine):
    """Counts each payload and answers with it and its count; a payload that begins with ``!`` raises."""

    def apply(self, state: State, command: Command) -> bytes:
        if command.payload.startswith(b"!"):
            raise ValueError(command.payload.decode())
        count = int(state.get(b"n/" + command.payload, b"0")) + 1
        state.put(b"n/" + command.payload, b"%d" % count)
        return b"%s=%d" % (command.payload, count)

    def query(self, view: StateView, request: bytes) -> bytes:
        return view.get(b"n/" + request, b"0")


class Bench:
    """One session, and the log it writes to.

    What the session sends goes where the test says: to the log, to nobody, or back as a refusal. The connection is
    reliable and in order as long as it lasts; a new one begins with ``reconnect``.
    """

    def __init__(self, options: SessionOptions | None = None) -> None:
        self.woken: list[Call] = []
        self._secrets = 0
        self.now_s = 0.0
        self.session = ClientSession(self.woken.append, self._new_secret)
        self.session.on_connected(NODE)
        self.applier = Applier(Recorder(), MemoryStateStore(), options)
        self.slot = 0
        self.time_ms = 1_000
        self.answers: deque[NodeMessage] = deque()
        self.sent: list[Submit] = []

    def _new_secret(self) -> bytes:
        self._secrets += 1
        return self._secrets.to_bytes(16, "big")

    # --- callers ---

    def call(self, *payloads: bytes) -> Call:
        call = Call(payloads, inf)
        self.session.add(call)
        return call

    # --- the connection ---

    def take(self) -> list[Submit]:
        """What the session wants to send now."""
        messages = self.session.take_submissions(self.now_s)
        self.sent += messages
        return messages

    def reconnect(self, node: int = NODE) -> list[Submit]:
        """What it sends first on a new connection, and what was under way on the old one is lost."""
        self.answers.clear()
        self.session.on_disconnected()
        self.session.on_connected(node)
        return self.take()

    def rest(self) -> None:
        """Until any pause is over."""
        if self.session.deadline_s < inf:
            self.now_s = self.session.deadline_s

    def order(self, *messages: Submit) -> None:
        """A leader puts these into one slot; the answers are on their way."""
        self.slot += 1
        value = encode_value(Batch(self.time_ms, [message.submission for message in messages]))
        keys = {decoded(message).key for message in messages}
        self.answers += [told for key, told, _ in self.applier.apply(Slot(self.slot), value) if key in keys]

    def refuse(self, message: Submit, code: str = "overloaded") -> None:
        """A leader does not take this one."""
        first = getattr(decoded(message), "first_sequence", 0)
        self.answers.append(SubmissionRefused(message.session, first, code, f"because it is {code}"))

    def answer(self) -> None:
        """Hand over all answers."""
        while self.answers:
            self.answer_one()

    def answer_one(self) -> None:
        self.session.on_message(self.answers.popleft(), self.now_s)

    def open(self) -> int:
        """Get the session opened; something must wait."""
        (opening,) = self.take()
        assert isinstance(decoded(opening), OpenSession)
        self.order(opening)
        self.answer()
        return self.session.number

    def run(self, turns_max: int = 50) -> None:
        """A healthy leader from here on: everything that is sent is ordered and answered."""
        for _ in range(turns_max):
            self.answer()
            self.rest()
            messages = self.take()
            if messages:
                self.order(*messages)
            elif not self.answers:
                return

    def count(self, payload: bytes) -> int:
        """How often the state machine has run this payload."""
        return int(self.applier.query(payload))


def commands(message: Submit) -> Commands:
    submission = decoded(message)
    assert isinstance(submission, Commands)
    return submission


def is_closing(message: Submit) -> bool:
    return isinstance(decoded(message), CloseSession)
