"""``replog dev``: one command starts a cluster, shows it, and leaves nothing behind."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from replog.cli.dev import how_it_ended, last_failure

from .conftest import Replog

pytestmark = [pytest.mark.processes, pytest.mark.xdist_group("processes")]

DEADLINE_S = 60


def free_ports(count: int) -> int:
    """The first of some neighbouring ports that nobody uses."""
    for base in range(21_000 + os.getpid() % 9_000, 60_000, count):
        sockets = [socket.socket() for _ in range(count)]
        try:
            for offset, probe in enumerate(sockets):
                probe.bind(("127.0.0.1", base + offset))
        except OSError:
            continue
        finally:
            for probe in sockets:
                probe.close()
        return base
    raise AssertionError("no free ports")


class Dev:
    """A running ``replog dev --json``."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self.process = process
        self.seen: list[dict[str, Any]] = []

    def wait_until(self, holds: Callable[[dict[str, Any]], bool]) -> dict[str, Any]:
        """The next line of which ``holds`` is true; the end of the process is a failure."""
        assert self.process.stdout is not None
        for line in self.process.stdout:
            self.seen.append(json.loads(line))
            if holds(self.seen[-1]):
                return self.seen[-1]
        raise AssertionError(f"ended with {self.process.wait()}; said {self.seen}")

    def stop(self, number: signal.Signals = signal.SIGINT) -> int:
        self.process.send_signal(number)
        return self.process.wait(DEADLINE_S)


@contextmanager
def dev(*words: object, **variables: str) -> Iterator[Dev]:
    clean = {name: value for name, value in os.environ.items() if not name.startswith("REPLOG_")}
    with subprocess.Popen(
        [sys.executable, "-m", "replog", "dev", "--json", *(str(word) for word in words)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**clean, **variables},
    ) as process:
        try:
            yield Dev(process)
        finally:
            process.kill()


def healthy(fields: dict[str, Any]) -> bool:
    return bool(fields["verdict"] == "healthy")


def wait_gone(pids: list[int]) -> None:
    """Until none of the processes is there any more."""
    deadline_s = time.monotonic() + DEADLINE_S
    while any(Path(f"/proc/{pid}").exists() for pid in pids):
        assert time.monotonic() < deadline_s, f"still running: {pids}"
        time.sleep(0.01)


def test_a_cluster_starts_loses_a_replica_gets_it_back_and_ends(replog: Replog, tmp_path: Path) -> None:
    """Three processes that ``status`` finds, each with settings of its own whatever the variables say; one that is
    killed is started again; Ctrl-C ends all, with 0."""
    base = free_ports(3)
    with dev("--base-port", base, TMPDIR=str(tmp_path), REPLOG_DATA_DIR="elsewhere", REPLOG_BIND="h:1") as cluster:
        first = cluster.wait_until(healthy)
        assert first["endpoints"] == [f"127.0.0.1:{base + offset}" for offset in range(3)]
        assert sorted(first["pids"]) == ["n1", "n2", "n3"]
        assert replog("status", "--endpoints", first["endpoints"][1], "--json").fields["verdict"] == "healthy"
        os.kill(first["pids"][first["leader"]], signal.SIGKILL)
        killed = cluster.wait_until(lambda fields: fields["remarks"] and fields["can_write"])
        log_path = Path(first["folder"]) / f"{first['leader']}.log"
        assert killed["verdict"] == "degraded"
        assert killed["remarks"] == [
            f"{first['leader']} has ended (SIGKILL); it is started again 5 s after that; its log: {log_path}"
        ]
        again = cluster.wait_until(healthy)
        assert again["pids"][first["leader"]] != first["pids"][first["leader"]]
        assert cluster.stop() == 0
    wait_gone([*first["pids"].values(), *again["pids"].values()])
    assert list(tmp_path.iterdir()) == []


def test_a_named_directory_stays_and_is_used_again(replog: Replog, tmp_path: Path) -> None:
    """The log goes on where it was, under the same cluster id, also by a relative name."""
    base = free_ports(1)
    words = ("--replicas", 1, "--base-port", base, "--data-dir", os.path.relpath(tmp_path / "data"))
    with dev(*words) as cluster:
        first = cluster.wait_until(healthy)
        assert cluster.stop(signal.SIGTERM) == 0
    with dev(*words) as cluster:
        second = cluster.wait_until(healthy)
        assert cluster.stop() == 0
    assert second["cluster_id"] == first["cluster_id"]
    assert second["members"][0]["chosen_through"] > first["members"][0]["chosen_through"]


def test_a_second_cluster_in_one_directory_changes_nothing(replog: Replog, tmp_path: Path) -> None:
    """It is refused before it writes, so that the first one's nodes come back on their own files."""
    with dev("--replicas", 1, "--base-port", free_ports(1), "--data-dir", tmp_path) as cluster:
        cluster.wait_until(healthy)
        before = (tmp_path / "n1.toml").read_text()
        second = replog("dev", "--replicas", 1, "--base-port", free_ports(1), "--data-dir", tmp_path)
        assert (second.code, (tmp_path / "n1.toml").read_text()) == (4, before), second.err
        assert f"is held by another process (id {cluster.process.pid})" in second.err
        assert cluster.stop() == 0


