"""What the file of a log consists of, and how it is checked before LMDB maps it."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Final

from ..disk.pages import Layout, PageReport, check_pages
from ..errors import Damaged, StorageError
from .records import POSITION_KEY, SLOT_KEY_BYTES, SLOTS_NAME, decode_position

LOG_LAYOUT: Final = Layout(
    trees=(SLOTS_NAME,),
    position_key=POSITION_KEY,
    transaction_of=lambda data: decode_position(data).transaction,
    key_bytes=SLOT_KEY_BYTES,
    is_older_ours=True,
)

NEVER_FRESH: Final = (
    "the node can't start from it, and never starts afresh. Keep the directory for inspection "
    '(`replog verify` says more) and see "replace a dead node" in docs/OPERATING.md'
)


def check_file(data_path: Path) -> PageReport:
    """Check the structure of a log that no process has open.

    Raises
    ------
    StorageError: the file is absent or can't be read.
    Damaged: it is truncated or damaged in its structure.
    """
    try:
        descriptor = os.open(data_path, os.O_RDONLY | os.O_CLOEXEC)
    except OSError as error:
        raise StorageError(f"{data_path} can't be read: {error}; {NEVER_FRESH}") from error
    try:
        size = os.fstat(descriptor).st_size
        return check_pages(lambda offset, length: os.pread(descriptor, length, offset), size, LOG_LAYOUT)
    except OSError as error:
        raise StorageError(f"{data_path} can't be read: {error}; {NEVER_FRESH}") from error
    except Damaged as error:
        raise Damaged(f"{data_path} is damaged: {error}; {NEVER_FRESH}") from error
    finally:
        os.close(descriptor)
