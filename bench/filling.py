"""Brings a cluster of ours to a size: commands in its log, keys in its state, sessions in its table."""

from __future__ import annotations

import argparse
import itertools
import os
import subprocess
from collections.abc import Iterator, Sequence
from pathlib import Path

import trio

import replog

from .child_process import python_command
from .errors import ChildFailed
from .load.put_machine import encode_put
from .load.work import key_name

_CALLERS = 4
_COMMANDS_A_CALL = 256
_SESSIONS_A_PROCESS = 200
_TIMEOUT_S = 60.0
_ASK_AGAIN_S = 0.01


async def fill_commands(endpoints: Sequence[str], count: int, *, keys: int, value_bytes: int) -> None:
    """Run ``count`` puts that go through ``keys`` keys again and again."""
    value = b"v" * value_bytes
    payloads = (encode_put(key_name(number % keys), value) for number in range(count))
    async with replog.connect(endpoints) as client, trio.open_nursery() as nursery:
        for _ in range(_CALLERS):
            nursery.start_soon(_submit_all, client, payloads)


async def _submit_all(client: replog.Client, payloads: Iterator[bytes]) -> None:
    while chunk := list(itertools.islice(payloads, _COMMANDS_A_CALL)):
        await client.submit_many(chunk, timeout=_TIMEOUT_S)


async def fill_sessions(endpoints: Sequence[str], count: int, log_path: Path) -> None:
    """Leave ``count`` open sessions behind, as clients do whose processes are killed."""
    for first in range(0, count, _SESSIONS_A_PROCESS):
        some = min(_SESSIONS_A_PROCESS, count - first)
        command = python_command("bench.filling", "--endpoints", ",".join(endpoints), "--sessions", str(some))
        with log_path.open("ab") as log_file:
            done = await trio.run_process(command, stdout=log_file, stderr=subprocess.STDOUT, check=False)
        if done.returncode:
            raise ChildFailed(f"opening sessions ended with exit code {done.returncode}; see {log_path}")


async def open_sessions_and_die(endpoints: Sequence[str], count: int) -> None:
    """One put from each of many clients, none of which says goodbye."""
    async with trio.open_nursery() as nursery:
        for _ in range(count):
            nursery.start_soon(_put_and_stay, endpoints, ready := trio.Event())
            await ready.wait()
        os._exit(0)


async def _put_and_stay(endpoints: Sequence[str], ready: trio.Event) -> None:
    async with replog.connect(endpoints) as client:
        await client.submit(encode_put(key_name(0), b"v"), timeout=_TIMEOUT_S)
        ready.set()
        await trio.sleep_forever()


async def wait_until_applied(endpoint: str, through: int, *, timeout_s: float = 600.0) -> replog.NodeStatus:
    """Until one node has applied slot ``through``; returns what it then says of itself. Raises ``ChildFailed``."""
    with trio.move_on_after(timeout_s):
        async with replog.connect([endpoint]) as client:
            while True:
                try:
                    status = await client.status(timeout=2.0)
                except replog.Unavailable:
                    continue
                if status.applied_through >= through:
                    return status
                await trio.sleep(_ASK_AGAIN_S)
    raise ChildFailed(f"{endpoint} has not applied slot {through:,} after {timeout_s:.0f} s")


def _main() -> None:
    parser = argparse.ArgumentParser(prog="python -m bench.filling", description=__doc__)
    parser.add_argument("--endpoints", required=True)
    parser.add_argument("--sessions", type=int, required=True)
    words = parser.parse_args()
    trio.run(open_sessions_and_die, words.endpoints.split(","), words.sessions)


if __name__ == "__main__":
    _main()
