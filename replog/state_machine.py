"""The state machine's side: what a user writes, and the Applier that runs it in order, exactly once.

Never: know the log.
"""

from __future__ import annotations

import abc
from collections.abc import Iterable, Iterator
from typing import Protocol, overload

import msgspec

from .paxos.ballot import Slot

KEY_BYTES_MAX = 500
"""A key has 1 to this many bytes."""
VALUE_BYTES_MAX = 16 * 2**20
"""A value has at most this many bytes."""
WRITES_MAX = 65_536
"""Keys that one command puts or deletes."""
WRITES_BYTES_MAX = 64 * 2**20
"""All values above 1 KiB that one command puts, together."""


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
    """Reading an ordered map of bytes. Keys are 1 to 500 bytes, and bytes exactly: no str, bytearray or memoryview.

    Each call raises ``TypeError`` or ``ValueError`` for what is no key, the same over every store.
    """

    @overload
    def get(self, key: bytes) -> bytes | None: ...

    @overload
    def get(self, key: bytes, default: bytes) -> bytes: ...

    def get(self, key: bytes, default: bytes | None = None) -> bytes | None:
        """The value of a key.

        Parameters
        ----------
        key: exactly ``bytes``, 1 to 500 of them.
        default: what is returned where there is none.
        """
        ...

    def scan(
        self,
        prefix: bytes = b"",
        *,
        start: bytes | None = None,
        stop: bytes | None = None,
        is_reverse: bool = False,
    ) -> Iterator[tuple[bytes, bytes]]:
        """Pairs of key and value in key order, as they are at the call.

        What its command writes after the call is not in it, and it ends with its command.

        Parameters
        ----------
        prefix: only keys that begin so.
        start, stop: only keys with ``start <= key < stop``.
        is_reverse: from the last to the first.
        """


class State(StateView, Protocol):
    """The map a state machine keeps everything in. What it keeps elsewhere is lost and diverges.

    It works inside the ``apply`` that it was given to: kept for later it raises ``RuntimeError``.
    """

    def put(self, key: bytes, value: bytes) -> None:
        """Write a value; one command writes at most 65,536 keys and 64 MiB.

        Parameters
        ----------
        key: exactly ``bytes``, 1 to 500 of them.
        value: exactly ``bytes``, at most 16 MiB.

        Raises
        ------
        TypeError: ``key`` or ``value`` is not exactly ``bytes``.
        ValueError: one of them, or all that the command writes, is too much.
        """

    def delete(self, key: bytes) -> None:
        """Remove a key, whether it is there or not.

        Parameters
        ----------
        key: exactly ``bytes``, 1 to 500 of them.

        Raises
        ------
        What ``put`` raises for a key.
        """


class StateMachine(abc.ABC):
    """Deterministic: the same commands in the same order give the same writes and the same replies."""

    @abc.abstractmethod
    def apply(self, state: State, command: Command) -> bytes:
        """Run one command; returns its reply, of at most 8 MiB.

        An exception, whichever it is, is a reply too: the command failed, on every replica, with its writes undone.
        What it answers may depend on ``state`` and ``command`` alone (``docs/PROTOCOL.md``, "What a state machine may
        depend on").

        Parameters
        ----------
        state: what this and all earlier commands wrote.
        command: the payload, its place in the log and its time.
        """

    @abc.abstractmethod
    def query(self, view: StateView, request: bytes) -> bytes:
        """Answer a read; at most 32 MiB. An exception goes back to the one who asked.

        Parameters
        ----------
        view: the state; it can't be written.
        request: what the client asks, opaque to everything else.
        """

    def violations(self, view: StateView) -> Iterable[str]:
        """Sentences about what must never be and is; asked by the simulator and by audits. None by default.

        Parameters
        ----------
        view: the state, between two commands.
        """
        return ()
