"""Whether each value of an options class is of its field's kind; said with the field's name, before its range is looked
at.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

import attrs

_KINDS: Final[dict[str, tuple[tuple[type, ...], str]]] = {
    "int": ((int,), "a whole number"),
    "float": ((int, float), "a number"),
    "bool": ((bool,), "True or False"),
    "int | None": ((int, type(None)), "a whole number or None"),
}
"""By the annotation, as the source has it: which types a value may have, and what that is called."""


def kinds_checked(_class: type, fields: list[attrs.Attribute[Any]]) -> list[attrs.Attribute[Any]]:
    """The fields, each with a converter that raises ``TypeError``: ``@attrs.frozen(field_transformer=kinds_checked)``.

    A converter and no validator, so that the bounds of a field stay what its validator is. A class with a field whose
    kind is not known here is not made.
    """
    return [field.evolve(converter=_check(field.name, str(field.type))) for field in fields]


def _check(name: str, annotation: str) -> Callable[[Any], Any]:
    assert annotation in _KINDS, f"{name} has no kind that is checked: {annotation}"
    types, called = _KINDS[annotation]

    def checked(value: Any) -> Any:
        if not isinstance(value, types) or (isinstance(value, bool) and bool not in types):
            raise TypeError(f"{name} is {called}, not {value!r}")
        return value

    return checked
