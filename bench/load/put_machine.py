"""The state machine of the comparison: puts into a map, the same work that the peers do."""

from __future__ import annotations

from replog.state_machine import Command, State, StateMachine, StateView


def encode_put(key: bytes, value: bytes) -> bytes:
    """A command: the key's length in one byte, the key, the value."""
    return bytes((len(key),)) + key + value


class PutMachine(StateMachine):
    """An ordered map; a query is a key, its answer the value (empty if there is none)."""

    def apply(self, state: State, command: Command) -> bytes:
        payload = command.payload
        value_at = payload[0] + 1
        state.put(payload[1:value_at], payload[value_at:])
        return b""

    def query(self, view: StateView, request: bytes) -> bytes:
        return view.get(request) or b""
