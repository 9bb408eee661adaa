"""The first write that fails is the last thing a store does: log and journal share one word of it.

The outcome of a write that failed is unknown, and the kernel has dropped the pages it could not write, so a second
attempt would succeed and prove nothing (P1).

Never: let a write be tried again.
"""

from __future__ import annotations

from pathlib import Path

from ..errors import ReplogError, StorageError
from ..process.resources import lacking


class Failure:
    """Whether a store has failed, and with what words."""

    def __init__(self) -> None:
        self._text = ""

    def refuse(self) -> None:
        """Raise ``StorageError`` if anything has failed before."""
        if self._text:
            raise StorageError(self._text)

    def of(self, path: Path, error: BaseException) -> ReplogError:
        """What to raise where a write to the file ``path`` failed, and from now on."""
        lack = lacking(f"{path}: a write failed, and whether it is durable is unknown", error)
        if lack is not None:
            self._text = self._text or str(lack)
            return lack
        self._text = self._text or (
            f"{path}: a write failed ({error}); whether it is durable is unknown, so this process "
            "must end. Check the disk (dmesg, free space), then start the node again: it goes on from what is durable."
        )
        return StorageError(self._text)
