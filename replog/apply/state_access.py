"""What a state machine may do with the state, checked where it is called.

``apply`` gets a ``StagedState``, whose writes wait until their command has succeeded; ``query`` gets a ``Reader``. Both
refuse at once what no store could keep, with the same rules over every store: a mistake is then an error of the command
that made it, the same on every replica, and never a failure of a flush that comes later.

Rules protected: what a command reads depends on the log alone (nothing is read from an iterator that an earlier command
left open, nothing is written outside ``apply``); what the store itself could not read is remembered, because a state
machine that swallows that error would answer something that the log does not say.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NoReturn, overload

from ..errors import StorageError
from ..state.contract import StateStore
from ..state_machine import KEY_BYTES_MAX, VALUE_BYTES_MAX, WRITES_BYTES_MAX, WRITES_MAX

Rows = Iterator[tuple[bytes, bytes]]

SMALL_VALUE_BYTES = 1024
"""Values up to this are bounded by the number of a command's writes, larger ones are added up."""


class Reader:
    """A StateView over a store."""

    __slots__ = ("_store", "failure", "misuse")

    def __init__(self, store: StateStore) -> None:
        self._store = store
        self.failure: StorageError | None = None
        """The first error that the store itself raised; whatever was answered since may be wrong."""
        self.misuse = ""
        """The first call that was refused, for whoever checks a state machine."""

    @overload
    def get(self, key: bytes) -> bytes | None: ...

    @overload
    def get(self, key: bytes, default: bytes) -> bytes: ...

    def get(self, key: bytes, default: bytes | None = None) -> bytes | None:
        """See ``StateView.get``."""
        if type(key) is not bytes or not 0 < len(key) <= KEY_BYTES_MAX:
            self._refuse_key("get", key)
        try:
            value = self._store.get(key)
        except StorageError as error:
            self._remember(error)
            raise
        return default if value is None else value

    def scan(
        self, prefix: bytes = b"", *, start: bytes | None = None, stop: bytes | None = None, is_reverse: bool = False
    ) -> Rows:
        """See ``StateView.scan``."""
        first, last = self._range(prefix, start, stop)
        return self._rows(first, last, is_reverse)

    def _rows(self, first: bytes, last: bytes | None, is_reverse: bool) -> Rows:
        try:
            yield from self._store.scan(first, last, is_reverse=is_reverse)
        except StorageError as error:
            self._remember(error)
            raise

    def _range(self, prefix: bytes, start: bytes | None, stop: bytes | None) -> tuple[bytes, bytes | None]:
        for name, bound in (("prefix", prefix), ("start", start), ("stop", stop)):
            if type(bound) is not bytes and (bound is not None or name == "prefix"):
                self._refuse(TypeError(f"scan: {name} is bytes, not {type(bound).__name__}"))
            if bound is not None and len(bound) > KEY_BYTES_MAX:
                self._refuse(ValueError(f"scan: {name} has at most {KEY_BYTES_MAX} bytes, not {len(bound):,}"))
        return scan_range(prefix, start, stop)

    def _remember(self, error: StorageError) -> None:
        self.failure = self.failure or error

    def _refuse(self, error: TypeError | ValueError) -> NoReturn:
        self.misuse = self.misuse or f"{type(error).__name__}: {error}"
        raise error

    def _refuse_key(self, called: str, key: Any) -> NoReturn:
        if type(key) is not bytes:
            self._refuse(TypeError(f"{called}: a key is bytes, not {type(key).__name__}"))
        self._refuse(ValueError(f"{called}: a key has 1 to {KEY_BYTES_MAX} bytes, not {len(key):,}"))


class _Closed(dict[bytes, bytes | None]):
    """Stands in for what is staged while no command runs: whoever kept the state learns that here."""

    def _refuse(self, *_: object) -> NoReturn:
        raise RuntimeError("a state works inside the apply that it was given to, and nowhere else")

    __contains__ = __setitem__ = __len__ = _refuse


_CLOSED = _Closed()


