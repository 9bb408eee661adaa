"""``replog serve`` as a supervisor sees it: a process, its exit code and the lines on its stderr."""

from __future__ import annotations

import errno
import json
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import trio
from structlog.testing import capture_logs

from replog.cli.serve import run_until_signal
from replog.config import ReplicaConfig
from replog.directory.layout import format_directory
from replog.paxos.ballot import NodeId
from replog.paxos.membership import Membership
from replog.ports import free_ports
from replog.sim.record_replay import replay_record
from shop_sm import Shop

pytestmark = [pytest.mark.processes, pytest.mark.xdist_group("processes")]

DEADLINE_S = 30


@pytest.fixture
def file(tmp_path: Path) -> Path:
    """Settings of the only node of a cluster; its directory is not formatted."""
    (port,) = free_ports(1)
    path = tmp_path / "replica.toml"
    path.write_text(f'data_dir = "data"\nstate_machine = "shop_sm:Shop"\nmembers = {{n1 = "127.0.0.1:{port}"}}\n')
    return path


def format_data(file: Path) -> None:
    membership = Membership(version=1, voters=(NodeId(1),))
    format_directory(file.parent / "data", node=NodeId(1), cluster=bytes(range(16)), membership=membership)


def command(*words: object) -> list[str]:
    return [sys.executable, "-m", "replog", "serve", *(str(word) for word in words)]


def environment() -> dict[str, str]:
    return {name: value for name, value in os.environ.items() if not name.startswith("REPLOG_")}


def refused(*words: object) -> tuple[int, str]:
    """Exit code and stderr of a replica that must not start."""
    done = subprocess.run(
        command(*words), capture_output=True, text=True, check=False, timeout=DEADLINE_S, env=environment()
    )
    assert "Traceback" not in done.stderr, done.stderr
    return done.returncode, done.stderr


