"""One PySyncObj node and, when asked, the callers that live in it.

    python -m bench.peers.pysyncobj_node ADDRESS OTHER...

One thread does everything: it drives the library by hand, so a caller never waits for another thread and nothing
but the library costs CPU. Lines on stdin: ``{"do": "role"}`` and ``{"do": "load", "plan": {...}}``.
"""

from __future__ import annotations

import json
import os
import random
import select
import sys
import time
from collections.abc import Callable
from typing import Any

from pysyncobj import FAIL_REASON, SyncObj, SyncObjConf, replicated

from ..load.answer_log import AnswerLog
from ..load.plan import LoadPlan

_TICK_S = 0.001
_PERIOD_S = 0.001
"""How often the leader sends what has gathered. The library's default, 0.1 s, answers each caller ten times a second;
sending at every call (``appendEntriesUseBatch=False``) costs a third of the throughput or more. This is its best."""
_FAILURE_PAUSE_S = 0.002
_ASK_AGAIN_S = 0.3


class Map(SyncObj):  # type: ignore[misc]  # the library is untyped
    """The state machine of the comparison: puts into a map."""

    def __init__(self, address: str, others: list[str]) -> None:
        # autoTick off: this process calls doTick itself. Everything not named is the library's default.
        super().__init__(address, others, SyncObjConf(autoTick=False, appendEntriesPeriod=_PERIOD_S))
        self._values: dict[str, bytes] = {}

    @replicated  # type: ignore[untyped-decorator]  # the library is untyped
    def put(self, key: str, value: bytes) -> None:
        self._values[key] = value


class Load:
    """Callers in a closed loop; each answer starts the next call from within the library's callback."""

    def __init__(self, target: Map, plan: LoadPlan) -> None:
        self._target = target
        self._plan = plan
        self._value = b"v" * plan.value_bytes
        self._random = random.Random(1)
        self._log = AnswerLog(plan)
        self._failed: list[float] = []

    def wait_until_served(self) -> None:
        """Put until one put is answered: what a follower forwards before all its links stand is lost for ever."""
        answered: list[Any] = []
        ask_again_at = 0.0
        while not any(error == FAIL_REASON.SUCCESS for error in answered):
            if time.perf_counter() >= ask_again_at:
                ask_again_at = time.perf_counter() + _ASK_AGAIN_S
                self._target.put("key-000000", self._value, callback=lambda _result, error: answered.append(error))
            self._target.doTick(_TICK_S)

    def begin(self) -> None:
        self._log.start(time.perf_counter())
        for _ in range(self._plan.outstanding):
            self._call()

    def _call(self) -> None:
        started = time.perf_counter()
        key = f"key-{self._random.randrange(self._plan.keys):06d}"
        self._target.put(key, self._value, callback=self._answered(started))

    def _answered(self, started: float) -> Callable[[Any, Any], None]:
        def on_answer(_result: Any, error: Any) -> None:
            if error:
                self._log.failed()
                self._failed.append(time.perf_counter() + _FAILURE_PAUSE_S)
            else:
                self._log.answered(started, time.perf_counter())
                self._call()

        return on_answer

    def turn(self, now: float) -> bool:
        """Call again for those that failed a moment ago, and open and close the window; True when all is over."""
        due = sum(at <= now for at in self._failed)
        del self._failed[:due]
        for _ in range(due):
            self._call()
        return self._log.turn(now)


def _command(timeout_s: float) -> dict[str, Any] | None:
    """The next line of stdin, if there is one."""
    if not select.select([sys.stdin], [], [], timeout_s)[0]:
        return None
    line = sys.stdin.readline()
    if not line:
        os._exit(0)
    found: dict[str, Any] = json.loads(line)
    return found


def main(address: str, others: list[str]) -> None:
    node = Map(address, others)
    while True:
        command = _command(0.0)
        if command is None:
            node.doTick(_TICK_S)
        elif command["do"] == "role":
            leader = node.getStatus()["leader"]
            print(json.dumps({"is_leading": leader is not None and leader.id == address}), flush=True)
        else:
            load = Load(node, LoadPlan(**command["plan"]))
            load.wait_until_served()
            load.begin()
            while not load.turn(time.perf_counter()):
                node.doTick(_TICK_S)


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2:])
