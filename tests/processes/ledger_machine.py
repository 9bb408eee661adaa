"""The state machine of the process tests: it remembers how often each id was applied, which must be once."""

from __future__ import annotations

from replog import Command, State, StateMachine, StateView


class Ledger(StateMachine):
    """A command is an id, and is answered with how often that id has been applied.

    A query is ``total``, ``doubled`` (ids applied more than once) or ids joined by spaces, answered by their counts.
    """

    def apply(self, state: State, command: Command) -> bytes:
        key = b"id/" + command.payload
        count = int(state.get(key, b"0")) + 1
        state.put(key, b"%d" % count)
        state.put(b"total", b"%d" % (int(state.get(b"total", b"0")) + 1))
        if count == 2:
            state.put(b"doubled", b"%d" % (int(state.get(b"doubled", b"0")) + 1))
        return b"%d" % count

    def query(self, view: StateView, request: bytes) -> bytes:
        if request in (b"total", b"doubled"):
            return view.get(request, b"0")
        return b" ".join(view.get(b"id/" + name, b"0") for name in request.split())
