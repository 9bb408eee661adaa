"""Work in a thread: waited for whatever happens, but in a child that is forked off, where nobody is there to do it."""

from __future__ import annotations

import subprocess
import sys
import threading

import pytest
import trio
import trio.testing

from replog.node import threads
from replog.node.threads import in_thread

from .stage import DEADLINE_S

PROGRAM = """
import os, threading
import trio
import trio.testing
from replog.node.forked_loop import separate_loop
from replog.node.threads import in_thread

os.register_at_fork(after_in_child=separate_loop)
may_end = threading.Event()

async def work():
    await in_thread(may_end.wait, limiter=trio.CapacityLimiter(1))
    print("waited for", os.getpid(), flush=True)

async def main():
    async with trio.open_nursery() as nursery:
        nursery.start_soon(work)
        await trio.testing.wait_all_tasks_blocked()
        if {is_cancelled_before}:
            nursery.cancel_scope.cancel()
            await trio.lowlevel.cancel_shielded_checkpoint()
        lock = trio._core._run.GLOBAL_RUN_CONTEXT.runner.entry_queue.lock
        is_held, may_go = threading.Event(), threading.Event()
        def hold():
            with lock:
                is_held.set()
                may_go.wait()
        if {is_loop_woken}:
            threading.Thread(target=hold).start()
            is_held.wait()
        child = os.fork()
        if not child:
            nursery.cancel_scope.cancel()
            return
        may_go.set()
        with trio.CancelScope(shield=True):
            while not (ended := os.waitpid(child, os.WNOHANG))[0]:
                await trio.sleep(0.01)
        print("child", os.waitstatus_to_exitcode(ended[1]), flush=True)
        may_end.set()

trio.run(main)
"""


@pytest.mark.parametrize("is_loop_woken", [False, True])
@pytest.mark.parametrize("is_cancelled_before", [False, True])
def test_a_child_waits_for_no_thread_of_its_parent(is_cancelled_before: bool, is_loop_woken: bool) -> None:
    """It leaves at once, whenever it is cancelled and whatever a thread held just then; the parent waits for the work.

    ``is_loop_woken``: a thread is about to wake the loop, as the log's writer does after each group.
    """
    text = PROGRAM.format(is_cancelled_before=is_cancelled_before, is_loop_woken=is_loop_woken)
    done = subprocess.run([sys.executable, "-c", text], capture_output=True, text=True, timeout=DEADLINE_S, check=False)
    assert done.stdout.splitlines()[0] == "child 0", done.stderr
    assert len(done.stdout.splitlines()) == 2
    assert done.returncode == 0


async def test_what_is_returned_or_raised_arrives() -> None:
    """As from a call, and on a thread of its own."""
    limiter = trio.CapacityLimiter(1)
    assert await in_thread(threading.get_ident, limiter=limiter) != threading.get_ident()
    with pytest.raises(ZeroDivisionError):
        await in_thread(lambda: 1 // 0, limiter=limiter)
    assert limiter.borrowed_tokens == 0


async def test_work_that_has_begun_is_waited_for() -> None:
    """Whoever is cancelled meanwhile hears of it once the work is done."""
    may_end, has_ended = threading.Event(), threading.Event()

    def work() -> None:
        may_end.wait()
        has_ended.set()

    async with trio.open_nursery() as nursery:
        nursery.start_soon(lambda: in_thread(work, limiter=trio.CapacityLimiter(1)))
        await trio.testing.wait_all_tasks_blocked()
        nursery.cancel_scope.cancel()
        trio.lowlevel.current_trio_token().run_sync_soon(may_end.set)
    assert has_ended.is_set()


async def test_a_machine_without_a_thread_is_asked_again(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing was begun, so it is begun later; another error is raised as it is."""
    start, errors = trio.lowlevel.start_thread_soon, [RuntimeError("can't start new thread")] * 2

    def start_later(*arguments: object, **options: object) -> None:
        if errors:
            raise errors.pop()
        start(*arguments, **options)  # type: ignore[arg-type]

    monkeypatch.setattr(threads, "_NO_THREAD_PAUSE_S", 0.0)
    monkeypatch.setattr(trio.lowlevel, "start_thread_soon", start_later)
    assert await in_thread(lambda: 1, limiter=trio.CapacityLimiter(1)) == 1
    errors.append(RuntimeError("something else"))
    with pytest.raises(RuntimeError, match="something else"):
        await in_thread(lambda: 1, limiter=trio.CapacityLimiter(1))
