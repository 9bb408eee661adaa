"""The state store in memory: the same contract as on LMDB, for the simulator and for tests.

``crash`` takes it back to the last completed flush, which is what a real store comes back with after power is lost.
"""

from __future__ import annotations

import hashlib
from bisect import bisect_left
from collections.abc import Iterator, Mapping

import msgspec

from ..errors import Damaged
from ..paxos.ballot import BEFORE_LOG, Slot

Pairs = dict[bytes, bytes]


class OrderedMap:
    """Bytes to bytes, in key order; the order is made when somebody scans."""

    def __init__(self, pairs: Pairs | None = None) -> None:
        self.pairs: Pairs = dict(pairs or {})
        self._keys: list[bytes] | None = None

    def put(self, key: bytes, value: bytes) -> None:
        """Put one pair."""
        if self._keys is not None and key not in self.pairs:
            self._keys = None
        self.pairs[key] = value

    def delete(self, key: bytes) -> None:
        """Take one key out, if it is there."""
        if self.pairs.pop(key, None) is not None:
            self._keys = None

    def scan(self, start: bytes, stop: bytes | None, *, is_reverse: bool) -> Iterator[tuple[bytes, bytes]]:
        """Pairs with ``start <= key < stop`` (None: to the end), ascending, or descending with ``is_reverse``."""
        if self._keys is None:
            self._keys = sorted(self.pairs)
        keys = self._keys
        chosen = keys[bisect_left(keys, start) : len(keys) if stop is None else bisect_left(keys, stop)]
        for key in reversed(chosen) if is_reverse else chosen:
            value = self.pairs.get(key)
            if value is not None:
                yield key, value


class _Durable(msgspec.Struct, array_like=True):
    """What a completed flush left behind."""

    applied_through: Slot
    data: Pairs
    records: Pairs


class MemorySnapshot:
    """A consistent snapshot of the last completed flush, as bytes."""

    def __init__(self, durable: _Durable) -> None:
        pairs = (sorted(durable.data.items()), sorted(durable.records.items()))
        self._bytes = msgspec.msgpack.encode((durable.applied_through, *map(dict, pairs)))
        self.name = hashlib.blake2b(self._bytes, digest_size=16).digest()
        self.applied_through = durable.applied_through

    def read(self, position: int, bytes_max: int) -> tuple[bytes, bool]:
        """See ``contract.StateSnapshot``."""
        chunk = self._bytes[position : position + bytes_max]
        return chunk, position + len(chunk) >= len(self._bytes)

    def close(self) -> None:
        """Nothing is held."""


