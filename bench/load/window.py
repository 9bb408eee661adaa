"""Follows a load generator through its window and takes the CPU times of everybody exactly then.

The protocol of all load generators: JSON lines on stdout, ``{"event": "began"}`` when the measured window opens,
``{"event": "ended"}`` when it closes, then one ``{"event": "result", ...}``.
"""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from typing import Any

import trio

from ..child_process import Child, cpu_s
from ..errors import ChildFailed
from .latencies import Latencies
from .measurement import Measurement
from .plan import LoadPlan

STARTING_S_MAX = 30.0
"""Connecting, creating keys and reporting at the end, together, may take this long beside warm-up and window."""

During = Callable[[], Awaitable[None]]
"""Something to do to the system while the window is open: kill its leader, say."""


async def follow_window(
    child: Child,
    plan: LoadPlan,
    *,
    system: str,
    servers: Mapping[str, int],
    is_client_apart: bool = True,
    is_client_single_threaded: bool = False,
    during: During | None = None,
) -> Measurement:
    """Wait for a generator's result.

    Parameters
    ----------
    child: the process that reports; killed by whoever started it.
    servers: process ids of the servers, by name.
    is_client_apart: the generator is a process of its own, whose CPU counts as the client's.
    during: run beside the window from its beginning.

    Raises
    ------
    ChildFailed: the generator ended without a result, or took too long.
    """
    followed = _Window(child, servers, is_client_apart)
    with trio.move_on_after(plan.warmup_s + plan.seconds + plan.deadline_s + STARTING_S_MAX):
        async with trio.open_nursery() as nursery:
            async for event in _events(child):
                followed.on_event(event)
                if event["event"] == "began" and during is not None:
                    nursery.start_soon(during)
                if event["event"] == "result":
                    return followed.measurement(event, plan, system, is_client_single_threaded)
        child.check_running()
    raise ChildFailed(f"the load generator of {system} gave no result in time")


async def _events(child: Child) -> AsyncIterator[dict[str, Any]]:
    async for line in child.lines():
        yield json.loads(line)


class _Window:
    """CPU times at the two ends of a window."""

    def __init__(self, child: Child, servers: Mapping[str, int], is_client_apart: bool) -> None:
        self._servers = servers
        self._client = child.pid if is_client_apart else None
        self._at: dict[str, dict[str, float]] = {}

    def on_event(self, event: dict[str, Any]) -> None:
        if event["event"] in ("began", "ended"):
            self._at[event["event"]] = self._times()

    def _times(self) -> dict[str, float]:
        times = {name: cpu_s(pid) for name, pid in self._servers.items()}
        times[""] = cpu_s(self._client) if self._client is not None else 0.0
        return times

    def _used(self, name: str) -> float:
        # A server that was killed in between has nothing to read at the end.
        return max(0.0, self._at["ended"][name] - self._at["began"][name])

    def measurement(
        self, event: dict[str, Any], plan: LoadPlan, system: str, is_client_single_threaded: bool
    ) -> Measurement:
        return Measurement(
            system=system,
            plan=plan,
            operations=event["operations"],
            errors=event["errors"],
            seconds=event["seconds"],
            latencies=Latencies.of_pairs((us, count) for us, count in event["latencies_us"]),
            server_cpu_s={name: self._used(name) for name in self._servers},
            client_cpu_s=self._used(""),
            longest_gap_ms=event["longest_gap_ms"],
            longest_gap_from_s=event["longest_gap_from_s"],
            answers_per_10_ms=tuple(event.get("answers_per_10_ms", ())),
            is_client_single_threaded=is_client_single_threaded,
        )
