"""State machines with a defect that the simulator has to find, named on its command line as any other."""

from __future__ import annotations

import random

from replog.state_machine import Command, State, StateMachine, StateView


class Dice(StateMachine):
    """Not deterministic: every replica throws its own."""

    def apply(self, state: State, command: Command) -> bytes:
        state.put(b"eyes", b"%d" % random.SystemRandom().randrange(1 << 30))
        return b""

    def query(self, view: StateView, request: bytes) -> bytes:
        return view.get(b"eyes", b"") or b""


class Counter(StateMachine):
    """As it should be."""

    def apply(self, state: State, command: Command) -> bytes:
        total = int(state.get(b"total", b"0") or b"0") + 1
        state.put(b"total", b"%d" % total)
        return b"%d" % total

    def query(self, view: StateView, request: bytes) -> bytes:
        return view.get(b"total", b"0") or b""
