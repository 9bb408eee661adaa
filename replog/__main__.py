"""``python -m replog`` is the ``replog`` command."""

from __future__ import annotations

from .safe_path import look_here_last

look_here_last()

from .cli import main  # noqa: E402 - what it imports must not come from the working directory

main()
