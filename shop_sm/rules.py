"""The bounds of single fields, checked the same way by every command.

A check answers a refusal or None. Nothing here depends on locale, on Unicode tables or on the Python version.
"""

from __future__ import annotations

import re

from .currencies import DECIMALS
from .limits import IDENTIFIER_CHARS_MAX, NAME_BYTES_MAX
from .results import InvalidField

IDENTIFIER = re.compile(r"[A-Za-z0-9][A-Za-z0-9._~:@+-]*")
IDENTIFIER_WORDS = "A-Z a-z 0-9 . _ ~ : @ + - and begin with a letter or a digit"


def is_identifier(text: str) -> bool:
    """Safe in keys, as a word of a command line and as a part of a URL's path: no option, no folder, no escapes."""
    return len(text) <= IDENTIFIER_CHARS_MAX and IDENTIFIER.fullmatch(text) is not None


def may_be_stored(text: str) -> bool:
    """Whether a record may have this id. Ids were less strict once, and what was stored then is found and changed."""
    return 0 < len(text) <= IDENTIFIER_CHARS_MAX and text.isascii() and text.isprintable()


def identifier_refusal(field: str) -> InvalidField:
    return InvalidField(field, f"must be 1 to {IDENTIFIER_CHARS_MAX} of {IDENTIFIER_WORDS}")


def check_name(text: str) -> InvalidField | None:
    if text and len(text.encode()) <= NAME_BYTES_MAX:
        return None
    return InvalidField("name", f"must be 1 to {NAME_BYTES_MAX} bytes of UTF-8")


def check_currency(text: str) -> InvalidField | None:
    if text in DECIMALS:
        return None
    return InvalidField("currency", "must be one of ISO 4217, like USD")


def short(text: str) -> str:
    """What of a rejected text goes into an answer: enough to recognise it, never more than an identifier's length."""
    return text[:IDENTIFIER_CHARS_MAX]
