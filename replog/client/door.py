"""What is checked before anything is taken in: a mistake of the caller is his own, and said at once."""

from __future__ import annotations

from ..errors import CommandTooLarge


def payload_checked(payload: bytes, what: str) -> bytes:
    """Raises ``TypeError`` for anything but bytes: what can change under way must not be sent again."""
    if not isinstance(payload, bytes):
        raise TypeError(f"{what} is bytes, not {type(payload).__name__}; encode text, and wrap a buffer in bytes(...)")
    return payload


def size_checked(payload: bytes, what: str, bytes_max: int) -> None:
    """Raises ``CommandTooLarge``."""
    if len(payload) > bytes_max:
        raise CommandTooLarge(
            f"{what} of {len(payload):,} bytes is above the limit of {bytes_max:,}; split it, or raise "
            "command_bytes_max and batch_bytes_max on every node."
        )


def timeout_checked(timeout: float) -> float:
    """Raises ``ValueError`` for a time that would never come, or has no sense. Infinity means: for ever."""
    if not timeout >= 0.0:
        raise ValueError(f"timeout = {timeout} is no number of seconds from 0 on")
    return timeout


def node_number(target: str) -> int:
    """The number of ``n2``; 0 for nobody. Raises ``ValueError`` if it is no node's name."""
    digits = target.removeprefix("n")
    if target and not (digits.isascii() and digits.isdecimal()):
        raise ValueError(f"{target!r} is no node; write n1, n2, ...")
    return int(digits or 0)
