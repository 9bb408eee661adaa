"""Every command of the benchmark runs, prints and writes what it promises. No figure is asserted."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from bench.gaps import FAULT_KINDS, missing_fault
from bench.peers.catalogue import PEERS

ROOT = Path(__file__).parent.parent.parent
TIMEOUT_S = 240
SHORT = ["--rounds", "1", "--seconds", "0.4", "--warmup", "0.2"]

IS_WHOLE = bool(os.environ.get("BENCH_SMOKE"))
"""``make bench-smoke``: also what takes most of a minute."""
whole_only = pytest.mark.skipif(not IS_WHOLE, reason="takes most of a minute: make bench-smoke")

pytestmark = [pytest.mark.processes, pytest.mark.xdist_group("bench")]


def run_bench(*words: str) -> subprocess.CompletedProcess[str]:
    """``python -m bench`` to its end; it must succeed."""
    done = subprocess.run(
        [sys.executable, "-m", "bench", *words],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=TIMEOUT_S,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done


def measured(folder: Path, *words: str) -> tuple[list[dict[str, Any]], dict[str, Any]]:
    """The JSON lines that a measurement prints, and its result file."""
    done = run_bench(*words, "--json", "--results", str(folder), "--data", str(folder / "data"))
    (path,) = folder.glob(f"*-{words[0]}.json")
    return [json.loads(line) for line in done.stdout.splitlines()], json.loads(path.read_text())


def assert_reproducible(result: dict[str, Any], command: str) -> None:
    """A figure is worth something only with its machine, versions and settings."""
    assert result["command"] == command
    assert result["machine"]["cores"] >= 1
    assert result["machine"]["file_system"]
    assert {"python", "replog", "lmdb", "git_commit"} <= result["versions"].keys()
    assert {"python", "is_profile_guided", "known_from"} <= result["interpreter"].keys()
    assert result["settings"]["rounds"] == 1
    assert result["failures"] == []


LOADS = {
    "throughput": [
        "--clients",
        "4",
        "--connections",
        "2",
        "--value-bytes",
        "175",
        "--replicas",
        "3,1" if IS_WHOLE else "3",
        "--batches",
        "4",
    ],
    "latency": ["--rates", "200", "--connections", "2", "--outstanding-max", "64"],
    "reads": ["--clients", "4", "--connections", "2"],
    "scale": ["--log", "500", "--sessions", "3", "--state", "500", "--replicas", "1", "--clients", "4"],
}


@pytest.mark.parametrize("command", [pytest.param(one, marks=whole_only if one == "scale" else ()) for one in LOADS])
def test_a_load_reports_latencies_and_the_cpu_of_every_process(command: str, tmp_path: Path) -> None:
    """Each row has operations, percentiles, and the CPU of each replica and of the client."""
    lines, result = measured(tmp_path, command, *LOADS[command], *SHORT)
    assert_reproducible(result, command)
    assert lines
    for line in lines:
        assert line["ops_per_s"] > 0
        # In an open loop a busy machine leaves operations that were due and could not begin.
        assert command == "latency" or line["errors"] == 0
        assert line["p50_ms"] <= line["p99_ms"] <= line["p999_ms"] <= line["max_ms"] * 1.002
        assert line["client_cpu_us_per_op"] >= 0
        assert len(line["server_cpu_us_per_op"]) in (1, 3)


@pytest.mark.parametrize("command", ["storage", "codec"])
def test_what_is_inside_is_measured_without_a_cluster(command: str, tmp_path: Path) -> None:
    """Each row has figures; the storage is measured beside plain LMDB."""
    few = {"storage": ["--records", "1,4", "--changed", "100"], "codec": ["--commands", "4"]}[command]
    lines, result = measured(tmp_path, command, *few, "--rounds", "1", "--seconds", "0.05")
    assert_reproducible(result, command)
    assert lines
    if command == "storage":
        assert {line["store"] for line in lines if "store" in line} == {
            "replog log",
            "plain LMDB, put",
            "plain LMDB, putmulti",
        }


@whole_only
def test_the_cost_of_a_command_is_taken_apart(tmp_path: Path) -> None:
    """Each load says how many commands shared a slot and a frame, and the last line has the three prices."""
    lines, result = measured(tmp_path, "cost", "--rounds", "1", "--seconds", "2", "--warmup", "0.2")
    assert_reproducible(result, "cost")
    *loads, prices = lines
    assert all(load["commands_a_slot"] > 0 and load["commands_a_frame"] > 0 for load in loads)
    assert max(load["commands_a_frame"] for load in loads) > min(load["commands_a_frame"] for load in loads)
    assert {"slot_us", "frame_us", "command_us"} <= prices.keys()


def test_a_steady_load_is_checked_while_servers_are_killed(tmp_path: Path) -> None:
    """No command is lost or doubled, everybody is looked at meanwhile, and both are kept over time."""
    few = ("--seconds", "6", "--kill-every", "2", "--clients", "8", "--connections", "2", "--rounds", "1")
    (line,), result = measured(tmp_path, "steady", *few)
    assert_reproducible(result, "steady")
    assert line["answered_sum"] > 0
    assert (line["lost"], line["doubled"], line["unread"]) == (0, 0, 0)
    assert line["states_agree"] is True
    assert line["kills"] >= 1
    assert line["leaders_killed"] >= 1
    (facts,) = result["facts"]
    assert len(facts["intervals"]) == 6
    assert sum(each["answered"] for each in facts["intervals"]) <= line["answered_sum"]
    assert all(size > 0 for size in facts["samples"][0]["own_mib"].values())
    assert facts["samples"][-1]["log_mib"].keys() == {"n1", "n2", "n3"}
    drawn = run_bench("plot", "--results", str(tmp_path), "--figures", str(tmp_path / "figures"))
    assert "steady-light.svg" in drawn.stdout


@whole_only
def test_recovery_times_every_kind_of_return(tmp_path: Path) -> None:
    """Restart, crash, catching up and state transfer all end, and the transfer did fetch a state."""
    lines, result = measured(tmp_path, "recovery", "--sizes", "500", *SHORT)
    assert_reproducible(result, "recovery")
    assert len(lines) == 4
    transfers = [fact for fact in result["facts"] if fact["kind"] == "state_transfer"]
    assert all(fact["counters"]["chunks_stored"] > 0 for fact in transfers)


@pytest.mark.parametrize("fault", FAULT_KINDS if IS_WHOLE else ["kill"])
def test_failover_measures_a_gap_that_ends(fault: Any, tmp_path: Path) -> None:
    """The leader is hit while the window is open, nobody is answered for a while, then somebody is."""
    if reason := missing_fault(fault):
        pytest.skip(reason)
    words = ["--faults", fault, "--clients", "4", "--connections", "2", "--rounds", "1", "--seconds", "2"]
    lines, result = measured(tmp_path, "failover", *words)
    assert_reproducible(result, "failover")
    (line,) = lines
    assert line["gap_ms"] > 0
    assert line["not_over"] == 0
    (fact,) = result["facts"]
    assert sum(fact["answers_per_10_ms"]) == fact["operations"]


@pytest.mark.parametrize("peer", PEERS if IS_WHOLE else ["etcd"])
def test_a_peer_is_measured_beside_us(peer: str, tmp_path: Path) -> None:
    """One line a system with the figures that are promised; for one peer also the gap after its leader was killed.

    Each takes up to half a minute, so all of them are asked with ``make bench-smoke`` only.
    """
    kills = 1 if peer == "etcd" else 0
    if reason := PEERS[peer]().missing():
        pytest.skip(reason)
    words = ["--peers", peer, "--clients", "4", "--connections", "2", "--kills", str(kills)]
    lines, result = measured(tmp_path, "compare", *words, *SHORT)
    assert_reproducible(result, "compare")
    assert [line["system"] for line in lines] == ["replog", peer]
    promised = {"system", "clients", "ops_per_s", "p50_ms", "p99_ms", "p999_ms", "errors", "cpu_us_per_op", "asked"}
    for line in lines:
        assert promised <= line.keys()
        assert line["ops_per_s"] > 0
        assert (line["failover_gap_ms"] or 0) >= kills


def test_a_missing_peer_is_said_to_be_missing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without its program a peer gets a line that says so, and no figures."""
    monkeypatch.setenv("PATH", str(Path(sys.executable).parent))
    lines, _result = measured(
        tmp_path, "compare", "--peers", "zookeeper", "--clients", "4", "--connections", "2", "--kills", "0", *SHORT
    )
    (missing,) = [line for line in lines if line["system"] == "zookeeper"]
    assert "install.sh" in missing["missing"]
    assert "ops_per_s" not in missing


