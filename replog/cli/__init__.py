"""The ``replog`` command."""

from __future__ import annotations

from .app import main as main
