"""``bench plot``: the newest results as pictures."""

from __future__ import annotations

from pathlib import Path

from replog.cli_kit import note, print_json, print_line

from ..errors import BenchError
from ..report.result_file import latest_results, read_result
from ..run_options import DEFAULT_RESULTS

_DRAWN = ("compare", "failover", "scale", "recovery", "latency", "throughput", "steady")


def plot(
    *files: Path,
    results: Path = DEFAULT_RESULTS,
    figures: Path | None = None,
    json: bool = False,
) -> None:
    """Draw result files as SVG and PNG, each for light and for dark pages, with the machine in the caption.

    Parameters
    ----------
    files
        Result files to draw; the newest of each measurement in --results if left out.
    results
        Folder of result files.
    figures
        Folder for the pictures; `figures` in --results if left out.
    json
        Print one JSON object with the paths.
    """
    from ..report.charts import comparison, endurance, faults, growth
    from ..report.charts.style import save

    contents = [read_result(path) for path in files] or list(latest_results(results).values())
    makers = {
        "compare": comparison.charts,
        "failover": faults.charts,
        "scale": growth.scale_charts,
        "recovery": growth.recovery_charts,
        "latency": growth.latency_charts,
        "throughput": growth.throughput_charts,
        "steady": endurance.charts,
    }
    paths = []
    for content in contents:
        for chart in makers[content["command"]](content) if content["command"] in makers else ():
            paths += save(chart, figures or results / "figures")
    if not paths:
        raise BenchError(f"nothing to draw in {results}; measure first: {', '.join(_DRAWN)} give pictures.")
    for name in _DRAWN:
        if name not in {content["command"] for content in contents}:
            note(f"no result of `{name}`, so no picture of it")
    if json:
        print_json({"figures": [str(path) for path in paths]})
    else:
        for path in paths:
            print_line(str(path))