def test_pictures_are_drawn_from_results(tmp_path: Path) -> None:
    """Each picture comes as SVG and PNG, for light and for dark pages, with machine and interpreter under it."""
    measured(tmp_path, "compare", "--peers", "none", "--clients", "4", "--connections", "2", "--kills", "0", *SHORT)
    done = run_bench("plot", "--results", str(tmp_path), "--figures", str(tmp_path / "figures"))
    paths = [Path(line) for line in done.stdout.splitlines()]
    assert {path.suffix for path in paths} == {".svg", ".png"}
    assert {path.stem.rsplit("-", 1)[1] for path in paths} == {"light", "dark"}
    texts = [path.read_text() for path in paths if path.suffix == ".svg"]
    assert all("cores" in text and " PGO" in text for text in texts)


def test_a_wrong_peer_is_a_sentence(tmp_path: Path) -> None:
    """A name that is no peer ends with a sentence that names the peers there are."""
    done = subprocess.run(
        [sys.executable, "-m", "bench", "compare", "--peers", "etdc", "--results", str(tmp_path)],
        cwd=ROOT, capture_output=True, text=True, timeout=TIMEOUT_S, check=False,
    )  # fmt: skip
    assert done.returncode == 4
    assert "etdc: no such peer" in done.stderr
    assert "Traceback" not in done.stderr
