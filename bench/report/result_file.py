"""Result files: everything that was measured, and everything needed to measure it again."""

from __future__ import annotations

import json
import math
import sys
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import attrs

from ..errors import BenchError
from ..interpreter import this_build
from ..load.measurement import Series
from .machine import describe_machine, describe_versions

SCHEMA = 1


def write_result(
    command: str,
    *,
    results: Path,
    data: Path,
    settings: dict[str, Any],
    series: Sequence[Series] = (),
    facts: Sequence[dict[str, Any]] = (),
    systems: dict[str, dict[str, str]] | None = None,
    failures: Sequence[str] = (),
) -> Path:
    """Write one result file and return its path.

    Parameters
    ----------
    command: which measurement.
    results: folder of result files, made if it is not there.
    data: where the measured clusters kept their data.
    settings: the options it was run with.
    series: measured windows, summed up and each for itself.
    facts: rows of measurements that are no load windows (a commit's cost, a recovery's time).
    systems: version and durability of each system.
    failures: a sentence for each window that gave no result.
    """
    content = {
        "schema": SCHEMA,
        "command": command,
        "command_line": ["python", "-m", "bench", *sys.argv[1:]],
        "taken_at": datetime.now(UTC).isoformat(timespec="seconds"),
        "machine": describe_machine(data),
        "interpreter": attrs.asdict(this_build()),
        "versions": describe_versions(),
        "systems": systems or {},
        "settings": settings,
        "summaries": [each.summary() | {"work": each.plan.work, "label": each.label} for each in series],
        "rounds": [one.as_json() | {"label": each.label} for each in series for one in each.rounds],
        "facts": list(facts),
        "failures": list(failures),
    }
    results.mkdir(parents=True, exist_ok=True)
    path = results / f"{datetime.now(UTC):%Y%m%dT%H%M%S}-{command}.json"
    path.write_text(json.dumps(finite(content), indent=1, default=str) + "\n")
    return path


def read_result(path: Path) -> dict[str, Any]:
    """Read one; raises ``BenchError`` if it is not one that this version writes."""
    try:
        content: dict[str, Any] = json.loads(path.read_text())
    except (OSError, ValueError) as error:
        raise BenchError(f"{path} can't be read as a result file: {error}.") from error
    if content.get("schema") != SCHEMA:
        raise BenchError(f"{path} has schema {content.get('schema')}, this version reads {SCHEMA}; measure again.")
    return content


def latest_results(results: Path) -> dict[str, dict[str, Any]]:
    """The newest result of each command in ``results``."""
    contents = [read_result(path) for path in sorted(results.glob("*.json"))]
    return {content["command"]: content for content in contents}


def finite(value: Any) -> Any:
    """JSON has no NaN: a percentile of nothing is null."""
    match value:
        case float() if not math.isfinite(value):
            return None
        case dict():
            return {key: finite(item) for key, item in value.items()}
        case list() | tuple():
            return [finite(item) for item in value]
    return value
