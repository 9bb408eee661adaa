"""A console that takes every string for data: it has no markup in it, and no control of the terminal.

Names, ids and errors come from users and strangers. Style is said apart from the text, by ``rich.text.Text``.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterable
from contextlib import suppress
from typing import Any, TextIO

from rich.console import Console, ConsoleOptions, RenderableType
from rich.segment import Segment
from rich.text import Text

from .shown import shown


class PlainConsole(Console):
    """On stdout, or on stderr, where what can't be printed is lost and stops nobody.

    Parameters
    ----------
    width: columns; None: the terminal's.
    """

    def __init__(self, *, is_stderr: bool, width: int | None) -> None:
        file: Any = _Remarks(sys.stderr) if is_stderr else None
        sizes = ("COLUMNS", "LINES")  # which rich would believe, whatever they say
        environ = {name: text for name, text in os.environ.items() if name not in sizes}
        super().__init__(file=file, width=width, highlight=False, markup=False, emoji=False, _environ=environ)

    def render_str(self, text: str, **how: Any) -> Text:
        """What is shown takes room in its cell, so it is shown before it is measured."""
        return super().render_str(shown(text), **how)

    def render(self, renderable: RenderableType, options: ConsoleOptions | None = None) -> Iterable[Segment]:
        """Also what was made a ``Text`` elsewhere."""
        for segment in super().render(renderable, options):
            yield segment if segment.control else Segment(shown(segment.text, is_line=False), segment.style)


class _Remarks:
    """A stream whose reader may have gone, or whose disk may be full."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)

    def write(self, text: str) -> int:
        with suppress(OSError, ValueError):
            self._stream.write(text)
        return len(text)

    def flush(self) -> None:
        with suppress(OSError, ValueError):
            self._stream.flush()
