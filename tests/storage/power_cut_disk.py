"""A file system in memory that knows what would survive a power cut: only what was synced, at best.

A file's content is durable once the file was synced, and a name once its folder was, which is all that POSIX promises.
What was not synced may be lost, kept or torn in any combination; ``after_cut`` makes one such combination from a seed.
It knows nothing of FUSE.
"""

from __future__ import annotations

import errno
import os
import random
import stat
from collections.abc import Iterator
from pathlib import Path

BLOCK_BYTES = 512
"""A disk writes whole sectors; a longer write may be torn between two of them."""


class File:
    """A file: what readers see, what is durable, and what was written since."""

    def __init__(self, mode: int) -> None:
        self.mode = mode | stat.S_IFREG
        self.content = bytearray()
        self.durable = bytearray()
        self.unsynced: list[tuple[int, bytes]] = []

    def write(self, offset: int, data: bytes) -> None:
        self._resize(self.content, max(len(self.content), offset))
        self.content[offset : offset + len(data)] = data
        self.unsynced.append((offset, bytes(data)))

    def truncate(self, length: int) -> None:
        self._resize(self.content, length)
        self.unsynced.append((length, b""))

    def sync(self) -> None:
        self.durable = bytearray(self.content)
        self.unsynced.clear()

    def after_cut(self, chance: random.Random | None) -> bytes:
        """The durable content, and whatever part of the later writes the disk happened to have done."""
        content = bytearray(self.durable)
        for offset, data in self.unsynced if chance else []:
            assert chance is not None
            for start, piece in _sectors(offset, data):
                if chance.random() < 0.5:
                    self._resize(content, max(len(content), start))
                    content[start : start + len(piece)] = piece
        return bytes(content)

    @staticmethod
    def _resize(content: bytearray, length: int) -> None:
        del content[length:]
        content.extend(bytes(length - len(content)))


def _sectors(offset: int, data: bytes) -> Iterator[tuple[int, bytes]]:
    """The parts of a write that lie in one sector each, and where; an empty one is a change of the file's length."""
    start = offset
    while start < offset + len(data) or start == offset:
        end = (start // BLOCK_BYTES + 1) * BLOCK_BYTES
        yield start, data[start - offset : end - offset]
        start = end


class Folder:
    """A folder: its names as readers see them, and those that are durable."""

    def __init__(self, mode: int) -> None:
        self.mode = mode | stat.S_IFDIR
        self.names: dict[str, File | Folder] = {}
        self.durable: dict[str, File | Folder] = {}

    def sync(self) -> None:
        self.durable = dict(self.names)


class PowerCutDisk:
    """Folders and files below one root, whose own names are always durable."""

    def __init__(self) -> None:
        self.root = Folder(0o700)

    def find(self, path: str) -> File | Folder:
        node: File | Folder = self.root
        for name in _names(path):
            if not isinstance(node, Folder):
                raise OSError(errno.ENOTDIR, os.strerror(errno.ENOTDIR))
            if name not in node.names:
                raise OSError(errno.ENOENT, os.strerror(errno.ENOENT))
            node = node.names[name]
        return node

    def folder(self, path: str) -> Folder:
        node = self.find(path)
        if not isinstance(node, Folder):
            raise OSError(errno.ENOTDIR, os.strerror(errno.ENOTDIR))
        return node

    def file(self, path: str) -> File:
        node = self.find(path)
        if not isinstance(node, File):
            raise OSError(errno.EISDIR, os.strerror(errno.EISDIR))
        return node

    def create(self, path: str, mode: int) -> File:
        file = File(mode & 0o777)
        self._add(path, file)
        return file

    def make_folder(self, path: str, mode: int) -> None:
        self._add(path, Folder(mode & 0o777))

    def rename(self, old: str, new: str) -> None:
        parent, name = self._parent(old)
        node = self.find(old)
        target, target_name = self._parent(new)
        del parent.names[name]
        target.names[target_name] = node

    def remove(self, path: str) -> None:
        self.find(path)
        parent, name = self._parent(path)
        del parent.names[name]

    def write_after_cut(self, path: str, target: Path, seed: int | None) -> None:
        """Write to ``target`` what would be found below ``path`` if the power failed at this moment.

        Parameters
        ----------
        seed: decides what the disk did of its unsynced writes; None: nothing of them.
        """
        chance = random.Random(seed) if seed is not None else None
        _write(self.folder(path), target, chance)

    def cut(self, seed: int | None) -> None:
        """The power fails: what was not durable is gone, but for what ``seed`` lets through."""
        _lose(self.root, random.Random(seed) if seed is not None else None)

    def _add(self, path: str, node: File | Folder) -> None:
        parent, name = self._parent(path)
        if name in parent.names:
            raise OSError(errno.EEXIST, os.strerror(errno.EEXIST))
        parent.names[name] = node

    def _parent(self, path: str) -> tuple[Folder, str]:
        *names, last = _names(path)
        return self.folder("/".join(names)), last


def _names(path: str) -> list[str]:
    return [name for name in path.split("/") if name]


def _write(folder: Folder, target: Path, chance: random.Random | None) -> None:
    target.mkdir(mode=0o700)
    for name, node in folder.durable.items():
        if isinstance(node, Folder):
            _write(node, target / name, chance)
        else:
            _write_sparsely(node.after_cut(chance), target / name)


def _write_sparsely(content: bytes, path: Path) -> None:
    """A file allocated ahead of use ends in zeros, which need no space."""
    with path.open("wb") as file:
        file.write(content.rstrip(b"\0"))
        file.truncate(len(content))


def _lose(folder: Folder, chance: random.Random | None) -> None:
    folder.names = dict(folder.durable)
    for node in folder.names.values():
        if isinstance(node, Folder):
            _lose(node, chance)
        else:
            node.content = bytearray(node.after_cut(chance))
            node.sync()
