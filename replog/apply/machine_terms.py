"""What must be the same on every member, beside the log, for their states to be the same.

It travels in the hello between nodes, and a peer that differs in any of it is refused with a sentence that says in
what: two replicas that run one log under different terms come apart at the first slot where it matters, and nobody
could say which of them is right.
"""

from __future__ import annotations

import platform
import sys

import attrs

from .digest import DIGEST_VERSION
from .sessions import SessionOptions

Terms = tuple[tuple[str, str], ...]

APPLY_VERSION = 4
"""Raised whenever the same slot could lead to another state or reply than before."""


def machine_terms(sessions: SessionOptions) -> Terms:
    """This process's terms, as (name, value)."""
    return (
        ("the replicated machine's version", str(APPLY_VERSION)),
        ("the digest's version", str(DIGEST_VERSION)),
        ("Python", python_tag()),
        *((f"[sessions] {name}", str(value)) for name, value in attrs.asdict(sessions).items()),
    )


def python_tag() -> str:
    """Which Pythons give the same results: one minor version.

    From 3.14 on how deep C code may recurse is measured in bytes of its stack, so the build counts too.
    """
    tag = sys.implementation.cache_tag or sys.implementation.name
    if sys.version_info < (3, 14):
        return tag
    return " ".join((tag, platform.python_version(), platform.machine(), platform.python_compiler()))


def difference(own: Terms, theirs: Terms) -> str:
    """Empty, or the first thing in which two members differ, as a sentence's end."""
    held, other = dict(own), dict(theirs)
    for name in [*held, *other]:
        if held.get(name) != other.get(name):
            return f"{name}: {held.get(name, 'unknown')} here, {other.get(name, 'unknown')} there"
    return ""
