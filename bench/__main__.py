"""``python -m bench``: every measurement is one of its commands."""

from __future__ import annotations

import sys

from replog.safe_path import look_here_last

if __name__ == "__main__":
    look_here_last()

    from replog.cli_kit import run

    from .app import build_app

    sys.exit(run(build_app(), sys.argv[1:]))
