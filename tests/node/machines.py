"""State machines for tests of what surrounds them."""

from __future__ import annotations

from replog.state_machine import Command, State, StateMachine, StateView


class Ledger(StateMachine):
    """Counts each command it is given, by its payload; ``!...`` raises, ``?N`` answers with N bytes.

    Queries: a payload answers how often it ran, ``total`` how many commands did, ``!...`` raises, ``?N`` as above.
    """

    def apply(self, state: State, command: Command) -> bytes:
        payload = command.payload
        state.put(b"total", b"%d" % (int(state.get(b"total", b"0")) + 1))
        if payload.startswith(b"!"):
            raise ValueError(payload.decode())
        if payload.startswith(b"?"):
            return b"x" * int(payload[1:])
        key = b"n/" + payload[:64]
        count = int(state.get(key, b"0")) + 1
        state.put(key, b"%d" % count)
        return b"%d" % count

    def query(self, view: StateView, request: bytes) -> bytes:
        if request.startswith(b"!"):
            raise ValueError(request.decode())
        if request.startswith(b"?"):
            return b"x" * int(request[1:])
        return view.get(request if request == b"total" else b"n/" + request[:64], b"0")


class Signed(Ledger):
    """Every replica answers with its own name: three states, and no majority."""

    def __init__(self, number: int) -> None:
        self._name = b" n%d" % number

    def apply(self, state: State, command: Command) -> bytes:
        return super().apply(state, command) + self._name


class Moody(Ledger):
    """One replica of it answers differently from the others: what must never be."""

    def __init__(self, *, is_different: bool) -> None:
        self._is_different = is_different

    def apply(self, state: State, command: Command) -> bytes:
        reply = super().apply(state, command)
        return reply + b"!" if self._is_different and command.payload == b"odd" else reply
