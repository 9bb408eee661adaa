"""The two root pages of an LMDB file ("meta" pages): which of its trees is the newest, and how large a page is.

A transaction becomes the newest by the write of one root page, number ``n`` on page ``n % 2``; the other one names the
tree before it. So what a file says is a matter of these two numbers, and both are checked as LMDB 0.9 writes them
(``mdb.c``: ``MDB_meta``, 64 bit, little-endian) before anything under them is believed.
"""

from __future__ import annotations

import struct
from collections.abc import Callable
from typing import Final

import attrs

from ..errors import Damaged

PAGE_HEADER: Final = struct.Struct("<QHHHH")
"""Number, pad, flags, lower, upper (an overflow page: its count in the last two)."""
TREE: Final = struct.Struct("<IHHQQQQQ")
INTEGER_KEY: Final = 0x08
"""Flag of a tree whose keys are numbers: the list of free pages."""

_HEAD: Final = struct.Struct("<IIQQ")  # magic, version, address, size of the map
_HEAD_AT: Final = 16
_FREE_AT, _MAIN_AT = 40, 88
_END: Final = struct.Struct("<QQ")  # last page, transaction
_END_AT: Final = 136
_ROOT_BYTES: Final = _END_AT + _END.size
_MAGIC: Final = 0xBEEFC0DE
_DATA_VERSION: Final = 1
_META_PAGE: Final = 0x08

Read = Callable[[int, int], bytes]
"""``read(offset, length)``: the bytes of the file there, fewer at its end."""


@attrs.frozen
class Tree:
    """One B-tree as its descriptor (``MDB_db``) says it is."""

    page_size: int
    flags: int
    depth: int
    branch_pages: int
    leaf_pages: int
    overflow_pages: int
    entries: int
    root: int


@attrs.frozen
class UnfinishedCommit:
    """Bytes that would make the newest transaction of a file the one that its root page was not fit to name.

    A commit whose last step fails, the write of a root page, leaves that page with the new tree under the number of an
    old transaction: LMDB puts the number back so that nobody takes the commit for a success. The tree itself was made
    durable before that step was tried. So the commit, whose outcome is unknown to whoever asked for it, is whole, and
    finishing it is right; a root page whose number lost a bit looks the same, and then it must be finished, or a
    transaction that was acknowledged would be forgotten (P1).
    """

    transaction: int
    offset: int
    data: bytes


@attrs.frozen
class Root:
    """One of the two root pages."""

    page: int
    page_size: int
    free: Tree
    main: Tree
    last_page: int
    transaction: int

    def finished_as(self, transaction: int, last_page: int) -> UnfinishedCommit:
        """What makes this root page name ``transaction``, whose tree stands under it already."""
        return UnfinishedCommit(transaction, self.page * self.page_size + _END_AT, _END.pack(last_page, transaction))


def read_roots(read: Read, size: int) -> tuple[Root, Root]:
    """Check both root pages of a file of ``size`` bytes; returns the newest and the older one.

    Raises
    ------
    Damaged: one is not as LMDB writes it, or their transactions are not neighbours.
    """
    first = _read_root(read, size, 0, 0)
    second = _read_root(read, size, 1, first.page_size)
    if second.page_size != first.page_size:
        raise Damaged(f"its root pages name different page sizes, {first.page_size} and {second.page_size}")
    newest, older = (first, second) if first.transaction > second.transaction else (second, first)
    if newest.transaction - older.transaction != 1 or newest.transaction % 2 != newest.page:
        raise Damaged(
            f"its root pages hold transactions {first.transaction} and {second.transaction}, "
            "which no sequence of writes leaves behind"
        )
    return newest, older


def newest_transaction(read: Read, size: int) -> int:
    """The number of the last transaction, by the two root pages alone. Raises ``Damaged``."""
    return read_roots(read, size)[0].transaction


def _read_root(read: Read, size: int, page: int, offset: int) -> Root:
    data = read(offset, _ROOT_BYTES)
    if len(data) < _ROOT_BYTES:
        raise Damaged(f"it is truncated: {size} bytes, too few for root page {page}")
    number, _pad, flags, _lower, _upper = PAGE_HEADER.unpack_from(data)
    magic, version, _address, map_size = _HEAD.unpack_from(data, _HEAD_AT)
    if (number, flags, magic) != (page, _META_PAGE, _MAGIC):
        raise Damaged(f"root page {page} is overwritten or zeroed")
    if version != _DATA_VERSION:
        raise Damaged(f"root page {page} is of LMDB data version {version}, not {_DATA_VERSION}")
    free = Tree(*TREE.unpack_from(data, _FREE_AT))
    main = Tree(*TREE.unpack_from(data, _MAIN_AT))
    last_page, transaction = _END.unpack_from(data, _END_AT)
    root = Root(page, free.page_size, free, main, last_page, transaction)
    _check_root(root, map_size)
    return root


def _check_root(root: Root, map_size: int) -> None:
    page_size = root.page_size
    if page_size & (page_size - 1) or not 512 <= page_size <= 65536:
        raise Damaged(f"root page {root.page} names a page size of {page_size} bytes")
    if root.free.flags != INTEGER_KEY or root.main.flags != 0:
        raise Damaged(f"root page {root.page} has flags no file of ours has")
    if map_size % page_size or (root.last_page + 1) * page_size > map_size:
        raise Damaged(f"root page {root.page} names a map of {map_size} bytes and a last page {root.last_page}")
