"""The machine and versions a figure belongs to: without them it says nothing."""

from __future__ import annotations

import importlib.metadata
import os
import platform
import subprocess
from pathlib import Path
from typing import Any

import psutil  # type: ignore[import-untyped]  # psutil ships no types

_ROOT = Path(__file__).parent.parent.parent
_PACKAGES = ("replog", "trio", "lmdb", "msgspec", "anyio", "crc32c")


def describe_machine(folder: Path) -> dict[str, Any]:
    """What a reader must know to judge a figure or to measure it again.

    Parameters
    ----------
    folder: where the measured clusters keep their data; its file system is part of the answer.
    """
    return {
        "cpu": _cpu_model(),
        "cores": os.cpu_count(),
        "memory_gib": round(psutil.virtual_memory().total / 2**30, 1),
        "kernel": platform.release(),
        "system": _system_name(),
        "file_system": _file_system(folder),
        "load_before": round(os.getloadavg()[0], 2),
    }


def describe_versions() -> dict[str, str]:
    """Python, the packages on the hot path, and the commit of this tree."""
    versions = {name: importlib.metadata.version(name) for name in _PACKAGES}
    return {"python": platform.python_version(), **versions, "git_commit": _git_commit()}


def one_line(machine: dict[str, Any]) -> str:
    """The machine in a caption."""
    return f"{machine['cores']} cores, {machine['memory_gib']:.0f} GiB, {machine['file_system']}, loopback"


def _cpu_model() -> str:
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            return line.split(":", 1)[1].strip()
    return platform.machine()


def _system_name() -> str:
    try:
        return platform.freedesktop_os_release()["PRETTY_NAME"]
    except OSError:
        return platform.system()


def _file_system(folder: Path) -> str:
    """Type of the file system ``folder`` is on: the longest mount point above it."""
    path = str(folder.resolve())
    mounts = [line.split() for line in Path("/proc/mounts").read_text().splitlines()]
    above = [words for words in mounts if path == words[1] or path.startswith(words[1].rstrip("/") + "/")]
    return max(above, key=lambda words: len(words[1]))[2] if above else "unknown"


def _git_commit() -> str:
    command = ["git", "describe", "--always", "--dirty", "--abbrev=12"]
    try:
        done = subprocess.run(command, cwd=_ROOT, capture_output=True, text=True, check=False)
    except FileNotFoundError:
        return "unknown"
    return done.stdout.strip() or "unknown"
