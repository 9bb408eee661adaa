"""``python -m shop_sm``: the same as the ``shop`` command."""

from __future__ import annotations

from replog.safe_path import look_here_last

if __name__ == "__main__":
    look_here_last()

    from .cli import main

    main()
