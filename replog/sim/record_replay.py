"""Lives a recorded life of a node again: the same driver, with the record in place of its world.

What the driver calls is compared with what it called then, line by line, and gets the answer that it got then. The
first difference ends the life, and is told with the events of its turn: the program is another one, or it does not
follow from what is recorded.

The newest turns of a record that had no room for all of a life are told, and not lived: what they rest on is gone.

Never: touch a disk, but to read the record; take anything but the record for an answer.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any, NoReturn, TypeVar, cast

import attrs
import msgspec

from ..apply.command_loop import Outcome
from ..errors import ConfigError, Damaged, Lacking, StorageError, StorageFull
from ..node.events import Event, StateJobDone
from ..node.fence import Around, Jobs, Sight, fenced
from ..node.life import Origin, begin_life
from ..node.ports import Ports
from ..node.record_contents import Contents
from ..node.record_format import Beginning, Call, Entry, JobDone, Put, RecordedEvent, Seen, Turn, read_frames
from ..node.record_lines import event_line, stands_line
from ..node.recording import NEWEST, OLDER
from ..node.settings import NodeOptions
from ..node.state_jobs import Job, OpenSnapshot, ReadChunk, Scrub
from ..paxos.ballot import Slot, node_name
from ..paxos.options import PaxosOptions

_T = TypeVar("_T")
Say = Callable[[str], None]

_ERRORS: dict[str, type[Exception]] = {error.__name__: error for error in (Damaged, Lacking, StorageError, StorageFull)}
_NOTHING = "nothing more"


class RecordedDifference(msgspec.Struct, frozen=True):
    """Where a life went another way.

    Parameters
    ----------
    turn: its number; 0: the beginning.
    first_event, last_event: numbers of the events that the turn took in; none if the last is below the first.
    events: a line each.
    recorded, here: what the node did, and what this program does.
    """

    turn: int
    first_event: int
    last_event: int
    events: list[str]
    recorded: str
    here: str

    def __str__(self) -> str:
        numbers = f"{self.first_event}" if len(self.events) == 1 else f"{self.first_event}..{self.last_event}"
        at = f", event {numbers} ({'; '.join(self.events)})" if self.events else ", without an event"
        return f"turn {self.turn}{at}: the node: {self.recorded}; here: {self.here}"


class RecordReplay(msgspec.Struct, frozen=True):
    """What became of a record.

    ``turns_told``: the newest ones, which were not lived. ``ended``: the error that ended the node, as far as the
    record goes.
    """

    node: str
    release: str
    turns: int
    events: int
    turns_told: int
    ended: str
    difference: RecordedDifference | None


class _Differs(BaseException):
    """No code on the way may take this for something that it knows how to handle."""

    def __init__(self, recorded: str, here: str) -> None:
        super().__init__(recorded, here)
        self.recorded = recorded
        self.here = here


class E(Exception):
    """Stands for an error of another name; what a client is told of it is as long as it was."""

    def __init__(self, name: str, told_bytes: int) -> None:
        super().__init__(" " * (told_bytes - len("E: ")))
        self.name = name


@attrs.frozen
class _Snapshot:
    """A snapshot that was opened; satisfies ``state.contract.StateSnapshot``."""

    name: bytes
    applied_through: Slot

    def read(self, position: int, bytes_max: int) -> tuple[bytes, bool]:
        raise AssertionError("jobs are not performed here")

    def close(self) -> None:
        """Nothing is held."""


def _as_it_is(answer: Any) -> Any:
    return answer


class _ReadingTape:
    """Satisfies ``fence.Tape``: each call must be the next one of the record, whose answer it gets."""

    def __init__(self, beginning: Beginning, say: Say) -> None:
        self.node = beginning.node
        self.contents = Contents(is_kept=True)
        self.put: Callable[[RecordedEvent], None]
        self.differs: _Differs | None = None
        self._say = say
        self._known: dict[str, int] = {}
        self._readings = 0
        self._over_at = 0
        self.begin(beginning.entries, 0)

    def begin(self, entries: Iterable[Entry], over_at: int) -> None:
        """Another turn."""
        self._entries = deque(entries)
        self._readings, self._over_at = 0, over_at

    def call(
        self, line: str, kind: Any, act: Callable[[], _T], hide: Callable[[_T], Any] = lambda answer: answer
    ) -> _T:
        call = self._next_call()
        if call is None or call.line != line:
            self.differ(_NOTHING if call is None else call.line, line)
        self._say(f"    {line}")
        if call.error:
            raise _error(call.error, msgspec.msgpack.decode(call.answer, type=int))
        return cast(_T, msgspec.msgpack.decode(call.answer, type=kind))

    def _next_call(self) -> Call | None:
        while self._entries:
            match self._entries.popleft():
                case Seen(name, value):
                    self._known[name] = value
                case Put(event):
                    self.put(event)
                case call:
                    return call
        return None

    def end(self) -> None:
        """The turn is over; so it must be in the record."""
        call = self._next_call()
        if call is not None:
            self.differ(call.line, _NOTHING)

    def differ(self, recorded: str, here: str) -> NoReturn:
        """Only the first difference counts: what comes after it may follow from it."""
        self.differs = self.differs or _Differs(recorded, here)
        raise self.differs

    def seen(self, sight: Sight, look: Callable[[], int]) -> int:
        entry = self._entries[0] if self._entries else None
        if isinstance(entry, Seen) and entry.name == sight.name:
            self._entries.popleft()
            self._known[entry.name] = entry.value
        if sight.name not in self._known:
            self.differ(entry.line if isinstance(entry, Call) else _NOTHING, f"looks at what {sight.name} is")
        return self._known[sight.name]

    def reading(self, clock: Callable[[], float]) -> float:
        self._readings += 1
        return math.inf if 0 < self._over_at <= self._readings else -math.inf

    def concerns(self, outcome: Outcome) -> bool:
        return True


class _Life:
    """One driver, from its beginning on."""

    def __init__(self, beginning: Beginning, say: Say) -> None:
        self._say = say
        self.node = beginning.node
        self.tape = _ReadingTape(beginning, say)
        nowhere: Any = None
        ports = Ports(log=nowhere, state=nowhere, peers=nowhere, clients=nowhere)
        around = fenced(
            self.tape,
            Around(make_applier=nowhere, state_store=nowhere, ports=ports, clock=nowhere, log=nowhere, status=nowhere),
        )
        jobs = around["ports"].state
        assert isinstance(jobs, Jobs)
        self._jobs = jobs
        self._stood = ""
        self.tape.put = self._put
        origin = Origin(
            node=beginning.node,
            seeds=beginning.seeds,
            paxos=PaxosOptions(**beginning.paxos),
            options=NodeOptions(**beginning.options),
            recovered=beginning.recovered,
            seed=beginning.seed,
            now_s=beginning.now_s,
            time_ms=beginning.time_ms,
        )
        self._driver, _ = begin_life(origin, around)
        self.tape.end()

    def _put(self, event: RecordedEvent) -> None:
        self._driver.put(_lived(event, self._jobs.job))

    def take(self, turn: Turn) -> RecordedDifference | None:
        """Live one turn, and tell it."""
        for line in _told(turn, self.node):
            self._say(line)
        try:
            self._take(turn)
        except _Differs as differs:
            return _difference(turn, self.node, differs)
        return None

    def _take(self, turn: Turn) -> None:
        tape, driver = self.tape, self._driver
        tape.begin(turn.entries, turn.over_at)
        ended = stands = text = ""
        try:
            for event in turn.events:
                self._put(event)
            driver.turn(turn.now_s, turn.time_ms)
            stands = stands_line(driver)
        except KeyboardInterrupt:
            raise
        except E as error:
            ended = error.name
        except BaseException as error:
            ended, text = type(error).__name__, str(error)
        if tape.differs is not None:
            raise tape.differs
        if ended != turn.error:
            tape.differ(_ending(turn.error, ""), _ending(ended, text))
        tape.end()
        if stands != turn.stands:
            tape.differ(f"stands at {turn.stands}", f"stands at {stands}")
        position = stands.rpartition(",")[0]
        if position and position != self._stood:
            self._say(f"    stands at {position}")
            self._stood = position


def _ending(error: str, text: str) -> str:
    return f"the turn ends with {error}{text and ': '}{text}" if error else "the turn ends well"


def _told(turn: Turn, node: Any) -> Iterator[str]:
    """A turn and its events."""
    yield f"turn {turn.number} at {turn.now_s:.6f} s, clock {turn.time_ms} ms"
    for number, event in enumerate(turn.events, turn.first_event):
        yield f"  event {number}: {event_line(node, event)}"


def _difference(turn: Turn, node: Any, differs: _Differs) -> RecordedDifference:
    lines = [event_line(node, event) for event in turn.events]
    last = turn.first_event + len(lines) - 1
    return RecordedDifference(turn.number, turn.first_event, last, lines, differs.recorded, differs.here)


def _error(name: str, told_bytes: int) -> Exception:
    """One that came out of something that is not here; the driver knows some of them."""
    return _ERRORS[name]("as recorded") if name in _ERRORS else E(name, told_bytes)


def _lived(event: RecordedEvent, job: Job | None) -> Event:
    """As the driver takes it."""
    if not isinstance(event, JobDone):
        return event
    assert job is not None, "a job is done that was not begun"
    if event.error:
        return StateJobDone(job, None, _error(event.error, 0))
    match job:
        case Scrub():
            place, damaged = event.result
            return StateJobDone(job, (place, [Damaged("as recorded")] * damaged), None)
        case OpenSnapshot():
            return StateJobDone(job, _Snapshot(*event.result), None)
        case ReadChunk():
            return StateJobDone(job, tuple(event.result), None)
    return StateJobDone(job, event.result, None)


def replay_record(path: Path, say: Say) -> RecordReplay:
    """Live a record again and tell it line by line, as far as it goes or until something differs.

    Raises ``ConfigError`` if it is no record.
    """
    frames = read_frames(path)
    beginning = next(frames, None)
    if not isinstance(beginning, Beginning):
        raise ConfigError(f"{path} holds no beginning of a life: it was cut there, or it is a part of another record.")
    recovered = beginning.recovered
    say(
        f"{node_name(beginning.node)} of release {beginning.release or 'unknown'} begins with promise "
        f"{recovered.promise}, chosen through {recovered.chosen_through}"
    )
    difference: RecordedDifference | None = None
    turns = events = 0
    ended = ""
    try:
        life = _Life(beginning, say)
    except _Differs as differs:
        difference = RecordedDifference(0, 1, 0, [], differs.recorded, differs.here)
    else:
        for turn in frames:
            assert isinstance(turn, Turn), "a life begins once"
            difference = life.take(turn)
            turns, events, ended = turns + 1, events + len(turn.events), turn.error
            if difference is not None:
                break
    told = 0 if difference is not None else _tell_newest(path, beginning, say)
    name = node_name(beginning.node)
    return RecordReplay(name, beginning.release, turns, events, told, ended, difference)


def _tell_newest(path: Path, beginning: Beginning, say: Say) -> int:
    """The turns for which the beginning's file had no room; returns their number."""
    turns = 0
    for suffix in (OLDER, NEWEST):
        newest = path.with_name(path.name + suffix)
        if not newest.exists():
            continue
        for turn in read_frames(newest):
            assert isinstance(turn, Turn), "a life begins once"
            turns += 1
            for line in _told(turn, beginning.node):
                say(f"told only: {line}")
            for entry in turn.entries:
                if isinstance(entry, Call):
                    say(f"told only:     {entry.line}")
    return turns
