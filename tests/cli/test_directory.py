"""``replog inspect`` and ``replog verify`` on directories as nodes leave them, whole and damaged."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from crc32c import crc32c

from replog.directory.layout import IDENTITY_FILE, LOG_FOLDER, STATE_FOLDER, format_directory, open_directory
from replog.disk.environment import DATA_FILE
from replog.log.space import MIB, LogLimits
from replog.paxos.ballot import Ballot, NodeId, Slot
from replog.paxos.effects import LogWrite
from replog.paxos.membership import Membership
from replog.paxos.messages import AcceptedSlot
from replog.paxos.values import Batch, encode_value
from replog.state.store import LmdbStateStore
from tests.faults.directories import ROOT, quick_path

from .conftest import Replog

__all__ = ["quick_path"]

CLUSTER = bytes(range(16))
MEMBERS = Membership(1, (NodeId(1), NodeId(2), NodeId(3)))
BALLOT = Ballot(4, NodeId(3))


def record(slot: int) -> AcceptedSlot:
    value = encode_value(Batch(1_700_000_000_000 + slot, (b"needle %06d" % slot,)))
    return AcceptedSlot(Slot(slot), BALLOT, crc32c(value), value)


@pytest.fixture
def directory(quick_path: Path) -> Path:
    """A stopped node: 30 slots of which 5 are dropped, 3 above the chosen ones, and a state at slot 20."""
    path = quick_path / "node"
    format_directory(path, node=NodeId(2), cluster=CLUSTER, membership=MEMBERS)
    held = open_directory(path)
    store = held.open_log(LogLimits(map_step_bytes=MIB))
    store.recover()
    store.write([LogWrite(BALLOT, tuple(record(slot) for slot in range(1, 31)), Slot(27))])
    store.compact(Slot(5), slots_max=10)
    store.close()
    state = LmdbStateStore.open(held.state_path, map_step_bytes=MIB)
    state.write({b"key": b"value"})
    state.begin_flush(Slot(20))
    state.flush()
    state.end_flush()
    state.close()
    held.close()
    return path


def damage(path: Path, needle: bytes) -> None:
    """Flip a bit wherever ``needle`` stands in the log."""
    data_path = path / LOG_FOLDER / DATA_FILE
    data = data_path.read_bytes()
    assert needle in data
    data_path.write_bytes(data.replace(needle, bytes([needle[0] ^ 1]) + needle[1:]))


# --- inspect ---


def test_inspect_prints_who_it_is_what_it_promised_and_how_far_it_came(replog: Replog, directory: Path) -> None:
    """Everything a person asks of a stopped node's directory is on one screen."""
    done = replog("inspect", directory)
    assert done.code == 0
    lines = dict(line.split(maxsplit=1) for line in done.out.splitlines()[:11])
    assert lines["directory"] == f"{directory} (not in use)"
    assert lines["cluster"] == CLUSTER.hex()
    assert lines["node"] == "n2, founded with n1, n2, n3"
    assert lines["promise"] == "4.n3"
    assert lines["members"] == "version 1: n1, n2, n3"
    assert lines["chosen"] == "through slot 27"
    assert lines["compacted"] == "through slot 5"
    assert lines["applied"].startswith("through slot 20 on disk")
    assert lines["log"].startswith("25 slots, 3 of them above the chosen ones;")


def test_inspect_lists_the_newest_slots_or_those_asked_for(replog: Replog, directory: Path) -> None:
    """Each with its ballot, and whether it is known chosen."""
    table = replog("inspect", directory).out.split("CONTENT\n")[1].splitlines()
    assert [line.split()[:3] for line in table] == [
        ["chosen" if slot <= 27 else "accepted", "4.n3", str(slot)] for slot in range(21, 31)
    ]
    table = replog("inspect", directory, "--slots", "4:8").out.split("CONTENT\n")[1].splitlines()
    assert [line.split()[2] for line in table] == ["6", "7"]


