"""Broken promises, as the checkers tell them."""

from __future__ import annotations

from typing import NamedTuple


class Violation(NamedTuple):
    """One broken promise."""

    checker: str
    sentence: str


class ViolationFound(Exception):
    """Ends a seed at the moment of its first violation."""

    def __init__(self, violation: Violation) -> None:
        super().__init__(f"{violation.checker}: {violation.sentence}")
        self.violation = violation


def violation(checker: str, sentence: str) -> ViolationFound:
    """To be raised."""
    return ViolationFound(Violation(checker, sentence))
