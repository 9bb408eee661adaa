"""``replog config check``: the effective settings, their origins, and what is only suspicious."""

from __future__ import annotations

import errno
import socket
import threading
from pathlib import Path

import pytest

from .conftest import Replog

CLUSTER = "e4" * 16
MEMBERS = {"n1": "10.0.0.1:7101", "n2": "10.0.0.2:7101", "n3": "10.0.0.3:7101"}


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "replica.toml"


def write(file: Path, *lines: str, members: dict[str, str] = MEMBERS, machine: str = "shop_sm:Shop") -> None:
    top = [f'data_dir = "{file.parent / "data"}"', f'state_machine = "{machine}"']
    table = ["[members]", *(f'{node} = "{address}"' for node, address in members.items())]
    file.write_text("\n".join([*top, *table, *lines, ""]))


def format_for(replog: Replog, file: Path, *nodes: str) -> None:
    words = [word for node in nodes for word in ("--member", f"{node}={MEMBERS[node]}")]
    assert replog("init", file.parent / "data", "--node", nodes[0], "--cluster", CLUSTER, *words).code == 0


def warnings(replog: Replog, file: Path) -> list[str]:
    found: list[str] = replog("config", "check", file, "--json").fields["warnings"]
    return found


def problems(replog: Replog, file: Path) -> list[str]:
    """What would keep a node from starting; the exit code says that there is something."""
    done = replog("config", "check", file, "--json")
    found: list[str] = done.fields["problems"]
    assert done.code == replog("config", "check", file).code == (2 if found else 0)
    return found


def test_a_good_file_has_no_warnings(replog: Replog, file: Path) -> None:
    """Formatted, all members named, a state machine that loads: nothing to say beside the settings."""
    write(file)
    format_for(replog, file, "n1", "n2", "n3")
    done = replog("config", "check", file)
    assert (done.code, done.err) == (0, "")
    assert "n1=10.0.0.1:7101, n2=10.0.0.2:7101" in done.out


