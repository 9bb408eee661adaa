"""Load generator for replog: a process of its own, callers as trio tasks.

    python -m bench.load.generator --endpoints HOST:PORT,... --outstanding 256 --connections 16 --seconds 6 ...

Speaks the protocol of all load generators (``window``).
"""

from __future__ import annotations

import argparse
import gc
import os
import time
from contextlib import AsyncExitStack

import trio

import replog

from .answer_log import AnswerLog
from .pacer import Pacer
from .plan import WORKS, LoadPlan
from .work import Call, caller, prepare

_WINDOW_CHECK_S = 0.05
_FAILURE_PAUSE_S = 0.002


async def run_load(endpoints: list[str], plan: LoadPlan) -> None:
    """Connect, prepare, and keep the callers going until the window has been reported."""
    log = AnswerLog(plan, operations_per_answer=plan.batch if plan.work == "submit_many" else 1)
    async with AsyncExitStack() as stack:
        clients = [await stack.enter_async_context(replog.connect(endpoints)) for _ in range(plan.connections)]
        await prepare(clients[0], plan)
        async with trio.open_nursery() as nursery:
            calls = [caller(clients[number % len(clients)], plan, number) for number in range(plan.outstanding)]
            if plan.rate_per_s:
                _start_open_loop(nursery, calls, plan, log)
            else:
                for call in calls:
                    nursery.start_soon(_call_again_and_again, call, log)
            gc.freeze()  # no collection need walk what is here for good; the generators in Go and C have none of that
            log.start(time.perf_counter())
            while not log.turn(time.perf_counter()):  # noqa: ASYNC110 - the clock is what is waited for
                await trio.sleep(_WINDOW_CHECK_S)
            # The result is out: closing sessions politely would only keep whoever waits for this process.
            os._exit(0)


async def _call_again_and_again(call: Call, log: AnswerLog) -> None:
    """One caller of a closed loop: the next operation begins when the last one is answered."""
    clock = time.perf_counter
    while True:
        started = clock()
        try:
            await call()
        except replog.ReplogError:
            log.failed()
            await trio.sleep(_FAILURE_PAUSE_S)
        else:
            log.answered(started, clock())


def _start_open_loop(nursery: trio.Nursery, calls: list[Call], plan: LoadPlan, log: AnswerLog) -> None:
    pacer = Pacer(plan.rate_per_s)
    log.count_backlog(lambda: pacer.backlog_count)
    nursery.start_soon(pacer.run)
    for call in calls:
        nursery.start_soon(_call_when_due, call, pacer, log)


async def _call_when_due(call: Call, pacer: Pacer, log: AnswerLog) -> None:
    """One caller of an open loop: a latency counts from when the operation was due, not from when it was sent."""
    clock = time.perf_counter
    while True:
        due = await pacer.take()
        try:
            await call()
        except replog.ReplogError:
            log.failed()
        else:
            log.answered(due, clock())


def _read_command_line() -> tuple[list[str], LoadPlan]:
    parser = argparse.ArgumentParser(prog="python -m bench.load.generator", description=__doc__)
    parser.add_argument("--endpoints", required=True)
    for name in ("outstanding", "connections", "value-bytes", "keys", "batch"):
        parser.add_argument(f"--{name}", type=int, default=1)
    for name in ("seconds", "warmup-s", "deadline-s", "rate-per-s"):
        parser.add_argument(f"--{name}", type=float, default=0.0)
    parser.add_argument("--work", choices=WORKS, default="put")
    parser.add_argument("--timeline", dest="has_timeline", action="store_true")
    words = vars(parser.parse_args())
    endpoints: str = words.pop("endpoints")
    return endpoints.split(","), LoadPlan(**words)


if __name__ == "__main__":
    trio.run(run_load, *_read_command_line())
