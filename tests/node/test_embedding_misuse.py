"""What an embedding program gets wrong is said at the door, by the name of what is wrong."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import structlog
import structlog.testing

import replog
from replog.node.long_turns import LongTurns
from replog.ports import free_ports

from .machines import Ledger

MEMBERS = {"n1": "127.0.0.1:7101"}


@pytest.fixture
def config(tmp_path: Path) -> replog.ReplicaConfig:
    """Of a cluster of one whose directory is formatted."""
    (port,) = free_ports(1)
    members = {"n1": f"127.0.0.1:{port}"}
    replog.format_directory(tmp_path / "n1", node="n1", members=members, cluster="test")
    return replog.ReplicaConfig(data_dir=str(tmp_path / "n1"), members=members)


@pytest.mark.parametrize("run", [replog.open_replica, replog.run_replica])
@pytest.mark.parametrize(
    ("machine", "said"),
    [
        (Ledger, r"machine is the class Ledger; give an instance of it: Ledger\(\)"),
        ("shop_sm:Shop", "machine is an instance of a class derived from replog.StateMachine, not 'shop_sm:Shop'"),
        (None, "not None"),
    ],
)
async def test_what_is_no_state_machine(run: Any, machine: Any, said: str, config: replog.ReplicaConfig) -> None:
    """A class would fail every command, and any other object too."""
    with pytest.raises(TypeError, match=said):
        await entered(run(config, machine))


@pytest.mark.parametrize("config", [{"data_dir": "x"}, "replica.toml", Path("replica.toml"), None])
async def test_what_is_no_config(config: Any) -> None:
    """The message names what reads a file."""
    with pytest.raises(TypeError, match=r"replog.load_config\(path\) reads a file"):
        await entered(replog.open_replica(config, Ledger()))


async def entered(opened: Any) -> None:
    if hasattr(opened, "__aenter__"):
        async with opened:
            pass
    else:
        await opened


@pytest.mark.parametrize("run", [replog.open_replica, replog.run_replica])
def test_a_replica_in_an_asyncio_program(run: Any, config: replog.ReplicaConfig) -> None:
    """It says where a replica lives, and what asyncio programs use."""
    with pytest.raises(RuntimeError, match=r"a replica lives in a trio program\..* replog\.connect"):
        asyncio.run(entered(run(config, Ledger())))


@pytest.mark.parametrize(
    ("setting", "said"),
    [
        ({"members": ["127.0.0.1:7101"]}, "members maps nodes to addresses"),
        ({"members": {"m1": "127.0.0.1:7101"}}, "members: 'm1' is no node; write n1, n2"),
        ({"members": {b"n1": "127.0.0.1:7101"}}, "members: b'n1' is no node"),
        ({"members": {"n1": 7101}}, "members: 'n1' has 7101; an address is text"),
        ({"members": {"n1": ("127.0.0.1", 7101)}}, "an address is text"),
        ({"members": {"n1": "127.0.0.1:7101", 1: "127.0.0.1:7102"}}, "members: n1 is named twice"),
        ({"members": {}}, "members is empty"),
        ({"data_dir": None}, "data_dir is a path, as text or a pathlib.Path, not None"),
        ({"data_dir": b"data"}, "data_dir is a path"),
        ({"data_dir": ""}, "data_dir is a path"),
        ({"bind": 7101}, "bind is text, not 7101"),
        ({"state_machine": Ledger}, "state_machine is text"),
        ({"paxos": {"window_slots": 3}}, r"paxos is a PaxosOptions, not a dict"),
        ({"node": None}, "node is a NodeOptions"),
    ],
)
def test_a_setting_that_cannot_be_meant(setting: dict[str, Any], said: str) -> None:
    """Each of them, by its name."""
    with pytest.raises((TypeError, ValueError), match=said):
        replog.ReplicaConfig(**{"data_dir": "data", "members": MEMBERS, **setting})


def test_text_and_numbers_are_as_good_as_paths_and_nodes() -> None:
    """Both forms of each make the same configuration."""
    as_text = replog.ReplicaConfig(data_dir="data", members=MEMBERS)
    assert as_text == replog.ReplicaConfig(data_dir=Path("data"), members={replog.NodeId(1): MEMBERS["n1"]})


@pytest.mark.parametrize("wrong", [{"members": "n1"}, {"cluster": b"test"}, {"node": "one"}, {"node": None}])
def test_names_that_format_no_directory(tmp_path: Path, wrong: dict[str, Any]) -> None:
    """Nothing is made."""
    with pytest.raises(replog.ConfigError):
        replog.format_directory(tmp_path / "n1", **{"node": "n1", "members": ["n1"], "cluster": "test", **wrong})
    assert not (tmp_path / "n1").exists()


@pytest.mark.parametrize(
    "wrong", [{"state_machine": Ledger}, {"state_machine": Ledger()}, {"state_machine": "x"}, {"replicas": 0},
              {"replicas": 2.5}, {"replicas": True}],
)  # fmt: skip
async def test_a_local_cluster_that_cannot_be_meant(tmp_path: Path, wrong: dict[str, Any]) -> None:
    """Nothing is started, and nothing written."""
    with pytest.raises((TypeError, ValueError)):
        async with replog.local_cluster(**{"state_machine": "shop_sm:Shop", "data_dir": tmp_path / "d", **wrong}):
            pass
    assert not (tmp_path / "d").exists()


def test_a_file_may_be_named_by_text(tmp_path: Path) -> None:
    """Of a configuration."""
    (tmp_path / "replica.toml").write_text('data_dir = "data"\nmembers = {n1 = "127.0.0.1:7101"}\n')
    assert replog.load_config(str(tmp_path / "replica.toml")).data_dir == tmp_path / "data"


# --- whose line it is ---


@pytest.fixture
def lines() -> Iterator[list[structlog.types.EventDict]]:
    """What is logged, in a program that binds nothing itself."""
    with structlog.testing.capture_logs() as captured:
        yield captured  # type: ignore[misc]


async def test_replicas_of_one_program_are_told_apart_in_the_log(tmp_path: Path, lines: list[dict[str, Any]]) -> None:
    """Every line of a replica says whose it is: elections, links and the end."""
    members = dict(zip(("n1", "n2"), (f"127.0.0.1:{port}" for port in free_ports(2)), strict=True))
    for node in members:
        replog.format_directory(tmp_path / node, node=node, members=members, cluster="test")
    first, second = (replog.ReplicaConfig(data_dir=tmp_path / node, members=members) for node in members)
    async with replog.open_replica(first, Ledger()) as one, replog.open_replica(second, Ledger()):
        await one.submit(b"a", timeout=20.0)
    assert {"became_leader", "peer_connected", "stopped"} <= {line["event"] for line in lines}
    assert {line.get("node") for line in lines} == {"n1", "n2"}
    assert len({line["node"] for line in lines if line["event"] == "peer_connected"}) == 2


async def test_a_turn_that_takes_long_is_told(
    config: replog.ReplicaConfig, lines: list[dict[str, Any]], monkeypatch: pytest.MonkeyPatch
) -> None:
    """By the node it held up; here every turn is long enough."""
    monkeypatch.setattr("replog.node.server.LONG_S", 0.0)
    async with replog.open_replica(config, Ledger()) as replica:
        await replica.submit(b"a")
    said = [line for line in lines if line["event"] == "turn_took_long"]
    assert [(line["node"], line["log_level"]) for line in said[:1]] == [("n1", "warning")]


def test_long_turns_are_told_now_and_then(lines: list[dict[str, Any]]) -> None:
    """A state machine that is always slow fills no disk with it; how many were not told is."""
    turns = LongTurns(structlog.get_logger())
    for began_s in range(25):
        turns.on_long(0.5, float(began_s), began_s)
    assert [(line["applied_through"], line["untold"]) for line in lines] == [(0, 0), (10, 9), (20, 9)]
    assert lines[0]["seconds"] == 0.5
