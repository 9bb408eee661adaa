"""A node's log may be unread, full, gone or closed: that costs lines, and nothing else."""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import trio

from replog.cli_kit.log_sink import LogSink
from replog.client import ask_status
from replog.ports import free_ports
from replog.process.resources import losses
from replog.wire.status import NodeStatus

from .test_serve import DEADLINE_S, environment, format_data

LINE = "x" * 99 + "\n"


@pytest.fixture
def pipe() -> Iterator[tuple[int, int]]:
    """Nobody reads it unless the test does."""
    reader, writer = os.pipe()
    yield reader, writer
    for descriptor in (reader, writer):
        with contextlib.suppress(OSError):
            os.close(descriptor)


def wait_until(holds: object) -> None:
    deadline_s = time.monotonic() + DEADLINE_S
    while not holds():  # type: ignore[operator]
        assert time.monotonic() < deadline_s
        time.sleep(0.01)


def read_all(reader: int) -> None:
    while os.read(reader, 2**16):
        pass


@pytest.mark.parametrize("encoding", ["utf-8", "ascii", "utf-16"])
def test_lines_come_in_order_and_whole(pipe: tuple[int, int], encoding: str) -> None:
    """Also those that were said right before the process ends, and in whatever encoding the stream had."""
    reader, writer = pipe
    sink = LogSink(writer, encoding=encoding)
    for number in range(200):
        assert sink.write(f"line {number} \udcff\n") > 0
    sink.leave()
    os.close(writer)
    told = os.read(reader, 2**16).decode(encoding)
    assert told.splitlines() == [f"line {number} \\udcff" for number in range(200)]


def test_who_does_not_read_costs_lines_and_no_time(pipe: tuple[int, int]) -> None:
    """What is kept is bounded, what is lost is counted, and the end of the process waits for a moment only."""
    _, writer = pipe
    sink = LogSink(writer, bytes_max=50_000)
    before = losses["log_lines_lost"]
    for _ in range(5_000):
        sink.write(LINE)
    lost = losses["log_lines_lost"] - before
    assert 0 < 5_000 - lost < 2_000
    assert sink._waiting_bytes <= 50_000
    sink.leave()


def test_what_was_lost_is_told_when_somebody_reads_again(pipe: tuple[int, int]) -> None:
    """Behind the first line that is written again; in portions, where the pipe took some of it in between."""
    reader, writer = pipe
    sink = LogSink(writer, bytes_max=50_000)
    told: list[int] = []
    before = losses["log_lines_lost"]
    sink.on_lost = told.append
    for _ in range(5_000):
        sink.write(LINE)
    thread = threading.Thread(target=read_all, args=(reader,))
    thread.start()

    def is_told() -> bool:
        sink.write("on\n")
        return bool(told) and sum(told) == losses["log_lines_lost"] - before

    wait_until(is_told)
    assert sum(told) > 3_000
    sink.leave()
    os.close(writer)
    thread.join(DEADLINE_S)


def test_a_reader_that_has_gone_is_no_error(pipe: tuple[int, int]) -> None:
    """The first line finds it out; from then on lines are only counted."""
    reader, writer = pipe
    os.close(reader)
    sink = LogSink(writer)
    before = losses["log_lines_lost"]
    sink.write(LINE)
    wait_until(lambda: sink._is_gone)
    for _ in range(10):
        sink.write(LINE)
    assert losses["log_lines_lost"] - before == 11
    sink.leave()


def test_a_full_disk_loses_lines_and_is_tried_again() -> None:
    """As soon as a line is written the losses are told."""
    with open("/dev/full", "wb") as full:
        sink = LogSink(full.fileno())
        before = losses["log_lines_lost"]
        sink.write(LINE)
        wait_until(lambda: losses["log_lines_lost"] == before + 1)
        assert not sink._is_gone
        sink.leave()


# --- a node ---


def started(file: Path, stderr: int | None) -> subprocess.Popen[bytes]:
    """A node whose stderr is this descriptor, or closed."""
    words = [sys.executable, "-m", "replog", "serve", "--config", str(file), "--log-level", "debug"]
    if stderr is None:
        return subprocess.Popen(["sh", "-c", 'exec "$@" 0<&- 1>&- 2>&-', "sh", *words], env=environment())
    return subprocess.Popen(words, stderr=stderr, env=environment())


def status_of(file: Path) -> NodeStatus:
    address = file.read_text().partition('n1 = "')[2].partition('"')[0]

    async def ask() -> NodeStatus:
        with trio.fail_after(DEADLINE_S):
            while True:
                try:
                    return await ask_status(address, timeout=1.0)
                except Exception:
                    await trio.sleep(0.05)

    return trio.run(ask)


def probe(file: Path, count: int) -> None:
    """Make the node log something."""
    host, _, port = file.read_text().partition('n1 = "')[2].partition('"')[0].rpartition(":")
    for _ in range(count):
        socket.create_connection((host, int(port)), DEADLINE_S).close()


@pytest.mark.processes
@pytest.mark.xdist_group("processes")
@pytest.mark.parametrize("where", ["reader gone", "not read", "disk full", "closed"])
def test_a_node_serves_and_stops_whatever_becomes_of_its_log(tmp_path: Path, where: str) -> None:
    """It starts, answers, stops at a signal with 0, and its data is sound: nothing was printed into a file of its."""
    file = tmp_path / "replica.toml"
    (port,) = free_ports(1)
    file.write_text(f'data_dir = "data"\nstate_machine = "shop_sm:Shop"\nmembers = {{n1 = "127.0.0.1:{port}"}}\n')
    format_data(file)
    reader, writer = os.pipe()
    full = os.open("/dev/full", os.O_WRONLY)
    if where == "not read":
        os.set_blocking(writer, False)
        try:
            while os.write(writer, b"." * 4096):  # nobody has read for long when the node starts
                pass
        except BlockingIOError:
            os.set_blocking(writer, True)
    process = started(file, {"closed": None, "disk full": full}.get(where, writer))
    try:
        if where == "reader gone":
            os.close(reader)
        status_of(file)
        probe(file, 20)
        report = status_of(file)
        if where in ("reader gone", "disk full"):
            assert report.counters["log_lines_lost"] > 0
        process.send_signal(signal.SIGTERM)
        assert process.wait(DEADLINE_S) == 0
    finally:
        process.kill()
        process.wait()
        for descriptor in (full, writer, *((reader,) if where != "reader gone" else ())):
            os.close(descriptor)
    done = subprocess.run(
        [sys.executable, "-m", "replog", "verify", str(file.parent / "data")],
        capture_output=True,
        text=True,
        check=False,
        env=environment(),
    )
    assert done.returncode == 0, done.stdout + done.stderr
