"""What a shell needs to complete a program's commands, options and their values, and where it looks for that."""

from __future__ import annotations

import sys
from typing import Literal

import cyclopts

from .printing import note, to_stdout

Shell = Literal["bash", "zsh", "fish"]

_FOLDERS = {
    "bash": "~/.local/share/bash-completion/completions",
    "zsh": "~/.zfunc",
    "fish": "~/.config/fish/completions",
}
_FILES = {"bash": "{0}", "zsh": "_{0}", "fish": "{0}.fish"}
_ZSH_IS_TOLD = "in ~/.zshrc: fpath=(~/.zfunc $fpath); autoload -Uz compinit; compinit"


def print_completion(app: cyclopts.App, shell: Shell) -> None:
    """Print the completion script of ``app`` on stdout, and how to install it on stderr."""
    name = app.name[0]
    script = app.generate_completion(shell=shell).rstrip()
    with to_stdout():
        sys.stdout.write(f"{script}\n{_zsh_end(name)}\n" if shell == "zsh" else f"{script}\n")
    folder, file = _FOLDERS[shell], _FILES[shell].format(name)
    note(("next:", "bold"), f"  mkdir -p {folder}; {name} completion {shell} > {folder}/{file}")
    if shell == "zsh":
        note(("next:", "bold"), f"  {_ZSH_IS_TOLD}")


def _zsh_end(name: str) -> str:
    """A file in ``$fpath`` is the body of a function, which completes; one that is sourced makes it known."""
    function = f"_cyclopts_{name}"
    return f'if [[ $funcstack[1] == _{name} ]]; then\n  {function} "$@"\nelse\n  compdef {function} {name}\nfi'
