"""Starts and steers a mounted ``PowerCutDisk``."""

from __future__ import annotations

import contextlib
import importlib
import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parent.parent.parent
MOUNT_DEADLINE_S = 20.0


def why_not() -> str:
    """Why no power can be cut on this machine; empty: it can."""
    if not os.access("/dev/fuse", os.R_OK | os.W_OK):
        return "no /dev/fuse that this user may open"
    if os.geteuid() != 0:
        return "mounting needs root"
    try:
        importlib.import_module("mfusepy")
    except OSError as error:
        return f"{error} (Debian: fuse3, libfuse3-3)"
    return ""


class PowerCut:
    """A file system whose power can be cut; made by ``mounted``."""

    def __init__(self, mount: Path, process: subprocess.Popen[str]) -> None:
        self.mount = mount
        self._process = process

    @property
    def node(self) -> Path:
        """Where the workload's data directory is."""
        return self.mount / "node"

    @property
    def said(self) -> Path:
        """Where the workload says what is durable."""
        return self.mount / "acknowledged"

    def command(self, **fields: Any) -> dict[str, int]:
        """Obeyed when it returns."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(json.dumps(fields) + "\n")
        self._process.stdin.flush()
        answer: dict[str, int] = json.loads(self._process.stdout.readline())
        return answer


@contextlib.contextmanager
def mounted(folder: Path) -> Iterator[PowerCut]:
    """Mount one on ``folder``, and leave nothing behind."""
    folder.mkdir()
    process = subprocess.Popen(
        [sys.executable, "-m", "tests.storage.power_cut_mount", str(folder)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        cwd=ROOT,
    )
    try:
        deadline = time.monotonic() + MOUNT_DEADLINE_S
        while not os.path.ismount(folder):
            assert process.poll() is None, "the file system did not start"
            assert time.monotonic() < deadline, "the file system was not mounted in time"
            time.sleep(0.01)
        disk = PowerCut(folder, process)
        disk.said.touch()
        yield disk
    finally:
        # Whether it is mounted can't be asked: without power every question to it fails.
        subprocess.run(["umount", "--lazy", str(folder)], check=False, stderr=subprocess.DEVNULL)
        assert process.stdin is not None
        process.stdin.close()
        try:
            process.wait(MOUNT_DEADLINE_S)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
        assert process.stdout is not None
        process.stdout.close()


@pytest.fixture
def power_cut(tmp_path: Path) -> Iterator[PowerCut]:
    """A mounted file system whose power can be cut, or a skip that says why there is none."""
    reason = why_not()
    if reason:
        pytest.skip(reason)
    with mounted(tmp_path / "disk") as disk:
        yield disk
