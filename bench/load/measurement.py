"""What one measured window gave, and what several of them give together."""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from functools import cached_property
from typing import Any

import attrs

from .latencies import Latencies
from .plan import LoadPlan

CLIENT_BOUND_SHARE = 0.95
"""A single-threaded client that used this much of a core measured itself, not the system."""


@attrs.frozen(kw_only=True)
class Measurement:
    """One window of one load on one system.

    Parameters
    ----------
    operations, errors: answered and failed within the window.
    seconds: its length.
    latencies: of the answered ones.
    server_cpu_s: user and system time that each server process used within the window, by its name.
    client_cpu_s: the same of the load generator; 0 where the callers live in a server process.
    longest_gap_ms, longest_gap_from_s: the longest time in which no caller at all was answered, and when it began.
    answers_per_10_ms: answers in each 10 ms, if they were asked for.
    is_client_single_threaded: whether one core is all the client can use.
    """

    system: str
    plan: LoadPlan
    operations: int
    errors: int
    seconds: float
    latencies: Latencies
    server_cpu_s: dict[str, float]
    client_cpu_s: float
    longest_gap_ms: float
    longest_gap_from_s: float
    answers_per_10_ms: tuple[int, ...] = ()
    is_client_single_threaded: bool = False

    @property
    def per_s(self) -> float:
        return self.operations / self.seconds

    @property
    def cpu_us_per_op(self) -> float:
        """CPU of all processes together, for one answered operation."""
        return self._per_op_us(sum(self.server_cpu_s.values()) + self.client_cpu_s)

    @property
    def client_cpu_us_per_op(self) -> float:
        return self._per_op_us(self.client_cpu_s)

    def server_cpu_us_per_op(self, server: str) -> float:
        """CPU of one server process for one answered operation."""
        return self._per_op_us(self.server_cpu_s[server])

    def _per_op_us(self, seconds: float) -> float:
        return seconds * 1e6 / self.operations if self.operations else float("nan")

    @property
    def is_client_bound(self) -> bool:
        """Whether a faster client would have shown a higher figure."""
        return self.is_client_single_threaded and self.client_cpu_s >= CLIENT_BOUND_SHARE * self.seconds

    def as_json(self) -> dict[str, Any]:
        """Everything, for the result file."""
        fields = attrs.asdict(self, filter=lambda field, _: field.name != "latencies")
        return fields | {
            "ops_per_s": self.per_s,
            "cpu_us_per_op": self.cpu_us_per_op,
            "is_client_bound": self.is_client_bound,
            "latencies_us": self.latencies.pairs(),
        }


@attrs.define(slots=False)
class Series:
    """Rounds of one load on one system: figures are medians over rounds, percentiles are of all operations."""

    rounds: Sequence[Measurement] = attrs.field(validator=attrs.validators.min_len(1))
    label: str = ""
    """What sets it apart in its table."""

    @property
    def plan(self) -> LoadPlan:
        return self.rounds[0].plan

    @property
    def system(self) -> str:
        return self.rounds[0].system

    @property
    def per_s(self) -> float:
        return statistics.median(each.per_s for each in self.rounds)

    @property
    def per_s_range(self) -> tuple[float, float]:
        return min(each.per_s for each in self.rounds), max(each.per_s for each in self.rounds)

    @property
    def errors(self) -> int:
        return sum(each.errors for each in self.rounds)

    @property
    def operations(self) -> int:
        return sum(each.operations for each in self.rounds)

    @property
    def cpu_us_per_op(self) -> float:
        return statistics.median(each.cpu_us_per_op for each in self.rounds)

    @property
    def client_cpu_us_per_op(self) -> float:
        return statistics.median(each.client_cpu_us_per_op for each in self.rounds)

    def server_cpu_us_per_op(self) -> list[float]:
        """CPU of each server for one operation, the busiest first."""
        names = self.rounds[0].server_cpu_s
        medians = [statistics.median(each.server_cpu_us_per_op(name) for each in self.rounds) for name in names]
        return sorted(medians, reverse=True)

    @cached_property
    def latencies(self) -> Latencies:
        return Latencies.merged(each.latencies for each in self.rounds)

    @property
    def longest_gap_ms(self) -> float:
        return max(each.longest_gap_ms for each in self.rounds)

    @property
    def is_client_bound(self) -> bool:
        """Whether the client was the limit in most rounds."""
        return statistics.median(each.is_client_bound for each in self.rounds) >= 0.5

    def summary(self) -> dict[str, Any]:
        """The figures of the table, as ``--json`` prints them."""
        return {
            "system": self.system,
            "clients": self.plan.outstanding,
            "connections": min(self.plan.connections, self.plan.outstanding),
            "ops_per_s": round(self.per_s, 1),
            "ops_per_s_range": [round(each, 1) for each in self.per_s_range],
            "p50_ms": self.latencies.percentile_ms(50),
            "p99_ms": self.latencies.percentile_ms(99),
            "p999_ms": self.latencies.percentile_ms(99.9),
            "max_ms": self.latencies.max_ms,
            "errors": self.errors,
            "cpu_us_per_op": round(self.cpu_us_per_op, 2),
            "server_cpu_us_per_op": [round(each, 2) for each in self.server_cpu_us_per_op()],
            "client_cpu_us_per_op": round(self.client_cpu_us_per_op, 2),
            "rounds": len(self.rounds),
            "is_client_bound": self.is_client_bound,
        }
