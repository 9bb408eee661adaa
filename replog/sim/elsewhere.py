"""Replays a log in processes of their own, under other hash seeds, and says the digest after each slot.

The order of a set of strings follows PYTHONHASHSEED, which is drawn anew for every process: all replicas of one
simulation live in one process and agree on an order that real replicas would not. So the log of a run is given to
processes whose hash seeds are fixed, and what they make of it is compared.

``python -m replog.sim.elsewhere`` is the other end: it reads logs on its input until that ends.
"""

from __future__ import annotations

import atexit
import os
import random
import struct
import subprocess
import sys
from typing import IO

import attrs
import msgspec

from ..apply.applier import Applier
from ..apply.sessions import SessionOptions
from ..errors import Lacking
from ..paxos.ballot import Slot
from ..state.memory import MemoryStateStore
from .workload import Unsteady, load_workload

HASH_SEEDS = ("1", "2")
_LENGTH = struct.Struct(">I")


class _Log(msgspec.Struct):
    """What is to be replayed: the values of slots 1, 2, ..."""

    state_machine: str | None
    sessions: dict[str, int]
    values: list[bytes]


class _Process:
    """One process with its hash seed."""

    def __init__(self, hash_seed: str) -> None:
        environment = {**os.environ, "PYTHONHASHSEED": hash_seed, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
        self._process = subprocess.Popen(
            [sys.executable, "-P", "-m", __name__], stdin=subprocess.PIPE, stdout=subprocess.PIPE, env=environment
        )
        atexit.register(self.close)

    def digests(self, log: _Log) -> list[bytes]:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        _write(self._process.stdin, msgspec.msgpack.encode(log))
        answer = _read(self._process.stdout)
        if answer is None:
            raise RuntimeError("the process that replays logs under another hash seed has ended; see its output above")
        return msgspec.msgpack.decode(answer, type=list[bytes])

    def close(self) -> None:
        if self._process.stdin is not None:
            self._process.stdin.close()
        if self._process.stdout is not None:
            self._process.stdout.close()
        self._process.wait()


_processes: dict[str, _Process] = {}


def digests_elsewhere(
    state_machine: str | None, sessions: SessionOptions, values: list[bytes]
) -> list[tuple[str, list[bytes]]]:
    """For each hash seed the digests after slots 1, 2, ... of a log with these values.

    Raises ``Lacking`` if this machine has no process for it.
    """
    log = _Log(state_machine, attrs.asdict(sessions), values)
    found: list[tuple[str, list[bytes]]] = []
    for hash_seed in HASH_SEEDS:
        if hash_seed not in _processes:
            try:
                _processes[hash_seed] = _Process(hash_seed)
            except OSError as error:
                raise Lacking(
                    f"a log can't be replayed under another hash seed, which takes a process of its own: {error}. That "
                    "is no violation; allow this process more, then run the seeds again."
                ) from error
        found.append((hash_seed, _processes[hash_seed].digests(log)))
    return found


def _write(stream: IO[bytes], data: bytes) -> None:
    stream.write(_LENGTH.pack(len(data)) + data)
    stream.flush()


def _read(stream: IO[bytes]) -> bytes | None:
    header = stream.read(_LENGTH.size)
    if len(header) < _LENGTH.size:
        return None
    return stream.read(int(_LENGTH.unpack(header)[0]))


def _replay(log: _Log) -> list[bytes]:
    machine = Unsteady(load_workload(log.state_machine).machine(), random.Random(0), rate=0.0)
    applier = Applier(machine, MemoryStateStore(), SessionOptions(**log.sessions))
    digests: list[bytes] = []
    for slot, value in enumerate(log.values, 1):
        applier.apply(Slot(slot), value)
        digests.append(applier.digest)
    return digests


def _serve() -> None:
    """What a state machine prints must not get between the answers: it goes to standard error."""
    with os.fdopen(os.dup(1), "wb") as answers:
        os.dup2(2, 1)
        while (data := _read(sys.stdin.buffer)) is not None:
            _write(answers, msgspec.msgpack.encode(_replay(msgspec.msgpack.decode(data, type=_Log))))


if __name__ == "__main__":
    _serve()
