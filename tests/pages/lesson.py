"""Does what a page tells to do, block by block, in one folder; says where it goes another way.

    python -m tests.pages.lesson docs/TUTORIAL.md FOLDER

A block is one of these, and nothing else:

- ``python`` and ``toml`` begin with ``# NAME``: a file of this name is written.
- ``console``: behind ``$`` a line for the shell, below it what it prints, standard error included; ``...`` stands for
  anything. Where nothing stands below it, anything is right. The line must end with 0.
- ``terminal``: a line that goes on beside what follows, until the end of the page.

What needs a package that is not installed is compiled and not run, and so is what follows from it; it is named at the
end. A ``replog status`` is repeated until it says what it should, as a person would.
"""

from __future__ import annotations

import ast
import importlib.util
import os
import re
import shlex
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import attrs

ROOT = Path(__file__).parents[2]
BLOCK = re.compile(r"^```(\w*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
PATIENCE_S = 30.0
LINE_S = 240.0


@attrs.frozen
class Block:
    kind: str
    text: str
    line: int
    """Of the page."""


def blocks(page: str) -> Iterator[Block]:
    for found in BLOCK.finditer(page):
        yield Block(found[1], found[2], page.count("\n", 0, found.start()) + 1)


def commands(text: str) -> Iterator[tuple[str, str]]:
    """Lines for the shell, each with what it should print."""
    for part in re.split(r"^\$ ", text, flags=re.MULTILINE)[1:]:
        command, _, expected = part.partition("\n")
        yield command, expected


def is_as_told(expected: str, printed: str) -> bool:
    pattern = ".*".join(map(re.escape, expected.strip().split("...")))
    return not expected.strip() or re.fullmatch(pattern, printed.strip(), re.DOTALL) is not None


def file_name(block: Block) -> str:
    """Raises ``ValueError`` if the block does not say."""
    found = re.match(r"# ([\w./-]+)$", block.text, re.MULTILINE)
    if found is None:
        raise ValueError(f"line {block.line}: a {block.kind} block begins with `# NAME`")
    return found[1]


def missing_packages(source: str) -> set[str]:
    """What a module imports and is not installed here."""
    names = set()
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            names |= {alias.name.partition(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            names.add(node.module.partition(".")[0])
    return {name for name in names if name not in sys.stdlib_module_names and importlib.util.find_spec(name) is None}


class Lesson:
    """One page, in one folder."""

    def __init__(self, page: Path, folder: Path) -> None:
        self._page = page
        self._folder = folder
        self._terminals: list[subprocess.Popen[bytes]] = []
        self.wanting: dict[str, set[str]] = {}
        """Files that need what is not installed, and what that is."""
        self._environment = self._environment_with_commands()

    def _environment_with_commands(self) -> dict[str, str]:
        """``python``, ``replog`` and ``shop`` are this tree's, and nothing is set for them."""
        programs = self._folder.parent / "programs"
        programs.mkdir()
        for name, module in {"python": "", "replog": "-m replog", "shop": "-m shop_sm"}.items():
            (programs / name).write_text(f'#!/bin/sh\nexec {shlex.quote(sys.executable)} {module} "$@"\n')
            (programs / name).chmod(0o755)
        kept = {name: value for name, value in os.environ.items() if not name.startswith(("REPLOG_", "PYTEST_"))}
        path = f"{programs}{os.pathsep}{os.environ['PATH']}"
        return {**kept, "PATH": path, "PYTHONPATH": str(ROOT), "PYTHONDONTWRITEBYTECODE": "1", "COLUMNS": "200"}

    def run(self) -> None:
        """Raises ``AssertionError`` at the first block that does not do what the page says."""
        try:
            for block in blocks(self._page.read_text()):
                self._do(block)
        finally:
            for process in self._terminals:
                os.killpg(process.pid, signal.SIGTERM)
            for process in self._terminals:
                process.wait()

    def _do(self, block: Block) -> None:
        match block.kind:
            case "python" | "toml":
                self._write(block)
            case "console":
                for command, expected in commands(block.text):
                    if not self._is_wanting(command):
                        self._say(block, command, expected)
            case "terminal":
                for command, _ in commands(block.text):
                    if not self._is_wanting(command):
                        self._open_terminal(command)
            case _:
                raise AssertionError(f"line {block.line}: what is a block of kind {block.kind!r}?")

    def _write(self, block: Block) -> None:
        name = file_name(block)
        (self._folder / name).write_text(block.text)
        if block.kind == "python":
            compile(block.text, name, "exec", dont_inherit=True)
            if missing := missing_packages_beside(self._folder, block.text):
                self.wanting[name] = missing

    def _is_wanting(self, command: str) -> bool:
        words = {word.partition(":")[0] for word in command.split()}
        return any(name in words or name.removesuffix(".py") in words for name in self.wanting)

    def _say(self, block: Block, command: str, expected: str) -> None:
        deadline_s = time.monotonic() + (PATIENCE_S if command.startswith("replog status") else 0.0)
        while True:
            done = subprocess.run(
                ["bash", "-c", command],
                cwd=self._folder,
                env=self._environment,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                text=True,
                timeout=LINE_S,
                check=False,
            )
            if done.returncode == 0 and is_as_told(expected, done.stdout):
                return
            if time.monotonic() >= deadline_s:
                raise AssertionError(
                    f"{self._page.name} line {block.line}: $ {command}\nends with {done.returncode} and prints\n"
                    f"{done.stdout}\nand not\n{expected}"
                )
            time.sleep(0.2)

    def _open_terminal(self, command: str) -> None:
        """Beside the lesson; a cluster that is started is there before it goes on, as a person sees it."""
        with (self._folder / f"terminal-{len(self._terminals)}").open("wb") as screen:
            self._terminals.append(
                subprocess.Popen(
                    ["bash", "-c", f"exec {command}"],
                    cwd=self._folder,
                    env=self._environment,
                    stdin=subprocess.DEVNULL,
                    stdout=screen,
                    stderr=subprocess.STDOUT,
                    start_new_session=True,
                )
            )
        if command.startswith("replog dev"):
            self._say(Block("console", "", 0), "replog status", "cluster ...  HEALTHY...")


def missing_packages_beside(folder: Path, source: str) -> set[str]:
    """Of a module whose own modules stand beside it."""
    return {name for name in missing_packages(source) if not (folder / f"{name}.py").exists()}


def main() -> None:
    page, folder = Path(sys.argv[1]), Path(sys.argv[2])
    folder.mkdir()
    lesson = Lesson(page, folder)
    lesson.run()
    for name, packages in lesson.wanting.items():
        print(f"not run: {name} needs {', '.join(sorted(packages))}")


if __name__ == "__main__":
    main()