def test_a_person_at_a_pipe_reads_lines(tmp_path: Path) -> None:
    """Endpoints, where the data is, what to try, and the verdict; no escape codes."""
    base = free_ports(1)
    words = [sys.executable, "-m", "replog", "dev", "--replicas", "1", "--base-port", str(base)]
    with subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True) as process:
        try:
            assert process.stdout is not None
            lines = []
            for line in process.stdout:
                lines.append(line.rstrip("\n"))
                if "HEALTHY" in line:
                    break
            process.send_signal(signal.SIGINT)
            assert process.wait(DEADLINE_S) == 0
        finally:
            process.kill()
    assert lines[0] == f"endpoints  127.0.0.1:{base}"
    assert lines[1].startswith("data       in /")
    assert lines[1].endswith(" (deleted on exit)")
    assert f"try it     export REPLOG_ENDPOINTS=127.0.0.1:{base}" in lines
    assert "\x1b" not in "".join(lines)


def test_a_port_in_use_is_named_before_anything_starts(replog: Replog) -> None:
    """The likeliest reason is a cluster that runs already."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        done = replog("dev", "--base-port", port)
    assert done.code == 2
    assert f"port {port} can't be used (Address already in use)" in done.err


@pytest.mark.parametrize(
    ("words", "mentions"),
    [
        (("--replicas", "0"), "--replicas 0"),
        (("--base-port", "65535"), "--base-port 65535"),
        (("--state-machine", "no_such_module:Shop"), "No module named 'no_such_module'"),
    ],
)
def test_what_can_not_be_started_is_refused_at_once(replog: Replog, words: tuple[str, ...], mentions: str) -> None:
    """Better now than in the logs of three processes."""
    done = replog("dev", *words)
    assert done.code == 2
    assert mentions in done.err


def test_how_a_replica_ended_is_said_in_words() -> None:
    """A signal by its name, an exit code with its meaning, another program's code as it is."""
    assert [how_it_ended(code) for code in (-9, 5, 77)] == [
        "SIGKILL",
        "exit code 5: damaged",
        "exit code 77: of its own",
    ]


def test_why_a_replica_failed_is_taken_from_its_log(tmp_path: Path) -> None:
    """If that is the last thing it says; a log that is none, or absent, gives no reason."""
    path = tmp_path / "n1.log"
    assert last_failure(path) == ""
    for last, reason in (
        ('{"event": "failed", "reason": "the disk is full"}', "the disk is full"),
        ('{"event": "stopped"}', ""),
        ("Killed", ""),
        ("[]", ""),
        ("", ""),
    ):
        path.write_text('{"event": "failed", "reason": "an earlier life"}\n' * bool(last) + last)
        assert last_failure(path) == reason


@pytest.mark.parametrize("name", ["n1", "n1.toml", "n1.log", "cluster-id", "lock"])
def test_links_in_a_folder_are_not_followed(replog: Replog, tmp_path: Path, name: str) -> None:
    """Whoever may write there could have anything else overwritten; nothing is."""
    elsewhere = tmp_path / "elsewhere"
    folder = tmp_path / "data"
    folder.mkdir()
    (folder / name).symlink_to(elsewhere)
    refused = replog("dev", "--replicas", 1, "--base-port", free_ports(1), "--data-dir", folder)
    assert (refused.code, "is a link" in refused.err) == (2, True), refused.err
    assert not elsewhere.exists()
    assert [path.name for path in folder.iterdir()] == [name]


def test_a_folder_that_others_may_write_to_is_refused(replog: Replog, tmp_path: Path) -> None:
    """They could put a link there a moment later."""
    tmp_path.chmod(0o777)
    refused = replog("dev", "--replicas", 1, "--base-port", free_ports(1), "--data-dir", tmp_path)
    assert (refused.code, "others may write there" in refused.err) == (2, True), refused.err
    assert list(tmp_path.iterdir()) == []


def test_a_folder_that_no_file_can_name_is_refused(replog: Replog, tmp_path: Path) -> None:
    """A configuration is UTF-8; a name that is not is refused before the replicas are asked to read it."""
    refused = replog("dev", "--replicas", 1, "--base-port", free_ports(1), "--data-dir", tmp_path / "d\udcff")
    assert (refused.code, "UTF-8" in refused.err) == (2, True), refused.err


def test_a_folder_may_be_called_as_people_like(tmp_path: Path) -> None:
    """Beyond 16 bits, with quotes and control characters."""
    with dev(
        "--replicas", 1, "--base-port", free_ports(1), "--data-dir", tmp_path / "\U0001f375 \x7f'\"\\ [x]"
    ) as cluster:
        cluster.wait_until(healthy)
        assert cluster.stop() == 0
