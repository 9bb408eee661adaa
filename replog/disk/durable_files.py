"""Small files and names that last: all of a file or what was there before, whenever the power fails."""

from __future__ import annotations

import os
from pathlib import Path


def write_durably(path: Path, data: bytes) -> None:
    """Put ``data`` into the file ``path``, made or replaced as a whole; it is durable when this returns.

    It is written beside its place first, so that a crash leaves the file before it, or none. Raises ``OSError``.
    """
    partial = path.with_name(f"{path.name}.partial")
    descriptor = os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
    try:
        left = memoryview(data)
        while left:
            left = left[os.write(descriptor, left) :]
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
    partial.rename(path)
    sync_folder(path.parent)


def sync_folder(path: Path) -> None:
    """Make the names in the folder ``path`` durable. Raises ``OSError``."""
    descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
