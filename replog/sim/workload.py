"""What the simulated clients do: a state machine, and a source of commands and queries for it.

Pluggable: ``replog sim --state-machine module:Class`` runs any state machine. Its module may offer
``sim_workload()``, which returns a ``Workload``; otherwise random bytes are its commands, which every state machine
has to survive.
"""

from __future__ import annotations

import importlib
import json
import random as random_module
from collections.abc import Callable, Iterable
from typing import Protocol

from ..apply.fixed_stack import FRAMES
from ..state_machine import Command, State, StateMachine, StateView


class Workload(Protocol):
    """A state machine and what its clients ask of it."""

    name: str

    def machine(self) -> StateMachine:
        """A fresh machine; one is made for every replica and restart."""

    def command(self, random: random_module.Random, client: int, number: int) -> bytes:
        """The ``number``-th command of ``client``; no two commands of a run are equal."""

    def query(self, random: random_module.Random, client: int) -> bytes:
        """Some read."""


class Register(StateMachine):
    """Named registers that remember everything ever written to them: a command run twice shows."""

    def __init__(self) -> None:
        self._failures = 0

    def apply(self, state: State, command: Command) -> bytes:
        if command.payload.startswith(b"!"):
            state.put(b"spoiled", command.payload)
            self._failures += 1  # begins anew with each process, so the texts differ between replicas
            raise ValueError("a command that raises leaves nothing behind" + "!" * self._failures)
        if command.payload.startswith(b"?"):
            return self._exit(state)
        if command.payload.startswith(b"["):
            return self._nested(state, command.payload)
        name, _, value = command.payload.partition(b"=")
        before = state.get(name, b"") or b""
        count = int(state.get(b"count/" + name, b"0") or b"0") + 1
        state.put(name, value)
        state.put(b"count/" + name, b"%d" % count)
        if count % 7 == 0:
            state.delete(name)
        return b"%s %d @%d" % (before, count, command.time_ms)

    def _exit(self, state: State) -> bytes:
        state.put(b"spoiled", b"by one that exits")
        raise SystemExit(7)

    def _nested(self, state: State, payload: bytes) -> bytes:
        """JSON about as deep as a stack allows: whether it is too deep must be the same everywhere, also if caught."""
        try:
            depth = int(payload[1:].partition(b"/")[0])
            json.loads("[" * depth + "]" * depth)
        except RecursionError:
            state.put(b"deepest/refused", payload[-8:])
            return b"too deep"
        state.put(b"deepest/parsed", payload[-8:])
        return b"parsed"

    def query(self, view: StateView, request: bytes) -> bytes:
        return b";".join(b"%s=%s" % pair for pair in view.scan(request))

    def violations(self, view: StateView) -> Iterable[str]:
        if view.get(b"spoiled") is not None:
            yield "a command that raised left a write behind"


class RegisterWorkload:
    """The default: a few registers, unique values, now and then a command that raises, exits or uses up its stack."""

    name = "register"

    def machine(self) -> StateMachine:
        return Register()

    def command(self, random: random_module.Random, client: int, number: int) -> bytes:
        kind = random.random()
        if kind < 0.02:
            return b"!%d.%d" % (client, number)
        if kind < 0.03:
            return b"?%d.%d" % (client, number)
        if kind < 0.04:
            return b"[%d/%d.%d" % (FRAMES - random.randrange(40), client, number)
        return b"r%d=%d.%d" % (random.randrange(5), client, number)

    def query(self, random: random_module.Random, client: int) -> bytes:
        return b"r%d" % random.randrange(5) if random.random() < 0.7 else b"count/"


class Unsteady(StateMachine):
    """A machine in a process that has no memory for a moment now and then, which must not show in what it answers.

    The simulator runs every machine behind one call more, here and wherever it replays a log: so that all of them have
    the same stack below them.

    Parameters
    ----------
    rate: of commands that meet such a moment; the next try never does.
    """

    def __init__(self, machine: StateMachine, random: random_module.Random, rate: float) -> None:
        self._machine = machine
        self._random = random
        self._rate = rate
        self._is_again = False
        self.moments = 0

    def apply(self, state: State, command: Command) -> bytes:
        if self._rate and not self._is_again and self._random.random() < self._rate:
            self._is_again = True
            self.moments += 1
            state.put(b"spoiled", b"before the memory was gone")
            raise MemoryError("a moment without memory")
        self._is_again = False
        return self._machine.apply(state, command)

    def query(self, view: StateView, request: bytes) -> bytes:
        return self._machine.query(view, request)

    def violations(self, view: StateView) -> Iterable[str]:
        return self._machine.violations(view)


class BytesWorkload:
    """Random bytes for a state machine that is not known: every command must have a defined outcome."""

    def __init__(self, name: str, machine: Callable[[], StateMachine]) -> None:
        self.name = name
        self.machine = machine

    def command(self, random: random_module.Random, client: int, number: int) -> bytes:
        return b"%d.%d/" % (client, number) + random.randbytes(random.randrange(24))

    def query(self, random: random_module.Random, client: int) -> bytes:
        return random.randbytes(random.randrange(8))


def load_workload(state_machine: str | None) -> Workload:
    """The workload for ``module:Class``, or the default one for None.

    Raises
    ------
    ConfigError: the name is not of that form, or there is no state machine of that name.
    """
    if state_machine is None:
        return RegisterWorkload()
    from ..config.state_machines import (
        load_state_machine,
        users_own,
    )  # with what reads settings, which a run of our own machine does without

    machine = type(load_state_machine(state_machine))
    module = importlib.import_module(state_machine.partition(":")[0])
    if hasattr(module, "sim_workload"):
        workload: Workload = users_own(f"sim_workload() of {module.__name__} fails", module.sim_workload)
        return workload
    return BytesWorkload(state_machine, machine)
