"""A state machine whose answers are as long as somebody asks for."""

from __future__ import annotations

import replog


class Big(replog.StateMachine):
    def apply(self, state: replog.State, command: replog.Command) -> bytes:
        state.put(b"count", b"%d" % (int(state.get(b"count", b"0")) + 1))
        return bytes(int(command.payload))

    def query(self, view: replog.StateView, request: bytes) -> bytes:
        return bytes(int(request))
