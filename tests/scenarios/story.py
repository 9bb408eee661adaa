"""A story file: prose, commands, and under each command what the cluster said.

    # Prose: what happens, and which rule or pitfall it is about.
    > crash n1
    > until leader n2
        131 ms  n2 became_leader ballot=2.n2 chosen_through=2 adopted_count=0

``tell`` plays the commands on a stage and gives the text back with the indented lines written anew; a story holds if
that is the text there was. ``expect`` and ``until`` commands must hold whatever is written.
"""

from __future__ import annotations

from .stage import Stage


class StoryFailed(AssertionError):
    """A command of the story could not be carried out, or an expectation does not hold."""


def tell(text: str) -> str:
    """Play a story; returns it with what the cluster said this time."""
    stage = Stage()
    lines: list[str] = []
    for number, line in enumerate(text.splitlines(), start=1):
        if line.startswith("    "):
            continue
        lines.append(line)
        if line.startswith("> "):
            try:
                lines += [f"    {said}" for said in stage.play(line[2:])]
            except Exception as error:
                raise StoryFailed(f"line {number}: {line}\n{type(error).__name__}: {error}") from error
        elif line and not line.startswith("#"):
            raise StoryFailed(f"line {number} is neither prose (#), a command (>) nor indented: {line}")
    return "\n".join(lines) + "\n"
