"""Positions in the log: what a node knows of it only grows as long as the node lives.

A position that went back would make a slot that is known chosen open again, and the next proposal would be written over
it (P5, P7). So the roles declare theirs ``Rising``, and a lower one is an error at the place that sets it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from .ballot import BEFORE_LOG, Slot


class Rising:
    """A position that is never set back."""

    if TYPE_CHECKING:

        def __get__(self, instance: Any, owner: type) -> Slot:
            """Read from the instance itself: without this method at run time that costs no call."""

    def __set_name__(self, owner: type, name: str) -> None:
        self._name = name

    def __set__(self, instance: Any, position: Slot) -> None:
        held = instance.__dict__
        assert position >= held.get(self._name, BEFORE_LOG), (self._name, position, held[self._name])
        held[self._name] = position
