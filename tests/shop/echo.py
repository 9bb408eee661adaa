"""A state machine that is no shop."""

from __future__ import annotations

from replog.state_machine import Command, State, StateMachine, StateView


class Echo(StateMachine):
    """Answers what it is told."""

    def apply(self, state: State, command: Command) -> bytes:
        return command.payload

    def query(self, view: StateView, request: bytes) -> bytes:
        return request
