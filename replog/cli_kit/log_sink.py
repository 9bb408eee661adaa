"""stderr for a process that must not depend on it: never raises, never waits, and counts what it lost.

Whoever reads a log may go away, stop reading, or have a full disk; none of this is a reason for a node to end or to
wait. So lines are kept in memory, up to a limit, and a thread of their own writes them. What finds no room, and what
could not be written, is lost and counted; as soon as a line was written again, the next one is followed by one that
says how many are missing (``log_lines_lost``, also among a node's counters).

Never: raise; wait, but for a moment when the process ends.
"""

from __future__ import annotations

import atexit
import codecs
import contextlib
import errno
import io
import os
import select
import sys
import threading
from collections import deque
from collections.abc import Callable
from typing import Final

from replog.process.resources import losses

BYTES_MAX: Final = 4 * 2**20
"""Lines that wait to be written."""
LEAVE_S: Final = 1.0
"""So long the end of the process waits for them."""
_PAUSE_S: Final = 0.5
"""After an error, before the next line is tried: a full disk may have room again."""
LOST: Final = "log_lines_lost"


class LogSink(io.TextIOBase):
    """Text in, bytes out, in order; safe to call from any thread.

    Parameters
    ----------
    descriptor: where lines go; stays its owner's.
    encoding: of what is written there; what it has no character for is escaped.
    """

    def __init__(self, descriptor: int, *, bytes_max: int = BYTES_MAX, encoding: str = "utf-8") -> None:
        self._descriptor = descriptor
        self._encoding = encoding
        self._encoder = codecs.getincrementalencoder(encoding)("backslashreplace")
        self._bytes_max = bytes_max
        self._waiting: deque[bytes] = deque()
        self._waiting_bytes = 0
        self._changed = threading.Condition()
        self._is_ending = False
        self._is_gone = False
        self._is_well = False
        self._untold = 0
        self._is_telling = False
        self.on_lost: Callable[[int], object] = lambda _count: None
        """Called with how many lines are missing, when there is somebody to read it; logs it."""
        self._thread = threading.Thread(target=self._write_forever, name="log", daemon=True)
        try:
            self._thread.start()
        except RuntimeError:
            self._is_gone = True  # no thread at this moment: a node without a log is better than none

    # --- a text stream ---

    @property
    def encoding(self) -> str:  # type: ignore[override]
        return self._encoding

    def writable(self) -> bool:
        return True

    def isatty(self) -> bool:
        try:
            return os.isatty(self._descriptor)
        except OSError:
            return False

    def fileno(self) -> int:
        return self._descriptor

    def flush(self) -> None:
        """Nothing to do: what was said is on its way."""

    def write(self, text: str) -> int:
        untold = 0
        with self._changed:
            data = self._encoder.encode(text)
            if self._is_gone or self._waiting_bytes + len(data) > self._bytes_max:
                self._lose(data)
            else:
                self._waiting.append(data)
                self._waiting_bytes += len(data)
                self._changed.notify()
                if self._untold and self._is_well and not self._is_telling and text.endswith("\n"):
                    untold, self._untold, self._is_telling = self._untold, 0, True
        if untold:
            with contextlib.suppress(Exception):
                self.on_lost(untold)
            self._is_telling = False
        return len(text)

    def leave(self) -> None:
        """The process ends: write what waits, as far as that goes quickly."""
        with self._changed:
            self._is_ending = True
            self._changed.notify()
        self._thread.join(LEAVE_S)

    # --- writing ---

    def _lose(self, data: bytes) -> None:
        count = max(1, data.count(b"\n"))
        self._untold += count
        losses[LOST] += count

    def _write_forever(self) -> None:
        while True:
            with self._changed:
                while not self._waiting and not self._is_ending:
                    self._changed.wait()
                if not self._waiting:
                    return
                data = b"".join(self._waiting)
                self._waiting.clear()
            error = self._write_all(data)
            with self._changed:
                self._waiting_bytes -= len(data)
                self._is_well = not error
                self._is_gone = error in (errno.EPIPE, errno.EBADF)
                if self._is_gone:
                    self._drop_waiting()
                    return
                if error and not self._is_ending:
                    self._changed.wait_for(lambda: self._is_ending, _PAUSE_S)

    def _drop_waiting(self) -> None:
        for data in self._waiting:
            self._lose(data)
        self._waiting.clear()
        self._waiting_bytes = 0

    def _write_all(self, data: bytes) -> int:
        """0, or the number of the error that made the rest of it be lost."""
        left = memoryview(data)
        while left:
            try:
                left = left[os.write(self._descriptor, left) :]
            except BlockingIOError:
                with contextlib.suppress(OSError, ValueError):
                    select.select([], [self._descriptor], [], _PAUSE_S)
            except OSError as error:
                with self._changed:
                    self._lose(bytes(left))
                return error.errno or errno.EIO
        return 0


def log_through_sink() -> LogSink:
    """Put a sink in stderr's place for the rest of this process."""
    sink = LogSink(2, encoding=getattr(sys.stderr, "encoding", None) or "utf-8")
    sys.stderr = sink
    atexit.register(sink.leave)
    return sink


def open_standard_streams() -> None:
    """Where a standard stream is closed, open nothing in its place.

    A file that is opened later would get its number, and then what is printed: that file may be the log of a node.
    """
    for number, name, mode in ((0, "stdin", "r"), (1, "stdout", "w"), (2, "stderr", "w")):
        try:
            os.fstat(number)
        except OSError:
            os.open(os.devnull, os.O_RDWR)  # the lowest number that is free
        if getattr(sys, name) is None:
            setattr(sys, name, open(number, mode, encoding="utf-8", closefd=False))  # noqa: SIM115 - for good
