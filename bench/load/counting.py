"""Load generator of the long run: callers that count, each of whose answers is checked.

    python -m bench.load.counting --endpoints HOST:PORT,... --outstanding 1024 --connections 16 --seconds 3600 ...

One JSON line when it begins, one an interval with what was answered in it, and one ``result`` at the end, after every
counter has been read. Unlike the other generators it keeps nothing of an answer beyond its interval: an hour of them
would take gigabytes.
"""

from __future__ import annotations

import argparse
import gc
import math
import time
from contextlib import AsyncExitStack
from typing import Any

import trio

import replog

from .answer_log import emit
from .count_machine import encode_add, key_of, read_count
from .latencies import Latencies
from .ledger import Ledger
from .plan import LoadPlan

_FAILURE_PAUSE_S = 0.002
FINAL_S_MAX = 60.0


class _Interval:
    """Answers since the last line."""

    def __init__(self, now: float) -> None:
        self.began = now
        self.last_at = now
        self.waits: list[float] = []
        self.longest_gap_s = 0.0
        self.failed = 0

    def answered(self, started: float, ended: float) -> None:
        self.waits.append(ended - started)
        self.longest_gap_s = max(self.longest_gap_s, ended - self.last_at)
        self.last_at = ended

    def report(self, at_s: float, now: float) -> dict[str, Any]:
        latencies = Latencies.of_seconds(self.waits)
        percentiles = {name: latencies.percentile_ms(share) for name, share in (("p50_ms", 50), ("p99_ms", 99))}
        return {
            "at_s": at_s,
            "length_s": now - self.began,
            "answered": len(self.waits),
            "failed": self.failed,
            "longest_gap_ms": max(self.longest_gap_s, now - self.last_at) * 1e3,
            **{name: value if math.isfinite(value) else None for name, value in percentiles.items()},
        }

    def following(self, now: float) -> _Interval:
        """The next one; a silence goes on over its beginning."""
        new = _Interval(now)
        new.last_at = self.last_at
        return new


class Run:
    """All callers of one run."""

    def __init__(self, plan: LoadPlan, every_s: float) -> None:
        self._plan = plan
        self._every_s = every_s
        self._ledgers = [Ledger() for _ in range(plan.outstanding)]
        self._interval = _Interval(0.0)
        self._is_over = False

    async def run(self, endpoints: list[str]) -> None:
        """Connect, count until the time is over, let everybody's last command end, and read every counter."""
        async with AsyncExitStack() as stack:
            connections = min(self._plan.connections, self._plan.outstanding)
            clients = [await stack.enter_async_context(replog.connect(endpoints)) for _ in range(connections)]
            began = time.perf_counter()
            self._interval = _Interval(began)
            async with trio.open_nursery() as nursery:
                for number, ledger in enumerate(self._ledgers):
                    nursery.start_soon(self._call_again_and_again, clients[number % connections], number, ledger)
                gc.freeze()
                emit({"event": "began"})
                await self._report_until(began)
                self._is_over = True
            unread = await self._read_all(clients[0])
        emit({"event": "result", **self._sums(), "unread": unread})

    async def _call_again_and_again(self, client: replog.Client, number: int, ledger: Ledger) -> None:
        payload, clock = encode_add(number, b"v" * self._plan.value_bytes), time.perf_counter
        while not self._is_over:
            started = clock()
            try:
                receipt = await client.submit(payload, timeout=self._plan.deadline_s)
            except (replog.OutcomeUnknown, replog.SessionExpired):
                ledger.on_unknown()
            except replog.ReplogError:  # definitely not done
                self._interval.failed += 1
                await trio.sleep(_FAILURE_PAUSE_S)
            else:
                ledger.on_answer(read_count(receipt.reply))
                self._interval.answered(started, clock())

    async def _report_until(self, began: float) -> None:
        steps = max(1, round(self._plan.seconds / self._every_s))
        start_s = trio.current_time()
        for step in range(1, steps + 1):
            await trio.sleep_until(start_s + step * self._plan.seconds / steps)
            now = time.perf_counter()
            emit({"event": "interval", **self._interval.report(now - began, now), **self._sums()})
            self._interval = self._interval.following(now)

    async def _read_all(self, client: replog.Client) -> int:
        """Every counter against its ledger; returns how many could not be read."""
        unread = 0
        for number, ledger in enumerate(self._ledgers):
            try:
                ledger.on_read(read_count(await client.query(key_of(number), timeout=FINAL_S_MAX)))
            except replog.ReplogError:
                unread += 1
        return unread

    def _sums(self) -> dict[str, int]:
        fields = {"answered": "answered_sum", "unknown": "unknown", "lost": "lost", "doubled": "doubled"}
        return {name: sum(getattr(each, field) for each in self._ledgers) for field, name in fields.items()}


def _read_command_line() -> tuple[list[str], LoadPlan, float]:
    parser = argparse.ArgumentParser(prog="python -m bench.load.counting", description=__doc__)
    parser.add_argument("--endpoints", required=True)
    for name in ("outstanding", "connections", "value-bytes", "keys"):
        parser.add_argument(f"--{name}", type=int, default=1)
    for name in ("seconds", "warmup-s", "deadline-s", "every-s"):
        parser.add_argument(f"--{name}", type=float, default=1.0)
    words = vars(parser.parse_args())
    endpoints, every_s = str(words.pop("endpoints")), float(words.pop("every_s"))
    return endpoints.split(","), LoadPlan(**words), every_s


async def _main(endpoints: list[str], plan: LoadPlan, every_s: float) -> None:
    await Run(plan, every_s).run(endpoints)


if __name__ == "__main__":
    trio.run(_main, *_read_command_line())
