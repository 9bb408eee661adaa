"""A state machine by its name in settings and on command lines, ``module:Class``."""

from __future__ import annotations

import importlib

from ..errors import ConfigError
from ..state_machine import StateMachine


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
