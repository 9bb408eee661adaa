"""Records a node's life, turn by turn, so that ``replog sim --replay-record`` can live it again.

A turn is written when it has ended, however it ended, so a record lacks at most the turn in which a process was killed.
The beginning of a life is kept, because only what is whole from its beginning on can be lived again; what comes when
half of the room is used goes to a second and a third file that take turns, so that the newest is there to be read.

What can't be written is not recorded: the node goes on, and says so once.

Never: change what the node does; write contents unless told to.
"""

from __future__ import annotations

import errno
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import attrs
import msgspec
import structlog

from ..apply.command_loop import Outcome
from ..errors import ConfigError, error_text
from ..paxos.ballot import NodeId, node_name
from ..paxos.recovered import Recovered
from .driver import Driver
from .events import ClientMessages, Event, PeerMessages, SlotsRead, StateJobDone
from .fence import Around, Sight, fenced
from .record_contents import Contents
from .record_format import (
    MAGIC,
    Beginning,
    Call,
    Entry,
    JobDone,
    Put,
    RecordedEvent,
    Seen,
    Turn,
    encode_frame,
)
from .record_lines import stands_line
from .report import RELEASE
from .state_jobs import Job, OpenSnapshot, ReadChunk, Scrub

log = structlog.get_logger(__name__)

_T = TypeVar("_T")

RECORD_BYTES_MIN = 2**20
OLDER, NEWEST, BEFORE = ".older", ".newest", ".before"
"""What is added to the record's name: for the two files of the newest turns, and for the life before this one."""

_encode = msgspec.msgpack.Encoder().encode


def _as_it_is(answer: Any) -> Any:
    return answer


class Recorder:
    """The writing tape of one life. Made by whoever starts a node; the node calls ``around`` and ``begin``.

    Parameters
    ----------
    path: of the record; one that is there is that of the life before, and is kept once.
    bytes_max: of all files of the record.
    is_with_contents: what clients say and are told, and what the state holds, are recorded as they are.
    """

    def __init__(self, path: Path, *, bytes_max: int, is_with_contents: bool) -> None:
        if bytes_max < RECORD_BYTES_MIN:
            raise ConfigError(f"a record needs room for {RECORD_BYTES_MIN:,} bytes at least, not {bytes_max:,}.")
        self.contents = Contents(is_kept=is_with_contents)
        self.node = NodeId(0)
        self._files = _Files(path, bytes_max)
        self._driver: Driver
        self._is_inside = True
        self._entries: list[Entry] = []
        self._events: list[RecordedEvent] = []
        self._events_before = 0
        self._ends_s = 0.0
        self._readings = 0
        self._is_calling = False
        self._over_at = 0

    def around(self, node: NodeId, around: Around) -> Around:
        """With a fence that tells this tape."""
        self.node = node
        self._files.log = log.bind(node=node_name(node))
        return fenced(self, around)

    def begin(self, driver: Driver, *, recovered: Recovered, seed: int, now_s: float, time_ms: int) -> None:
        """A driver was made; from here on its events and turns go through this.

        Raises ``ConfigError`` if the record can't be written.
        """
        self._driver = driver
        accepted = tuple(self.contents.slots(list(recovered.accepted)))
        beginning = Beginning(
            release=RELEASE,
            is_with_contents=self.contents.is_kept,
            node=self.node,
            seeds=driver.following.reach.seeds,
            paxos=attrs.asdict(driver.replica.options),
            options=attrs.asdict(driver.options),
            recovered=msgspec.structs.replace(recovered, accepted=accepted),
            seed=seed,
            now_s=now_s,
            time_ms=time_ms,
            entries=self._entries,
        )
        self._files.begin(encode_frame(beginning))
        self._is_inside = False

    def close(self) -> None:
        """Nothing is recorded any more."""
        self._files.close()

    # --- the driver's doors ---

    def put(self, event: Event) -> None:
        """See ``Driver.put``."""
        recorded = _recorded(event, self.contents)
        if self._is_inside:
            self._entries.append(Put(recorded))
        else:
            self._events.append(recorded)
        self._driver.put(event)

    def turn(self, now_s: float, time_ms: int) -> None:
        """See ``Driver.turn``."""
        driver = self._driver
        self._is_inside, self._entries = True, []
        self._readings = self._over_at = 0
        self._ends_s = now_s + driver.options.turn_s_max
        events, self._events = self._events, []
        first_event = self._events_before + 1
        self._events_before += len(events)
        failed = ""
        try:
            driver.turn(now_s, time_ms)
        except BaseException as error:
            failed = type(error).__name__
            raise
        finally:
            self._is_inside = False
            stands = "" if failed else stands_line(driver)
            over_at, entries = self._over_at, self._entries
            turn = Turn(driver.turns, first_event, events, now_s, time_ms, over_at, entries, stands, failed)
            self._files.write(encode_frame(turn))

    # --- ``fence.Tape`` ---

    def call(self, line: str, kind: Any, act: Callable[[], _T], hide: Callable[[_T], Any] = _as_it_is) -> _T:
        """Let it through; outside a turn nothing is noted, because nothing follows from it."""
        if not self._is_inside:
            return act()
        self._is_calling = True
        try:
            answer = act()
        except BaseException as error:
            told_bytes = msgspec.Raw(_encode(len(error_text(error))))
            self._entries.append(Call(line, told_bytes, type(error).__name__))
            raise
        finally:
            self._is_calling = False
        self._entries.append(Call(line, msgspec.Raw(_encode(hide(answer)))))
        return answer

    def seen(self, sight: Sight, look: Callable[[], int]) -> int:
        """Noted where it differs from what was seen before."""
        value = int(look())
        if self._is_inside and value != sight.value:
            sight.value = value
            self._entries.append(Seen(sight.name, value))
        return value

    def reading(self, clock: Callable[[], float]) -> float:
        """All that follows from the time is whether the turn is over."""
        now_s = clock()
        if self._is_calling:
            return now_s  # what follows from it is in the answer
        self._readings += 1
        if not self._over_at and now_s >= self._ends_s:
            self._over_at = self._readings
        return now_s

    def concerns(self, outcome: Outcome) -> bool:
        return self._driver.clients.is_awaited(outcome[0])


