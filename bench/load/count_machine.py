"""The state machine of the long run: counters, from which a command that was lost or done twice can be seen."""

from __future__ import annotations

import struct

from replog.state_machine import Command, State, StateMachine, StateView

_NUMBER = struct.Struct(">Q")
_EMPTY = bytes(_NUMBER.size)


def encode_add(caller: int, padding: bytes) -> bytes:
    """A command: add one to a caller's counter, and keep the padding beside it."""
    return _NUMBER.pack(caller) + padding


def key_of(caller: int) -> bytes:
    """Where a caller's counter is."""
    return _NUMBER.pack(caller)


def read_count(answer: bytes) -> int:
    """The counter after a command, or as it is read."""
    number: int = _NUMBER.unpack(answer)[0]
    return number


class CountMachine(StateMachine):
    """Counters by caller; a command answers with the counter it leaves, a query is a key and reads it."""

    def apply(self, state: State, command: Command) -> bytes:
        key, padding = command.payload[: _NUMBER.size], command.payload[_NUMBER.size :]
        count = _NUMBER.pack(read_count((state.get(key) or _EMPTY)[: _NUMBER.size]) + 1)
        state.put(key, count + padding)
        return count

    def query(self, view: StateView, request: bytes) -> bytes:
        return (view.get(request) or _EMPTY)[: _NUMBER.size]
