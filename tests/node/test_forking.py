"""Children that are forked off from a program with a replica: they hold nothing of it, and harm nothing by leaving."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
import trio

from replog import open_replica
from replog.config import ReplicaConfig
from replog.directory.layout import DirectoryLock, format_directory, holder_of
from replog.errors import Refused
from replog.paxos.ballot import NodeId
from replog.paxos.membership import Membership
from replog.ports import free_ports
from replog.state_machine import Command, State, StateMachine, StateView

from .machines import Ledger
from .stage import DEADLINE_S

PROGRAM = """
import os, signal, sys, time
import trio
from replog import open_replica
from tests.node.test_forking import settings
from tests.node.machines import Ledger

def child():
    {child}

async def main():
    async with open_replica(settings(sys.argv[1], int(sys.argv[2])), Ledger()) as replica:
        await replica.submit(b"a")
        pid = os.fork()
        if not pid:
            child()
            {in_child}
            return
        with trio.fail_after({deadline_s}):
            {in_parent}
            for _ in range(3):
                print((await replica.submit(b"a")).reply.decode(), flush=True)

trio.run(main)
print("left", flush=True)
"""
WAIT = """while not (ended := os.waitpid(pid, os.WNOHANG))[0]:
                await trio.sleep(0.01)
            print("child", os.waitstatus_to_exitcode(ended[1]), flush=True)"""


def settings(folder: str, port: int) -> ReplicaConfig:
    return ReplicaConfig(data_dir=Path(folder), members={NodeId(1): f"127.0.0.1:{port}"})


@pytest.fixture
def place(tmp_path: Path) -> tuple[str, int]:
    membership = Membership(version=1, voters=(NodeId(1),))
    format_directory(tmp_path / "data", node=NodeId(1), cluster=bytes(16), membership=membership)
    return str(tmp_path / "data"), free_ports(1)[0]


def program(
    place: tuple[str, int], *, child: str = "pass", in_child: str = "pass", in_parent: str = WAIT
) -> subprocess.Popen[str]:
    text = PROGRAM.format(child=child, in_child=in_child, in_parent=in_parent, deadline_s=DEADLINE_S)
    return subprocess.Popen(
        [sys.executable, "-c", text, *map(str, place)], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )


@pytest.mark.parametrize(
    ("child", "code"),
    [("sys.exit(7)", 7), ("os._exit(7)", 7), ("raise ValueError('the child')", 1), ("pass", 0)],
)
def test_a_child_that_leaves_harms_nothing(place: tuple[str, int], child: str, code: int) -> None:
    """It ends as it wants to, hands nothing over and writes nothing; the replica goes on in its parent."""
    done, errors = program(place, child=child).communicate(timeout=2 * DEADLINE_S)
    lines = done.splitlines()
    assert f"child {code}" in lines, errors
    assert [line for line in lines if line.isdecimal()] == ["2", "3", "4"], errors
    assert lines[-1] == "left"
    assert ("ValueError: the child" in errors) == (code == 1)


def test_a_child_is_told_whose_replica_it_is(place: tuple[str, int]) -> None:
    """What it asks of it fails at once, and says why."""
    in_child = """for ask in (lambda: replica.submit(b"a"), lambda: replica.query(b"a", consistency="stale")):
                try:
                    await ask()
                except Exception as error:
                    print("child heard", type(error).__name__, error, flush=True)"""
    done, errors = program(place, in_child=in_child).communicate(timeout=2 * DEADLINE_S)
    heard = [line for line in done.splitlines() if line.startswith("child heard")]
    assert len(heard) == 2, (done, errors)
    assert "fork" in heard[0]
    assert heard[1].startswith("child heard Unavailable")


@pytest.mark.parametrize("end", ["orderly", "killed"])
def test_a_child_that_stays_holds_neither_lock_nor_port(place: tuple[str, int], end: str) -> None:
    """While it lives another process opens the directory and listens where the replica did."""
    in_parent = "print('forked', pid, flush=True)"
    with program(place, child="signal.pause()", in_parent=in_parent) as parent:
        assert parent.stdout is not None
        lines = iter(parent.stdout)
        child = int(next(line for line in lines if line.startswith("forked")).split()[1])
        try:
            if end == "killed":
                parent.kill()
            else:
                assert next(line for line in lines if line == "left\n")
            parent.wait(DEADLINE_S)
            assert Path(f"/proc/{child}").exists()

            async def again() -> bytes:
                async with open_replica(settings(*place), Ledger()) as replica:
                    return (await replica.submit(b"b")).reply

            assert trio.run(again) == b"1"
        finally:
            os.kill(child, signal.SIGKILL)


def test_who_really_holds_the_lock_is_named(tmp_path: Path) -> None:
    """A process that inherited it outlives the one that took it: both are told, and which of them is gone."""
    code = (
        "import subprocess, sys; from pathlib import Path; from replog.directory.layout import DirectoryLock\n"
        "lock = DirectoryLock(Path(sys.argv[1]))\n"
        "print(subprocess.Popen(['sleep', '60'], pass_fds=[lock._descriptor], stdout=subprocess.DEVNULL).pid)"
    )
    taker = subprocess.Popen([sys.executable, "-c", code, str(tmp_path)], stdout=subprocess.PIPE, text=True)
    heir = int(taker.communicate(timeout=DEADLINE_S)[0])
    try:
        with pytest.raises(Refused, match=f"id {heir}, which has it from process {taker.pid} that is gone"):
            DirectoryLock(tmp_path)
        assert holder_of(tmp_path) == str(heir)
    finally:
        os.kill(heir, signal.SIGKILL)


class Forking(StateMachine):
    """Forks a child off in the middle of ``apply`` or ``query``, and forgets to end it."""

    def apply(self, state: State, command: Command) -> bytes:
        return b"%d" % self._fork()

    def query(self, view: StateView, request: bytes) -> bytes:
        return b"%d" % self._fork()

    def _fork(self) -> int:
        pid = os.fork()
        if not pid:
            raise SystemExit(0)
        return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])  # as long as the child lives


FORKING = """
import sys
import trio
from replog import open_replica
from tests.node.test_forking import Forking, settings

