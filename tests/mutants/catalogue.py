"""All known bugs, by what they break."""

from __future__ import annotations

from . import client, core, disk, edges, journal, members
from .planting import Mutant

CATALOGUE: dict[str, tuple[Mutant, ...]] = {
    "core": core.MUTANTS,
    "members": members.MUTANTS,
    "disk": disk.MUTANTS,
    "client": client.MUTANTS,
    "edges": edges.MUTANTS,
    "journal": journal.MUTANTS,
}
MUTANTS = tuple(mutant for mutants in CATALOGUE.values() for mutant in mutants)
