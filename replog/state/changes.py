"""What a flush writes: the rows that changed, in key order, and how much space that takes at most."""

from __future__ import annotations

from typing import Final

import lmdb

from ..paxos.ballot import Slot
from .environment import StateEnvironment, put_position
from .overlay import Changes, Row
from .rows import SUM_BYTES, seal

_SORT_RUN: Final = 4096
"""Keys sorted, and put, at a time: sorting holds the interpreter, and the event loop must not wait for it."""
_ROW_OVERHEAD_BYTES: Final = 16 + SUM_BYTES


def write_changes(environment: StateEnvironment, changes: tuple[Changes, Changes], applied_through: Slot) -> None:
    """Make the changes of data and of records, and that they are those up to ``applied_through``, durable together.

    Raises
    ------
    StorageFull: there is no space; nothing was written, and the same may be tried again.
    Exception: anything else leaves the outcome unknown.
    """
    runs = [_runs(tree, pairs) for tree, pairs in enumerate(changes)]

    def write(transaction: lmdb.Transaction) -> None:
        for tree, tree_runs in zip(environment.trees, runs, strict=True):
            for puts, deletes in tree_runs:
                if puts:
                    transaction.cursor(tree).putmulti(puts)
                for key in deletes:
                    transaction.delete(key, db=tree)
        position = environment.position
        put_position(transaction, position.store, applied_through, position.installed_through)

    environment.transact(_need_bytes(environment, changes), write)


def _need_bytes(environment: StateEnvironment, changes: tuple[Changes, Changes]) -> int:
    """An upper bound: pages touched, and what is new at twice its size for pages half full and rounding."""
    new_bytes = sum(
        len(key) + len(value or b"") + _ROW_OVERHEAD_BYTES for pairs in changes for key, value in pairs.items()
    )
    return 2 * new_bytes + environment.leaf_bytes_at_most(sum(map(len, changes)))


def _runs(tree: int, pairs: Changes) -> list[tuple[list[Row], list[bytes]]]:
    """Rows to put, sealed, and keys to delete, in ascending runs of bounded length."""
    keys = list(pairs)
    runs: list[tuple[list[Row], list[bytes]]] = []
    for first in range(0, len(keys), _SORT_RUN):
        puts: list[Row] = []
        deletes: list[bytes] = []
        for key in sorted(keys[first : first + _SORT_RUN]):
            value = pairs[key]
            if value is None:
                deletes.append(key)
            else:
                puts.append((key, seal(tree, key, value)))
        runs.append((puts, deletes))
    return runs