def test_inspect_gives_programs_the_same_as_json(replog: Replog, directory: Path) -> None:
    """With the values themselves."""
    fields = replog("inspect", directory, "--slots", "27:29", "--json").fields
    assert (fields["schema"], fields["node"], fields["holder"]) == (1, "n2", "")
    log, state = fields["log"], fields["state"]
    assert (log["promise"], log["chosen_through"], log["compacted_through"]) == ("4.n3", 27, 5)
    assert (log["slot_count"], log["accepted_count"], log["last_slot"]) == (25, 3, 30)
    assert log["live_bytes"] <= log["file_bytes"] == (directory / LOG_FOLDER / DATA_FILE).stat().st_size
    assert (state["applied_through"], state["row_count"]) == (20, 1)
    assert [(slot["slot"], slot["status"], slot["ballot"]) for slot in log["slots"]] == [
        (27, "chosen", "4.n3"),
        (28, "accepted", "4.n3"),
    ]


def test_inspect_shows_a_node_that_never_ran(replog: Replog, tmp_path: Path) -> None:
    """Straight after ``init`` there is no state and no slot."""
    path = tmp_path / "node"
    format_directory(path, node=NodeId(1), cluster=CLUSTER, membership=MEMBERS)
    done = replog("inspect", path)
    assert done.code == 0
    assert "none yet" in done.out
    assert "CONTENT" not in done.out


def test_inspect_shows_what_is_damaged_where_it_stands(replog: Replog, directory: Path) -> None:
    """A damaged slot takes its place in the table."""
    damage(directory, b"needle 000026")
    done = replog("inspect", directory)
    assert done.code == 0
    (line,) = [line for line in done.out.splitlines() if line.startswith("damaged ")]
    assert "26" in line
    assert "its record fails its checksum" in line


@pytest.mark.parametrize("command", ["inspect", "verify"])
def test_what_is_no_data_directory_is_refused(replog: Replog, tmp_path: Path, command: str) -> None:
    """The code says refused, the text says what to do."""
    done = replog(command, tmp_path / "absent")
    assert done.code == 4
    assert "is not formatted; run `replog init" in done.err.replace("\n", " ")


# --- verify ---


def test_verify_says_that_a_whole_directory_is_intact(replog: Replog, directory: Path) -> None:
    """It ends with 0 and says how much it read."""
    done = replog("verify", directory)
    assert done.code == 0
    assert "read 25 slots in" in done.out
    assert done.out.splitlines()[-1] == "intact"
    fields = replog("verify", directory, "--json").fields
    assert fields["is_intact"] is True
    assert fields["findings"] == []
    assert (fields["slot_count"], fields["state_row_count"]) == (25, 1)


def findings(replog: Replog, directory: Path) -> list[tuple[str, str]]:
    """What and what comes of it, from a run that must end with 5."""
    done = replog("verify", directory, "--json")
    assert done.code == 5
    assert done.fields["is_intact"] is False
    return [(found["problem"], found["consequence"]) for found in done.fields["findings"]]


def test_verify_finds_every_damaged_slot_and_says_what_each_means(replog: Replog, directory: Path) -> None:
    """A chosen one is repaired, an unchosen one costs the vote; nothing is written."""
    damage(directory, b"needle 000007")
    damage(directory, b"needle 000028")
    before = (directory / LOG_FOLDER / DATA_FILE).read_bytes()
    chosen, accepted = findings(replog, directory)
    assert "slot 7, known chosen" in chosen[0]
    assert "fetches it from the others" in chosen[1]
    assert "slot 28, not known chosen" in accepted[0]
    assert "runs without a vote" in accepted[1]
    text = replog("verify", directory).out
    assert text.count("damaged  log/data.mdb: slot") == 2
    assert (directory / LOG_FOLDER / DATA_FILE).read_bytes() == before


def test_verify_goes_on_after_a_damaged_identity(replog: Replog, directory: Path) -> None:
    """The file and its copy in the log are two things."""
    path = directory / IDENTITY_FILE
    path.write_bytes(path.read_bytes()[:-1] + b"?")
    ((problem, consequence),) = findings(replog, directory)
    assert problem == "the file fails its checksum"
    assert "copy in the log is used" in consequence