def _recorded(event: Event, contents: Contents) -> RecordedEvent:
    match event:
        case PeerMessages(peer, messages):
            return PeerMessages(peer, list(map(contents.message, messages)))
        case ClientMessages(client, asked):
            return ClientMessages(client, list(map(contents.client_message, asked)))
        case SlotsRead(target, slots):
            return SlotsRead(target, contents.slots(slots))
        case StateJobDone(job, result, None):
            return JobDone(_plain(job, result, contents))
        case StateJobDone(_, _, error):
            return JobDone(None, type(error).__name__)
    return event


def _plain(job: Job, result: Any, contents: Contents) -> Any:
    """What a job found, as plain values."""
    match job:
        case Scrub():
            place, damaged = result
            return contents.data(place), len(damaged)
        case OpenSnapshot():
            return result.name, result.applied_through
        case ReadChunk():
            data, is_last = result
            return contents.data(data), is_last
    return result


class _Files:
    """Half of the room for the beginning of the life, a quarter each for two files of the newest turns."""

    def __init__(self, path: Path, bytes_max: int) -> None:
        self._path = path
        self._bytes_max = bytes_max
        self._room_bytes = 0
        self._is_whole = True
        self._descriptor = -1
        self._head = b""
        self.log = log

    def begin(self, frame: bytes) -> None:
        try:
            for suffix in ("", OLDER, NEWEST):
                _move(self._named(suffix), self._named(BEFORE + suffix))
            self._open("", self._bytes_max // 2)
        except OSError as error:
            raise ConfigError(f"the record {self._path} can't be written: {error.strerror}.") from error
        self.write(frame)

    def write(self, frame: bytes) -> None:
        if self._descriptor < 0:
            return
        try:
            if len(frame) > self._room_bytes:
                if not self._is_whole:
                    _move(self._named(NEWEST), self._named(OLDER))
                self._is_whole = False
                self._open(NEWEST, self._bytes_max // 4)
            if len(frame) <= self._room_bytes:
                self._append(frame)
        except OSError as error:
            self.close()
            self.log.warning("record_ended", path=str(self._path), reason=error.strerror)

    def close(self) -> None:
        if self._descriptor >= 0:
            os.close(self._descriptor)
            self._descriptor = -1

    def _named(self, suffix: str) -> Path:
        return self._path.with_name(self._path.name + suffix)

    def _open(self, suffix: str, room_bytes: int) -> None:
        self.close()
        self._descriptor = os.open(self._named(suffix), os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
        self._room_bytes = room_bytes - len(MAGIC)
        self._head = MAGIC

    def _append(self, frame: bytes) -> None:
        """Raises ``OSError``, also where only a part was taken: what would follow could not be read."""
        data, self._head = self._head + frame, b""
        self._room_bytes -= len(frame)
        if os.write(self._descriptor, data) < len(data):
            raise OSError(errno.ENOSPC, "there is no room left")


def _move(path: Path, target: Path) -> None:
    """A file that is not there takes its namesake with it: what is kept belongs to one life."""
    if path.exists():
        path.replace(target)
    else:
        target.unlink(missing_ok=True)
