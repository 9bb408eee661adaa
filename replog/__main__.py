"""``python -m replog`` is the ``replog`` command."""

from __future__ import annotations

from .cli import main

main()
