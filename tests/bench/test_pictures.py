"""Pictures can be read: labels stand apart, bars are as long as they say, and what was not measured is shown so."""

from __future__ import annotations

import itertools
import math
from typing import Any

import attrs
import pytest

matplotlib = pytest.importorskip("matplotlib")
from matplotlib.figure import Figure  # noqa: E402

from bench.interpreter import this_build  # noqa: E402
from bench.peers.catalogue import PEERS  # noqa: E402
from bench.replog_system import Replog  # noqa: E402
from bench.report.charts import comparison, endurance, faults  # noqa: E402
from bench.report.charts.labels import Label, place_labels  # noqa: E402
from bench.report.charts.style import LIGHT, SYSTEM_TITLES, Chart  # noqa: E402

MACHINE = {"cores": 2, "memory_gib": 24.0, "file_system": "ext4"}


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
    kinds = {Replog.name: Replog, **PEERS}
    systems = {
        name: {"version": "1.0-1", "durability": kind.durability, "asked": kind.asked} for name, kind in kinds.items()
    }
    return {
        "machine": MACHINE, "interpreter": attrs.asdict(this_build()), "systems": systems, "settings": settings,
        "summaries": ROWS, "rounds": [], "facts": [], **more,
    }  # fmt: skip


def chart(charts: Any, name: str) -> Chart:
    (found,) = [each for each in charts if each.name == name]
    return found


MANY_CLIENTS = (1, 4, 16, 64, 256, 1_024, 4_096)
MANY = [
    summary(system, clients, min(1_000.0 * clients, fastest), clients / min(1.0 * clients, fastest / 1e3), connections)
    for number, system in enumerate(SYSTEM_TITLES)
    for fastest in (10_000.0 + 400 * number,)
    for clients in MANY_CLIENTS
    for connections in ([1, min(16, clients)] if system == "replog" else [0])
]
"""Every system there is, all about equally fast."""


def test_no_label_stands_on_another() -> None:
    """Also where two systems are equally fast."""
    assert labels_apart(ROWS) == len(ROWS)


def test_no_label_stands_on_another_where_there_are_many() -> None:
    """Our line names all its points, and each of the others its first and last one."""
    assert labels_apart(MANY) <= len(MANY_CLIENTS) + 2 * len(SYSTEM_TITLES)


def test_a_label_of_a_point_at_the_edge_stays_inside() -> None:
    """Above the axes it would stand on their title."""
    figure = Figure()
    axes = figure.add_subplot()
    axes.set_xlim(0, 1)
    axes.set_ylim(0, 1)
    figure.draw_without_rendering()
    places = [(0.5, 0.999), (0.52, 0.99), (0.999, 0.5), (0.001, 0.001)]
    place_labels(axes, [Label(place, "4,096", "black") for place in places], [places])
    figure.draw_without_rendering()
    for text in axes.texts:
        box = text.get_window_extent()
        assert axes.bbox.padded(2).containsy(box.y1)
        assert axes.bbox.padded(2).containsx(box.x1)


def labels_apart(rows: list[dict[str, Any]]) -> int:
    """Assert that nothing stands on anything else or outside the axes; returns how many labels there are."""
    figure = chart(comparison.charts(result(summaries=rows)), "compare-throughput-latency").draw(LIGHT)
    figure.draw_without_rendering()
    for axes in figure.axes:
        boxes = [text.get_window_extent() for text in axes.texts]
        assert not [pair for pair in itertools.combinations(boxes, 2) if pair[0].overlaps(pair[1])]
    return len(figure.axes[0].texts)


@pytest.mark.parametrize("rows", [ROWS, MANY], ids=["some", "many"])
def test_nothing_runs_off_the_page(rows: list[dict[str, Any]]) -> None:
    """Title, legend and caption end before the page does, and neither reaches into the axes."""
    figure = chart(comparison.charts(result(summaries=rows)), "compare-throughput-latency").draw(LIGHT)
    figure.draw_without_rendering()
    page = figure.bbox
    legend = [each.get_window_extent() for each in figure.legends]
    for box in [*legend, *(text.get_window_extent() for text in figure.texts)]:
        assert box.x1 <= page.x1
        assert page.y0 <= box.y0 <= box.y1 <= page.y1
        assert not any(box.overlaps(axes.bbox) for axes in figure.axes)


def test_a_caption_says_what_ran_and_who_is_asked() -> None:
    """The interpreter with its build, one version a product, how durable an answer is, and whom the clients ask."""
    figure = chart(comparison.charts(result()), "compare-throughput-latency").draw(LIGHT)
    said = " ".join(figure.texts[1].get_text().split())
    assert this_build().words in said
    assert said.count("NATS 1.0") == said.count("etcd 1.0") == 1
    assert "Durable when answered: replog" in said
    assert "Asked: replog" in said


def test_an_old_result_without_the_build_can_be_drawn() -> None:
    """It says that the build is not recorded."""
    old = result(versions={"python": "3.11.7"})
    del old["interpreter"]
    figure = chart(comparison.charts(old), "compare-throughput-latency").draw(LIGHT)
    assert "Python 3.11.7, its build not recorded" in " ".join(figure.texts[1].get_text().split())


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


def steady_facts(servers: int = 3) -> dict[str, Any]:
    """Of a run in which the first server was away for a while."""
    names = [f"n{number}" for number in range(1, servers + 1)]
    samples = []
    for at_s in range(61):
        there = [name for name in names if name != "n1" or not 20 <= at_s < 30]
        sizes = dict.fromkeys(there, 40.0 + at_s)
        files = dict.fromkeys(names, 100.0 + at_s)
        samples.append(
            {"at_s": float(at_s), "leader": "n2", "elections": int(at_s >= 20), "own_mib": sizes, "rss_mib": sizes,
             "log_mib": files, "state_mib": files}
        )  # fmt: skip
    intervals = [{"at_s": at_s + 1.0, "length_s": 1.0, "answered": 1_000, "longest_gap_ms": 5.0} for at_s in range(60)]
    found = {
        "seconds": 60.0, "kills": 1, "elections": 1, "elections_unprovoked": 0, "answered_sum": 60_000, "lost": 0,
        "doubled": 0, "states_agree": True,
    }  # fmt: skip
    kills = [{"at_s": 20.0, "server": "n1", "was_leading": True, "back_s": 10.0}]
    return {"summary": found, "intervals": intervals, "samples": samples, "kills": kills}


def test_the_long_run_shows_every_replica_and_its_absence() -> None:
    """Lines are named at their ends, none over another, a server that is down leaves a gap, and the checks are told."""
    settings = {"clients": 1_024, "connections": 16, "value_bytes": 175, "replicas": 3}
    figure = chart(endurance.charts(result(facts=[steady_facts()], settings=settings)), "steady").draw(LIGHT)
    figure.draw_without_rendering()
    memory = figure.axes[2]
    for axes in figure.axes[2:5]:  # its own memory, resident memory, files
        boxes = [text.get_window_extent() for text in axes.texts]
        assert [text.get_text().split()[0] for text in axes.texts] == ["n1", "n2", "n3"]
        assert not [pair for pair in itertools.combinations(boxes, 2) if pair[0].overlaps(pair[1])]
        assert all(box.x1 <= figure.bbox.x1 for box in boxes)
    heights: Any = memory.lines[0].get_ydata()
    assert sum(math.isnan(y) for y in heights) == 10
    assert "0 lost, 0 doubled" in figure.texts[1].get_text()
