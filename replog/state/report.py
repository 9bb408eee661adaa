"""Where a state stands, how large it is and which of its rows are damaged, for whoever only looks at it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

import attrs

from ..disk.pinned import PinnedEnvironment, pinned
from ..disk.roots import UnfinishedCommit
from ..paxos.ballot import Slot
from .environment import (
    POSITION_KEY,
    STATE_LAYOUT,
    UnknownFormat,
    decode_position,
    describe_damaged,
    rebuild,
    unknown_format,
)
from .rows import is_sound

DAMAGED_ROWS_SHOWN: Final = 20


@attrs.frozen(kw_only=True)
class StateReport:
    """The facts of ``state/`` at one moment.

    Parameters
    ----------
    applied_through: the slot that the data on the disk stands at; the log is replayed from there.
    row_count: rows of the state machine and of the sessions.
    file_bytes: size of the file, part of it allocated ahead of use.
    live_bytes, free_bytes: pages in use, and pages that LMDB will use again.
    unfinished: a flush that is whole but for its root page.
    """

    applied_through: Slot
    row_count: int
    page_count: int
    file_bytes: int
    live_bytes: int
    free_bytes: int
    unfinished: UnfinishedCommit | None


def look_at_state(path: Path) -> StateReport:
    """Check the structure of the state in the folder ``path`` and report on it.

    Raises ``StorageError`` or ``Damaged``, see ``pinned``.
    """
    with _pinned_state(path) as environment:
        return _report(environment)


def verify_state(path: Path) -> tuple[StateReport, list[str]]:
    """Check the structure of the state in the folder ``path`` and every row of it; returns what is wrong with rows.

    Raises ``StorageError`` or ``Damaged``, see ``pinned``.
    """
    with _pinned_state(path) as environment:
        return _report(environment), damaged_rows(environment)


@contextmanager
def _pinned_state(path: Path) -> Iterator[PinnedEnvironment]:
    try:
        with pinned(path, STATE_LAYOUT, next_step=rebuild(path)) as environment:
            yield environment
    except UnknownFormat as error:
        raise unknown_format(path, error) from error


def damaged_rows(environment: PinnedEnvironment) -> list[str]:
    """A sentence a damaged row; of many, the first ones and how many there are."""
    found: list[str] = []
    count = 0
    for tree, handle in enumerate(environment.trees):
        for key, stored in environment.transaction.cursor(handle):
            if not is_sound(tree, bytes(key), bytes(stored)):
                count += 1
                if count <= DAMAGED_ROWS_SHOWN:
                    found.append(describe_damaged(tree, bytes(key)))
    if count > len(found):
        found.append(f"{count - len(found):,} more rows fail their checksums")
    return found


def _report(environment: PinnedEnvironment) -> StateReport:
    position = decode_position(bytes(environment.transaction.get(POSITION_KEY, b"")))
    pages = environment.pages
    return StateReport(
        applied_through=position.applied_through,
        row_count=pages.entries,
        page_count=pages.live_pages,
        file_bytes=environment.file_bytes,
        live_bytes=pages.live_pages * pages.page_size,
        free_bytes=pages.free_pages * pages.page_size,
        unfinished=pages.unfinished,
    )