class StagedState(Reader):
    """A State whose writes wait until their command has succeeded.

    The Applier calls ``begin`` before the commands of a slot and ``end`` after them. After each command it takes
    what is ``staged`` and, if it ``is_untidy``, lets it ``forget`` what the command left behind.
    """

    __slots__ = ("_large_bytes", "_scans", "is_untidy", "staged")

    def __init__(self, store: StateStore) -> None:
        super().__init__(store)
        self.staged: dict[bytes, bytes | None] = _CLOSED
        self.is_untidy = False
        self._scans: list[Rows] = []
        self._large_bytes = 0

    def begin(self) -> None:
        """Commands are run from here on; only now may anything be read or written."""
        self.staged = {}

    def end(self) -> None:
        """No command is run any more, or not now."""
        self.staged = _CLOSED

    def forget(self) -> None:
        """One command is over: the iterators that it left open end."""
        for rows in self._scans:
            rows.close()  # type: ignore[attr-defined]
        self._scans.clear()
        self._large_bytes = 0
        self.is_untidy = False

    @overload
    def get(self, key: bytes) -> bytes | None: ...

    @overload
    def get(self, key: bytes, default: bytes) -> bytes: ...

    def get(self, key: bytes, default: bytes | None = None) -> bytes | None:
        """See ``StateView.get``."""
        if type(key) is not bytes or not 0 < len(key) <= KEY_BYTES_MAX:
            self._refuse_key("get", key)
        if key in self.staged:
            value = self.staged[key]
        else:
            try:
                value = self._store.get(key)
            except StorageError as error:
                self._remember(error)
                raise
        return default if value is None else value

    def put(self, key: bytes, value: bytes) -> None:
        """See ``State.put``."""
        staged = self.staged
        if (
            type(key) is bytes
            and key
            and len(key) <= KEY_BYTES_MAX
            and type(value) is bytes
            and len(value) <= SMALL_VALUE_BYTES
            and len(staged) < WRITES_MAX
        ):
            staged[key] = value
        else:
            self._put_unusual(key, value)

    def _put_unusual(self, key: bytes, value: bytes) -> None:
        """What is no key, no value, large, or one of very many."""
        if type(key) is not bytes or not 0 < len(key) <= KEY_BYTES_MAX:
            self._refuse_key("put", key)
        if type(value) is not bytes or len(value) > SMALL_VALUE_BYTES:
            self._take_large(value)
        self.staged[key] = value
        if len(self.staged) > WRITES_MAX:
            self._refuse_more()

    def delete(self, key: bytes) -> None:
        """See ``State.delete``."""
        if type(key) is not bytes or not 0 < len(key) <= KEY_BYTES_MAX:
            self._refuse_key("delete", key)
        staged = self.staged
        staged[key] = None
        if len(staged) > WRITES_MAX:
            self._refuse_more()

    def scan(
        self, prefix: bytes = b"", *, start: bytes | None = None, stop: bytes | None = None, is_reverse: bool = False
    ) -> Rows:
        """See ``StateView.scan``."""
        first, last = self._range(prefix, start, stop)
        rows = self._rows(first, last, is_reverse)
        if len(self.staged):
            own = {key: value for key, value in self.staged.items() if key >= first and (last is None or key < last)}
            rows = _merge(rows, own, is_reverse=is_reverse)
        self._scans.append(rows)
        self.is_untidy = True
        return rows

    def _take_large(self, value: Any) -> None:
        if type(value) is not bytes:
            self._refuse(TypeError(f"put: a value is bytes, not {type(value).__name__}"))
        if len(value) > VALUE_BYTES_MAX:
            self._refuse(ValueError(f"put: a value has at most {VALUE_BYTES_MAX:,} bytes, not {len(value):,}"))
        self.is_untidy = True
        self._large_bytes += len(value)
        if self._large_bytes > WRITES_BYTES_MAX:
            self._refuse(ValueError(f"put: one command writes at most {WRITES_BYTES_MAX:,} bytes"))

    def _refuse_more(self) -> NoReturn:
        self._refuse(ValueError(f"one command writes at most {WRITES_MAX:,} keys"))


def scan_range(prefix: bytes, start: bytes | None, stop: bytes | None) -> tuple[bytes, bytes | None]:
    """The half-open key range that a scan's arguments mean together."""
    last = _after_prefix(prefix)
    if stop is not None and (last is None or stop < last):
        last = stop
    return max(prefix, start or b""), last


def _after_prefix(prefix: bytes) -> bytes | None:
    """The first key that is above every key under ``prefix``; None if there is none."""
    trimmed = prefix.rstrip(b"\xff")
    return trimmed[:-1] + bytes([trimmed[-1] + 1]) if trimmed else None


def _merge(stored: Rows, own: dict[bytes, bytes | None], *, is_reverse: bool) -> Rows:
    """Stored pairs with ``own`` laid over them, in key order."""
    keys = sorted(own, reverse=not is_reverse)
    for key, value in stored:
        while keys and (keys[-1] > key if is_reverse else keys[-1] < key):
            ahead = keys.pop()
            if (staged := own[ahead]) is not None:
                yield ahead, staged
        if keys and keys[-1] == key:
            keys.pop()
            if (staged := own[key]) is not None:
                yield key, staged
        else:
            yield key, value
    while keys:
        ahead = keys.pop()
        if (staged := own[ahead]) is not None:
            yield ahead, staged
