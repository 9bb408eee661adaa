"""A recorded life is lived again without a difference; with another program, or another record, it names one."""

from __future__ import annotations

from pathlib import Path

import pytest

from replog.node.recording import Recorder
from replog.sim.record_replay import RecordReplay, replay_record
from replog.sim.runner import Simulation
from replog.sim.workload import RegisterWorkload

STEPS = 1_500


def record_lives(folder: Path, seed: int, *, is_with_contents: bool = False, steps: int = STEPS) -> list[Path]:
    """Every life of every process of one simulated cluster."""
    simulation = Simulation(seed, replicas=3, workload=RegisterWorkload(), steps=steps, trace=None)
    paths: list[Path] = []
    recorders: list[Recorder] = []

    def new_recorder() -> Recorder:
        paths.append(folder / f"{seed}-{len(paths)}.record")
        recorders.append(Recorder(paths[-1], is_with_contents=is_with_contents))
        return recorders[-1]

    for host in simulation.hosts.values():
        host.recorder = new_recorder
    simulation.run()
    for recorder in recorders:
        recorder.close()
    return paths


def replayed(path: Path) -> RecordReplay:
    return replay_record(path, lambda _line: None)


@pytest.mark.parametrize("is_with_contents", [False, True])
@pytest.mark.parametrize("seed", [1, 2, 3, 4])
def test_every_simulated_life_can_be_lived_again(tmp_path: Path, seed: int, is_with_contents: bool) -> None:
    """Elections, installs, damage, full disks and failures: all of it follows from what is recorded."""
    for path in record_lives(tmp_path, seed, is_with_contents=is_with_contents):
        told = replayed(path)
        assert told.difference is None, str(told.difference)
        assert told.turns > 0
