"""What TLC is asked of docs/tla/Members.tla: instances that hold, and seeded faults that it has to find.

An instance is small on purpose: TLC looks at every state of it. It begins in a state that the protocol reaches (see
``Init`` in the model), so that the interesting part of a history is within reach.
"""

from __future__ import annotations

import attrs


@attrs.frozen(kw_only=True)
class Instance:
    """One run of TLC.

    Parameters
    ----------
    name: unique.
    start: where it begins.
    ballots: era * 100 + counter * 10 + node.
    changing: ballots whose leaders may propose a change.
    set_a, set_b: the voters of the Memberships "A" and "B", with the versions that they carry.
    may_lose: nodes whose disks may be lost.
    fault: the rules left out; then a violation has to be found.
    is_small: checked with every run of the tests, not only by ``make model``.
    """

    name: str
    start: str
    ballots: tuple[int, ...]
    nodes: int = 4
    slots: int = 2
    changing: tuple[int, ...] = ()
    set_a: tuple[int, ...] = (2, 3, 4)
    version_a: int = 2
    set_b: tuple[int, ...] = (1, 2, 4)
    version_b: int = 2
    changes: tuple[str, ...] = ("A",)
    may_lose: tuple[int, ...] = ()
    fault: tuple[str, ...] = ()
    is_small: bool = False

    def config(self) -> str:
        """The configuration file of TLC."""
        constants = {
            "Nodes": _set(range(1, self.nodes + 1)),
            "NSlots": str(self.slots),
            "Ballots": _set(self.ballots),
            "Changing": _set(self.changing),
            "Founders": "{1, 2, 3}",
            "SetA": _set(self.set_a),
            "VerA": str(self.version_a),
            "SetB": _set(self.set_b),
            "VerB": str(self.version_b),
            "Changes": _names(self.changes),
            "MayLose": _set(self.may_lose),
            "Start": f'"{self.start}"',
            "Faults": _names(self.fault),
        }
        lines = [f"  {name} = {value}" for name, value in constants.items()]
        return "\n".join(["SPECIFICATION Spec", "CONSTANTS", *lines, *(f"INVARIANT {one}" for one in INVARIANTS), ""])


def _set(numbers: tuple[int, ...] | range) -> str:
    return "{" + ", ".join(map(str, numbers)) + "}"


def _names(names: tuple[str, ...]) -> str:
    return "{" + ", ".join(f'"{name}"' for name in names) + "}"


INVARIANTS = (
    "Agree",
    "OneValue",
    "OneSet",
    "NoneAbove",
    "ReleasedIsChosen",
    "OneVersion",
    "ErasLinked",
    "ReadSafe",
)

HOLD = (
    Instance(name="released by one", start="era", ballots=(11, 12, 113), is_small=True),
    Instance(name="accepted by one", start="one", ballots=(11, 12, 113)),
    Instance(name="no common voter", start="one", ballots=(11, 114), nodes=6, set_a=(4, 5, 6)),
    Instance(name="two rivals", start="cas", ballots=(11, 12, 112), changing=(12,)),
    Instance(
        name="two changes", start="era", ballots=(11, 113, 212), slots=3, changes=("B",), version_b=3, changing=(113,)
    ),
    Instance(
        name="two changes, four slots",
        start="era",
        ballots=(11, 113, 212),
        slots=4,
        changes=("B",),
        version_b=3,
        changing=(113,),
    ),
    Instance(name="above an older change", start="drop", ballots=(11, 12, 13, 113)),
    Instance(name="a lost disk is replaced", start="one", ballots=(11, 12, 112), set_a=(1, 2, 4), may_lose=(3,)),
)
FAULTS = (
    Instance(name="M1", start="one", ballots=(11, 113), fault=("proposes above a stop",), is_small=True),
    Instance(
        name="M4 void",
        start="void",
        ballots=(11, 12, 13, 113),
        set_a=(1, 3, 4),
        fault=("void rule left out",),
    ),
    Instance(name="M4 stop", start="drop", ballots=(11, 12, 13, 113), fault=("adopts above a stop",), is_small=True),
    Instance(
        name="M5",
        start="one",
        ballots=(11, 113),
        nodes=5,
        set_a=(3, 4, 5),
        fault=("reads after the stop",),
        is_small=True,
    ),
    Instance(
        name="M3 and M6",
        start="one",
        ballots=(11, 112, 113),
        fault=("votes in an era it has not adopted", "a candidate takes a higher era"),
    ),
    Instance(
        name="CAS",
        start="era",
        ballots=(11, 112),
        changing=(112,),
        changes=("A", "B"),
        set_a=(1, 2, 4),
        set_b=(2, 3, 4),
        fault=("cas left out",),
        is_small=True,
    ),
    Instance(name="P9", start="one", ballots=(11, 12), may_lose=(1, 2, 3), fault=("an amnesiac votes",), is_small=True),
)
