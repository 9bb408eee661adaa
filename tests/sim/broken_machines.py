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


class SetOrder(StateMachine):
    """Iterates over a set of texts: the same in one process, another order in the next."""

    def apply(self, state: State, command: Command) -> bytes:
        words = {f"{command.payload.hex()}/{number}" for number in range(6)}
        state.put(b"first", next(iter(words)).encode())
        return b""

    def query(self, view: StateView, request: bytes) -> bytes:
        return view.get(b"first", b"")


class Misused(StateMachine):
    """Puts a text: no store takes that."""

    def apply(self, state: State, command: Command) -> bytes:
        state.put(b"k", "1")  # type: ignore[arg-type]
        return b""

    def query(self, view: StateView, request: bytes) -> bytes:
        return b""


class Exits(StateMachine):
    """Ends the program, as it believes, whatever it is asked."""

    def apply(self, state: State, command: Command) -> bytes:
        raise SystemExit(7)

    def query(self, view: StateView, request: bytes) -> bytes:
        return b""
