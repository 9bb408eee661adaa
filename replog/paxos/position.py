"""Positions in the log: what a node knows of it only grows as long as the node lives.

A position that went back would make a slot that is known chosen open again, and the next proposal would be written over
it (P5, P7). So whoever keeps one names it in ``rising``, and a lower one is an error at the place that sets it.

It is asked where a position is written and not where it is read: a role reads them for every message, and a descriptor
that looks at both would take a hundred times as long as a plain attribute.

Never: be set back.
"""

from __future__ import annotations

from typing import Any, ClassVar

from .ballot import BEFORE_LOG


class Rising:
    """Base of what keeps positions; those in ``rising`` are never set back."""

    rising: ClassVar[frozenset[str]]

    def __setattr__(self, name: str, value: Any) -> None:
        if name in self.rising:
            before = getattr(self, name, BEFORE_LOG)
            assert value >= before, (name, value, before)
        object.__setattr__(self, name, value)
