"""Makes durable what an earlier process left in the kernel's memory, before anybody relies on it (P1).

A process that is killed between a write and its sync leaves behind what a new process reads as if it were on the disk,
and a power cut then takes back. A sync that failed is worse: the kernel told the process that has ended, keeps the
lost pages as if they were written, and calls the next sync a success. So whoever opens a file first settles it:
everything written is synced, and the kernel's copy is let go of, so that what is read is what the disk holds.

Never: decide what a file means.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Final

from ..errors import StorageError
from ..process.resources import lacking
from .durable_files import sync_folder

ALL: Final = 0
ROOT_FOLIOS_BYTES: Final = 8 * 2**20
"""Reaches over both root pages of an LMDB file: the kernel lets go of whole folios only, and none is larger."""


def settle(path: Path, *, let_go_bytes: int = ALL) -> None:
    """Make the content of the file ``path`` and its name durable, and read it from the disk from here on.

    A file that is absent has nothing to settle.

    Parameters
    ----------
    let_go_bytes: how much of the file's beginning the kernel lets go of. Of a large LMDB file the root pages are
        enough: every other page was durable before a root page named it.

    Raises ``StorageError``.
    """
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except FileNotFoundError:
        return
    except OSError as error:
        lack = lacking(f"{path} can't be read", error)
        raise lack or StorageError(f"{path} can't be read: {error}; check its owner and the disk.") from error
    try:
        os.fsync(descriptor)
        os.posix_fadvise(descriptor, 0, let_go_bytes, os.POSIX_FADV_DONTNEED)
        sync_folder(path.parent)
    except OSError as error:
        raise lacking(f"{path} can't be made durable", error) or StorageError(
            f"{path}: a write failed that an earlier process had begun ({error}). Nothing was answered that rests on "
            "it. Check the disk (dmesg, free space), then start the node again: it goes on from what is durable."
        ) from error
    finally:
        os.close(descriptor)
