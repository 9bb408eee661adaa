"""The same log gives the same state: run under three hash seeds, and held by reading the sources."""

from __future__ import annotations

import ast
import os
import random
import subprocess
import sys
from pathlib import Path

import pytest

import shop_sm
from replog.paxos.ballot import Slot

from .comparison import history
from .model import ModelShop
from .shop_under_test import ShopUnderTest

APPLIED = [
    "shop",
    "ordering",
    "expiry",
    "moment",
    "catalogue",
    "rules",
    "currencies",
    "keys",
    "records",
    "commands",
    "results",
    "life_cycle",
    "limits",
    "audit",
    "reading",
    "queries",
    "answers",
]
"""Every module that ``apply`` and ``query`` run; a new one that ``shop`` imports is missing here and fails the test."""

MODULES_BANNED = {"time", "datetime", "random", "os", "locale", "secrets", "uuid", "threading", "math", "decimal"}
NAMES_BANNED = {"hash", "id", "float", "set", "frozenset", "globals", "open", "input", "vars", "dir"}
METHODS_BANNED = {"casefold", "lower", "upper", "title", "popitem", "isnumeric", "isidentifier"}
"""``lower`` and its like follow the Unicode tables of a Python version."""


def sources() -> dict[str, ast.Module]:
    root = Path(shop_sm.__file__).parent
    return {name: ast.parse((root / f"{name}.py").read_text()) for name in APPLIED}


def banned(tree: ast.AST) -> list[str]:
    """What in a source could differ between two replicas."""
    found: list[str] = []
    for node in ast.walk(tree):
        match node:
            case ast.Import(names=names):
                found += [alias.name for alias in names if alias.name.partition(".")[0] in MODULES_BANNED]
            case ast.ImportFrom(module=str(module)) if module.partition(".")[0] in MODULES_BANNED:
                found.append(module)
            case ast.Call(func=ast.Name(id=name)) if name in NAMES_BANNED:
                found.append(f"{name}()")
            case ast.Call(func=ast.Attribute(attr=name)) if name in METHODS_BANNED:
                found.append(f".{name}()")
            case ast.Set() | ast.SetComp():
                found.append("a set")
            case ast.Constant(value=float()):
                found.append("a float")
            case ast.BinOp(op=ast.Div()):
                found.append("a true division")
            case ast.Global() | ast.Nonlocal():
                found.append("state outside the store")
    return found


@pytest.mark.parametrize("module", APPLIED)
def test_nothing_banned_is_used(module: str) -> None:
    """No clock, randomness, float, set, ``hash()``, locale or Unicode-table method in what a replica runs.

    ``name.lower()`` of a status for a person's sentence is the one exception: ASCII, and not part of any reply.
    """
    found = banned(sources()[module])
    assert found == ([".lower()"] if module == "results" else [])


def test_every_module_that_is_applied_is_read() -> None:
    """The list of modules read is what ``shop`` reaches by import."""
    trees = sources()
    reached = {"shop"}
    for _ in APPLIED:
        for name in list(reached):
            for node in ast.walk(trees[name]):
                if isinstance(node, ast.ImportFrom) and node.level == 1:
                    reached |= {node.module} if node.module else {alias.name for alias in node.names}
    assert reached == set(APPLIED)


@pytest.mark.parametrize(
    "source",
    [
        "import time",
        "from random import choice",
        "from os.path import join",
        "hash(b'')",
        "x = {1, 2}",
        "for x in set(y): pass",
        "x = 0.5",
        "x / 2",
        "x.lower()",
        "global x",
    ],
)
def test_the_reader_finds_what_is_banned(source: str) -> None:
    """The check itself is checked: each banned thing is found."""
    assert banned(ast.parse(source))


def digest_of_history(seed: int, steps: int) -> str:
    """The Applier's digest after a random history."""
    shop, model = ShopUnderTest(), ModelShop()
    for ms, command in history(random.Random(seed), model, steps):
        shop.now_ms += ms
        model.do(command, shop.now_ms)
        shop.do(command)
    assert shop.applier.applied_through == Slot(shop.slot)
    return shop.applier.digest.hex()


def test_three_hash_seeds_give_one_digest() -> None:
    """The same log applied by three processes with different hash seeds leaves the same digest."""
    digests = []
    for hash_seed in ("0", "1", "4711"):
        output = subprocess.run(
            [
                sys.executable,
                "-c",
                "from tests.shop.test_determinism import digest_of_history; print(digest_of_history(7, 300))",
            ],
            env={**os.environ, "PYTHONHASHSEED": hash_seed},
            cwd=Path(__file__).parents[2],
            capture_output=True,
            check=True,
            text=True,
        )
        digests.append(output.stdout.strip())
    assert len(set(digests)) == 1
    assert len(digests[0]) >= 32
