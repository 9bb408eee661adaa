"""``python -m shop_sm``: the same as the ``shop`` command."""

from __future__ import annotations

from .cli import main

if __name__ == "__main__":
    main()
