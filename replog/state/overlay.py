"""What was changed and is not in the file yet, and how it is laid over the rows that are.

A state store keeps two generations of it: the one that takes changes, and the one that a flush is writing. Both are
plain dictionaries (a deleted key has None), because reading one key is what a state machine does most. Key order is
made when somebody scans, and only for the keys that came since the last scan.
"""

from __future__ import annotations

from bisect import bisect_left, insort
from collections.abc import Callable, Iterator
from itertools import islice
from typing import Final

Row = tuple[bytes, bytes]
Changes = dict[bytes, bytes | None]

_INSERT_MIN: Final = 8
_INSERT_SHIFT: Final = 7
"""One new key is inserted in order for up to this power of two of old keys; more of them are sorted in."""


_WINDOW_MIN: Final = 8
_WINDOW_MAX: Final = 512
_WINDOW_GROWTH: Final = 4
_WINDOW_BYTES: Final = 256 * 1024

Window = Callable[[bytes, bytes | None, int], tuple[list[Row], bytes | None]]
"""``window(start, stop, count)``: about so many rows of the range, and up to which key (None: its end) they are all."""


class Generation:
    """Changes by key; ``pairs`` may be written directly, but no key is ever taken out of it."""

    __slots__ = ("_keys", "pairs")

    def __init__(self) -> None:
        self.pairs: Changes = {}
        self._keys: list[bytes] = []

    def keys_between(self, start: bytes, stop: bytes | None, *, count_max: int, is_reverse: bool) -> list[bytes]:
        """The first ``count_max`` changed keys of ``start <= key < stop``, or with ``is_reverse`` the last ones,
        descending."""
        self._put_in_order()
        keys = self._keys
        first = bisect_left(keys, start) if start else 0
        last = len(keys) if stop is None else bisect_left(keys, stop)
        if is_reverse:
            return keys[max(first, last - count_max) : last][::-1]
        return keys[first : min(last, first + count_max)]

    def _put_in_order(self) -> None:
        """A dictionary keeps the order of insertion, so the keys that are new here are its last ones."""
        keys = self._keys
        new_count = len(self.pairs) - len(keys)
        if not new_count:
            return
        new = list(islice(reversed(self.pairs), new_count))
        if new_count <= max(_INSERT_MIN, len(keys) >> _INSERT_SHIFT):
            for key in new:
                insort(keys, key)
        else:
            keys.extend(new)
            keys.sort()


def lay_over(
    rows: list[Row],
    bound: bytes | None,
    generations: tuple[Generation, ...],
    start: bytes,
    stop: bytes | None,
    *,
    count_max: int,
    is_reverse: bool,
) -> tuple[list[Row], bytes | None]:
    """Rows of the file with the generations (older first) laid over them, as far as all of them reach.

    Parameters
    ----------
    rows: of ``start <= key < stop``, ascending, or descending with ``is_reverse``.
    bound: the last key up to which ``rows`` is complete; None: to the end of the range.
    count_max: how many keys of each generation are looked at.

    Returns the merged rows and the key up to which they are complete (None: to the end of the range).
    """
    looked_at: list[tuple[Generation, list[bytes]]] = []
    for generation in generations:
        if not generation.pairs:
            continue
        keys = generation.keys_between(start, stop, count_max=count_max, is_reverse=is_reverse)
        if len(keys) == count_max and (bound is None or (keys[-1] > bound if is_reverse else keys[-1] < bound)):
            bound = keys[-1]
        if keys:
            looked_at.append((generation, keys))
    if not looked_at:
        return rows, bound
    merged: Changes = dict(rows)
    for generation, keys in looked_at:
        pairs = generation.pairs
        for key in keys:
            merged[key] = pairs[key]
    laid: list[Row] = []
    for key in sorted(merged, reverse=is_reverse):
        if bound is not None and (key < bound if is_reverse else key > bound):
            break
        value = merged[key]
        if value is not None:
            laid.append((key, value))
    return laid, bound


def scan_by_windows(window: Window, start: bytes, stop: bytes | None, *, is_reverse: bool) -> Iterator[Row]:
    """Rows of ``start <= key < stop`` in windows that grow, up to a number of rows and of bytes.

    Each window is consistent in itself, and nothing is held from one to the next.
    """
    count = _WINDOW_MIN
    while True:
        rows, bound = window(start, stop, count)
        yield from rows
        if bound is None:
            return
        if is_reverse:
            stop = bound
        else:
            start = bound + b"\0"
        mean_bytes = sum(len(value) for _key, value in rows) // (len(rows) or 1) + 1
        count = max(1, min(count * _WINDOW_GROWTH, _WINDOW_MAX, _WINDOW_BYTES // mean_bytes))
