"""``python -m bench``: every measurement is one of its commands."""

from __future__ import annotations

import sys

from replog.safe_path import look_here_last

if __name__ == "__main__":
    look_here_last()

    from collections.abc import Sequence

    from replog.cli_kit import run

    from .app import build_app
    from .interpreter import go_on_with_chosen

    def measure(words: Sequence[str]) -> object:
        """With the interpreter that ``words`` ask for."""
        go_on_with_chosen(words)
        return build_app(words)(words)

    sys.exit(run(measure, sys.argv[1:]))
