"""Makes the settings' classes from what was read, and takes nothing for what it is not.

Every field is checked by itself, its range too, so that all mistakes of a file are told at once. What is wrong with a
value is a ``TypeError`` that goes on after the value's key ("must be a whole number, not '3'"); a ``ValueError`` is a
whole sentence.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Final

import attrs
import cattrs
from cattrs.gen import make_dict_structure_fn, override

from ..node.settings import ReplicaConfig
from ..paxos.ballot import NodeId, parse_node
from .keys import TABLES

_BOUNDS: Final = {">": "above", ">=": "at least"}

Structure = Callable[[Any, Any], Any]


@functools.cache
def converter() -> cattrs.Converter:
    """From plain dictionaries to ``ReplicaConfig``: cattrs alone would read "3" as 3 and 1 as true."""
    strict = cattrs.Converter(forbid_extra_keys=True)
    strict.register_structure_hook(int, _strictly(int, "a whole number"))
    strict.register_structure_hook(str, _strictly(str, 'text in quotes, like "text"'))
    strict.register_structure_hook(bool, _strictly(bool, "true or false"))
    strict.register_structure_hook(float, _number)
    strict.register_structure_hook(Path, _path)
    strict.register_structure_hook_func(lambda kind: kind == dict[NodeId, str], _members)
    for kind in (*TABLES.values(), ReplicaConfig):
        strict.register_structure_hook(kind, _table(strict, kind))
    return strict


def _strictly(kind: type, words: str) -> Structure:
    def structure(value: object, _kind: object) -> object:
        if type(value) is not kind:
            raise TypeError(f"must be {words}, not {value!r}")
        return value

    return structure


def _number(value: object, _kind: object) -> float:
    if type(value) not in (int, float) or not math.isfinite(value):  # type: ignore[arg-type]
        raise TypeError(f"must be a number, not {value!r}")
    return float(value)  # type: ignore[arg-type]


def _path(value: object, _kind: object) -> Path:
    if not isinstance(value, str | Path) or not str(value):
        raise TypeError(f'must be a path in quotes, like "/var/lib/replog", not {value!r}')
    return Path(value)


def _members(value: object, _kind: object) -> dict[NodeId, str]:
    if not isinstance(value, Mapping):
        raise TypeError('must be a table, like members = {n1 = "10.0.0.1:7101", n2 = "10.0.0.2:7101"}')
    members: dict[NodeId, str] = {}
    for name, address in value.items():
        try:
            node = parse_node(str(name))
        except ValueError:
            raise TypeError(f"has {name!r}, which is no node; nodes are called n1, n2 and so on") from None
        if not isinstance(address, str):
            raise TypeError(f'has {address!r} for {name}; write "host:port"')
        members[node] = address
    return dict(sorted(members.items()))


def _table(strict: cattrs.Converter, kind: type) -> Structure:
    checked: dict[str, Any] = {
        field.name: override(struct_hook=_in_range(strict, field)) for field in attrs.fields(kind)
    }
    fields: Structure = make_dict_structure_fn(kind, strict, _cattrs_forbid_extra_keys=True, **checked)

    def structure(value: object, wanted: object) -> Any:
        if not isinstance(value, Mapping):
            raise TypeError("must be a table with a heading in brackets")
        return fields(value, wanted)

    return structure


def _in_range(strict: cattrs.Converter, field: attrs.Attribute[Any]) -> Structure:
    """The field's value, after its validator has seen it."""

    def structure(value: object, kind: Any) -> Any:
        found = strict.structure(value, kind)
        if field.validator is not None:
            try:
                field.validator(None, field, found)
            except ValueError:
                bound = _bound(field.validator)
                if not bound:
                    raise
                raise TypeError(f"must be {bound}, not {found}") from None
        return found

    return structure


def _bound(validator: Any) -> str:
    """What a number must be, if the validator is a bound or an optional one."""
    number = getattr(validator, "validator", validator)
    words = _BOUNDS.get(getattr(number, "compare_op", ""))
    return f"{words} {number.bound}" if words else ""
