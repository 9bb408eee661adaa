"""Where the node's rooms say what a person may want to know: structlog in production, the story in the simulator.

Never: configure anything.
"""

from __future__ import annotations

from typing import Any, Protocol


class EventLog(Protocol):
    """As much of a structlog logger as the driver uses; events are past-tense names, facts are keys."""

    def info(self, event: str, **facts: Any) -> Any: ...

    def warning(self, event: str, **facts: Any) -> Any: ...
