"""Which settings there are: the tables of a configuration file, and every key in them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Final

import attrs

from ..apply.sessions import SessionOptions
from ..log.space import LogLimits
from ..node.links import TransportOptions
from ..node.settings import NodeOptions, ReplicaConfig
from ..paxos.options import PaxosOptions

ENVIRONMENT_PREFIX: Final = "REPLOG_"

TABLES: Final[Mapping[str, type]] = {
    "paxos": PaxosOptions,
    "sessions": SessionOptions,
    "log": LogLimits,
    "transport": TransportOptions,
    "node": NodeOptions,
}
"""The tables of a configuration file and what each becomes."""


def settings() -> Iterator[tuple[str, Any]]:
    """Key and type of every setting, in the order of the documentation; keys of a table are dotted."""
    for field in attrs.fields(attrs.resolve_types(ReplicaConfig)):
        if field.name not in TABLES:
            yield field.name, field.type
    for table, kind in TABLES.items():
        for field in attrs.fields(attrs.resolve_types(kind)):
            yield f"{table}.{field.name}", field.type


def environment_variables() -> dict[str, str]:
    """Every variable that is read, and the key it sets: ``REPLOG_PAXOS_WINDOW_SLOTS`` sets ``paxos.window_slots``."""
    return {ENVIRONMENT_PREFIX + key.upper().replace(".", "_"): key for key, _ in settings()}


def setting_values(config: ReplicaConfig) -> dict[str, Any]:
    """Every setting's value by its key, in the order of the documentation."""
    values: dict[str, Any] = {}
    for key, _ in settings():
        table, dot, name = key.partition(".")
        values[key] = getattr(getattr(config, table), name) if dot else getattr(config, table)
    return values
