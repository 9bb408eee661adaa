"""A state machine by its name in settings and on command lines, ``module:Class``.

Its code is the user's: whatever goes wrong in it while it is loaded is told as his, with the line where it did.
"""

from __future__ import annotations

import importlib
import traceback
from collections.abc import Callable
from typing import TypeVar

from ..errors import ConfigError
from ..state_machine import StateMachine

_T = TypeVar("_T")


def load_state_machine(text: str) -> StateMachine:
    """Import ``module:Class`` and make one.

    Raises
    ------
    ConfigError: it is not of that form, can't be imported or made, or is no ``StateMachine``.
    """
    module_name, _, class_name = text.partition(":")
    if not module_name or not class_name:
        raise ConfigError(f"state machine {text!r} is not module:Class, like shop_sm:Shop.")
    module = users_own(f"state machine {text} can't be loaded", lambda: importlib.import_module(module_name))
    found = getattr(module, class_name, None)
    if found is None:
        raise ConfigError(f"state machine {text} can't be loaded: {module.__file__} has no {class_name}.")
    if not isinstance(found, type) or not issubclass(found, StateMachine):
        raise ConfigError(f"state machine {text}: {class_name} is no class derived from replog.StateMachine.")
    return users_own(f"state machine {text} can't be made without arguments", found)


def users_own(what: str, run: Callable[[], _T]) -> _T:
    """Run code that is not ours. Raises ``ConfigError``, which begins with ``what``, for all that it raises."""
    try:
        return run()
    except ModuleNotFoundError as error:
        raise ConfigError(
            f"{what}: {error}; is its package installed in this environment, or its file in the working directory?"
        ) from error
    except SyntaxError as error:
        raise ConfigError(f"{what}: {error.msg} ({error.filename}, line {error.lineno}).") from error
    except (Exception, SystemExit) as error:
        place = traceback.extract_tb(error.__traceback__)[-1]
        raise ConfigError(
            f"{what}: {type(error).__name__}: {error} ({place.filename}, line {place.lineno})."
        ) from error
