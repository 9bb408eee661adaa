"""A recorded life is lived again without a difference; with another program, or another record, it names one."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, TypeVar

import attrs
import crc32c
import msgspec
import pytest

from replog.apply.outcomes import Replies
from replog.apply.submissions import Commands, decode_submission
from replog.cli.app import build_app
from replog.cli_kit import run
from replog.errors import ConfigError
from replog.node import recording
from replog.node.events import ClientMessages, Event, LogFull, PeerMessages
from replog.node.record_contents import Contents
from replog.node.record_format import MAGIC, Applied, Beginning, Call, Put, Turn, encode_frame, read_frames
from replog.node.recording import Recorder
from replog.paxos.acceptor import Acceptor
from replog.paxos.ballot import Ballot, NodeId, Slot
from replog.paxos.effects import LogWrite
from replog.paxos.messages import Accept, AcceptedSlot, Learn, Promise, SnapshotChunk
from replog.paxos.values import Batch, encode_value
from replog.sim.conditions import HostOptions
from replog.sim.ports import SimLogPort
from replog.sim.record_replay import RecordReplay, replay_record
from replog.sim.runner import Simulation
from replog.sim.workload import RegisterWorkload
from replog.wire.client_messages import Query, Submit

_T = TypeVar("_T")

STEPS = 1_500
ROOM_BYTES = 2**26
SEED = 15
"""Three long lives with many commands and reads."""


def as_it_is(answer: Any) -> Any:
    return answer


class Eavesdropper(Recorder):
    """Remembers what must not be in a record."""

    def __init__(self, path: Path, **options: Any) -> None:
        super().__init__(path, **options)
        self.path = path
        self.heard: set[bytes] = set()

    def put(self, event: Event) -> None:
        super().put(event)
        for message in event.messages if isinstance(event, ClientMessages) else ():
            if isinstance(message, Submit):
                submission = decode_submission(message.submission)
                self.heard |= {message.secret, submission.key}
                self.heard.update(submission.payloads if isinstance(submission, Commands) else ())
            elif isinstance(message, Query):
                self.heard.update(message.requests)

    def call(self, line: str, kind: Any, act: Callable[[], _T], hide: Callable[[_T], Any] = as_it_is) -> _T:
        answer = super().call(line, kind, act, hide)
        if isinstance(answer, Applied):
            told = [told for key, told, weight in answer.outcomes or () if self.concerns((key, told, weight))]
            self.heard.update(*(one.replies for one in told if isinstance(one, Replies)))
        elif line.startswith("answers a read"):
            assert isinstance(answer, bytes)
            self.heard.add(answer)
        return answer


def record_lives(
    folder: Path,
    seed: int = SEED,
    *,
    is_with_contents: bool = False,
    bytes_max: int = ROOM_BYTES,
    tune: Callable[[HostOptions], None] = lambda _options: None,
    on_record: Callable[[Eavesdropper], None] = lambda _recorder: None,
) -> list[Path]:
    """Every life of every process of one simulated cluster."""
    simulation = Simulation(seed, replicas=3, workload=RegisterWorkload(), steps=STEPS, trace=None)
    recorders: list[Eavesdropper] = []

    def new_recorder() -> Recorder:
        path = folder / f"{seed}-{len(recorders)}.record"
        recorders.append(Eavesdropper(path, bytes_max=bytes_max, is_with_contents=is_with_contents))
        return recorders[-1]

    for host in simulation.hosts.values():
        host.new_recorder = new_recorder
        tune(host.options)
    simulation.run()
    for recorder in recorders:
        recorder.close()
        on_record(recorder)
    return [recorder.path for recorder in recorders]


def replayed(path: Path) -> RecordReplay:
    return replay_record(path, lambda _line: None)


def turns_of(path: Path) -> Iterator[Turn]:
    return (frame for frame in read_frames(path) if isinstance(frame, Turn))


def longest(paths: list[Path]) -> Path:
    return max(paths, key=lambda path: path.stat().st_size)


def accepts_one(turn: Turn) -> bool:
    """Whether all that came was one new slot, which was written."""
    match turn.events:
        case [PeerMessages(_, [Accept()])]:
            return any(isinstance(entry, Call) and " writes slots " in entry.line for entry in turn.entries)
    return False


def first_accept(paths: list[Path]) -> tuple[Path, Turn]:
    """A turn of a follower, and its record."""
    return next((path, turn) for path in paths for turn in turns_of(path) if accepts_one(turn))


def rewrite(path: Path, change: Callable[[Turn], Turn]) -> None:
    """The record with other turns."""
    frames = [frame if isinstance(frame, Beginning) else change(frame) for frame in read_frames(path)]
    path.write_bytes(MAGIC + b"".join(map(encode_frame, frames)))


@pytest.mark.parametrize("is_with_contents", [False, True])
@pytest.mark.parametrize("seed", [1, 2, 8, 20])
def test_every_simulated_life_can_be_lived_again(tmp_path: Path, seed: int, is_with_contents: bool) -> None:
    """Elections, installs, damage, full disks and failures: all of it follows from what is recorded."""
    for path in record_lives(tmp_path, seed, is_with_contents=is_with_contents):
        told = replayed(path)
        assert told.difference is None, str(told.difference)
        assert told.turns == len(list(turns_of(path))) > 0


def test_turns_that_are_cut_short_are_cut_at_the_same_place(tmp_path: Path) -> None:
    """Applying takes longer than a turn may: where the clock cut it is recorded."""

    def tune(options: HostOptions) -> None:
        options.apply_s = 0.007
        options.node = attrs.evolve(options.node, apply_slots_max=64, log_tail_slots=0, turn_s_max=0.01)

    paths = record_lives(tmp_path, 11, tune=tune)
    turns = [turn for path in paths for turn in turns_of(path)]
    assert any(turn.over_at for turn in turns)
    for path in paths:
        assert replayed(path).difference is None


def test_what_comes_within_a_turn_is_recorded_in_its_place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A port may say something while it is called, as a log that is written without a thread does."""
    write = SimLogPort.write

    def talkative(port: SimLogPort, ticket: int, asked: LogWrite, *, may_wait: bool) -> bool:
        port._host.put(LogFull(port._host.weather.is_full))
        return write(port, ticket, asked, may_wait=may_wait)

    monkeypatch.setattr(SimLogPort, "write", talkative)
    paths = record_lives(tmp_path, 11)
    assert any(isinstance(entry, Put) for path in paths for turn in turns_of(path) for entry in turn.entries)
    for path in paths:
        assert replayed(path).difference is None