class MemoryStateStore:
    """Satisfies ``contract.StateStore``; durable means "survives ``crash``"."""

    def __init__(self) -> None:
        self._durable = _Durable(BEFORE_LOG, {}, {})
        self.installed_through = BEFORE_LOG
        self._receiving = b""
        self._received = bytearray()
        self._restore()

    def _restore(self) -> None:
        self._data = OrderedMap(self._durable.data)
        self._records = OrderedMap(self._durable.records)
        self._dirty_data: dict[bytes, bytes | None] = {}
        self._dirty_records: dict[bytes, bytes | None] = {}
        self._flushing_data: dict[bytes, bytes | None] = {}
        self._flushing_records: dict[bytes, bytes | None] = {}
        self._flushing_through: Slot | None = None
        self._is_flushed = False

    def crash(self) -> None:
        """Lose everything that no completed flush holds."""
        self._restore()

    # --- the state machine's map ---

    def get(self, key: bytes) -> bytes | None:
        """See ``contract.StateStore``."""
        return self._data.pairs.get(key)

    def write(self, changes: Mapping[bytes, bytes | None]) -> None:
        """See ``contract.StateStore``."""
        self._dirty_data.update(changes)
        for key, value in changes.items():
            if value is None:
                self._data.delete(key)
            else:
                self._data.put(key, value)

    def scan(self, start: bytes, stop: bytes | None, *, is_reverse: bool = False) -> Iterator[tuple[bytes, bytes]]:
        """See ``contract.StateStore``."""
        return self._data.scan(start, stop, is_reverse=is_reverse)

    # --- the Applier's records ---

    def get_record(self, key: bytes) -> bytes | None:
        """See ``contract.StateStore``."""
        return self._records.pairs.get(key)

    def put_record(self, key: bytes, value: bytes | None) -> None:
        """See ``contract.StateStore``."""
        if value is None:
            self._records.delete(key)
        else:
            self._records.put(key, value)
        self._dirty_records[key] = value

    def scan_records(self, prefix: bytes) -> Iterator[tuple[bytes, bytes]]:
        """See ``contract.StateStore``."""
        for key, value in self._records.scan(prefix, None, is_reverse=False):
            if not key.startswith(prefix):
                return
            yield key, value

    # --- flush: what was set aside becomes durable together ---

    @property
    def durable_through(self) -> Slot:
        """See ``contract.StateStore``."""
        return self._durable.applied_through

    @property
    def unflushed_keys(self) -> int:
        """See ``contract.StateStore``."""
        return len(self._dirty_data) + len(self._dirty_records)

    def begin_flush(self, applied_through: Slot) -> bool:
        """See ``contract.StateStore``."""
        if self._flushing_through is not None:
            return False
        self._flushing_data, self._dirty_data = self._dirty_data, {}
        self._flushing_records, self._dirty_records = self._dirty_records, {}
        self._flushing_through = applied_through
        self._is_flushed = False
        return True

    def flush(self) -> None:
        """See ``contract.StateStore``."""
        if self._flushing_through is None or self._is_flushed:
            return
        _change(self._durable.data, self._flushing_data)
        _change(self._durable.records, self._flushing_records)
        self._durable.applied_through = self._flushing_through
        self._is_flushed = True

    def end_flush(self) -> None:
        """See ``contract.StateStore``."""
        assert self._is_flushed or self._flushing_through is None, "a generation is let go before it is durable"
        self._flushing_data = {}
        self._flushing_records = {}
        self._flushing_through = None

    # --- transfer ---

    def scrub(self, start: bytes) -> tuple[bytes, list[Damaged]]:
        """See ``contract.StateStore``: memory is not damaged."""
        return b"", []

    def open_snapshot(self) -> MemorySnapshot:
        """See ``contract.StateStore``."""
        return MemorySnapshot(self._durable)

    def begin_install(self, name: bytes) -> None:
        """See ``contract.StateStore``."""
        if name != self._receiving:
            self._receiving = name
            self._received = bytearray()

    def received_bytes(self, name: bytes) -> int:
        """See ``contract.StateStore``."""
        return len(self._received) if name == self._receiving else 0

    def install_chunk(self, position: int, data: bytes) -> None:
        """See ``contract.StateStore``."""
        if position <= len(self._received):
            del self._received[position:]
            self._received += data

    def prepare_install(self, applied_through: Slot) -> None:
        """See ``contract.StateStore``."""
        self._whole_snapshot(applied_through)

    def finish_install(self, applied_through: Slot) -> None:
        """See ``contract.StateStore``."""
        self._durable = self._whole_snapshot(applied_through)
        self.installed_through = applied_through
        self._receiving = b""
        self._received = bytearray()
        self._restore()

    def _whole_snapshot(self, applied_through: Slot) -> _Durable:
        received = bytes(self._received)
        if hashlib.blake2b(received, digest_size=16).digest() != self._receiving:
            self._receiving = b""
            raise Damaged("the received state does not match its name; it is fetched again from the beginning")
        durable = msgspec.msgpack.decode(received, type=_Durable)
        if durable.applied_through != applied_through:
            self._receiving = b""
            raise Damaged(f"the received state stands at slot {durable.applied_through}, not {applied_through}")
        return durable

    @property
    def file_bytes(self) -> int:
        """See ``contract.StateStore``: it has no file."""
        return 0

    def close(self) -> None:
        """Nothing is held."""


def _change(pairs: Pairs, changes: dict[bytes, bytes | None]) -> None:
    for key, value in changes.items():
        if value is None:
            pairs.pop(key, None)
        else:
            pairs[key] = value
