"""Pictures can be read: labels stand apart, bars are as long as they say, and what was not measured is shown so."""

from __future__ import annotations

import itertools
from typing import Any

import pytest

matplotlib = pytest.importorskip("matplotlib")

from bench.report.charts import comparison, faults  # noqa: E402
from bench.report.charts.style import LIGHT, Chart  # noqa: E402

MACHINE = {"cores": 2, "memory_bytes": 2**34, "filesystem": "ext4", "network": "loopback", "versions": {}}


def summary(system: str, clients: int, ops: float, ms: float, connections: int = 0) -> dict[str, Any]:
    return {
        "system": system, "clients": clients, "connections": connections, "ops_per_s": ops, "p50_ms": ms,
        "p99_ms": 3 * ms, "cpu_us_per_op": 19.0, "server_cpu_us_per_op": [11.0, 5.0, 5.0], "client_cpu_us_per_op": 0.0,
    }  # fmt: skip


ROWS = [
    *(summary("replog", clients, ops, ms, min(16, clients)) for clients, ops, ms in
      ((1, 1_100, 0.9), (64, 22_000, 2.6), (256, 58_000, 4.2), (1_024, 95_000, 10.8))),
    *(summary("pysyncobj", clients, ops, ms) for clients, ops, ms in
      ((1, 700, 1.4), (64, 30_000, 2.0), (256, 57_000, 4.3), (1_024, 90_000, 10.7))),
    *(summary("etcd", clients, ops, ms) for clients, ops, ms in ((1, 1_450, 0.7), (64, 11_000, 5.0))),
    *(summary("zookeeper", clients, ops, ms) for clients, ops, ms in ((1, 1_550, 0.65), (64, 8_500, 7.0))),
]  # fmt: skip


def result(**more: Any) -> dict[str, Any]:
    settings = {"value_bytes": 175, "replicas": 3, "rounds": 5, "seconds": 6.0, "clients": 64}
    return {"machine": MACHINE, "settings": settings, "summaries": ROWS, "rounds": [], "facts": [], **more}


@pytest.fixture(autouse=True)
def without_captions(monkeypatch: pytest.MonkeyPatch) -> None:
    for module in (comparison, faults):
        monkeypatch.setattr(module, "machine_line", lambda _result: "a machine")
    monkeypatch.setattr(comparison, "rounds_line", lambda _result, what: what)


def chart(charts: Any, name: str) -> Chart:
    (found,) = [each for each in charts if each.name == name]
    return found


def test_no_label_stands_on_another() -> None:
    """Also where two systems are equally fast."""
    figure = chart(comparison.charts(result()), "compare-throughput-latency").draw(LIGHT)
    figure.draw_without_rendering()
    for axes in figure.axes:
        boxes = [text.get_window_extent() for text in axes.texts]
        assert len(boxes) == len(ROWS)
        assert not [pair for pair in itertools.combinations(boxes, 2) if pair[0].overlaps(pair[1])]


def test_a_bar_is_as_long_as_its_label_says() -> None:
    """The parts' medians need not add up to the median of the whole."""
    widths = [width for width, _ in comparison.bar_parts(ROWS[0])]
    assert sum(widths) == pytest.approx(19.0)
    assert widths[0] / widths[1] == pytest.approx(11 / 5)


def test_what_was_not_measured_is_not_left_white() -> None:
    """A column is as wide as the longest gap in it; the others say where they ended."""
    facts = [
        {"system": system, "kind": "stop", "gap_ms": gap_ms, "is_over": True, "struck_at_s": 1.0,
         "answers_per_10_ms": [5] * steps}
        for system, gap_ms, steps in (("replog", 300, 700), ("zookeeper", 10_600, 1_300))
    ]  # fmt: skip
    figure = chart(faults.charts(result(facts=facts)), "failover-timelines").draw(LIGHT)
    said = [[text.get_text() for text in axes.texts] for axes in figure.axes]
    assert said == [["not measured"], []]
