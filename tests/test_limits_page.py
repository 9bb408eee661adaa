"""docs/LIMITS.md: every number on it is the code's, and each limit that is said to be enforced is."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

import replog
from replog.apply.limits import (
    ALL_REPLIES_KEPT_BYTES_MAX,
    FAILURE_BYTES_MAX,
    REPLIES_KEPT_BYTES_MAX,
    REPLY_BYTES_MAX,
)
from replog.client.silence import PATIENT_S, SLOWER_TIMES, SLOWEST_TIMES
from replog.node.long_turns import LONG_S
from replog.node.queries import ANSWER_BYTES_MAX
from replog.node.settings import NodeOptions, ReplicaConfig
from replog.paxos.options import PaxosOptions
from replog.ports import free_ports
from replog.state_machine import KEY_BYTES_MAX, VALUE_BYTES_MAX, WRITES_BYTES_MAX, WRITES_MAX

from .imports import ROOT

PAGE = (ROOT / "docs/LIMITS.md").read_text()
CONFIG = ReplicaConfig(data_dir="x", members={"n1": "127.0.0.1:7101"})
CLIENT = replog.ClientOptions()


def limit_of(what: str) -> str:
    """The second cell of a row."""
    (cell,) = re.findall(rf"^\| {re.escape(what)} \| ([^|]*) \|", PAGE, re.MULTILINE)
    return str(cell)


@pytest.mark.parametrize(
    ("what", "limit"),
    [
        ("a turn of a node", f"{LONG_S} s"),
        ("a key", f"1 to {KEY_BYTES_MAX} bytes"),
        ("a value", f"{VALUE_BYTES_MAX:,} bytes"),
        ("keys that one command puts or deletes", f"{WRITES_MAX:,}"),
        ("large values that one command puts (above 1 KiB), together", f"{WRITES_BYTES_MAX:,} bytes"),
        ("a reply", f"{REPLY_BYTES_MAX:,} bytes"),
        ("an answer to a query", f"{ANSWER_BYTES_MAX:,} bytes"),
        ("a command, a query's request", f"`[node] command_bytes_max`, {CONFIG.node.command_bytes_max:,} bytes"),
        ("a `submit_many`, together", f"`call_bytes_max`, {CLIENT.call_bytes_max:,} bytes"),
        ("the text of an error of `apply`", f"{FAILURE_BYTES_MAX:,} bytes"),
        ("sessions", f"`[sessions] sessions_max`, {CONFIG.sessions.sessions_max:,}"),
        (
            "a session that applies nothing",
            f"`session_idle_max_s`, {CONFIG.sessions.session_idle_max_s:,.0f} s of log time",
        ),
        (
            "replies of one session that its client has not acknowledged",
            f"{CONFIG.sessions.replies_kept_max:,} (`[sessions] replies_kept_max`), {REPLIES_KEPT_BYTES_MAX:,} bytes",
        ),
        ("those of all sessions together", f"{ALL_REPLIES_KEPT_BYTES_MAX:,} bytes"),
        ("commands under way of one client", f"`in_flight_commands_max`, {CLIENT.in_flight_commands_max:,}"),
        ("commands that wait in one client", f"`waiting_commands_max`, {CLIENT.waiting_commands_max:,}"),
        ("connections of a node", f"`[transport] connections_max`, {CONFIG.transport.connections_max:,}"),
        ("slots kept for those that are behind", f"`[node] log_tail_slots`, {CONFIG.node.log_tail_slots:,}"),
    ],
)
def test_the_page_has_the_numbers_of_the_code(what: str, limit: str) -> None:
    """Whoever changes one changes the other."""
    assert limit_of(what) == limit


def test_the_times_of_the_page_follow_from_the_defaults() -> None:
    """All rounds of an election but one for an ``apply``; for a ``query`` what a client waits for."""
    paxos = PaxosOptions()
    assert paxos.heartbeat_interval_s * (paxos.election_rounds - 1) == pytest.approx(0.2)
    assert f"`election_rounds` = {paxos.election_rounds} heartbeats of {paxos.heartbeat_interval_s} s" in PAGE
    assert f"after {CLIENT.hung_after_s} s of silence" in PAGE
    longer_s = [round(CLIENT.hung_after_s * times, 1) for times in (SLOWER_TIMES, SLOWEST_TIMES)]
    assert "then it waits {} s, then {} s".format(*longer_s) in PAGE
    assert f"up to {SLOWEST_TIMES} times, until that was not needed for {PATIENT_S:.0f} s" in PAGE
    assert f"{NodeOptions().unflushed_keys_max:,} (`[node] unflushed_keys_max`)" in PAGE


class Writer(replog.StateMachine):
    """Does as much as it is told to."""

    def apply(self, state: replog.State, command: replog.Command) -> bytes:
        what, _, count = command.payload.decode().partition(" ")
        number = int(count)
        match what:
            case "key":
                state.put(b"k" * number, b"")
            case "value":
                state.put(b"k", bytes(number))
            case "keys":
                for index in range(number):
                    state.put(b"%d" % index, b"")
            case "values":
                for index in range(number // VALUE_BYTES_MAX + 1):
                    state.put(b"%d" % index, bytes(min(VALUE_BYTES_MAX, number - index * VALUE_BYTES_MAX)))
            case "reply":
                return bytes(number)
            case "error":
                raise ValueError("x" * number)
        return b""

    def query(self, view: replog.StateView, request: bytes) -> bytes:
        return bytes(int(request))


async def test_what_a_command_may_do_ends_where_the_page_says(tmp_path: Path) -> None:
    """The largest is taken; one more fails the command and nothing else."""
    (port,) = free_ports(1)
    members = {"n1": f"127.0.0.1:{port}"}
    replog.format_directory(tmp_path / "n1", node="n1", members=members, cluster="limits")
    config = replog.ReplicaConfig(data_dir=tmp_path / "n1", members=members)
    options = replog.ClientOptions(timeout_s=30.0)
    async with replog.open_replica(config, Writer(), options=options) as replica:
        for what, most in {
            "key": KEY_BYTES_MAX, "value": VALUE_BYTES_MAX, "keys": WRITES_MAX, "values": WRITES_BYTES_MAX,
            "reply": REPLY_BYTES_MAX,
        }.items():  # fmt: skip
            beyond = most + (2_000 if what == "values" else 1)  # a small value is not counted
            await replica.submit(f"{what} {most}".encode())
            with pytest.raises(replog.CommandFailed, match="ValueError"):
                await replica.submit(f"{what} {beyond}".encode())
        with pytest.raises(replog.CommandFailed) as caught:
            await replica.submit(b"error 5000")
        assert len(caught.value.text) == FAILURE_BYTES_MAX
        with pytest.raises(replog.CommandTooLarge):
            await replica.submit(bytes(config.node.command_bytes_max + 1))
        with pytest.raises(replog.CommandFailed):
            await replica.query(b"%d" % (ANSWER_BYTES_MAX + 1))
