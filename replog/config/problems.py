"""What is wrong with a configuration, a line a problem: its origin, its key and a fix."""

from __future__ import annotations

import difflib
from collections.abc import Iterator, Mapping
from typing import Final

import attrs
from cattrs import ClassValidationError, ForbiddenExtraKeysError

from ..node.settings import ReplicaConfig
from .keys import TABLES

_MISSING: Final = {
    "data_dir": 'data_dir is missing; name a directory that `replog init` formatted: data_dir = "/var/lib/replog".',
    "members": 'members is missing; name every node, like members = {n1 = "10.0.0.1:7101", n2 = "10.0.0.2:7101"}.',
}


@attrs.frozen
class Problem:
    """One thing that is wrong.

    Parameters
    ----------
    table: whose key it is; empty at the top of the file.
    key: the setting, or what stands where one belongs.
    text: a sentence that names the key.
    """

    table: str
    key: str
    text: str

    def line(self, origins: Mapping[str, str], file: str) -> str:
        """The sentence, behind where the value came from: the file, unless ``origins`` knows better."""
        origin = origins.get(f"{self.table}.{self.key}" if self.table else self.key, file)
        return f"{origin}: {f'[{self.table}] ' if self.table else ''}{self.text}"


def problems(error: BaseException, place: tuple[str, ...] = ()) -> Iterator[Problem]:
    """Everything that came together in ``error`` while settings were made.

    Parameters
    ----------
    error: of cattrs, or of a field inside it.
    place: the fields that led to it, from the top.
    """
    if isinstance(error, ClassValidationError):
        noted, others = error.group_exceptions()
        for inner, note in noted:
            yield from problems(inner, (*place, note.name))
        for inner in others:
            yield from problems(inner, place)
    elif isinstance(error, ForbiddenExtraKeysError):
        for name in sorted(error.extra_fields):
            yield Problem("".join(place), name, _unknown(name, error.cl))
    else:
        yield _of_a_field(error, place)


def _of_a_field(error: BaseException, place: tuple[str, ...]) -> Problem:
    """A field's own problem, or one of several fields together, which names one of them first."""
    *tables, key = place if place and place[-1] not in TABLES else (*place, "")
    table = "".join(tables)
    match error:
        case KeyError():
            return Problem(table, key, _MISSING[key])
        case TypeError() if key:
            return Problem(table, key, f"{key} {error}.")
        case TypeError():
            return Problem("", table, f"[{table}] {error}.")
    text = str(error)
    return Problem(table, key or text.split(" ", 1)[0], text if text.endswith(".") else f"{text}.")


def _unknown(name: str, kind: type) -> str:
    names = [field.name for field in attrs.fields(kind)]
    homes = [table for table, other in TABLES.items() if hasattr(attrs.fields(other), name)]
    if homes:
        return f"{name} is no setting here; it belongs under [{homes[0]}]."
    if kind is not ReplicaConfig and hasattr(attrs.fields(ReplicaConfig), name):
        return f"{name} is no setting here; it belongs at the top of the file, before every [table]."
    close = difflib.get_close_matches(name, names, n=1)
    if close:
        return f"{name} is no setting; did you mean {close[0]}?"
    return f'{name} is no setting; "Settings" in docs/OPERATING.md lists them all.'
