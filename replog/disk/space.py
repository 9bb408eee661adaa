"""Takes blocks of a disk ahead of use, so that a full disk is noticed before a commit is tried and not within one.

Never: write into them.
"""

from __future__ import annotations

import errno
import os
from typing import Final

_NO_SPACE: Final = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
_ZEROS: Final = bytes(2**20)


def take_blocks(descriptor: int, offset: int, count: int, *, is_written: bool) -> bool:
    """Make the file reach from ``offset``, its end, over ``count`` bytes more; False if the disk has no space for them.

    Parameters
    ----------
    is_written: write them too, as zeros. A synchronous write into blocks that were never written makes the file system
        commit its journal as well, which can take as long again.

    Raises
    ------
    OSError: the disk failed otherwise.
    """
    try:
        os.posix_fallocate(descriptor, offset, count)
        if is_written:
            _write_zeros(descriptor, offset, count)
    except OSError as error:
        if error.errno not in _NO_SPACE:
            raise
        return False
    return True


def _write_zeros(descriptor: int, offset: int, count: int) -> None:
    end = offset + count
    while offset < end:
        offset += os.pwrite(descriptor, _ZEROS[: end - offset], offset)
