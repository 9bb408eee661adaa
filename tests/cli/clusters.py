"""Clusters as their nodes describe them, for tests of what is said about them."""

from __future__ import annotations

from typing import Any

from replog.cli.cluster_report import MemberReport

CLUSTER = "e4c1" + "0" * 26 + "9a"


def up(node: int, **changes: Any) -> MemberReport:
    """A voter at work; node 1 leads."""
    fields: dict[str, Any] = {
        "node": f"n{node}",
        "address": f"10.0.0.{node}:7101",
        "up": True,
        "role": "leader" if node == 1 else "follower",
        "ballot": "17.n1",
        "leader": "n1",
        "chosen_through": 1_204_311,
        "applied_through": 1_204_311 if node == 1 else 1_204_309,
        "cluster_id": CLUSTER,
        "disk_bytes": 412_000_000,
        "sync_p99_ms": 1.9,
        "clock_offset_ms": 3,
        "version": "0.1.0",
    }
    return MemberReport(**{**fields, **changes})


def down(node: int, problem: str = "refused") -> MemberReport:
    """A voter that did not answer."""
    return MemberReport(node=f"n{node}", address=f"10.0.0.{node}:7101", up=False, problem=problem)
