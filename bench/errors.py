"""What can go wrong while measuring, apart from what the measured systems do."""

from __future__ import annotations

from replog.errors import ReplogError


class BenchError(ReplogError):
    """A measurement could not be made; the message says why and what to do."""

    exit_code = 4


class ChildFailed(BenchError):
    """A child process ended when it should not have; the message ends with the last lines it wrote."""

    exit_code = 3
