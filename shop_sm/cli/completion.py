"""``shop completion``: what a shell needs to complete commands, options and their values."""

from __future__ import annotations

from replog.cli_kit import Shell, print_completion


def completion(shell: Shell, /) -> None:
    """Print the completion script of a shell on stdout, and how to install it on stderr.

    Parameters
    ----------
    shell
        Which shell it is for.
    """
    from .app import build_app

    print_completion(build_app(), shell)
