"""What a starting node makes of its journal: the records that the log lacks, or why it can't start, or must abstain.

Nothing is written here. A journal that may hold what the log does not and can't be relied on is refused as a whole: a
node that forgot what it promised must not vote (P9). After a clean stop nothing is in it, and it may be made anew.

Never: start without a journal that a process may have written to.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Final

import attrs

from ..errors import Damaged, StorageError
from .contract import Identity
from .environment import NEVER_FRESH
from .journal_contract import JournalFile
from .journal_file import read_journal
from .journal_layout import Ring
from .journal_reading import Anchor, Found, check_anchor, highest_stamp, read_records
from .records import NO_JOURNAL, JournalMark

_ONLY_THERE: Final = (
    "What the node wrote last may be nowhere else, so nothing was changed. If the file was moved, put back the one "
    "that the node wrote last, and never an older copy; if it is lost, so is the disk:"
)


@attrs.frozen
class Opened:
    """A journal as it was found.

    Parameters
    ----------
    ring: None: there is none that can be gone on with.
    found: what it holds beyond the log.
    """

    ring: Ring | None
    found: Found


def open_journal(file: JournalFile, owner: Identity, mark: JournalMark) -> Opened:
    """Make the journal in ``file`` durable as it stands, and read what the log lacks.

    Parameters
    ----------
    owner: whose it must be.
    mark: what the log says of it.

    Raises
    ------
    Damaged: it may hold what the log lacks, and is missing, short, damaged in its first block, or was set back.
    StorageError: it can't be made durable, or read, or is another directory's.
    """
    if mark.id == NO_JOURNAL:
        return Opened(None, _nothing(mark))
    file.settle()
    return _judge(file.path, lambda: file.read(owner), mark)


def judge_journal(file: Path, owner: Identity | None, mark: JournalMark) -> Opened:
    """The same, of a file that is read as it stands; ``owner`` is None where that is damaged in the log."""
    return _judge(file, lambda: read_journal(file, owner), mark)


def _judge(file: Path, read: Callable[[], tuple[Ring, bytes]], mark: JournalMark) -> Opened:
    try:
        ring, data = read()
        _check_is_the_one(ring, data, mark)
    except StorageError as error:
        if not mark.is_open:
            return Opened(None, _nothing(mark))
        kind = type(error)
        raise kind(f"{file}: {error}. {_ONLY_THERE} {NEVER_FRESH}") from error
    if mark.is_open:
        return Opened(ring, read_records(ring, data, mark))
    return Opened(ring, _closed(ring, data, mark))


def _check_is_the_one(ring: Ring, data: bytes, mark: JournalMark) -> None:
    if ring.id != mark.id:
        raise Damaged("it is another one than the log was written beside")
    match check_anchor(ring, data, mark):
        case Anchor.OLDER:
            raise Damaged(f"it lacks record {mark.last}, which the log has: it is an older copy")
        case Anchor.LATER:
            raise Damaged(f"where record {mark.last} ends, which is the log's last, stands a later one")
        case Anchor.SOUND:
            pass


def _nothing(mark: JournalMark) -> Found:
    return Found([], mark.last, mark.end, mark.covered, "")


def _closed(ring: Ring, data: bytes, mark: JournalMark) -> Found:
    """After a clean stop the log has every record; one that it does not know of was written after this log was."""
    highest = highest_stamp(ring, data, mark.covered)
    if highest == mark.covered:
        return _nothing(mark)
    damage = f"the journal has record {highest} and the log ends with record {mark.covered}: the log was set back"
    return Found([], mark.last, mark.end, highest, damage)
