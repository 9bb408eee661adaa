"""A row as it stands in the state's file: its value, and behind it a checksum over tree, key and value.

LMDB has no checksums, so a flipped bit would be read back as data, and a state machine that computes with it takes its
replica away from the others. The key is part of the sum (with its length, so that no byte can change sides), and so is
the tree: a sound row in the wrong place is no sound row.

The sum is behind the value because that makes checking it cheap: the CRC-32C of bytes that end in their own CRC-32C is
the same number for all bytes. It says nothing of rows that are missing; the walk over the pages does (``disk.pages``).
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from crc32c import crc32c

from .overlay import Row

DATA, RECORDS = 0, 1
TREE_NAMES: Final = (b"data", b"records")
ROW_KEY_BYTES_MAX: Final = 511
SUM_BYTES: Final = 4
SOUND: Final = 0x48674BC7
"""What ``crc32c(key + stored, SEEDS[tree][len(key)])`` is for every sound row."""
SEEDS: Final = tuple(
    tuple(crc32c(b"%d/%d/" % (tree, length)) for length in range(ROW_KEY_BYTES_MAX + 1)) for tree in (DATA, RECORDS)
)
"""Where the sum of a row begins, by its tree and the length of its key."""


def seal(tree: int, key: bytes, value: bytes) -> bytes:
    """What is stored for ``value``. A key longer than ``ROW_KEY_BYTES_MAX`` is an ``IndexError``."""
    return value + crc32c(key + value, SEEDS[tree][len(key)]).to_bytes(SUM_BYTES, "little")


def is_sound(tree: int, key: bytes, stored: bytes) -> bool:
    """Whether ``stored`` is what was once sealed for ``key``, which may be damaged itself."""
    return len(key) <= ROW_KEY_BYTES_MAX and crc32c(key + stored, SEEDS[tree][len(key)]) == SOUND


def open_rows(tree: int, rows: Iterable[Row]) -> tuple[list[Row], bytes | None]:
    """The rows with their values, and the key of the first one that is not sound."""
    seeds = SEEDS[tree]
    opened: list[Row] = []
    for key, stored in rows:
        if len(key) > ROW_KEY_BYTES_MAX or crc32c(key + stored, seeds[len(key)]) != SOUND:
            return opened, key
        opened.append((key, stored[:-SUM_BYTES]))
    return opened, None


def first_damaged(tree: int, rows: Iterable[Row]) -> bytes | None:
    """The key of the first row that is not sound."""
    return next((key for key, stored in rows if not is_sound(tree, key, stored)), None)
