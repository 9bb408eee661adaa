"""Settings of a replica: a TOML file, the environment and flags become one checked value.

What comes later wins: the file, then ``REPLOG_...`` variables, then what the caller passes. Nothing is guessed: a key
that is no setting, a value of another type and a value out of range are errors, and the message says where the value
came from, what its key is called and how to mend it. A setting that is spelt wrong must not be one at its default.
"""

from __future__ import annotations

import codecs
import os
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import cattrs

from ..errors import ConfigError
from ..node.settings import ReplicaConfig
from ..paxos.ballot import NodeId
from .checking import converter
from .keys import TABLES, environment_variables, settings
from .problems import problems


def load_config(path: str | Path, overrides: Mapping[str, object] = {}) -> ReplicaConfig:
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
    path = Path(path)
    file = _read_file(path)
    origins: dict[str, str] = {}
    _merge(file, _from_environment(os.environ, origins))
    _merge(file, _from_overrides(overrides, origins))
    try:
        return converter().structure(file, ReplicaConfig)
    except cattrs.BaseValidationError as error:
        raise ConfigError("\n".join(problem.line(origins, str(path)) for problem in problems(error))) from None


def setting_origins(path: Path) -> dict[str, str]:
    """Of every setting that is not at its default: the file or the variable its value comes from."""
    origins: dict[str, str] = {}
    for key, value in _read_file(path).items():
        names = [f"{key}.{name}" for name in value] if key in TABLES else [key]
        origins.update(dict.fromkeys(names, str(path)))
    _from_environment(os.environ, origins)
    return origins


# --- where values come from --------------------------------------------------------------------------------


def _read_file(path: Path) -> dict[str, Any]:
    try:
        values = tomllib.loads(_text(path))
    except FileNotFoundError:
        raise ConfigError(f"{path} does not exist; name the configuration file, like --config replica.toml.") from None
    except OSError as error:
        raise ConfigError(f"{path} can't be read: {error.strerror}; check its owner and its permissions.") from error
    except UnicodeDecodeError:
        raise ConfigError(f"{path} is not UTF-8 text; a configuration file is TOML.") from None
    except tomllib.TOMLDecodeError as error:
        raise ConfigError(f"{path} is not TOML: {error}") from None
    data_dir = values.get("data_dir")
    if isinstance(data_dir, str) and data_dir:
        values["data_dir"] = str(path.parent / data_dir)
    return values


def _text(path: Path) -> str:
    data = path.read_bytes()
    if data.startswith(codecs.BOM_UTF8):
        raise ConfigError(f"{path} begins with a byte order mark; save it as UTF-8 without one.")
    return data.decode()


def _from_environment(environment: Mapping[str, str], origins: dict[str, str]) -> dict[str, Any]:
    values: dict[str, Any] = {}
    types = dict(settings())
    for variable, key in environment_variables().items():
        text = environment.get(variable)
        if text:
            origins[key] = variable
            _put(values, key, _parsed(text, types[key]))
    return values


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
    values: dict[str, Any] = {}
    for name, value in overrides.items():
        key = prefix + name
        if isinstance(value, Mapping) and key in TABLES:
            _merge(values, _from_overrides(value, origins, f"{key}."))
        elif value is not None:
            origins[key] = f"setting {key}" if prefix or "." in name else f"--{key.replace('_', '-')}"
            _put(values, key, value)
    return values


def _put(values: dict[str, Any], key: str, value: object) -> None:
    table, dot, name = key.partition(".")
    if dot:
        values.setdefault(table, {})[name] = value
    else:
        values[key] = value


def _merge(values: dict[str, Any], later: Mapping[str, Any]) -> None:
    """What is no table where one belongs stays, to be named by the check."""
    for key, value in later.items():
        if key not in TABLES or key not in values:
            values[key] = value
        elif isinstance(values[key], dict):
            values[key] |= value
