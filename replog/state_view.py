"""Where a state stands and how large it is, for whoever only looks at it.

A state's rows carry no checksum of their own, so of them only what LMDB's structure says can be checked; that the state
is the right one is what the nodes' digests say of each other while they run.
"""

from __future__ import annotations

from pathlib import Path
from typing import Final

import attrs

from .log_pages import Layout
from .paxos.ballot import Slot
from .pinned_environment import pinned
from .state_environment import POSITION_KEY, REBUILD, TREE_NAMES, decode_position

STATE_LAYOUT: Final = Layout(
    trees=TREE_NAMES,
    position_key=POSITION_KEY,
    transaction_of=lambda data: decode_position(data).transaction,
    key_bytes=None,
    is_older_ours=False,
)


@attrs.frozen(kw_only=True)
class StateReport:
    """The facts of ``state/`` at one moment.

    Parameters
    ----------
    applied_through: the slot that the data on the disk stands at; the log is replayed from there.
    row_count: rows of the state machine and of the sessions.
    file_bytes: size of the file, part of it allocated ahead of use.
    live_bytes, free_bytes: pages in use, and pages that LMDB will use again.
    """

    applied_through: Slot
    row_count: int
    page_count: int
    file_bytes: int
    live_bytes: int
    free_bytes: int


def look_at_state(path: Path) -> StateReport:
    """Check the structure of the state in the folder ``path`` and report on it.

    Raises ``StorageError`` or ``Damaged``, see ``pinned``.
    """
    with pinned(path, STATE_LAYOUT, next_step=REBUILD) as environment:
        position = decode_position(bytes(environment.transaction.get(POSITION_KEY, b"")))
        pages = environment.pages
        return StateReport(
            applied_through=position.applied_through,
            row_count=pages.entries,
            page_count=pages.live_pages,
            file_bytes=environment.file_bytes,
            live_bytes=pages.live_pages * pages.page_size,
            free_bytes=pages.free_pages * pages.page_size,
        )
