"""The state machine's side: what a user writes, and the Applier that runs it in order, exactly once."""

from __future__ import annotations

import abc
from collections.abc import Iterable, Iterator
from typing import Protocol, overload

import msgspec

from .paxos.ballot import Slot


class Command(msgspec.Struct, frozen=True, gc=False):
    """One command as ``apply`` sees it.

    Parameters
    ----------
    payload: what the client submitted.
    slot, offset: its place in the log.
    session: whose it is.
    time_ms: log time, milliseconds since the Unix epoch; the only clock a state machine has. It never goes back, and
        follows a quorum's clocks; where it got ahead of them it goes a tenth slower until they arrive.
    """

    payload: bytes
    slot: Slot
    offset: int
    session: int
    time_ms: int


class StateView(Protocol):
    """Reading an ordered map of bytes. Keys are 1 to 500 bytes."""

    @overload
    def get(self, key: bytes) -> bytes | None: ...

    @overload
    def get(self, key: bytes, default: bytes) -> bytes: ...

    def scan(
        self,
        prefix: bytes = b"",
        *,
        start: bytes | None = None,
        stop: bytes | None = None,
        is_reverse: bool = False,
    ) -> Iterator[tuple[bytes, bytes]]:
        """Pairs in key order: those under ``prefix``, or those with ``start <= key < stop``."""


class State(StateView, Protocol):
    """The map a state machine keeps everything in. What it keeps elsewhere is lost and diverges."""

    def put(self, key: bytes, value: bytes) -> None: ...

    def delete(self, key: bytes) -> None: ...


class StateMachine(abc.ABC):
    """Deterministic: the same commands in the same order give the same writes and the same replies."""

    @abc.abstractmethod
    def apply(self, state: State, command: Command) -> bytes:
        """Run one command. An exception is a reply too: the same on every replica, with its writes undone."""

    @abc.abstractmethod
    def query(self, view: StateView, request: bytes) -> bytes:
        """Answer a read. An exception goes back to the one who asked."""

    def violations(self, view: StateView) -> Iterable[str]:
        """Sentences about what must never be and is; asked by the simulator and by audits. None by default."""
        return ()
