"""An Applier over either store, and slots for it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import msgspec

from replog.apply.applier import Applier
from replog.apply.outcomes import Replies, SessionOpened
from replog.apply.submissions import Commands, OpenSession, session_key
from replog.paxos.ballot import Slot
from replog.paxos.values import Batch, encode_value
from replog.state.contract import StateStore
from replog.state.memory import MemoryStateStore
from replog.state.store import LmdbStateStore
from replog.state_machine import Command, State, StateMachine, StateView

KEY = session_key(b"k" * 16)

Apply = Callable[[State, Command], bytes]


class Machine(StateMachine):
    """Runs a function."""

    def __init__(self, apply: Apply) -> None:
        self._apply = apply

    def apply(self, state: State, command: Command) -> bytes:
        return self._apply(state, command)

    def query(self, view: StateView, request: bytes) -> bytes:
        return view.get(request, b"")


def new_store(kind: str, path: Path) -> StateStore:
    return MemoryStateStore() if kind == "memory" else LmdbStateStore.open(path / "state", map_step_bytes=2**20)


class Run:
    """One session's commands, a slot each call."""

    def __init__(self, apply: Apply, store: StateStore | None = None) -> None:
        self.store = store if store is not None else MemoryStateStore()
        self.applier = Applier(Machine(apply), self.store)
        self.session = 0
        self.sequence = 1

    def open(self) -> None:
        (opened,) = self.slot(msgspec.msgpack.encode(OpenSession(KEY)))
        assert isinstance(opened, SessionOpened)
        self.session = opened.session

    def slot(self, *submissions: bytes) -> list[object]:
        value = encode_value(Batch(0, list(submissions)))
        return [message for _, message, _ in self.applier.apply(Slot(self.applier.applied_through + 1), value)]

    def __call__(self, *payloads: bytes) -> list[bytes | str]:
        """Replies; a failed command's as a text."""
        if not self.session:
            self.open()
        submission = Commands(self.session, self.sequence, self.sequence, list(payloads), KEY)
        self.sequence += len(payloads)
        (replies,) = self.slot(msgspec.msgpack.encode(submission))
        assert isinstance(replies, Replies)
        return [
            reply.decode() if position in replies.failed else reply for position, reply in enumerate(replies.replies)
        ]

    def flush(self) -> None:
        assert self.applier.begin_flush()
        self.applier.flush()
        self.applier.end_flush()
