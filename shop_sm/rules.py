"""The bounds of single fields, checked the same way by every command.

A check answers a refusal or None. Nothing here depends on locale, on Unicode tables or on the Python version.
"""

from __future__ import annotations

from .limits import IDENTIFIER_CHARS_MAX, NAME_BYTES_MAX
from .results import InvalidField


def is_identifier(text: str) -> bool:
    """1 to 64 printable ASCII characters without a blank: safe in keys, on a command line and in a URL's path."""
    return 0 < len(text) <= IDENTIFIER_CHARS_MAX and text.isascii() and text.isprintable() and " " not in text


def identifier_refusal(field: str) -> InvalidField:
    return InvalidField(field, f"must be 1 to {IDENTIFIER_CHARS_MAX} printable ASCII characters without blanks")


def check_name(text: str) -> InvalidField | None:
    if text and len(text.encode()) <= NAME_BYTES_MAX:
        return None
    return InvalidField("name", f"must be 1 to {NAME_BYTES_MAX} bytes of UTF-8")


def check_currency(text: str) -> InvalidField | None:
    if len(text) == 3 and text.isascii() and text.isalpha() and text.isupper():
        return None
    return InvalidField("currency", "must be three capital letters, like USD")


def short(text: str) -> str:
    """What of a rejected text goes into an answer: enough to recognise it, never more than an identifier's length."""
    return text[:IDENTIFIER_CHARS_MAX]