@pytest.mark.parametrize("folder", [LOG_FOLDER, STATE_FOLDER])
def test_verify_survives_a_file_that_is_too_short(replog: Replog, directory: Path, folder: str) -> None:
    """Where LMDB would be killed, there is a finding with the file's name."""
    path = directory / folder / DATA_FILE
    with path.open("r+b") as file:
        file.truncate(3 * 4096)
    ((problem, consequence),) = findings(replog, directory)
    assert str(path) in problem
    assert consequence.startswith({LOG_FOLDER: "the node does not start", STATE_FOLDER: "the node stops"}[folder])


def test_verify_finds_a_state_that_the_log_no_longer_reaches(replog: Replog, directory: Path) -> None:
    """A state from before the log's floor can't be replayed from it."""
    held = open_directory(directory)
    store = held.open_log()
    store.recover()
    store.compact(Slot(25), slots_max=100)
    store.close()
    held.close()
    ((problem, _consequence),) = findings(replog, directory)
    assert "stands at slot 20 and the log begins after slot 25" in problem


# --- beside a running node ---


WRITE_WITHOUT_END = """
import os, pathlib, sys, threading
from replog.directory.layout import open_directory
from replog.paxos.ballot import Slot
from replog.paxos.effects import LogWrite
from tests.cli.test_directory import record

def end_with_the_test():
    sys.stdin.read()
    os._exit(0)

threading.Thread(target=end_with_the_test, daemon=True).start()
store = open_directory(pathlib.Path(sys.argv[1])).open_log()
store.recover()
slot = 31
while True:
    store.write([LogWrite(None, (record(slot),), Slot(slot - 3))])
    store.compact(Slot(slot - 3000), slots_max=4)
    if slot == 3000:
        print("started", flush=True)
    slot += 1
"""
LOOKS = 30


def test_both_look_at_a_directory_that_is_being_written(replog: Replog, directory: Path) -> None:
    """A writer that commits as fast as it can neither hides nor fakes anything, and is named."""
    shutil.rmtree(directory / STATE_FOLDER)
    command = [sys.executable, "-c", WRITE_WITHOUT_END, str(directory)]
    with subprocess.Popen(command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as child:
        try:
            assert child.stdout is not None
            assert child.stdout.readline() == "started\n"
            chosen = []
            for _look in range(LOOKS):
                fields = replog("inspect", directory, "--json").fields
                assert fields["holder"] == str(child.pid)
                assert [slot["status"] for slot in fields["log"]["slots"][-4:]] == ["chosen", *["accepted"] * 3]
                chosen.append(fields["log"]["chosen_through"])
                assert replog("verify", directory, "--json").fields["findings"] == []
        finally:
            child.kill()
    assert chosen == sorted(chosen)
    assert chosen[-1] > chosen[0]


def test_a_name_that_is_no_unicode_is_a_name(replog: Replog, tmp_path: Path) -> None:
    """File systems take any bytes."""
    place = tmp_path / "d\udcff"
    assert replog("init", place, "--node", "n1", "--member", "n1=h:1").code == 0
    for word in ("inspect", "verify"):
        told = replog(word, place)
        assert (told.code, "d\\udcff" in told.out) == (0, True), told.err


def test_an_interrupted_formatting_is_called_so(replog: Replog, tmp_path: Path) -> None:
    """By every command that meets it, with what to do; a folder of something else is called that."""
    (tmp_path / "half" / "log").mkdir(parents=True)
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "letter.txt").touch()
    again = replog("init", tmp_path / "half", "--node", "n1", "--member", "n1=h:1")
    assert (again.code, "formatting was interrupted" in again.err) == (4, True)
    assert "remove the directory and format it again" in again.err
    assert "formatting was interrupted" in replog("inspect", tmp_path / "half").err
    other = replog("init", tmp_path / "other", "--node", "n1", "--member", "n1=h:1")
    assert (other.code, "is not empty (it has letter.txt)" in other.err) == (4, True)


def test_a_place_where_nothing_can_be_made_is_no_broken_disk(replog: Replog, tmp_path: Path) -> None:
    """The name is wrong, and nothing was done."""
    (tmp_path / "file").touch()
    for place in (tmp_path / "file", tmp_path / "file" / "below", tmp_path / ("x" * 300)):
        told = replog("init", place, "--node", "n1", "--member", "n1=h:1")
        assert (told.code, "can't be formatted" in told.err) == (4, True), told.err
