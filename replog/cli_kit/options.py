"""Options that mean the same on every command, and the small texts they are read from."""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from typing import Annotated, Any

from cyclopts import Parameter

from replog.addresses import check_address

from .logging_setup import LogFormat, LogLevel

SECONDS_MAX = 1e9
"""Thirty years: more is a mistake, and beyond some number of them clocks have none."""

DEV_ENDPOINTS = ("127.0.0.1:7101", "127.0.0.1:7102", "127.0.0.1:7103")
"""Where ``replog dev`` puts its replicas, so that every command finds them without being told."""


def parse_endpoints(text: str) -> tuple[str, ...]:
    """Split ``host:port,host:port``.

    Raises ``ValueError`` naming the part that is no address.
    """
    endpoints = tuple(part.strip() for part in text.split(",") if part.strip())
    if not endpoints:
        raise ValueError("no endpoint given; write host:port, several separated by commas.")
    for endpoint in endpoints:
        check_address(endpoint)
    return tuple(dict.fromkeys(endpoints))


def parse_range(text: str) -> range:
    """Read ``A:B`` (A included, B excluded), or a single number.

    Raises ``ValueError`` if it is neither or empty.
    """
    first, colon, last = text.partition(":")
    try:
        begin = parse_whole(first)
        numbers = range(begin, parse_whole(last)) if colon else range(begin, begin + 1)
    except ValueError:
        raise ValueError(f"{text!r} is no range; write A:B (A included, B excluded), like 0:2000.") from None
    if not numbers or numbers.start < 0:
        raise ValueError(f"{text!r} is empty or below 0; write A:B with 0 <= A < B, like 0:2000.")
    return numbers


def parse_whole(text: str) -> int:
    """Read a whole number.

    Raises ``ValueError`` for everything else: 1.5 is not 2.
    """
    if not re.fullmatch(r"[+-]?[0-9]{1,18}", text):
        raise ValueError(f"{text!r} is no whole number.")
    return int(text)


def parse_seconds(text: str) -> float:
    """Read seconds above 0, and not for ever.

    Raises ``ValueError`` for everything else.
    """
    try:
        seconds = float(text) if text.isascii() and "_" not in text else math.nan
    except ValueError:
        seconds = math.nan
    if not 0 < seconds <= SECONDS_MAX:
        raise ValueError(f"{text!r} is no time; write seconds above 0, like 2.5.")
    return seconds


def _seconds(_type: Any, tokens: Sequence[Any]) -> float:
    return parse_seconds(tokens[0].value)


def _endpoints(_type: Any, tokens: Sequence[Any]) -> tuple[str, ...]:
    return parse_endpoints(",".join(token.value for token in tokens))


def _whole(_type: Any, text: str, *, delimiter: str | None = None) -> list[str]:
    """A variable's text as one word: it is split like the option's own."""
    return [text]


def _range(_type: Any, tokens: Sequence[Any]) -> range:
    return parse_range(tokens[0].value)


def _whole_number(_type: Any, tokens: Sequence[Any]) -> int:
    return parse_whole(tokens[0].value)


Endpoints = Annotated[
    tuple[str, ...],
    Parameter(
        name="--endpoints",
        converter=_endpoints,
        n_tokens=1,
        negative=(),
        env_var="REPLOG_ENDPOINTS",
        env_var_split=_whole,
        metavar="HOST:PORT,...",
        show_default=lambda value: ",".join(value),
        help="Where nodes answer; one is enough to find the others, all are better.",
    ),
]

WholeNumber = Annotated[int, Parameter(converter=_whole_number, n_tokens=1, accepts_keys=False)]
"""What an option that counts takes; left to itself, the command line's parser would round."""

Range = Annotated[range, Parameter(converter=_range, n_tokens=1, accepts_keys=False, metavar="A:B")]

AsJson = Annotated[
    bool, Parameter(name="--json", negative=(), show_default=False, help="Print one JSON object instead of text.")
]

Seconds = Annotated[float, Parameter(converter=_seconds, n_tokens=1, accepts_keys=False, metavar="SECONDS")]

Timeout = Annotated[Seconds, Parameter(name="--timeout", help="Give up after this many seconds.")]

LogLevelOption = Annotated[
    LogLevel,
    Parameter(
        name="--log-level",
        env_var="REPLOG_LOG_LEVEL",
        help="Least severe log lines to write, on stderr.",
    ),
]

LogFormatOption = Annotated[
    LogFormat,
    Parameter(
        name="--log-format",
        env_var="REPLOG_LOG_FORMAT",
        help="How log lines look; auto: pretty on a terminal, JSON otherwise.",
    ),
]