@pytest.mark.parametrize("is_right", [True, False])
def test_a_checksum_without_contents_is_right_where_it_was(is_right: bool) -> None:
    """The core refuses in another life what it refused in the first."""
    contents = Contents(is_kept=False)
    value = encode_value(Batch(1_700_000_000_000, [b"no submission", b"\x92\x01 nor this"]))
    ballot, crc = Ballot(1, NodeId(1)), crc32c.crc32c(value) if is_right else 7
    slot = AcceptedSlot(Slot(1), ballot, crc, value)
    accept = contents.message(Accept(ballot, Slot(1), crc, value, Slot(0)))
    promise = contents.message(Promise(ballot, Slot(0), Slot(0), 0, 1, (slot,)))
    learn = contents.message(Learn(Slot(1), (slot,)))
    piece = contents.message(SnapshotChunk(b"name", Slot(1), 0, crc, True, value))
    assert isinstance(accept, Accept)
    assert isinstance(promise, Promise)
    assert isinstance(learn, Learn)
    assert isinstance(piece, SnapshotChunk)
    for hidden in (accept, promise.accepted[0], learn.slots[0]):
        assert (len(hidden.value), hidden.value != value) == (len(value), True)
        assert (crc32c.crc32c(hidden.value) == hidden.crc) is is_right
    assert piece.data == bytes(len(value))
    assert (crc32c.crc32c(piece.data) == piece.crc) is is_right


@pytest.mark.parametrize("is_with_contents", [False, True])
def test_contents_are_written_when_they_are_asked_for_and_not_else(tmp_path: Path, is_with_contents: bool) -> None:
    """Commands and reads with their answers, secrets and keys are in no frame of a node's record, or in one."""
    heard: set[bytes] = set()
    found: set[bytes] = set()

    def look(recorder: Eavesdropper) -> None:
        written = b"".join(map(msgspec.msgpack.encode, read_frames(recorder.path)))
        telling = {one for one in recorder.heard if len(one) > 4}
        heard.update(telling)
        found.update(one for one in telling if one in written)

    record_lives(tmp_path, is_with_contents=is_with_contents, on_record=look)
    assert len(heard) > 30
    assert found == (heard if is_with_contents else set())


