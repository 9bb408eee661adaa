"""A state machine whose queries take as long as somebody asks for."""

from __future__ import annotations

import time

import replog


class Slow(replog.StateMachine):
    def apply(self, state: replog.State, command: replog.Command) -> bytes:
        return command.payload

    def query(self, view: replog.StateView, request: bytes) -> bytes:
        time.sleep(float(request))
        return request
