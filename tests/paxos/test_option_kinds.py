"""Options that are made in a program: a value of another kind is named at once, whichever class it belongs to."""

from __future__ import annotations

from typing import Any

import attrs
import pytest

import replog
from replog.paxos.option_kinds import kinds_checked

CLASSES = [replog.ClientOptions, *(type(value) for value in (
    replog.ReplicaConfig(data_dir="x", members={"n1": "127.0.0.1:7101"}).paxos,
    replog.ReplicaConfig(data_dir="x", members={"n1": "127.0.0.1:7101"}).sessions,
    replog.ReplicaConfig(data_dir="x", members={"n1": "127.0.0.1:7101"}).log,
    replog.ReplicaConfig(data_dir="x", members={"n1": "127.0.0.1:7101"}).transport,
    replog.ReplicaConfig(data_dir="x", members={"n1": "127.0.0.1:7101"}).node,
))]  # fmt: skip
WRONG = ("1", b"1", [], {}, object(), 1j, type)
"""Of no kind that an option has."""


@pytest.mark.parametrize(
    ("kind", "field"),
    [(kind, field) for kind in CLASSES for field in attrs.fields(kind)],
    ids=lambda value: getattr(value, "name", None) or getattr(value, "__name__", ""),
)
def test_a_value_of_another_kind_is_named(kind: type, field: attrs.Attribute[Any]) -> None:
    """TypeError, and the field first; a truth is no number, and nothing stands for "none" but where it may."""
    for value in WRONG:
        with pytest.raises(TypeError, match=f"^{field.name} is "):
            kind(**{field.name: value})
    if not isinstance(field.default, bool):
        with pytest.raises(TypeError, match=f"^{field.name} is "):
            kind(**{field.name: True})
    if field.default is not None:
        with pytest.raises(TypeError, match=f"^{field.name} is "):
            kind(**{field.name: None})
    assert getattr(kind(**{field.name: field.default}), field.name) == field.default


def test_a_field_of_a_kind_that_nobody_checks_is_noticed_at_once() -> None:
    """Whoever adds one says what its values are."""
    with pytest.raises(AssertionError, match="name has no kind that is checked: str"):

        @attrs.frozen(field_transformer=kinds_checked)
        class Options:
            name: str = ""
