"""Takes blocks of a disk ahead of use, so that a full disk is noticed before a commit is tried and not within one.

Never: write anything into them but zeros.
"""

from __future__ import annotations

import errno
import os
from typing import Final

NO_SPACE: Final = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
"""What the system says where a disk, a quota or a limit of files leaves no room."""
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
            write_zeros(descriptor, offset, count)
    except OSError as error:
        if error.errno not in NO_SPACE:
            raise
        return False
    return True


def write_zeros(descriptor: int, offset: int, count: int) -> None:
    """Write ``count`` zeros from ``offset`` on. Raises ``OSError``."""
    end = offset + count
    while offset < end:
        offset += os.pwrite(descriptor, _ZEROS[: end - offset], offset)
