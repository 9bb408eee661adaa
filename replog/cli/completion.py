"""``replog completion``: what a shell needs to complete commands, options and their values."""

from __future__ import annotations

from typing import Literal

from replog.cli_kit.printing import note


def completion(shell: Literal["bash", "zsh", "fish"], /) -> None:
    """Print the completion script of a shell on stdout.

    Parameters
    ----------
    shell
        Which shell it is for.
    """
    from .app import build_app

    print(build_app().generate_completion(shell=shell))
    note(_PLACES[shell])


_PLACES = {
    "bash": "[bold]next:[/]  replog completion bash > ~/.local/share/bash-completion/completions/replog",
    "zsh": "[bold]next:[/]  replog completion zsh > a folder of $fpath, as _replog",
    "fish": "[bold]next:[/]  replog completion fish > ~/.config/fish/completions/replog.fish",
}
