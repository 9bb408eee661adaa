"""Options that mean the same for every measurement."""

from __future__ import annotations

import math
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Any

import attrs
from cyclopts import Parameter

from replog.cli_kit import Seconds, parse_whole

DEFAULT_RESULTS = Path(__file__).parent / "results"


def read_numbers(text: str) -> tuple[int, ...]:
    """Split ``1,16,64``; raises ``ValueError`` naming a part that is no positive whole number."""
    parts = [part.strip() for part in text.split(",") if part.strip()]
    try:
        return tuple(dict.fromkeys(read_count(part) for part in parts))
    except ValueError as error:
        raise ValueError(f"{error} Write several separated by commas, like 1,16,64.") from None


def read_count(text: str) -> int:
    """Read a whole number above 0; raises ``ValueError`` for everything else."""
    try:
        count = parse_whole(text)
    except ValueError:
        count = 0
    if count < 1:
        raise ValueError(f"{text!r} is no positive whole number.")
    return count


def _count(_type: Any, tokens: Sequence[Any]) -> int:
    return read_count(tokens[0].value)


def _check_warmup(_type: Any, seconds: float) -> None:
    if not 0 <= seconds < math.inf:
        raise ValueError(f"{seconds} is no time; write seconds from 0 on, like 1.0.")


def _numbers(_type: Any, tokens: Sequence[Any]) -> tuple[int, ...]:
    return read_numbers(",".join(token.value for token in tokens))


def _names(_type: Any, tokens: Sequence[Any]) -> tuple[str, ...]:
    parts = ",".join(token.value for token in tokens).split(",")
    return tuple(dict.fromkeys(part.strip() for part in parts if part.strip()))


Count = Annotated[int, Parameter(converter=_count, n_tokens=1, accepts_keys=False)]
Numbers = Annotated[
    tuple[int, ...], Parameter(converter=_numbers, n_tokens=1, negative=(), accepts_keys=False, metavar="N,...")
]
Names = Annotated[
    tuple[str, ...], Parameter(converter=_names, n_tokens=1, negative=(), accepts_keys=False, metavar="NAME,...")
]


@Parameter(name="*")
@attrs.frozen(kw_only=True)
class RunOptions:
    """How long, how often, and where everything goes."""

    rounds: Count = 5
    """Measured windows of each kind; the table shows their median and range."""
    seconds: Seconds = 6.0
    """Length of one window."""
    warmup: Annotated[float, Parameter(validator=_check_warmup)] = 1.0
    """Seconds of the same load before a window opens."""
    results: Path = DEFAULT_RESULTS
    """Folder for the result file."""
    data: Path = Path("/var/tmp")
    """Folder the clusters keep their data under, on the disk that is to be measured."""
    python: str | None = None
    """Interpreter for everything that is Python here: replicas, load generator, PySyncObj (this one if left out)."""
    as_json: Annotated[bool, Parameter(name="--json", negative=())] = False
    """Print one JSON object a line on stdout instead of a table."""

    def settings(self, **others: Any) -> dict[str, Any]:
        """What the result file records of how it was run."""
        return {"rounds": self.rounds, "seconds": self.seconds, "warmup_s": self.warmup, **others}

    @contextmanager
    def data_folder(self) -> Iterator[Path]:
        """A fresh folder on the measured disk, gone afterwards. (``/tmp`` is memory on many machines.)"""
        self.data.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix="replog-bench-", dir=self.data, ignore_cleanup_errors=True) as folder:
            yield Path(folder)
