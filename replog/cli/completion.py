"""``replog completion``: what a shell needs to complete commands, options and their values."""

from __future__ import annotations

import sys
from typing import Literal

from replog.cli_kit.printing import note, to_stdout


def completion(shell: Literal["bash", "zsh", "fish"], /) -> None:
    """Print the completion script of a shell on stdout.

    Parameters
    ----------
    shell
        Which shell it is for.
    """
    from .app import build_app

    with to_stdout():
        sys.stdout.write(build_app().generate_completion(shell=shell) + "\n")
    note(("next:", "bold"), f"  {_PLACES[shell]}")


_PLACES = {
    "bash": "replog completion bash > ~/.local/share/bash-completion/completions/replog",
    "zsh": "replog completion zsh > a folder of $fpath, as _replog",
    "fish": "replog completion fish > ~/.config/fish/completions/replog.fish",
}
