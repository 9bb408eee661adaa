"""The state machine of the stories."""

from __future__ import annotations

from replog.sim.workload import RegisterWorkload
from replog.state_machine import Command, State, StateMachine, StateView


class Notebook(StateMachine):
    """Keeps every command as a line: one that ran twice stands there twice.

    ``hand`` is what a broken one writes beside each line, each node its own.
    """

    def __init__(self, workload: NotebookWorkload) -> None:
        self._workload = workload

    def apply(self, state: State, command: Command) -> bytes:
        if command.payload == b"!":
            state.put(b"blot", b"!")
            raise ValueError("a command that raises")
        count = int(state.get(b"count", b"0") or b"0") + 1
        state.put(b"count", b"%d" % count)
        state.put(b"line/%05d" % count, command.payload)
        if self._workload.hand:
            state.put(b"hand", self._workload.hand)
        return b"line %d" % count

    def query(self, view: StateView, request: bytes) -> bytes:
        return b" ".join(value for _, value in view.scan(request)) or b"nothing"


class NotebookWorkload(RegisterWorkload):
    """Hosts ask a workload for their state machine."""

    hand = b""

    def machine(self) -> StateMachine:
        return Notebook(self)
