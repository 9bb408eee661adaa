"""The ``replog`` command.

Never: decide anything the library should.
"""

from __future__ import annotations

from .app import main as main
