"""Settings of a replica: a TOML file, the environment and flags become one checked value.

What comes later wins: the file, then ``REPLOG_...`` variables, then what the caller passes. Nothing is guessed: a key
that is no setting, a value of another type and a value out of range are errors, and the message says where the value
came from, what its key is called and how to mend it. A setting that is spelt wrong must not be one at its default.
"""

from __future__ import annotations

import difflib
import functools
import importlib
import math
import os
import re
import tomllib
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, Final

import attrs
import cattrs

from ..apply.sessions import SessionOptions
from ..errors import ConfigError
from ..log.space import LogLimits
from ..node.links import TransportOptions
from ..node.settings import NodeOptions, ReplicaConfig
from ..paxos.ballot import NodeId, parse_node
from ..paxos.options import Options
from ..state_machine import StateMachine

ENVIRONMENT_PREFIX: Final = "REPLOG_"

TABLES: Final[Mapping[str, type]] = {
    "paxos": Options,
    "sessions": SessionOptions,
    "log": LogLimits,
    "transport": TransportOptions,
    "node": NodeOptions,
}
"""The tables of a configuration file and what each becomes."""


def load_config(path: Path, overrides: Mapping[str, object] = {}) -> ReplicaConfig:
    """Read ``path``, then the environment, then ``overrides``; what comes later wins.

    A relative ``data_dir`` in the file is relative to the file's folder, otherwise to the working directory.

    Parameters
    ----------
    path: a TOML file.
    overrides: settings by key, ``{"bind": "0.0.0.0:7101", "paxos.heartbeat_interval_s": 0.2}``; one that is None was
        not given.

    Raises
    ------
    ConfigError: the file can't be read, or a setting is unknown, missing or impossible; each problem is a line that
        names its origin, its key and a fix.
    """
    file = _read_file(path)
    origins: dict[str, str] = {}
    _merge(file, _from_environment(os.environ, origins))
    _merge(file, _from_overrides(overrides, origins))
    try:
        return _converter().structure(file, ReplicaConfig)
    except cattrs.BaseValidationError as error:
        lines = [line for text in cattrs.transform_error(error, "", _problem) for line in _lines(text, path, origins)]
        raise ConfigError("\n".join(lines)) from None


def setting_values(config: ReplicaConfig) -> dict[str, Any]:
    """Every setting's value by its key, in the order of the documentation."""
    values: dict[str, Any] = {}
    for key, _ in _settings():
        table, dot, name = key.partition(".")
        values[key] = getattr(getattr(config, table), name) if dot else getattr(config, table)
    return values


def setting_origins(path: Path) -> dict[str, str]:
    """Of every setting that is not at its default: the file or the variable its value comes from."""
    origins: dict[str, str] = {}
    for key, value in _read_file(path).items():
        names = [f"{key}.{name}" for name in value] if key in TABLES else [key]
        origins.update(dict.fromkeys(names, str(path)))
    _from_environment(os.environ, origins)
    return origins


def load_state_machine(text: str) -> StateMachine:
    """Import ``module:Class`` and make one.

    Raises
    ------
    ConfigError: it is not of that form, can't be imported, or is no ``StateMachine``.
    """
    module_name, _, class_name = text.partition(":")
    if not module_name or not class_name:
        raise ConfigError(f"state machine {text!r} is not module:Class, like shop_sm:Shop.")
    try:
        found = getattr(importlib.import_module(module_name), class_name)
    except (ImportError, AttributeError) as error:
        raise ConfigError(
            f"state machine {text} can't be loaded: {error}; is its package installed in this environment?"
        ) from error
    if not isinstance(found, type) or not issubclass(found, StateMachine):
        raise ConfigError(f"state machine {text}: {class_name} is no class derived from replog.StateMachine.")
    try:
        return found()
    except TypeError as error:
        raise ConfigError(f"state machine {text} can't be made without arguments: {error}.") from error


def environment_variables() -> dict[str, str]:
    """Every variable that is read, and the key it sets: ``REPLOG_PAXOS_WINDOW_SLOTS`` sets ``paxos.window_slots``."""
    return {ENVIRONMENT_PREFIX + key.upper().replace(".", "_"): key for key, _ in _settings()}


def _settings() -> Iterator[tuple[str, Any]]:
    """Key and type of every setting; those of a table are dotted."""
    for field in attrs.fields(attrs.resolve_types(ReplicaConfig)):
        if field.name not in TABLES:
            yield field.name, field.type
    for table, kind in TABLES.items():
        for field in attrs.fields(attrs.resolve_types(kind)):
            yield f"{table}.{field.name}", field.type


# --- where values come from --------------------------------------------------------------------------------


def _read_file(path: Path) -> dict[str, Any]:
    try:
        settings = tomllib.loads(path.read_text())
    except FileNotFoundError:
        raise ConfigError(f"{path} does not exist; name the configuration file, like --config replica.toml.") from None
    except OSError as error:
        raise ConfigError(f"{path} can't be read: {error.strerror}; check its owner and its permissions.") from error
    except UnicodeDecodeError:
        raise ConfigError(f"{path} is not UTF-8 text; a configuration file is TOML.") from None
    except tomllib.TOMLDecodeError as error:
        raise ConfigError(f"{path} is not TOML: {error}") from None
    data_dir = settings.get("data_dir")
    if isinstance(data_dir, str) and data_dir:
        settings["data_dir"] = str(path.parent / data_dir)
    return settings


