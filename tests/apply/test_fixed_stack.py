"""How deep a command may recurse is the same however deep the caller is, and whatever its recursion limit."""

from __future__ import annotations

import decimal
import json
import os
import sys
import threading
from collections.abc import Callable, Iterator

import pytest

from replog.apply import fixed_stack
from replog.apply.fixed_stack import FRAMES, call_in_thread, call_with_moved_limit, depth
from replog.state_machine import Command, State

from .running import Run

CALLS = {"moved limit": call_with_moved_limit, "thread": call_in_thread}


@pytest.fixture(params=sorted(CALLS))
def call(request: pytest.FixtureRequest) -> Callable[..., int]:
    return CALLS[request.param]


@pytest.fixture(autouse=True)
def _limit() -> Iterator[None]:
    before = sys.getrecursionlimit()
    yield
    sys.setrecursionlimit(before)


def from_deeper(levels: int, function: Callable[[], int]) -> int:
    return from_deeper(levels - 1, function) if levels else function()


def deepest_json() -> int:
    for nested in range(FRAMES - 50, FRAMES + 50):
        try:
            json.loads("[" * nested + "]" * nested)
        except RecursionError:
            return nested
    raise AssertionError("nothing was too deep")


def deepest_python(level: int = 0) -> int:
    try:
        return deepest_python(level + 1)
    except RecursionError:
        return level


@pytest.mark.parametrize("probe", [deepest_json, deepest_python])
def test_the_remaining_stack_is_the_same_from_every_depth(call: Callable[..., int], probe: Callable[[], int]) -> None:
    """From the bottom, from deep inside, in another thread, and under another limit."""
    found = {from_deeper(levels, lambda: call(probe)) for levels in (0, 1, 7, 100, 700)}
    sys.setrecursionlimit(5_000)
    found.add(from_deeper(3_000, lambda: call(probe)))
    sys.setrecursionlimit(depth() + 60)
    found.add(call(probe))
    sys.setrecursionlimit(1_000)
    results: list[int] = []
    thread = threading.Thread(target=lambda: results.append(call(probe)))
    thread.start()
    thread.join()
    assert found == {results[0]}
    assert FRAMES - 50 < results[0] < FRAMES + 50


def test_the_programs_limit_is_what_it_was(call: Callable[..., int]) -> None:
    """Also after an error, and after a state machine has set one of its own."""
    sys.setrecursionlimit(1_234)
    call(lambda: sys.setrecursionlimit(9_999))
    with pytest.raises(KeyError):
        call({}.__getitem__, "missing")
    assert sys.getrecursionlimit() == 1_234


def test_the_programs_context_is_not_seen(call: Callable[..., int]) -> None:
    """A decimal precision that one program has set decides nothing."""
    with decimal.localcontext(prec=3):
        assert call(lambda: str(decimal.Decimal(1) / 3)) == "0.3333333333333333333333333333"  # type: ignore[comparison-overlap]


def test_a_forked_child_has_a_thread_of_its_own() -> None:
    """The parent's is not there any more."""
    assert call_in_thread(lambda: 1) == 1
    child = os.fork()
    if child == 0:
        os._exit(call_in_thread(lambda: 7))
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 7
    assert fixed_stack._thread is not None


def parse(state: State, command: Command) -> bytes:
    """Catches the error itself, so that the result is not even a failure."""
    try:
        json.loads(command.payload)
    except RecursionError:
        state.put(b"deep/" + b"%d" % len(command.payload), b"")
        return b"too deep"
    return b"parsed"


def test_a_command_that_uses_up_its_stack_is_answered_alike_at_every_depth() -> None:
    """As leader and follower call apply at different depths, and a replay at another."""
    payloads = [b"[" * nested + b"]" * nested for nested in range(FRAMES - 60, FRAMES + 10)]
    runs = [Run(parse) for _ in range(3)]
    replies: list[list[bytes | str]] = []
    for run, levels in zip(runs, (0, 20, 400), strict=True):
        from_deeper(levels, lambda run=run: replies.append(run(*payloads)) or 0)  # type: ignore[misc]
    assert replies[0] == replies[1] == replies[2]
    assert {b"parsed", b"too deep"} == set(replies[0])
    assert len({run.applier.digest for run in runs}) == 1