def test_another_program_is_told_at_the_event_where_it_shows(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An acceptor that lets an Accept lie: the node wrote and answered where this one does not."""
    path, turn = first_accept(record_lives(tmp_path))
    (event,) = turn.events
    assert isinstance(event, PeerMessages)
    (lying,) = event.messages
    on_accept = Acceptor.on_accept

    def forgetful(self: Acceptor, sender: NodeId, message: Accept) -> None:
        if message != lying:
            on_accept(self, sender, message)

    monkeypatch.setattr(Acceptor, "on_accept", forgetful)
    difference = replayed(path).difference
    assert difference is not None
    assert (difference.turn, difference.first_event, difference.last_event) == (turn.number, *[turn.first_event] * 2)
    assert f"turn {turn.number}, event {turn.first_event} (" in str(difference)
    assert "Accept " in difference.events[0]
    assert "writes" in difference.recorded


def test_another_record_is_told_at_the_event_where_it_shows(tmp_path: Path) -> None:
    """An event is taken away: what the node did in that turn does not follow any more."""
    path, accepting = first_accept(record_lives(tmp_path))
    rewrite(path, lambda turn: msgspec.structs.replace(turn, events=[]) if turn == accepting else turn)
    difference = replayed(path).difference
    assert difference is not None
    assert difference.turn == accepting.number
    assert "writes" in difference.recorded


def test_what_changes_silently_is_told_at_its_turn(tmp_path: Path) -> None:
    """Nothing was called otherwise, but the node stood elsewhere afterwards."""
    path = longest(record_lives(tmp_path))

    def elsewhere(turn: Turn) -> Turn:
        return msgspec.structs.replace(turn, stands=turn.stands + " or so") if turn.number == 7 else turn

    rewrite(path, elsewhere)
    difference = replayed(path).difference
    assert difference is not None
    assert (difference.turn, difference.recorded) == (7, f"{difference.here} or so")


def test_a_record_that_is_cut_anywhere_is_lived_as_far_as_it_is_whole(tmp_path: Path) -> None:
    """A process that is killed leaves a part of a frame; a byte that is wrong ends the record, too."""
    path = longest(record_lives(tmp_path))
    data, turns = path.read_bytes(), replayed(path).turns
    for cut in range(len(data) // 2, len(data), 997):
        path.write_bytes(data[:cut])
        told = replayed(path)
        assert told.difference is None
        assert 0 < told.turns < turns
    path.write_bytes(data[: len(data) // 2] + bytes([data[len(data) // 2] ^ 1]) + data[len(data) // 2 + 1 :])
    assert 0 < replayed(path).turns < turns


def test_what_is_no_record_is_refused(tmp_path: Path) -> None:
    """Another file, another version, and a piece of a record without its beginning."""
    path = tmp_path / "some.record"
    for data in (b"", b"SQLite format 3", b"replog record 0\n", MAGIC, MAGIC + b"\0\0"):
        path.write_bytes(data)
        with pytest.raises(ConfigError, match=r"some\.record"):
            replayed(path)
    with pytest.raises(ConfigError, match=r"missing\.record can't be read"):
        replayed(tmp_path / "missing.record")


def test_a_record_keeps_its_beginning_and_its_newest_turns_in_the_room_it_has(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The beginning is lived, the newest turns are told, and what was between is gone."""
    monkeypatch.setattr(recording, "RECORD_BYTES_MIN", 0)
    whole = longest(record_lives(tmp_path))
    (tmp_path / "small").mkdir()
    small = tmp_path / "small" / whole.name
    record_lives(small.parent, bytes_max=16_384)
    assert sum(path.stat().st_size for path in small.parent.glob(f"{small.name}*")) <= 16_384
    story: list[str] = []
    told = replay_record(small, story.append)
    assert told.difference is None
    assert small.with_name(small.name + ".older").exists()
    assert told.turns > 0 < told.turns_told < replayed(whole).turns - told.turns
    last = list(turns_of(whole))[-1].number
    assert [line for line in story if line.startswith(f"told only: turn {last} ")]
    assert not [line for line in story if line.startswith(f"told only: turn {told.turns} ")]


def test_the_life_before_is_kept_once(tmp_path: Path) -> None:
    """A node that is started again by a supervisor does not write over the life that ended."""
    path = longest(record_lives(tmp_path))
    data = path.read_bytes()
    path.with_name(path.name + ".newest").write_bytes(MAGIC)
    record_lives(tmp_path)
    assert path.with_name(path.name + ".before").read_bytes() == data
    assert path.with_name(path.name + ".before.newest").read_bytes() == MAGIC
    record_lives(tmp_path)
    assert not path.with_name(path.name + ".before.newest").exists()


def test_a_record_that_can_not_be_written_is_let_go(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The node goes on, and what was written till then can be lived again."""
    write, left = os.write, [40]

    def fill(descriptor: int, data: bytes) -> int:
        left[0] -= 1
        return write(descriptor, data) if left[0] > 0 else write(descriptor, data[:7])

    monkeypatch.setattr("replog.node.recording.os.write", fill)
    path = record_lives(tmp_path)[0]
    told = replayed(path)
    assert told.difference is None
    assert 0 < told.turns < 40


def test_the_command_tells_a_record_and_what_differs(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Exit code 0 and 1, as lines and as JSON."""
    path = longest(record_lives(tmp_path))
    words = ["sim", "--replay-record", str(path)]
    assert run(build_app(words), words) == 0
    lines = capsys.readouterr().out.splitlines()
    assert any(line.startswith("  event 1: ") for line in lines)
    assert lines[-1].startswith("SAME: n")
    rewrite(path, lambda turn: msgspec.structs.replace(turn, stands="") if turn.number == 3 else turn)
    assert run(build_app(words), words) == 1
    assert "DIFFERS: n" in capsys.readouterr().out
    words.append("--json")
    assert run(build_app(words), words) == 1
    assert json.loads(capsys.readouterr().out)["difference"]["turn"] == 3
