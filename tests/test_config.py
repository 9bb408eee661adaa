"""Settings: what wins, and that a mistake is named by its origin, its key and a fix."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path

import attrs
import pytest

from replog.config import (
    TABLES,
    ReplicaConfig,
    environment_variables,
    load_config,
    load_state_machine,
    setting_origins,
    setting_values,
)
from replog.errors import ConfigError
from replog.paxos.ballot import NodeId
from replog.state_machine import Command, State, StateMachine, StateView

TOP = 'data_dir = "data"\n'
MEMBERS = '[members]\nn1 = "10.0.0.1:7101"\nn2 = "10.0.0.2:7101"\nn3 = "10.0.0.3:7101"\n'


@pytest.fixture(autouse=True)
def _clean_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """Settings of the person who runs the tests are none of theirs."""
    for name in list(os.environ):
        if name.startswith("REPLOG_"):
            monkeypatch.delenv(name)


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "replica.toml"


def loaded(file: Path, text: str, overrides: Mapping[str, object] = {}) -> ReplicaConfig:
    file.write_text(text)
    return load_config(file, overrides)


def problems(file: Path, text: str, overrides: Mapping[str, object] = {}) -> list[str]:
    """The lines of the error, without the file's folder."""
    with pytest.raises(ConfigError) as caught:
        loaded(file, text, overrides)
    return str(caught.value).replace(f"{file.parent}/", "").splitlines()


# --- what is read ------------------------------------------------------------------------------------------


def test_a_small_file_is_enough(file: Path) -> None:
    """Directory and members; everything else has a default."""
    config = loaded(file, TOP + MEMBERS)
    assert config.members == {NodeId(1): "10.0.0.1:7101", NodeId(2): "10.0.0.2:7101", NodeId(3): "10.0.0.3:7101"}
    assert config == ReplicaConfig(data_dir=file.parent / "data", members=config.members)


def test_members_may_be_one_line_and_are_put_in_order(file: Path) -> None:
    """An inline table is a table; the order of its keys means nothing."""
    config = loaded(file, TOP + 'members = {n2 = "b:1", n1 = "[::1]:1"}\n')
    assert list(config.members.items()) == [(1, "[::1]:1"), (2, "b:1")]


def test_every_setting_can_be_set_in_the_file(file: Path) -> None:
    """Each key of each table takes the value it has by default, written as TOML."""
    default = loaded(file, TOP + MEMBERS)
    lines = []
    for table in TABLES:
        lines.append(f"[{table}]")
        values = attrs.asdict(getattr(default, table))
        lines += [f"{name} = {str(value).lower()}" for name, value in values.items() if value is not None]
    assert loaded(file, "\n".join([TOP + MEMBERS, *lines])) == default