def test_every_setting_is_shown_with_its_origin(replog: Replog, file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """File, variable or default: a person sees why a value is what it is."""
    write(file, "[paxos]", "window_slots = 32")
    monkeypatch.setenv("REPLOG_NODE_APPLY_SLOTS_MAX", "9")
    settings = replog("config", "check", file, "--json").fields["settings"]
    assert settings["paxos.window_slots"] == {"value": 32, "origin": str(file)}
    assert settings["node.apply_slots_max"] == {"value": 9, "origin": "REPLOG_NODE_APPLY_SLOTS_MAX"}
    assert settings["paxos.election_rounds"] == {"value": 3, "origin": "default"}
    assert settings["members"]["value"] == MEMBERS
    rows = [line.split() for line in replog("config", "check", file).out.splitlines()]
    assert ["node.apply_slots_max", "9", "REPLOG_NODE_APPLY_SLOTS_MAX"] in rows


def test_a_wrong_setting_ends_with_two(replog: Replog, file: Path) -> None:
    """The same sentence as ``serve`` would end with, and one object for who reads JSON."""
    write(file, "[paxos]", "hartbeat_interval_s = 1")
    done = replog("config", "check", file, "--json")
    assert (done.code, done.fields["error"]["kind"]) == (2, "ConfigError")
    assert "[paxos] hartbeat_interval_s is no setting; did you mean heartbeat_interval_s?" in done.err


def test_an_unformatted_directory_is_a_problem(replog: Replog, file: Path) -> None:
    """A script that starts the node after this check is told not to; the next step is named."""
    write(file)
    assert problems(replog, file) == [
        f"{file.parent / 'data'} is not formatted; run `replog init {file.parent / 'data'}` once before the node is "
        "started."
    ]


def test_other_members_than_at_formatting_are_a_problem(replog: Replog, file: Path) -> None:
    """Who was there when the directory was formatted must have an address; who was not, has none to give."""
    write(file, members={"n1": "10.0.0.1:1", "n4": "10.0.0.4:1", "n5": "10.0.0.5:1"})
    format_for(replog, file, "n1", "n2", "n3")
    first, second = problems(replog, file)
    assert "formatted for a cluster with n2, n3, of which members gives no address" in first
    assert "members names n4, n5, which was not there" in second


def test_a_damaged_identity_is_a_problem(replog: Replog, file: Path) -> None:
    """The check reads what ``serve`` would."""
    write(file)
    format_for(replog, file, "n1", "n2", "n3")
    (file.parent / "data" / "identity").write_bytes(b"garbage")
    assert "is damaged; run `replog verify" in problems(replog, file)[0]


def test_likely_mistakes_are_warned_of(replog: Replog, file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An even number of members, a loopback address among others, a misspelt variable, no state machine."""
    write(file, members={"n1": "127.0.0.1:7101", "n2": "10.0.0.2:7101"}, machine="")
    monkeypatch.setenv("REPLOG_PAXOS_WINDOW_SLOT", "3")
    machine, even, local, variable = warnings(replog, file)
    assert machine.startswith("state_machine is not set; `replog serve` needs it")
    assert even == "2 members survive no more failures than 1 would; use an odd number."
    assert "n1 can be reached from its own machine only" in local
    assert variable == "the variable REPLOG_PAXOS_WINDOW_SLOT is no setting; did you mean REPLOG_PAXOS_WINDOW_SLOTS?"


def test_a_state_machine_that_cant_be_loaded_is_a_problem(replog: Replog, file: Path) -> None:
    """It is loaded as `serve` would load it."""
    write(file, machine="no_such_module:Shop")
    format_for(replog, file, "n1", "n2", "n3")
    (problem,) = problems(replog, file)
    assert "No module named 'no_such_module'" in problem


# --- names of hosts ---

HOSTS = {"here.test": "127.0.0.1", "there.test": "10.0.0.2"}


@pytest.fixture
def resolver(monkeypatch: pytest.MonkeyPatch) -> threading.Event:
    """Knows two names, and waits for the event where it is asked for a slow one."""
    told = threading.Event()

    def ask(host: str, port: object, **_options: object) -> list[object]:
        if host == "slow.test":
            told.wait(20.0)
        if host not in HOSTS:
            raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")
        return [(socket.AF_INET, socket.SOCK_STREAM, 0, "", (HOSTS[host], 0))]

    monkeypatch.setattr(socket, "getaddrinfo", ask)
    return told


def named(replog: Replog, file: Path, second: str, *lines: str, own: str = "here.test") -> None:
    write(file, members={"n1": f"{own}:7101", "n2": second, "n3": "10.0.0.3:7101"})
    file.write_text("\n".join([*lines, file.read_text()]))
    words = [word for node in ("n1", "n2", "n3") for word in ("--member", f"{node}={MEMBERS[node]}")]
    assert replog("init", file.parent / "data", "--node", "n1", *words).code == 0


def test_a_name_that_nobody_knows_is_told(replog: Replog, file: Path, resolver: threading.Event) -> None:
    """Another node's may be known tomorrow; where its own stands for nothing, the node would not start."""
    named(replog, file, "there.test:7101")
    assert problems(replog, file) == warnings(replog, file) == []
    named_so = "n2 can't be reached at nowhere.test:7101 from here: unknown host."
    file.write_text(file.read_text().replace("there.test", "nowhere.test"))
    assert (problems(replog, file), warnings(replog, file)) == ([], [named_so])
    file.write_text(file.read_text().replace("here.test", "gone.test").replace("nowgone.test", "there.test"))
    (problem,) = problems(replog, file)
    assert problem == "it can't listen on gone.test:7101: unknown host; set bind to an address of this machine."
    file.write_text('bind = "0.0.0.0:7101"\n' + file.read_text())
    assert problems(replog, file) == []


def test_a_resolver_that_hangs_holds_nobody_up(
    replog: Replog, file: Path, resolver: threading.Event, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What is not known in time is said to be so; the other names are judged all the same."""
    monkeypatch.setattr("replog.cli.host_names.LOOK_UP_S", 0.2)
    try:
        named(replog, file, "slow.test:7101")
        (warning,) = warnings(replog, file)
    finally:
        resolver.set()
    assert warning.startswith("n2 can't be reached at slow.test:7101 from here: its name was not looked up within")


def test_a_directory_that_may_not_be_read_is_a_problem(
    replog: Replog, file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It says whose permission is missing, and is no error of the command."""

    def refuse(*_: object) -> None:
        raise PermissionError(errno.EACCES, "Permission denied", str(file.parent / "data/identity"))

    write(file)
    format_for(replog, file, "n1", "n2", "n3")
    monkeypatch.setattr("replog.directory.layout.read_identity", refuse)
    (problem,) = problems(replog, file)
    assert problem.endswith(f"identity can't be read: Permission denied; let this user read {file.parent / 'data'}.")
