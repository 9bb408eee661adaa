"""Where Python looks for modules when a command is started as ``python -m``: in the working directory last."""

from __future__ import annotations

import os
import sys


def look_here_last() -> None:
    """To be called before anything else is imported.

    ``python -m`` puts the working directory first, so a ``trio.py`` or ``json.py`` in it would take the place of the
    library; the installed commands and ``python -P`` never look there. What nobody else has is still found.
    """
    if sys.flags.safe_path:
        return
    try:
        here = os.getcwd()
    except FileNotFoundError:  # it was deleted; nothing is found there
        return
    if sys.path[:1] == [here]:
        sys.path.append(sys.path.pop(0))