def test_later_wins(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The environment over the file, what the caller passes over both; None was not passed."""
    text = TOP + 'bind = "0.0.0.0:1"\nstate_machine = "file:File"\n' + MEMBERS
    monkeypatch.setenv("REPLOG_BIND", "0.0.0.0:2")
    monkeypatch.setenv("REPLOG_STATE_MACHINE", "env:Env")
    config = loaded(file, text, {"bind": "0.0.0.0:3", "state_machine": None, "data_dir": None})
    assert (config.bind, config.state_machine) == ("0.0.0.0:3", "env:Env")


def test_every_setting_has_a_variable(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Numbers, paths, tables: each is read from its variable as it would be from the file."""
    monkeypatch.setenv("REPLOG_DATA_DIR", "elsewhere")
    monkeypatch.setenv("REPLOG_MEMBERS", "n1=h:1, n2=h:2")
    monkeypatch.setenv("REPLOG_PAXOS_HEARTBEAT_INTERVAL_S", "2")
    monkeypatch.setenv("REPLOG_LOG_BYTES_MAX", "5_000_000")
    monkeypatch.setenv("REPLOG_NODE_IDLE_TIMEOUT_S", "")
    config = loaded(file, "[paxos]\nheartbeat_interval_s = 1.0\nelection_rounds = 7\n")
    assert config.data_dir == Path("elsewhere")
    assert config.members == {NodeId(1): "h:1", NodeId(2): "h:2"}
    assert (config.paxos.heartbeat_interval_s, config.paxos.election_rounds) == (2.0, 7)
    assert (config.log.bytes_max, config.node.idle_timeout_s) == (5_000_000, 600.0)
    assert sorted(environment_variables().values()) == sorted(setting_values(config))


def test_a_caller_may_set_anything(file: Path) -> None:
    """By dotted key or by table."""
    config = loaded(file, TOP + MEMBERS, {"paxos.window_slots": 8, "node": {"apply_slots_max": 3}})
    assert (config.paxos.window_slots, config.node.apply_slots_max) == (8, 3)


def test_a_relative_directory_belongs_to_the_file(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where the process is started does not decide which data it uses; an absolute path stays."""
    assert loaded(file, TOP + MEMBERS).data_dir == file.parent / "data"
    assert loaded(file, 'data_dir = "/var/lib/replog"\n' + MEMBERS).data_dir == Path("/var/lib/replog")
    assert loaded(file, TOP + MEMBERS, {"data_dir": Path("here")}).data_dir == Path("here")


def test_origins_tell_file_from_environment(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever wonders why a setting has its value is told where it came from."""
    file.write_text(TOP + MEMBERS + "[paxos]\nwindow_slots = 8\nelection_rounds = 4\n")
    monkeypatch.setenv("REPLOG_PAXOS_WINDOW_SLOTS", "9")
    assert setting_origins(file) == {
        "data_dir": str(file),
        "members": str(file),
        "paxos.window_slots": "REPLOG_PAXOS_WINDOW_SLOTS",
        "paxos.election_rounds": str(file),
    }


# --- what is refused ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        (
            "[paxos]\nhartbeat_interval_s = 1",
            "[paxos] hartbeat_interval_s is no setting; did you mean heartbeat_interval_s?",
        ),
        ("[paxos]\nflush_interval_s = 1", "[paxos] flush_interval_s is no setting here; it belongs under [node]."),
        (
            "[node]\nbind = 'h:1'",
            "[node] bind is no setting here; it belongs at the top of the file, before every [table].",
        ),
        ("[node]\nxyzzy = 1", '[node] xyzzy is no setting; "Settings" in docs/OPERATING.md lists them all.'),
        ("[paxso]\nwindow_slots = 1", "paxso is no setting; did you mean paxos?"),
        ("[paxos]\nelection_rounds = '3'", "[paxos] election_rounds must be a whole number, not '3'."),
        ("[paxos]\nelection_rounds = 3.5", "[paxos] election_rounds must be a whole number, not 3.5."),
        ("[paxos]\nelection_rounds = true", "[paxos] election_rounds must be a whole number, not True."),
        ("[paxos]\nelection_rounds = 0", "[paxos] election_rounds must be at least 1, not 0."),
        ("[paxos]\nheartbeat_interval_s = -1", "[paxos] heartbeat_interval_s must be above 0.0, not -1.0."),
        ("[paxos]\nheartbeat_interval_s = nan", "[paxos] heartbeat_interval_s must be a number, not nan."),
        ("[node]\nidle_timeout_s = inf", "[node] idle_timeout_s must be a number, not inf."),
        ("[transport]\nconnections_max = 0", "[transport] connections_max must be at least 1, not 0."),
        ("[log]\nbytes_max = 5", "[log] bytes_max must be at least 4194304, not 5."),
    ],
)
def test_a_mistake_in_a_table_is_named_by_its_key(file: Path, text: str, problem: str) -> None:
    """Unknown, misplaced, of another type, out of range: the sentence says which and what would be right."""
    assert problems(file, TOP + MEMBERS + text) == [f"replica.toml: {problem}"]


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        (MEMBERS, 'data_dir is missing; name a directory that `replog init` formatted: data_dir = "/var/lib/replog".'),
        (TOP, 'members is missing; name every node, like members = {n1 = "10.0.0.1:7101", n2 = "10.0.0.2:7101"}.'),
        ("data_dir = 3\n" + MEMBERS, 'data_dir must be a path in quotes, like "/var/lib/replog", not 3.'),
        ("data_dir = ''\n" + MEMBERS, "data_dir must be a path in quotes, like \"/var/lib/replog\", not ''."),
        (TOP + "[members]\n", 'members is empty; name every node, like n1 = "10.0.0.1:7101".'),
        (
            TOP + "members = 'h:1'\n",
            'members must be a table, like members = {n1 = "10.0.0.1:7101", n2 = "10.0.0.2:7101"}.',
        ),
        (TOP + "members = {a = 'h:1'}\n", "members has 'a', which is no node; nodes are called n1, n2 and so on."),
        (TOP + "members = {n0 = 'h:1'}\n", "members has 'n0', which is no node; nodes are called n1, n2 and so on."),
        (TOP + "members = {n1 = 7101}\n", 'members has 7101 for n1; write "host:port".'),
        (
            TOP + "members = {n1 = 'h'}\n",
            "members: n1: 'h' is no host:port, like 127.0.0.1:7101; ports are 1 to 65535.",
        ),
        (
            TOP + "members = {n1 = 'my\u2011host:7101'}\n",
            "members: n1: 'my\u2011host:7101': no host has this name (Codepoint U+2010 at position 3 of 'my\u2010host' "
            "not allowed); type it anew, like 127.0.0.1:7101.",
        ),
        (
            TOP + "members = {n1 = 'h:1', n2 = 'h:1'}\n",
            "members: n1 and n2 have the same address h:1; give each node its own.",
        ),
        (
            TOP + "bind = '::1:7101'\n" + MEMBERS,
            "bind: '::1:7101': write an IPv6 address in brackets, like [::1]:7101.",
        ),
        (TOP + "bind = 7101\n" + MEMBERS, 'bind must be text in quotes, like "text", not 7101.'),
        (TOP + "state_machine = 'shop'\n" + MEMBERS, "state_machine: 'shop' is not module:Class, like shop_sm:Shop."),
        (TOP + "window_slots = 5\n" + MEMBERS, "window_slots is no setting here; it belongs under [paxos]."),
        (TOP + "paxos = 3\n" + MEMBERS, "[paxos] must be a table with a heading in brackets."),
    ],
)
def test_a_mistake_at_the_top_is_named_by_its_key(file: Path, text: str, problem: str) -> None:
    """Missing keys come with a line that can be copied; addresses are checked before anything listens."""
    assert problems(file, text) == [f"replica.toml: {problem}"]


