"""Puts the pieces of slot records together as a cursor meets them.

A piece has no checksum of its own: the record's goes over all of them in order, so one that is missing or stands where
another belongs makes the record fail it.

Never: read a record that fails its checksum.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

from ..paxos.ballot import Slot
from .records import slot_key, slot_of_key

Record = bytes | memoryview
"""A record of one piece is a view of its page, valid as long as the cursor's transaction."""


def slots_from(cursor: Any, first: int) -> Iterator[tuple[Slot, Record]]:
    """Every slot from ``first`` on with its record, ascending."""
    for slot, pieces in _pieces(cursor, cursor.set_range(slot_key(first)), cursor.next):
        yield slot, pieces[0] if len(pieces) == 1 else b"".join(pieces)


def slots_backwards(cursor: Any) -> Iterator[tuple[Slot, Record]]:
    """Every slot with its record, from the highest one down."""
    for slot, pieces in _pieces(cursor, cursor.last(), cursor.prev):
        yield slot, pieces[0] if len(pieces) == 1 else b"".join(reversed(pieces))


def _pieces(cursor: Any, is_there: bool, step: Callable[[], bool]) -> Iterator[tuple[Slot, list[memoryview]]]:
    """Every slot with its pieces, in the order in which the steps come to them."""
    while is_there:
        slot, pieces = slot_of_key(cursor.key()), [cursor.value()]
        while (is_there := step()) and slot_of_key(cursor.key()) == slot:
            pieces.append(cursor.value())
        yield slot, pieces