async def main():
    async with open_replica(settings(sys.argv[1], int(sys.argv[2])), Forking()) as replica:
        for _ in range(2):
            print("apply", (await replica.submit(b"a")).reply.decode(), flush=True)
            print("query", (await replica.query(b"a")).decode(), flush=True)
            print("stale", (await replica.query(b"a", consistency="stale")).decode(), flush=True)

trio.run(main)
print("left", flush=True)
"""


def test_a_child_that_comes_back_out_of_a_command_ends(place: tuple[str, int]) -> None:
    """It would run the replica's loop for ever otherwise, after its parent too; the parent goes on."""
    done = subprocess.run(
        [sys.executable, "-c", FORKING, *map(str, place)], capture_output=True, text=True, timeout=2 * DEADLINE_S
    )
    told = [line for line in done.stdout.splitlines() if line.split()[0] in ("apply", "query", "stale", "left")]
    assert told == ["apply 1", "query 1", "stale 1"] * 2 + ["left"], done.stderr
    assert done.stderr.count("came back out of apply or query: it ends here") == 6


def test_a_child_that_stays_in_the_loop_does_not_spin(place: tuple[str, int]) -> None:
    """The node's tasks rest there, though the alarm they were given in the parent still rings."""
    in_child = """class Steps(trio.abc.Instrument):
                count = 0
                def before_task_step(self, task):
                    self.count += 1
            steps = Steps()
            trio.lowlevel.add_instrument(steps)
            await trio.sleep(0.5)
            print("steps", steps.count, flush=True)
            os._exit(0)"""
    done, errors = program(place, in_child=in_child).communicate(timeout=2 * DEADLINE_S)
    steps = next((int(line.split()[1]) for line in done.splitlines() if line.startswith("steps")), None)
    assert steps is not None, (done, errors)
    assert steps < 500
