"""Checks the structure of an LMDB file, page by page, before LMDB maps it.

LMDB trusts its file: a wrong page number makes it read past the end of the file and kills the process (SIGBUS), a wrong
count or key makes records vanish without a word, and a wrong number in one of its two root pages ("meta" pages) makes
it open an older state, which for an acceptor means forgetting a promise. None of that may happen to a log (P10), so
whoever opens one asks here first.

It knows the file format of LMDB 0.9 (``mdb.c``: ``MDB_meta``, ``MDB_page``, ``MDB_node``, 64 bit, little-endian) and,
from a ``Layout``, which trees a file of ours has. It never repairs. What is *in* the records is checked by their own
checksums, elsewhere.

Never: know what a record means.
"""

from __future__ import annotations

import itertools
import struct
from collections.abc import Callable, Iterator
from typing import Final

import attrs

from ..errors import Damaged

_MAGIC: Final = 0xBEEFC0DE
_DATA_VERSION: Final = 1
_META_TAIL_AT: Final = 136
_META_BYTES: Final = _META_TAIL_AT + 16
_BRANCH, _LEAF, _OVERFLOW, _META = 0x01, 0x02, 0x04, 0x08
_BIG_DATA, _SUB_TREE = 0x01, 0x02
_INTEGER_KEY: Final = 0x08
_NO_PAGE: Final = 2**64 - 1
_UNWRITTEN_PAGES_MAX: Final = 1024
"""Pages that a transaction took from beyond the end of the file and gave back without writing them."""

_PAGE_HEADER = struct.Struct("<QHHHH")  # number, pad, flags, lower, upper (an overflow page: count in the last two)
_META_HEAD = struct.Struct("<IIQQ")  # magic, version, address, size of the map
_META_TAIL = struct.Struct("<QQ")  # last page, transaction
_TREE = struct.Struct("<IHHQQQQQ")
_NODE = struct.Struct("<HHHH")  # size or page number, its upper half, flags (a branch: more page number), key size
_PAGE_NUMBER = struct.Struct("<Q")

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
class Meta:
    """One of the two root pages; transaction ``n`` is written to page ``n % 2``."""

    page: int
    page_size: int
    free: Tree
    main: Tree
    last_page: int
    transaction: int


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
class PageReport:
    """What a sound file consists of. Pages that are neither live nor free are lost space, not damage."""

    page_size: int
    transaction: int
    last_page: int
    live_pages: int
    free_pages: int
    entries: int
    unfinished: UnfinishedCommit | None


@attrs.frozen(kw_only=True)
class Layout:
    """What a file of ours consists of, beyond LMDB's own format.

    Parameters
    ----------
    trees: names of the trees in the main tree.
    position_key: the record in the main tree that every transaction writes.
    transaction_of: reads from it the number of the transaction that wrote it, or raises ``Damaged``.
    key_bytes: the size of every key in the named trees; None: they differ.
    is_older_ours: whether the tree before the newest one was written by us too, even in a new file.
    """

    trees: tuple[bytes, ...]
    position_key: bytes
    transaction_of: Callable[[bytes], int]
    key_bytes: int | None
    is_older_ours: bool


def check_pages(read: Read, size: int, layout: Layout) -> PageReport:
    """Check both root pages and every page of the newest tree.

    Raises
    ------
    Damaged: something is not as LMDB writes it; the message names the page.
    """
    return _Check(read, size, layout).run()


def check_roots(read: Read, size: int, layout: Layout) -> UnfinishedCommit | None:
    """Check as little as tells that the newest root page is the newest: the root pages, and the main trees under them.

    It takes no longer for a large file. Every page is checked only to judge a commit that is not finished.
    """
    check = _Check(read, size, layout)
    newest, unfinished = check.roots()
    check.check_length(newest)
    return unfinished


def records_from(read: Read, size: int, layout: Layout, name: bytes, start: bytes) -> Iterator[tuple[bytes, bytes]]:
    """The (key, data) of the tree ``name`` from the key ``start`` on; every page on the way is checked as it comes.

    Raises ``Damaged``.
    """
    return _Check(read, size, layout).records_from(name, start)


