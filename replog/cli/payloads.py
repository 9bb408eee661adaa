"""Bytes as people write and read them on a command line: text, hexadecimal, standard input, a line each.

Commands and answers are opaque to the log. Text is taken and shown as UTF-8; with ``--hex`` everything is hexadecimal
both ways, which is exact for any bytes.
"""

from __future__ import annotations

import os
import sys
from collections.abc import AsyncGenerator
from typing import TYPE_CHECKING, Annotated, Any

from cyclopts import Parameter

from replog.cli_kit.printing import note
from replog.errors import ConfigError

if TYPE_CHECKING:
    from typing import BinaryIO

CHUNK_BYTES = 65_536

Hex = Annotated[bool, Parameter(name="--hex", negative=(), show_default=False)]
Lines = Annotated[bool, Parameter(name="--lines", negative=(), show_default=False)]


def single(word: str | None, *, is_hex: bool) -> bytes:
    """What a word of the command line says; without a word, all of standard input.

    Raises ``ConfigError`` for what is no hexadecimal and should be, and for a standard input that has nothing.
    """
    if word is None:
        data = _stdin().read()
        if not data:
            raise ConfigError('standard input is empty, or closed; give what to send as a word, or "" for nothing.')
        return _decoded(data, is_hex=is_hex, where="standard input")
    return _decoded(os.fsencode(word), is_hex=is_hex, where=repr(word))


def check_no_word(word: str | None) -> None:
    """Raises ``ConfigError`` if ``--lines`` has a word beside it."""
    if word is not None:
        raise ConfigError(f"--lines reads standard input, and {word!r} is given too; give one of the two.")


async def lines(*, is_hex: bool) -> AsyncGenerator[list[bytes], None]:
    """The lines of standard input without their ends, as many at a time as have arrived; an empty one is empty bytes.

    Raises ``ConfigError`` naming the line that is no hexadecimal and should be.
    """
    import trio

    stdin, count, rest = _stdin().fileno(), 0, b""
    while chunk := await trio.to_thread.run_sync(os.read, stdin, CHUNK_BYTES, abandon_on_cancel=True):
        *whole, rest = (rest + chunk).split(b"\n")
        if whole:
            yield [_line(line, count + number, is_hex=is_hex) for number, line in enumerate(whole, start=1)]
        count += len(whole)
    if rest:
        yield [_line(rest, count + 1, is_hex=is_hex)]


def _line(line: bytes, number: int, *, is_hex: bool) -> bytes:
    return _decoded(line.removesuffix(b"\r"), is_hex=is_hex, where=f"line {number}")


def _stdin() -> BinaryIO:
    if sys.stdin.isatty():
        note("reading standard input; Ctrl-D ends it")
    return sys.stdin.buffer


def _decoded(data: bytes, *, is_hex: bool, where: str) -> bytes:
    if not is_hex:
        return data
    try:
        return bytes.fromhex(data.decode("ascii"))
    except ValueError:
        raise ConfigError(f"{where} is not hexadecimal; write two digits a byte, like 0aff.") from None


def shown(data: bytes, *, is_hex: bool) -> str:
    """An answer on one line: as text if it is text that a terminal can show as it is, otherwise ``0x`` and digits."""
    if is_hex:
        return data.hex()
    text = as_text(data)
    return text if text is not None and text.isprintable() else f"0x{data.hex()}"


def fields(data: bytes) -> dict[str, Any]:
    """An answer for ``--json``: its bytes in hexadecimal, and the text they are or null."""
    return {"reply": data.hex(), "text": as_text(data)}


def as_text(data: bytes) -> str | None:
    try:
        return data.decode()
    except UnicodeDecodeError:
        return None
