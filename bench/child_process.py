"""Child processes of the benchmark: none outlives it, and each one's CPU time can be read."""

from __future__ import annotations

import contextlib
import ctypes
import os
import signal
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from pathlib import Path

import psutil  # type: ignore[import-untyped]  # psutil ships no types
import trio

from replog.ports import free_ports as free_ports

from .errors import ChildFailed

_PR_SET_PDEATHSIG = 1
_LINE_BYTES_MAX = 64 * 2**20
_libc = ctypes.CDLL(None, use_errno=True)


def _die_with_parent() -> None:
    """Ask the kernel to kill this process when its parent is gone, however that went."""
    _libc.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)


class Child:
    """One process, started from the main thread (``_die_with_parent`` follows the thread that started it).

    Parameters
    ----------
    command: program and arguments.
    log_path: where its stderr goes, and its stdout unless ``has_pipes``.
    has_pipes: keep stdin and stdout for a conversation in lines.
    environment: added to this process's environment.
    """

    def __init__(
        self,
        command: Sequence[str],
        *,
        log_path: Path,
        has_pipes: bool = False,
        environment: Mapping[str, str] | None = None,
    ) -> None:
        self._log_path = log_path
        with log_path.open("ab") as log:
            self._process = subprocess.Popen(
                command,
                stdin=subprocess.PIPE if has_pipes else subprocess.DEVNULL,
                stdout=subprocess.PIPE if has_pipes else log,
                stderr=log,
                env={**os.environ, **(environment or {})},
                preexec_fn=_die_with_parent,
            )
        self._name = Path(command[0]).name

    @property
    def pid(self) -> int:
        return self._process.pid

    @property
    def is_running(self) -> bool:
        return self._process.poll() is None

    def check_running(self) -> None:
        """Raise ``ChildFailed`` if it has ended."""
        if not self.is_running:
            raise ChildFailed(self._epitaph())

    def _epitaph(self) -> str:
        tail = self._log_path.read_text(errors="replace").strip().splitlines()[-8:]
        return f"{self._name} ended with exit code {self._process.returncode}. Its last words:\n" + "\n".join(tail)

    def say(self, line: str) -> None:
        """Write one line to its stdin."""
        assert self._process.stdin is not None
        self._process.stdin.write(line.encode() + b"\n")
        self._process.stdin.flush()

    async def lines(self) -> AsyncIterator[bytes]:
        """Lines of its stdout, until it closes it."""
        assert self._process.stdout is not None
        stream = trio.lowlevel.FdStream(os.dup(self._process.stdout.fileno()))
        pending = bytearray()
        async with stream:
            async for chunk in stream:
                pending += chunk
                if len(pending) > _LINE_BYTES_MAX:
                    raise ChildFailed(f"{self._name} wrote a line longer than {_LINE_BYTES_MAX} bytes")
                *complete, rest = pending.split(b"\n")
                pending = rest
                for line in complete:
                    yield bytes(line)

    def kill(self) -> None:
        """SIGKILL, and wait for the end; harmless if it has ended."""
        if self.is_running:
            self._process.kill()
        self._process.wait()
        for pipe in (self._process.stdin, self._process.stdout):
            if pipe is not None:
                with contextlib.suppress(BrokenPipeError):
                    pipe.close()


@contextlib.contextmanager
def started(
    command: Sequence[str],
    *,
    log_path: Path,
    has_pipes: bool = False,
    environment: Mapping[str, str] | None = None,
) -> Iterator[Child]:
    """A child that is gone when the block ends."""
    child = Child(command, log_path=log_path, has_pipes=has_pipes, environment=environment)
    try:
        yield child
    finally:
        child.kill()


def cpu_s(pid: int) -> float:
    """User and system time a process and its reaped children used so far; 0 if it is gone."""
    try:
        times = psutil.Process(pid).cpu_times()
    except psutil.NoSuchProcess:
        return 0.0
    return float(times.user + times.system + times.children_user + times.children_system)


def python_command(module: str, *words: str) -> list[str]:
    """The command that runs a module of this project with this interpreter."""
    return [sys.executable, "-m", module, *words]
