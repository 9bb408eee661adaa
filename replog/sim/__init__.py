"""The deterministic simulator: a whole cluster, its network, disks, clocks, clients and faults, decided by one seed.

It drives the real core, the real Applier and real sessions. Users run their own state machine in it: write a
``Workload`` and call ``run_seeds``.

Never: touch anything real.
"""

from .runner import SeedResult, SimulationReport, replay, run_seed, run_seeds
from .workload import Workload, load_workload

__all__ = ["SeedResult", "SimulationReport", "Workload", "load_workload", "replay", "run_seed", "run_seeds"]