def _from_environment(environment: Mapping[str, str], origins: dict[str, str]) -> dict[str, Any]:
    settings: dict[str, Any] = {}
    types = dict(_settings())
    for variable, key in environment_variables().items():
        text = environment.get(variable)
        if text:
            origins[key] = variable
            _put(settings, key, _parsed(text, types[key]))
    return settings


def _parsed(text: str, kind: Any) -> object:
    """A variable's text as the value it means; text that means none is left for the check to name."""
    if kind in (str, Path):
        return text
    if kind == dict[NodeId, str]:
        pairs = [part.strip().partition("=") for part in text.split(",") if part.strip()]
        return {name: address for name, _, address in pairs}
    try:
        return tomllib.loads(f"value = {text}")["value"]
    except tomllib.TOMLDecodeError:
        return text


def _from_overrides(overrides: Mapping[str, object], origins: dict[str, str], prefix: str = "") -> dict[str, Any]:
    settings: dict[str, Any] = {}
    for name, value in overrides.items():
        key = prefix + name
        if isinstance(value, Mapping) and key in TABLES:
            _merge(settings, _from_overrides(value, origins, f"{key}."))
        elif value is not None:
            origins[key] = f"setting {key}" if prefix or "." in name else f"--{key.replace('_', '-')}"
            _put(settings, key, value)
    return settings


def _put(settings: dict[str, Any], key: str, value: object) -> None:
    table, dot, name = key.partition(".")
    if dot:
        settings.setdefault(table, {})[name] = value
    else:
        settings[key] = value


def _merge(settings: dict[str, Any], later: Mapping[str, Any]) -> None:
    """What is no table where one belongs stays, to be named by the check."""
    for key, value in later.items():
        if key not in TABLES or key not in settings:
            settings[key] = value
        elif isinstance(settings[key], dict):
            settings[key] |= value


# --- checking, and saying what is wrong --------------------------------------------------------------------


@functools.cache
def _converter() -> cattrs.Converter:
    """Takes nothing for what it is not: cattrs alone would read "3" as 3 and 1 as true."""
    converter = cattrs.Converter(forbid_extra_keys=True)
    converter.register_structure_hook(int, _strictly(int, "a whole number"))
    converter.register_structure_hook(str, _strictly(str, 'text in quotes, like "text"'))
    converter.register_structure_hook(bool, _strictly(bool, "true or false"))
    converter.register_structure_hook(float, _number)
    converter.register_structure_hook(Path, _path)
    converter.register_structure_hook_func(lambda kind: kind == dict[NodeId, str], _members)
    for kind in TABLES.values():
        converter.register_structure_hook(kind, _table(converter, kind))
    return converter


def _strictly(kind: type, words: str) -> Callable[[object, object], Any]:
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


def _table(converter: cattrs.Converter, kind: type) -> Callable[[object, object], Any]:
    fields: Callable[..., Any] = cattrs.gen.make_dict_structure_fn(kind, converter, _cattrs_forbid_extra_keys=True)

    def structure(value: object, wanted: object) -> Any:
        if not isinstance(value, Mapping):
            raise TypeError("must be a table with a heading in brackets")
        return fields(value, wanted)

    return structure


_MISSING: Final = {
    "data_dir": 'data_dir is missing; name a directory that `replog init` formatted: data_dir = "/var/lib/replog".',
    "members": 'members is missing; name every node, like members = {n1 = "10.0.0.1:7101", n2 = "10.0.0.2:7101"}.',
}
_RANGE: Final = re.compile(r"'(\w+)' must be (>=|>) (\S+): (\S+)")
_BOUNDS: Final = {">": "above", ">=": "at least"}


def _problem(error: BaseException, _kind: type | None) -> str:
    """One problem in words; those of more than one key are lines. The key goes before it unless it is in it."""
    match error:
        case cattrs.ForbiddenExtraKeysError():
            return "\n".join(_unknown(name, error.cl) for name in sorted(error.extra_fields))
        case KeyError():
            return _MISSING[error.args[0]]
        case TypeError():
            return f"\0 {error}."
    text = str(error.args[0] if error.args else error)
    found = _RANGE.fullmatch(text)
    if found:
        name, sign, bound, value = found.groups()
        return f"{name} must be {_BOUNDS[sign]} {bound}, not {value}."
    return text if text.endswith(".") else f"{text}."


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


def _lines(text: str, path: Path, origins: Mapping[str, str]) -> Iterator[str]:
    """``text`` is a problem and where it is, as cattrs puts them together: ``problem @ .paxos.window_slots``."""
    problems, _, place = text.rpartition(" @ ")
    table, _, key = place.lstrip(".").rpartition(".")
    if key in TABLES and not table:
        table, key = key, ""
    for problem in problems.splitlines():
        words = problem.replace("\0", key, 1) if key else problem.replace("\0 ", "")
        name = words.split(" ", 1)[0].rstrip(":")
        origin = origins.get(f"{table}.{name}" if table else name)
        yield f"{origin or path}: {f'[{table}] ' if table and words != name else ''}{words}"
