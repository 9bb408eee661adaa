"""Runs a call with the same remaining stack, everywhere and always.

How deep a state machine may recurse decides what it answers: JSON nested a thousand deep is parsed by one replica and
is a RecursionError on another, if their event loops happen to call ``apply`` at different depths. A result must come
from the log alone, so ``apply`` is given a stack of its own: as many frames below it on the leader, on a follower, in a
replay after a crash and in the simulator, whatever the recursion limit of the program is.

CPython 3.11 counts Python frames and C recursion together, so moving the limit is enough; that costs under a
microsecond a slot. Later versions count C recursion apart (3.12), or measure the C stack (3.14), where no limit can be
moved: there the call is made by a thread that does nothing else, always from the same place and with a stack of the
same size.

The call also gets a context of its own (``contextvars``), so that a decimal precision that the embedding program has
set can't reach it.

Never: depend on who calls.
"""

from __future__ import annotations

import contextlib
import os
import sys
import threading
import warnings
from collections.abc import Callable, Iterator
from contextvars import Context
from typing import Any, TypeVar

FRAMES = 1000
"""How many frames a call may go down before Python raises RecursionError."""
STACK_BYTES = 16 * 2**20
"""The C stack of the thread that makes calls, where a thread makes them."""

_T = TypeVar("_T")


_depths: dict[str, int] = {}
"""By what CPython says of them: reading a number out of a sentence takes longer than the rest, and there are few."""


def depth() -> int:
    """How much of the recursion limit is in use here; CPython tells it only to whoever asks for too low a limit."""
    try:
        sys.setrecursionlimit(1)
    except RecursionError as error:
        (said,) = error.args
        if said not in _depths:
            _depths[said] = int(said.partition("recursion depth ")[2].partition(":")[0])
        return _depths[said]
    raise AssertionError("a recursion limit of 1 was accepted")  # every interpreter with frames refuses it


def call_with_moved_limit(call: Callable[..., _T], *arguments: Any) -> _T:
    """Call with ``FRAMES`` left, by moving the recursion limit; afterwards it is what it was."""
    before = sys.getrecursionlimit()
    sys.setrecursionlimit(depth() + FRAMES)
    try:
        return Context().run(call, *arguments)
    finally:
        sys.setrecursionlimit(before)


class _Thread:
    """Makes calls one at a time, from the bottom of a stack of its own; the caller waits."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._is_asked = threading.Semaphore(0)
        self._is_done = threading.Semaphore(0)
        self._call: Callable[[], object] | None = None
        self._result: object = None
        self._error: BaseException | None = None
        before = threading.stack_size(STACK_BYTES)
        try:
            threading.Thread(target=self._run, name="replog apply", daemon=True).start()
        finally:
            threading.stack_size(before)

    def call(self, call: Callable[[], object]) -> object:
        with self._lock:
            self._call = call
            self._is_asked.release()
            self._is_done.acquire()
            result, error = self._result, self._error
            self._result = self._error = None
        if error is not None:
            raise error
        return result

    def _run(self) -> None:
        while True:
            self._is_asked.acquire()
            assert self._call is not None
            try:
                self._result = self._call()
            except BaseException as error:
                self._error = error
            self._call = None
            self._is_done.release()


_thread: _Thread | None = None


def _forget_thread() -> None:
    """A forked child has none of its parent's threads."""
    global _thread
    _thread = None


os.register_at_fork(after_in_child=_forget_thread)


def call_in_thread(call: Callable[..., _T], *arguments: Any) -> _T:
    """Call with ``FRAMES`` left, in the thread that does nothing else."""
    global _thread
    if _thread is None:
        _thread = _Thread()
    return _thread.call(lambda: call_with_moved_limit(call, *arguments))  # type: ignore[return-value]


call_on_fixed_stack = call_with_moved_limit if sys.version_info < (3, 12) else call_in_thread


@contextlib.contextmanager
def warnings_never_raised() -> Iterator[None]:
    """A program run with ``-W error`` raises where its neighbour only warns: inside, a warning is only a warning."""
    with warnings.catch_warnings():
        warnings.filters[:] = [rule for rule in warnings.filters if rule[0] != "error"]  # type: ignore[index]
        yield


_rules_seen: list[object] = []
_is_raising = False


def is_raising_warnings() -> bool:
    """Whether some warning would be raised as an error in this process."""
    global _rules_seen, _is_raising
    if warnings.filters != _rules_seen:  # asked for each slot, and mostly the same rules
        _rules_seen = list(warnings.filters)
        _is_raising = any(rule[0] == "error" for rule in warnings.filters)
    return _is_raising