def newest_transaction(read: Read, size: int, layout: Layout) -> int:
    """Check the two root pages alone; returns the number of the last transaction. Raises ``Damaged``."""
    return _Check(read, size, layout).newest_transaction()


class _Check:
    """One pass over one file."""

    def __init__(self, read: Read, size: int, layout: Layout) -> None:
        self._read = read
        self._layout = layout
        self._size = size
        self._page_size = 0
        self._used = bytearray()

    def run(self) -> PageReport:
        newest, unfinished = self.roots()
        entries, live, free = self._walk_all(newest)
        return PageReport(self._page_size, newest.transaction, newest.last_page, live, free, entries, unfinished)

    def roots(self) -> tuple[Meta, UnfinishedCommit | None]:
        """The newest root page, and what was to follow it."""
        newest, older = self._metas()
        if (found := self._transaction_under(newest)) != newest.transaction:
            raise self._misnamed(newest, found)
        return newest, self._check_older(newest, older) if self._layout.is_older_ours else None

    def check_length(self, meta: Meta) -> None:
        """A file of ours reaches to the last page that was ever taken, if whoever writes it sees to that."""
        end = (meta.last_page + 1) * self._page_size
        if end > self._size:
            raise Damaged(f"it is truncated: {self._size} bytes, and its last page ends at {end}")

    def records_from(self, name: bytes, start: bytes) -> Iterator[tuple[bytes, bytes]]:
        """See ``pages.records_from``."""
        newest, _older = self._metas()
        self._used = bytearray(newest.last_page + 1)
        tree = self._named_trees(newest).get(name)
        if tree is None:
            raise Damaged(f"the main tree does not name the tree of {name.decode()}")
        for key, flags, data in self._records(tree, name.decode(), start):
            if key >= start:
                yield key, self._big_data(data, 0) if flags & _BIG_DATA else data

    def _walk_all(self, meta: Meta) -> tuple[int, int, int]:
        """How many records, live pages and free pages there are under a root page."""
        self._used = bytearray(meta.last_page + 1)
        self._used[0:2] = b"\1\1"
        entries = self._walk_main(meta)
        live = sum(self._used)
        return entries, live, self._walk_free(meta)

    def _check_older(self, newest: Meta, older: Meta) -> UnfinishedCommit | None:
        """Under the older root page is the older tree, or a whole newer one whose commit did not get further."""
        candidate = attrs.evolve(older, last_page=self._size // self._page_size + _UNWRITTEN_PAGES_MAX)
        found = self._transaction_under(candidate)
        if found == older.transaction:
            return None
        if found != newest.transaction + 1:
            raise self._misnamed(older, found)
        self._walk_all(attrs.evolve(candidate, transaction=found))
        last_page = max(newest.last_page, older.last_page, self._used.rindex(1))
        return UnfinishedCommit(found, older.page * self._page_size + _META_TAIL_AT, _META_TAIL.pack(last_page, found))

    @staticmethod
    def _misnamed(meta: Meta, found: int) -> Damaged:
        return Damaged(f"root page {meta.page} says transaction {meta.transaction}, its tree says {found}")

    # --- root pages ---

    def newest_transaction(self) -> int:
        newest, _older = self._metas()
        return newest.transaction

    def _metas(self) -> tuple[Meta, Meta]:
        """The newest and the older root page."""
        first = self._meta(0, 0)
        self._page_size = first.page_size
        second = self._meta(1, first.page_size)
        if second.page_size != first.page_size:
            raise Damaged(f"its root pages name different page sizes, {first.page_size} and {second.page_size}")
        newest, older = (first, second) if first.transaction > second.transaction else (second, first)
        if newest.transaction - older.transaction != 1 or newest.transaction % 2 != newest.page:
            raise Damaged(
                f"its root pages hold transactions {first.transaction} and {second.transaction}, "
                "which no sequence of writes leaves behind"
            )
        return newest, older

    def _meta(self, page: int, offset: int) -> Meta:
        data = self._read(offset, _META_BYTES)
        if len(data) < _META_BYTES:
            raise Damaged(f"it is truncated: {self._size} bytes, too few for root page {page}")
        number, _pad, flags, _lower, _upper = _PAGE_HEADER.unpack_from(data)
        magic, version, _address, map_size = _META_HEAD.unpack_from(data, 16)
        if (number, flags, magic) != (page, _META, _MAGIC):
            raise Damaged(f"root page {page} is overwritten or zeroed")
        if version != _DATA_VERSION:
            raise Damaged(f"root page {page} is of LMDB data version {version}, not {_DATA_VERSION}")
        free = Tree(*_TREE.unpack_from(data, 40))
        main = Tree(*_TREE.unpack_from(data, 88))
        last_page, transaction = _META_TAIL.unpack_from(data, _META_TAIL_AT)
        self._check_meta(page, free, main, last_page, map_size)
        return Meta(page, free.page_size, free, main, last_page, transaction)

    def _check_meta(self, page: int, free: Tree, main: Tree, last_page: int, map_size: int) -> None:
        page_size = free.page_size
        if page_size & (page_size - 1) or not 512 <= page_size <= 65536:
            raise Damaged(f"root page {page} names a page size of {page_size} bytes")
        if free.flags != _INTEGER_KEY or main.flags != 0:
            raise Damaged(f"root page {page} has flags no file of ours has")
        if map_size % page_size or (last_page + 1) * page_size > map_size:
            raise Damaged(f"root page {page} names a map of {map_size} bytes and a last page {last_page}")

    def _transaction_under(self, meta: Meta) -> int:
        """The number of the transaction that wrote the tree under a root page, from its position record."""
        self._used = bytearray(meta.last_page + 1)
        transaction = None
        for key, flags, data in self._records(meta.main, "main"):
            if key == self._layout.position_key and not flags:
                transaction = self._layout.transaction_of(data)
        if transaction is None:
            raise Damaged(f"the tree under root page {meta.page} has no position record")
        return transaction

    # --- trees ---

    def _walk_main(self, meta: Meta) -> int:
        """Walk the main tree and the trees named in it; returns how many records those have."""
        trees = self._named_trees(meta)
        for name in self._layout.trees:
            self._walk_named(name.decode(), trees.get(name))
        return sum(tree.entries for tree in trees.values())

    def _named_trees(self, meta: Meta) -> dict[bytes, Tree]:
        trees: dict[bytes, Tree] = {}
        for key, flags, data in self._records(meta.main, "main"):
            if flags == _SUB_TREE and key in self._layout.trees and len(data) == _TREE.size:
                trees[key] = Tree(*_TREE.unpack(data))
            elif flags:
                raise Damaged(f"the main tree has a record {key!r} that no file of ours has")
        return trees

    def _walk_named(self, name: str, tree: Tree | None) -> None:
        if tree is None or tree.flags != 0:
            raise Damaged(f"the main tree does not name the tree of {name}")
        key_bytes = self._layout.key_bytes
        for key, flags, _data in self._records(tree, name):
            if key_bytes not in (None, len(key)) or flags & ~_BIG_DATA:
                raise Damaged(f"the tree of {name} has a key {key!r} that is none")

    def _walk_free(self, meta: Meta) -> int:
        """Every page that LMDB would use again: none of them may be in use, or be named twice."""
        free_pages = 0
        for key, flags, data in self._records(meta.free, "free"):
            if flags & ~_BIG_DATA or len(key) != 8 or _PAGE_NUMBER.unpack(key)[0] > meta.transaction:
                raise Damaged("the list of free pages has a record that no transaction wrote")
            content = self._big_data(data, 0) if flags else data
            free_pages += self._free_numbers(content)
        return free_pages

    def _free_numbers(self, content: bytes) -> int:
        count: int = _PAGE_NUMBER.unpack_from(content)[0] if len(content) >= 8 else _NO_PAGE
        if (count + 1) * 8 > len(content):
            raise Damaged(f"the list of free pages names {count} pages in {len(content)} bytes")
        for number in struct.unpack_from(f"<{count}Q", content, 8):
            self._take(number, 1, "a free page")
        return count

    def _records(self, tree: Tree, name: str, start: bytes = b"") -> Iterator[tuple[bytes, int, bytes]]:
        """Every (key, flags, data) of ``tree`` in order; big data is given as (page, length), not read.

        With ``start``, leaves that end before it are passed over, and nothing can be said of the counts.
        """
        if tree.root == _NO_PAGE:
            if (tree.depth, tree.branch_pages, tree.leaf_pages, tree.overflow_pages, tree.entries) != (0, 0, 0, 0, 0):
                raise Damaged(f"the {name} tree is empty and says it is not")
            return
        if not 1 <= tree.depth <= 32:
            raise Damaged(f"the {name} tree says it is {tree.depth} deep")
        walk = _Walk(self, tree, name, start)
        yield from walk.pages(tree.root, tree.depth, None, None)
        if start:
            return
        counted = (walk.branch_pages, walk.leaf_pages, walk.overflow_pages, walk.entries)
        said = (tree.branch_pages, tree.leaf_pages, tree.overflow_pages, tree.entries)
        if counted != said:
            raise Damaged(f"the {name} tree has {counted} branches, leaves, big pages and records, and says {said}")

    # --- pages, asked for by walks ---

    @property
    def page_size(self) -> int:
        return self._page_size

    def page(self, number: int, name: str) -> bytes:
        """The bytes of a tree page that nothing else uses."""
        self._take(number, 1, f"the {name} tree")
        data = self._read(number * self._page_size, self._page_size)
        if len(data) < self._page_size or _PAGE_HEADER.unpack_from(data)[0] != number:
            raise Damaged(f"page {number} of the {name} tree is not what its number says")
        return data

    def big_pages(self, data: bytes, name: str) -> int:
        """Check the head of a big record and account for its pages; returns how many there are."""
        number, length = struct.unpack("<QI", data)
        count: int = (_PAGE_HEADER.size - 1 + length) // self._page_size + 1
        self._take(number, count, f"the {name} tree")
        header = self._read(number * self._page_size, _PAGE_HEADER.size)
        found, _pad, flags, low, high = _PAGE_HEADER.unpack(header)
        if (found, flags, low | high << 16) != (number, _OVERFLOW, count):
            raise Damaged(f"big page {number} of the {name} tree is not what its number says")
        return count

    def _big_data(self, data: bytes, start: int) -> bytes:
        number, length = struct.unpack("<QI", data)
        return self._read(number * self._page_size + _PAGE_HEADER.size + start, length)

    def _take(self, first: int, count: int, user: str) -> None:
        """Mark pages as used by ``user``; each has one user and is inside the file."""
        if first < 2 or first + count > len(self._used):
            raise Damaged(f"page {first} of {user} is outside the {len(self._used)} pages the log has")
        if user != "a free page" and (first + count) * self._page_size > self._size:
            raise Damaged(
                f"it is truncated: {self._size} bytes, and page {first} ends at {(first + count) * self._page_size}"
            )
        if any(self._used[first : first + count]):
            raise Damaged(f"page {first} of {user} is used twice")
        self._used[first : first + count] = b"\1" * count


class _Walk:
    """Counts what one tree consists of and holds every key to its place.

    Parameters
    ----------
    start: subtrees that end before this key are passed over.
    """

    def __init__(self, check: _Check, tree: Tree, name: str, start: bytes = b"") -> None:
        self._check = check
        self._name = name
        self._start = start
        self._is_integer = tree.flags == _INTEGER_KEY
        self.branch_pages = 0
        self.leaf_pages = 0
        self.overflow_pages = 0
        self.entries = 0

    def pages(
        self, number: int, depth: int, at_least: bytes | None, below: bytes | None
    ) -> Iterator[tuple[bytes, int, bytes]]:
        """Records of the subtree at page ``number``, whose keys are all in ``at_least <= key < below``."""
        page = self._check.page(number, self._name)
        if depth > 1:
            yield from self._branch(number, page, depth, at_least, below)
            return
        nodes = self._nodes(number, page, _LEAF)
        self.leaf_pages += 1
        self.entries += len(nodes)
        self._check_order(number, [key for key, _flags, _data in nodes], at_least, below)
        for key, flags, data in nodes:
            if flags & _BIG_DATA:
                self.overflow_pages += self._check.big_pages(data, self._name)
            yield key, flags, data

    def _branch(
        self, number: int, page: bytes, depth: int, at_least: bytes | None, below: bytes | None
    ) -> Iterator[tuple[bytes, int, bytes]]:
        nodes = self._nodes(number, page, _BRANCH)
        self.branch_pages += 1
        separators = [key for key, _flags, _data in nodes[1:]]
        self._check_order(number, separators, at_least, below)
        bounds = [at_least, *separators, below]
        for place, (_key, _flags, data) in enumerate(nodes):
            end = bounds[place + 1]
            if end is None or end > self._start:
                yield from self.pages(_PAGE_NUMBER.unpack(data)[0], depth - 1, bounds[place], end)

    def _nodes(self, number: int, page: bytes, kind: int) -> list[tuple[bytes, int, bytes]]:
        """The (key, flags, data) of a page: they must fill it exactly from ``upper`` to its end."""
        size = len(page)
        _number, _pad, flags, lower, upper = _PAGE_HEADER.unpack_from(page)
        if flags != kind or not 16 <= lower <= upper <= size or lower % 2:
            raise Damaged(f"page {number} of the {self._name} tree is no {'leaf' if kind == _LEAF else 'branch'}")
        offsets = struct.unpack_from(f"<{(lower - 16) // 2}H", page, 16)
        read_node = self._leaf_node if kind == _LEAF else self._branch_node
        nodes: dict[int, tuple[bytes, int, bytes]] = {}
        expected = upper
        for offset in sorted(offsets):
            if offset != expected or offset + _NODE.size > size:
                raise Damaged(f"page {number} of the {self._name} tree has its records in the wrong places")
            nodes[offset], used = read_node(page, offset)
            expected = offset + used + used % 2
        if expected != size or not offsets:
            raise Damaged(f"page {number} of the {self._name} tree has its records in the wrong places")
        return [nodes[offset] for offset in offsets]

    def _leaf_node(self, page: bytes, offset: int) -> tuple[tuple[bytes, int, bytes], int]:
        low, high, flags, key_size = _NODE.unpack_from(page, offset)
        start = offset + _NODE.size + key_size
        key = page[offset + _NODE.size : start]
        length = low | high << 16
        if flags & _BIG_DATA:
            return (key, flags, page[start : start + 8].ljust(8, b"\xff") + struct.pack("<I", length)), (
                _NODE.size + key_size + 8
            )
        return (key, flags, page[start : start + length]), _NODE.size + key_size + length

    def _branch_node(self, page: bytes, offset: int) -> tuple[tuple[bytes, int, bytes], int]:
        low, high, top, key_size = _NODE.unpack_from(page, offset)
        key = page[offset + _NODE.size : offset + _NODE.size + key_size]
        return (key, 0, _PAGE_NUMBER.pack(low | high << 16 | top << 32)), _NODE.size + key_size

    def _check_order(self, number: int, keys: list[bytes], at_least: bytes | None, below: bytes | None) -> None:
        if self._is_integer:
            keys = [key[::-1] for key in keys]
            at_least = at_least and at_least[::-1]
            below = below and below[::-1]
        is_ordered = all(first < second for first, second in itertools.pairwise(keys))
        if keys and (
            not is_ordered or (at_least is not None and keys[0] < at_least) or (below is not None and keys[-1] >= below)
        ):
            raise Damaged(f"page {number} of the {self._name} tree has keys out of order")
