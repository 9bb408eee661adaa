"""Control characters as people write them, so that a name can't move the cursor or turn a line around."""

from __future__ import annotations

import re

_HIDDEN = "\x00-\x09\x0b-\x1f\x7f-\x9f\u2028-\u202e\u2066-\u2069\ufeff\ud800-\udfff"
"""What moves the cursor, colours, turns the direction of writing, or is no character; the end of a line apart."""
_hidden = re.compile(f"[{_HIDDEN}]")
_hidden_in_line = re.compile(f"[{_HIDDEN}\n]")


def shown(text: str, *, is_line: bool = True) -> str:
    r"""``text`` with ``\x1b`` for the character of that number; ``\n`` too, unless it may be more than a line."""
    return (_hidden_in_line if is_line else _hidden).sub(_written, text)


def shown_in_json(text: str) -> str:
    r"""JSON that means the same, with ``\u202e`` for the character of that number: it hides in strings alone."""
    return _hidden.sub(lambda found: f"\\u{ord(found.group()):04x}", text)


def _written(found: re.Match[str]) -> str:
    return found.group().encode("unicode_escape").decode()
