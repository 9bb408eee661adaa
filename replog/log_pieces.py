"""Puts the pieces of slot records together as a cursor meets them.

A piece has no checksum of its own: the record's goes over all of them in order, so one that is missing or stands where
another belongs makes the record fail it.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from .log_records import slot_key, slot_of_key
from .paxos.ballot import Slot


def slots_from(cursor: Any, first: int) -> Iterator[tuple[Slot, bytes | memoryview]]:
    """Every slot from ``first`` on with its record, ascending; a record of one piece is not copied."""
    is_there = cursor.set_range(slot_key(first))
    while is_there:
        slot, data = slot_of_key(cursor.key()), cursor.value()
        is_there = cursor.next()
        if is_there and slot_of_key(cursor.key()) == slot:
            pieces = [data]
            while is_there and slot_of_key(cursor.key()) == slot:
                pieces.append(cursor.value())
                is_there = cursor.next()
            data = b"".join(pieces)
        yield slot, data


def slots_backwards(cursor: Any) -> Iterator[tuple[Slot, bytes | memoryview]]:
    """Every slot with its record, from the highest one down."""
    is_there = cursor.last()
    while is_there:
        slot, data = slot_of_key(cursor.key()), cursor.value()
        is_there = cursor.prev()
        if is_there and slot_of_key(cursor.key()) == slot:
            pieces = [data]
            while is_there and slot_of_key(cursor.key()) == slot:
                pieces.append(cursor.value())
                is_there = cursor.prev()
            data = b"".join(reversed(pieces))
        yield slot, data