class Serving:
    """A running replica's process."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self.process = process

    def wait_for(self, event: str) -> dict[str, Any]:
        """Its next log line with this event; the end of the process is a failure."""
        assert self.process.stderr is not None
        for line in self.process.stderr:
            fields: dict[str, Any] = json.loads(line)
            if fields["event"] == event:
                return fields
        raise AssertionError(f"ended with {self.process.wait()} without {event}")


@contextmanager
def serving(*words: object, before: tuple[str, ...] = ()) -> Iterator[Serving]:
    words = (*before, *command(*words))
    with subprocess.Popen(words, stderr=subprocess.PIPE, text=True, env=environment()) as process:
        try:
            yield Serving(process)
        finally:
            process.kill()


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGHUP])
def test_a_signal_stops_it_cleanly(file: Path, number: signal.Signals) -> None:
    """It says where it serves, why it stops and that it has stopped, each as one JSON line, and ends with 0."""
    format_data(file)
    with serving("--config", file) as replica:
        line = replica.wait_for("serving")
        assert (line["node"], line["cluster"]) == ("n1", bytes(range(16)).hex())
        assert line["address"].startswith("127.0.0.1:")
        replica.process.send_signal(number)
        assert replica.wait_for("stopping")["signal"] == number.name
        replica.wait_for("stopped")
        assert replica.process.wait(DEADLINE_S) == 0


def test_hangups_that_were_ignored_stay_ignored(file: Path) -> None:
    """``nohup`` means what it says."""
    format_data(file)
    with serving("--config", file, before=("nohup",)) as replica:
        replica.wait_for("serving")
        replica.process.send_signal(signal.SIGHUP)
        replica.process.send_signal(signal.SIGTERM)
        assert replica.wait_for("stopping")["signal"] == "SIGTERM"
        assert replica.process.wait(DEADLINE_S) == 0


def test_an_unformatted_directory_is_refused_with_the_hint(file: Path) -> None:
    """Starting never formats: a node whose disk is lost must not come back empty (P9)."""
    code, stderr = refused("--config", file)
    data = file.parent / "data"
    assert code == 4
    assert f"error: {data} is not formatted; run `replog init {data}` once, then start the node." in stderr
    assert not data.exists()


def test_a_directory_in_use_is_refused(file: Path) -> None:
    """Two processes never share a directory, and the first one goes on."""
    format_data(file)
    with serving("--config", file) as replica:
        replica.wait_for("serving")
        code, stderr = refused("--config", file, "--bind", "127.0.0.1:1")
        assert code == 4
        assert f"is held by another process (id {replica.process.pid})" in stderr
        assert replica.process.poll() is None


def test_a_record_is_written_when_it_is_asked_for(file: Path) -> None:
    """Of this life, readable by nobody else, and whole when the node has stopped."""
    format_data(file)
    record = file.parent / "n1.record"
    with serving("--config", file, "--record", record) as replica:
        replica.wait_for("serving")
        replica.process.send_signal(signal.SIGTERM)
        replica.wait_for("stopped")
        assert replica.process.wait(DEADLINE_S) == 0
    assert record.stat().st_mode & 0o777 == 0o600
    told = replay_record(record, lambda _line: None)
    assert (told.node, told.difference, told.ended) == ("n1", None, "")
    assert told.turns > 0


def test_a_record_that_can_not_be_written_is_refused(file: Path) -> None:
    """Before the node serves; so is an option that says nothing alone, and a room that holds nothing."""
    format_data(file)
    code, stderr = refused("--config", file, "--record", file.parent / "nowhere" / "n1.record")
    assert (code, "can't be written: No such file or directory" in stderr) == (2, True)
    code, stderr = refused("--config", file, "--record-contents")
    assert (code, "--record FILE" in stderr) == (2, True)
    code, stderr = refused("--config", file, "--record", file.parent / "n1.record", "--record-bytes-max", 7)
    assert (code, "not 7" in stderr) == (2, True)


def test_an_address_in_use_is_named(file: Path) -> None:
    """The message says which setting to change."""
    format_data(file)
    with socket.create_server(("127.0.0.1", 0)) as taken:
        address = f"127.0.0.1:{taken.getsockname()[1]}"
        code, stderr = refused("--config", file, "--bind", address)
    assert code == 2
    assert address in stderr


def test_a_failure_is_in_the_log_too(file: Path) -> None:
    """Who collects log lines sees the reason, the next step and the exit code."""
    _, stderr = refused("--config", file, "--log-format", "json")
    fields = json.loads(stderr.splitlines()[0])
    assert (fields["event"], fields["level"], fields["kind"], fields["exit_code"]) == ("failed", "error", "Refused", 4)
    assert "is not formatted" in fields["reason"]


def test_what_the_system_says_no_to_is_logged_as_a_sentence(monkeypatch: pytest.MonkeyPatch) -> None:
    """It is no defect, so nobody is shown a traceback."""

    def refuse(*_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device", "/somewhere")

    monkeypatch.setattr(trio, "run", refuse)
    with capture_logs() as lines, pytest.raises(OSError, match="No space left"):
        run_until_signal(ReplicaConfig(data_dir="x", members={"n1": "127.0.0.1:7101"}), Shop())
    (line,) = lines
    told = (line["event"], line["reason"], line["next"], line["exit_code"])
    assert told == ("failed", "/somewhere: No space left on device", "make room on that disk.", 2)
    assert "exc_info" not in line


@pytest.mark.parametrize(
    ("text", "words", "mentions"),
    [
        ("state_machine", (), "state_machine is missing; add"),
        ("", ("--state-machine", "no_such_module:Shop"), "No module named 'no_such_module'"),
        ("", ("--bind", "nonsense"), "--bind: bind: 'nonsense' is no host:port"),
        ("", ("--log-level", "loud"), "loud"),
    ],
)
def test_a_wrong_setting_ends_with_two(file: Path, text: str, words: tuple[str, ...], mentions: str) -> None:
    """Nothing is opened; the message names the setting."""
    if text:
        file.write_text("\n".join(line for line in file.read_text().splitlines() if not line.startswith(text)))
    code, stderr = refused("--config", file, *words)
    assert code == 2
    assert mentions in stderr


def test_a_state_machine_in_the_working_directory_is_found(file: Path) -> None:
    """A person's first state machine is a file beside the configuration, not an installed package."""
    format_data(file)
    (file.parent / "echo.py").write_text(
        "from replog.state_machine import StateMachine\n"
        "class Echo(StateMachine):\n"
        "    def apply(self, state, command): return command.payload\n"
        "    def query(self, view, request): return request\n"
    )
    words = command("--config", file, "--state-machine", "echo:Echo")
    words[1:3] = ["-P", "-m", "replog"]
    with subprocess.Popen(words, stderr=subprocess.PIPE, text=True, env=environment(), cwd=file.parent) as process:
        try:
            assert Serving(process).wait_for("serving")["state_machine"] == "echo:Echo"
        finally:
            process.kill()
