"""``python -m bench``: every measurement is one of its commands."""

from __future__ import annotations

import sys
from collections.abc import Sequence

from replog.cli_kit import run

from .app import build_app
from .interpreter import go_on_with_chosen


def _measure(words: Sequence[str]) -> object:
    go_on_with_chosen(words)
    return build_app(words)(words)


if __name__ == "__main__":
    sys.exit(run(_measure, sys.argv[1:]))
