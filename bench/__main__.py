"""``python -m bench``: every measurement is one of its commands."""

from __future__ import annotations

import sys

from replog.cli_kit import run

from .app import build_app

if __name__ == "__main__":
    sys.exit(run(build_app(), sys.argv[1:]))
