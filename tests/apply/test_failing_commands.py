"""A command that raises, whatever it raises, is an error reply with its writes undone; it never harms a replica."""

from __future__ import annotations

import asyncio
import sys
import warnings

import pytest
import trio

from replog.apply.limits import FAILURE_BYTES_MAX
from replog.errors import StorageError, error_text
from replog.state_machine import Command, State

from .running import Run


class Unprintable(Exception):
    def __str__(self) -> str:
        raise SystemExit("in __str__")


class Endless(Exception):
    def __str__(self) -> str:
        return "x" * 10_000_000


class Own(BaseException):
    """Not even an Exception."""


def recursion() -> None:
    recursion()


def exits() -> None:
    sys.exit(3)


def unencodable() -> None:
    raise ValueError("\udc80 is half a character")


def raise_it(error: BaseException) -> None:
    raise error


RAISED = {
    "SystemExit": exits,
    "KeyboardInterrupt": lambda: raise_it(KeyboardInterrupt()),
    "GeneratorExit": lambda: raise_it(GeneratorExit()),
    "StopIteration": lambda: next(iter(())),
    "CancelledError": lambda: raise_it(asyncio.CancelledError()),
    "RecursionError": recursion,
    "Own": lambda: raise_it(Own()),
    "Unprintable": lambda: raise_it(Unprintable()),
    "Endless": lambda: raise_it(Endless()),
    "ValueError": unencodable,
    "ExceptionGroup": lambda: raise_it(ExceptionGroup("two", [ValueError("a"), KeyError("b")])),
    "AssertionError": lambda: raise_it(AssertionError("ours look alike")),
    "TrioInternalError": lambda: raise_it(trio.TrioInternalError("not trio's")),
    "MemoryError": lambda: b"x" * (1 << 60),
}


@pytest.mark.parametrize("name", RAISED)
def test_whatever_is_raised_is_the_commands_error(name: str) -> None:
    """Its writes are undone, its neighbours in the same slot run, and the state can be flushed."""

    def apply(state: State, command: Command) -> bytes:
        state.put(command.payload, b"written")
        if command.payload == b"bad":
            RAISED[name]()
        return b"done"

    run = Run(apply)
    before, failed, after = run(b"a", b"bad", b"b")
    assert (before, after) == (b"done", b"done")
    assert isinstance(failed, str)
    assert failed.startswith(name)
    assert len(failed) <= FAILURE_BYTES_MAX
    run.flush()
    assert [key for key, _ in run.store.scan(b"", None)] == [b"a", b"b"]


@pytest.mark.parametrize("reply", [None, "text", 7, bytearray(b"b"), memoryview(b"m"), [b"l"]])
def test_a_reply_is_bytes(reply: object) -> None:
    """Anything else fails the command."""
    run = Run(lambda state, command: reply)  # type: ignore[arg-type, return-value]
    (failed,) = run(b"a")
    assert failed == f"TypeError: apply must return bytes, not {type(reply).__name__}"


def test_a_moment_without_memory_shows_nowhere() -> None:
    """The command is run again and succeeds, as it does on the replicas that had memory; nothing runs twice."""
    moments = iter([True, False, False, True, False])

    def apply(state: State, command: Command) -> bytes:
        count = int(state.get(b"count", b"0")) + 1
        state.put(b"count", b"%d" % count)
        if next(moments):
            raise MemoryError
        return b"%d" % count

    assert Run(apply)(b"a", b"b", b"c") == [b"1", b"2", b"3"]


def deepest(level: int = 0) -> int:
    try:
        return deepest(level + 1)
    except RecursionError:
        return level


def test_a_second_try_has_the_stack_of_the_first() -> None:
    """A command about as deep as its stack allows must not fail where memory was short for a moment."""
    moments = iter([False, True, False])

    def apply(state: State, command: Command) -> bytes:
        if next(moments):
            raise MemoryError
        return b"%d" % deepest()

    first, again = Run(apply)(b"a", b"b")
    assert first == again


def test_a_second_try_is_held_to_the_same_rules() -> None:
    """What it returns is a reply or its command's error, and what it wrote before an error is undone."""
    moments = iter([True, False, True, False])

    def apply(state: State, command: Command) -> bytes:
        state.put(b"n", command.payload)
        if next(moments):
            raise MemoryError
        if command.payload == b"raise":
            raise ValueError("as asked")
        return "text"  # type: ignore[return-value]

    run = Run(apply)
    assert run(b"raise", b"text") == ["ValueError: as asked", "TypeError: apply must return bytes, not str"]
    assert run.store.get(b"n") is None


def test_a_process_without_memory_ends_with_nothing_half_applied(monkeypatch: pytest.MonkeyPatch) -> None:
    """Then it is no fault of the command: the node ends, and no part of the slot becomes durable."""

    def apply(state: State, command: Command) -> bytes:
        state.put(command.payload, b"written")
        if command.payload == b"b":
            raise MemoryError
        return b"done"

    monkeypatch.setattr("replog.apply.command_loop.WRITES_BYTES_MAX", 2**60)  # more than any process gets
    run = Run(apply)
    with pytest.raises(MemoryError):
        run(b"a", b"b")
    for forbidden in (lambda: run(b"c"), run.applier.begin_flush):
        with pytest.raises(StorageError, match="half applied"):
            forbidden()


@pytest.mark.parametrize("action", ["error", "default", "ignore"])
def test_a_warning_never_decides(action: str) -> None:
    """A program started with ``-W error`` answers what its neighbours answer."""

    def apply(state: State, command: Command) -> bytes:
        try:
            warnings.warn("deprecated", DeprecationWarning, stacklevel=1)
        except DeprecationWarning:
            return b"raised"
        return b"warned"

    run = Run(apply)
    with warnings.catch_warnings(record=True):
        warnings.simplefilter(action)  # type: ignore[arg-type]
        assert run(b"a", b"b") == [b"warned", b"warned"]
        assert warnings.filters[0][0] == action
    with warnings.catch_warnings(record=True):
        warnings.resetwarnings()  # no rule is left that raises
        assert run(b"c") == [b"warned"]


def test_the_text_of_an_error_is_short_and_never_raises() -> None:
    """It may be anybody's exception."""
    assert error_text(ValueError("why")) == b"ValueError: why"
    assert error_text(Unprintable()) == b"Unprintable: its text can't be told"
    assert len(error_text(Endless())) == 1_000
    assert error_text(ValueError("\udc80")) == b"ValueError: \\udc80"
