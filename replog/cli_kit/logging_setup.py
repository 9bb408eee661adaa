"""Where log lines go when a command runs. The library only speaks to structlog; what is heard is decided here.

Lines go to stderr, so that data on stdout stays clean: pretty on a terminal, one JSON object a line otherwise,
because whoever reads a file or a pipe is usually a program. Tracebacks come without the values of local variables:
these hold commands, which are nobody's who reads a log.
"""

from __future__ import annotations

import logging
import os
import sys
from typing import TYPE_CHECKING, Literal

from .log_sink import LogSink

if TYPE_CHECKING:
    from structlog.typing import Processor

LogLevel = Literal["debug", "info", "warning", "error"]
LogFormat = Literal["auto", "pretty", "json"]


def configure_logging(level: LogLevel = "info", log_format: LogFormat = "auto", **facts: object) -> None:
    """Send structlog's events to stderr.

    Parameters
    ----------
    level: the least severe events to write.
    log_format: ``auto`` decides by whether stderr is a terminal.
    facts: keys on every line, like ``node="n1"``.
    """
    import structlog

    is_pretty = log_format == "pretty" or (log_format == "auto" and sys.stderr.isatty())
    structlog.configure(
        processors=_pretty() if is_pretty else _machine(),
        wrapper_class=structlog.make_filtering_bound_logger(logging.getLevelNamesMapping()[level.upper()]),
        logger_factory=structlog.WriteLoggerFactory(file=sys.stderr),
        cache_logger_on_first_use=True,
    )
    structlog.contextvars.clear_contextvars()
    structlog.contextvars.bind_contextvars(**facts)
    if isinstance(sys.stderr, LogSink):
        sys.stderr.on_lost = lambda count: structlog.get_logger(__name__).warning("log_lines_lost", count=count)


def _pretty() -> list[Processor]:
    import structlog

    has_colours = sys.stderr.isatty() and not os.environ.get("NO_COLOR")
    return [
        structlog.contextvars.merge_contextvars,
        structlog.processors.add_log_level,
        structlog.processors.TimeStamper(fmt="%H:%M:%S.%f", utc=False),
        structlog.dev.ConsoleRenderer(
            colors=has_colours, pad_event_to=28, exception_formatter=structlog.dev.plain_traceback
        ),
    ]


def _machine() -> list[Processor]:
    import structlog

    return [
        structlog.contextvars.merge_contextvars,
        structlog.processors.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        structlog.processors.ExceptionRenderer(structlog.tracebacks.ExceptionDictTransformer(show_locals=False)),
        structlog.processors.JSONRenderer(default=_as_text),
    ]


def _as_text(value: object) -> object:
    """Facts are whatever the library has at hand: ids in hex, everything else as it prints."""
    return value.hex() if isinstance(value, bytes) else str(value)