@pytest.mark.parametrize(
    ("text", "named"),
    [
        ("[node]\ncommand_bytes_max = 2_000_000", ["[node] command_bytes_max (2000000)", "[paxos] batch_bytes_max"]),
        ("[transport]\nclient_payload_bytes_max = 9", ["[transport] client_payload_bytes_max (9)", "batch_bytes_max"]),
        ("[transport]\npeer_payload_bytes_max = 9", ["[transport] peer_payload_bytes_max (9)", "state_piece_bytes"]),
        ("[paxos]\nwindow_slots = 300", ["[paxos] accept_ahead_slots_max (256)", "window_slots (300)"]),
    ],
)
def test_settings_that_contradict_each_other_are_both_named(file: Path, text: str, named: list[str]) -> None:
    """Each alone is possible, together they are not."""
    (problem,) = problems(file, TOP + MEMBERS + text)
    assert all(name in problem for name in named), problem


def test_every_mistake_is_named_at_once(file: Path) -> None:
    """Nobody mends a file one start at a time."""
    text = TOP + "colour = 3\n" + MEMBERS
    text += "[paxos]\nwindow_slots = 0\nelection_rounds = 0\n[log]\nmap_step_bytes = 'big'\n"
    assert [line.split(" must ")[0].split(" is ")[0] for line in problems(file, text)] == [
        "replica.toml: [paxos] election_rounds",
        "replica.toml: [paxos] window_slots",
        "replica.toml: [log] map_step_bytes",
        "replica.toml: colour",
    ]


def test_a_mistake_in_a_variable_or_a_flag_is_blamed_on_it(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The file is innocent, so it is not named."""
    monkeypatch.setenv("REPLOG_PAXOS_WINDOW_SLOTS", "many")
    assert sorted(problems(file, TOP + MEMBERS, {"data_dir": "", "node.idle_timeout_s": -1})) == [
        "--data-dir: data_dir must be a path in quotes, like \"/var/lib/replog\", not ''.",
        "REPLOG_PAXOS_WINDOW_SLOTS: [paxos] window_slots must be a whole number, not 'many'.",
        "setting node.idle_timeout_s: [node] idle_timeout_s must be above 0.0, not -1.0.",
    ]


def test_a_file_that_is_none_is_named(file: Path) -> None:
    """Absent, no TOML, no text, a folder: the file and the reason."""
    with pytest.raises(ConfigError, match=r"replica\.toml does not exist; name the configuration file"):
        load_config(file)
    assert problems(file, "data_dir = \n")[0].startswith("replica.toml is not TOML: Invalid value (at line 1")
    file.write_bytes(b"\xff\xfe")
    with pytest.raises(ConfigError, match="is not UTF-8 text"):
        load_config(file)
    file.write_bytes(b"\xef\xbb\xbf" + (TOP + MEMBERS).encode())
    with pytest.raises(ConfigError, match="begins with a byte order mark; save it as UTF-8 without one"):
        load_config(file)
    with pytest.raises(ConfigError, match="can't be read: Is a directory"):
        load_config(file.parent)


# --- state machines ----------------------------------------------------------------------------------------


class Echo(StateMachine):
    """The smallest there is."""

    def apply(self, state: State, command: Command) -> bytes:
        return command.payload

    def query(self, view: StateView, request: bytes) -> bytes:
        return request


class Demanding(Echo):
    """One that can't be made by name."""

    def __init__(self, needed: int) -> None:
        self.needed = needed


def test_a_state_machine_is_made_by_its_name() -> None:
    """``module:Class`` is imported and instantiated."""
    assert type(load_state_machine(f"{__name__}:Echo")) is Echo


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("", "is not module:Class"),
        ("tests.test_config", "is not module:Class"),
        ("no_such_module:Shop", "No module named 'no_such_module'; is its package installed"),
        (f"{__name__}:Missing", "has no Missing"),
        (f"{__name__}:TOP", "TOP is no class derived from replog.StateMachine"),
        ("pathlib:Path", "Path is no class derived from replog.StateMachine"),
        (f"{__name__}:Demanding", "can't be made without arguments"),
        (f"{__name__}:StateMachine", "can't be made without arguments"),
    ],
)
def test_what_is_no_state_machine_is_refused_by_name(name: str, reason: str) -> None:
    """A wrong name, a class of another kind and one that wants arguments are told apart."""
    with pytest.raises(ConfigError, match=reason):
        load_state_machine(name)
