"""The matrix: what each command is given that it can't have wanted.

In words and variables ``{T}`` is the folder of ``stage.template``, which has a formatted directory, its configuration
and some files that are not what they are called. Every row runs in an empty folder of its own.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

import attrs

BAD_NAMES = {
    "markup": "[/]",
    "colour": "\x1b[31mred\x1b[0m",
    "title": "\x1b]0;x\x07",
    "new line": "a\nb",
    "carriage return": "a\rb",
    "backwards": "\u202egpj.exe",
    "no Unicode": "a\udcff",
    "emoji": "\U0001f375",
    "Arabic digit": "\u0661",
    "hyphen of a word processor": "a\u2011b",
    "no-break space": "a\u00a0b",
    "blank": " ",
    "nothing": "",
    "upwards": "../../../nowhere/x",
    "option": "-x",
    "two dashes": "--",
    "per cent": "%s%n{0}",
    "quotes": "'\"`$(x)",
    "very long": "x" * 5_000,
    "two dots": "a..b",
    "colon": ":",
    "device": "/dev/null",
    "folder": "/",
    "self": "/proc/self/fd/0",
}
BAD_NUMBERS = (
    "nan",
    "inf",
    "-inf",
    "-1",
    "0",
    "1.5",
    "1e3",
    "1e400",
    "\u0661",
    "1_0",
    "0x10",
    "9" * 5_000,
    "",
    " ",
    "x",
)
QUICK = ("--timeout", "0.3")
NOBODY = ("--endpoints", "127.0.0.1:9", *QUICK)
MEMBER = ("--node", "n1", "--member", "n1=127.0.0.1:7101")


@attrs.frozen
class Row:
    """One command, and how it is started.

    Parameters
    ----------
    start: a shell's words around it; ``"$@"`` is the command.
    is_told: whether stderr is read, so that there must be a sentence where the command did not succeed.
    codes: with which it may end; none named: with any but 1, which means a defect.
    is_served: a shop runs at REPLOG_ENDPOINTS.
    """

    area: str
    what: str
    words: tuple[str, ...]
    start: str = 'exec "$@"'
    variables: Mapping[str, str] = attrs.field(factory=dict)
    codes: tuple[int, ...] = ()
    is_told: bool = True
    is_served: bool = False


def every_row() -> Iterator[Row]:
    yield from name_rows()
    yield from shop_rows()
    yield from argument_rows()
    yield from environment_rows()
    yield from descriptor_rows()
    yield from disk_rows()
    yield from stream_rows()


# --- names ---

NAMED: Sequence[tuple[str, ...]] = (
    ("replog", "init", "@", *MEMBER),
    ("replog", "init", "d", "--node", "@", "--member", "n1=127.0.0.1:7101"),
    ("replog", "init", "d", "--node", "n1", "--member", "@"),
    ("replog", "init", "d", "--node", "n1", "--member", "n1=@"),
    ("replog", "init", "d", *MEMBER, "--cluster", "@"),
    ("replog", "inspect", "@"),
    ("replog", "inspect", "@", "--json"),
    ("replog", "verify", "@"),
    ("replog", "config", "check", "@"),
    ("replog", "serve", "--config", "@"),
    ("replog", "serve", "--config", "{T}/good.toml", "--state-machine", "@"),
    ("replog", "serve", "--config", "{T}/good.toml", "--data-dir", "@"),
    ("replog", "serve", "--config", "{T}/good.toml", "--bind", "@"),
    ("replog", "serve", "--config", "{T}/good.toml", "--log-level", "@"),
    ("replog", "status", "--endpoints", "@", *QUICK),
    ("replog", "status", "--endpoints", "@:7101", *QUICK, "--json"),
    ("replog", "leader", "transfer", "@", *NOBODY),
    ("replog", "log", "tail", *NOBODY, "--from", "@"),
    ("replog", "dev", "--state-machine", "@"),
    ("replog", "dev", "--data-dir", "{T}/file", "--state-machine", "@:Shop"),
    ("replog", "sim", "--seeds", "0:1", "--steps", "10", "--state-machine", "@"),
    ("replog", "sim", "--replay-record", "@"),
    ("replog", "completion", "@"),
    ("replog", "@"),
    ("shop", "load", "@", *NOBODY),
    ("shop", "load", "--name", "@", *NOBODY),
    ("shop", "product", "show", "@", *NOBODY, "--json"),
    ("shop", "order", "place", "@", "--customer", "@", "@=1", *NOBODY),
    ("shop", "demo", "--file", "@"),
    ("shop", "@"),
    ("bench", "plot", "--results", "@"),
    ("bench", "throughput", "--systems", "@"),
    ("bench", "@"),
)


def given(words: Sequence[str], value: str) -> tuple[str, ...]:
    """The words with the value in its places; as a word of its own it may not be an option."""
    joined: list[str] = []
    for word in words:
        if word == "@" and value.startswith("-") and joined and joined[-1].startswith("--"):
            joined[-1] += f"={value}"
        else:
            joined.append(word.replace("@", value))
    return tuple(joined)


def name_rows() -> Iterator[Row]:
    for words in NAMED:
        for what, name in BAD_NAMES.items():
            yield Row("name", f"{' '.join(words)}: {what}", given(words, name))


def shop_rows() -> Iterator[Row]:
    """What is stored is told again in every list and sentence."""
    for what, name in BAD_NAMES.items():
        told = f"shop: a product and a customer called so: {what}"
        yield Row("name", told, ("shop", "product", "put", "tea", f"--name={name}", "--price", "2.50"), is_served=True)
        yield Row("name", told, ("shop", "product", "list"), is_served=True)
        yield Row("name", told, ("shop", "product", "list", "--json"), variables=LATIN, is_served=True)
        yield Row("name", told, ("shop", "customer", "add", "c-1", f"--name={name}"), is_served=True)
        yield Row("name", told, ("shop", "customer", "show", f"--name={name}"), variables=LATIN, is_served=True)
        for step in ("show", "pay", "cancel"):
            words = ("shop", "order", step, "--", name)
            yield Row("name", f"shop order {step}: {what}", words, codes=(4,), is_served=True)
        words = ("shop", "order", "place", "--customer", "c-1", "--", name, "tea=1")
        yield Row("name", f"shop order place: {what}", words, codes=(2, 4), is_served=True)


# --- arguments ---

NUMBERED: Sequence[tuple[tuple[str, ...], tuple[str, ...]]] = (
    (("replog", "status", "--endpoints", "127.0.0.1:9", "--timeout=@"), ()),
    (("replog", "status", *NOBODY, "--watch", "--interval=@"), ("1.5", "1e3")),
    (("replog", "log", "tail", *NOBODY, "--lines=@"), ()),
    (("replog", "dev", "--replicas=@"), ()),
    (("replog", "dev", "--base-port=@"), ()),
    (("replog", "sim", "--seeds=@", "--steps", "10"), ()),
    (("replog", "sim", "--seeds", "0:1", "--steps=@"), ()),
    (("replog", "sim", "--seeds", "0:1", "--steps", "10", "--replicas=@"), ()),
    (("replog", "sim", "--seeds", "0:1", "--steps", "10", "--jobs=@"), ()),
    (("replog", "serve", "--config", "{T}/good.toml", "--record", "r", "--record-bytes-max=@"), ("0",)),
    (("replog", "init", "d", "--node", "@", "--member", "n1=127.0.0.1:7101"), ()),
    (("replog", "init", "d", "--node", "n1", "--member", "n1=127.0.0.1:@"), ()),
    (("shop", "stock", "adjust", "tea", "--reference", "r", *NOBODY, "--", "@"), ()),
    (("shop", "stock", "low", *NOBODY, "--", "@"), ()),
    (("shop", "product", "list", "--limit=@", *NOBODY), ()),
    (("shop", "order", "place", "o", "--customer", "c", "tea=@", *NOBODY), ()),
    (("shop", "order", "place", "o", "--customer", "c", "tea=1", "--pay-within-s=@", *NOBODY), ()),
    (("shop", "order", "expire", "--orders-max=@", *NOBODY), ()),
    (("shop", "product", "put", "tea", "--name", "Tea", "--price=@", *NOBODY), ()),
    (("shop", "product", "put", "tea", "--name", "Tea", "--price", "500", "--currency=@", *NOBODY), ()),
    (("shop", "load", "--outstanding=@", *NOBODY), ()),
    (("shop", "demo", "--kills=@", "--file", "nowhere"), ()),
    (("bench", "throughput", "--rounds=@", "--systems", "none"), ()),
    (("bench", "throughput", "--seconds=@", "--systems", "none"), ()),
    (("bench", "compare", "--clients=@", "--systems", "none"), ()),
)
"""Commands with a number, and the numbers that would make them run on."""


def argument_rows() -> Iterator[Row]:
    for words, spared in NUMBERED:
        for number in BAD_NUMBERS:
            if number not in spared:
                yield Row("argument", f"{' '.join(words)}: {number[:12]!a}", given(words, number))


# --- the environment ---

LATIN = {"PYTHONIOENCODING": "latin-1"}
ENVIRONMENTS: Mapping[str, Mapping[str, str]] = {
    "python -O": {"PYTHONOPTIMIZE": "1"},
    "python -OO": {"PYTHONOPTIMIZE": "2"},
    "warnings are errors": {"PYTHONWARNINGS": "error"},
    "output in ASCII": {"PYTHONIOENCODING": "ascii"},
    "output in Latin-1": LATIN,
    "output in UTF-16": {"PYTHONIOENCODING": "utf-16"},
    "no locale": {"LC_ALL": "C", "LANG": "C", "PYTHONCOERCECLOCALE": "0", "PYTHONUTF8": "0"},
    "an unknown locale": {"LC_ALL": "xx_YY.KOI8-Z"},
    "no home": {"HOME": "/nowhere"},
    "no place for temporary files": {"TMPDIR": "/nowhere"},
    "no path": {"PATH": ""},
    "a terminal that is none": {"TERM": "[/]"},
    "no columns": {"COLUMNS": "0", "LINES": "0"},
    "columns of another script": {"COLUMNS": "\u00b2", "LINES": "\u00b2"},
    "too many columns": {"COLUMNS": "9" * 30, "LINES": "9" * 30},
    "endpoints that are none": {"REPLOG_ENDPOINTS": "[/],\x1b[31m,a..b:1"},
    "endpoints that are no Unicode": {"REPLOG_ENDPOINTS": "\udcff:1"},
    "endpoints of blanks": {"REPLOG_ENDPOINTS": " , "},
    "a log level that is none": {"REPLOG_LOG_LEVEL": "[/]"},
    "a log format that is none": {"REPLOG_LOG_FORMAT": "\x1b"},
    "a configuration that is none": {"REPLOG_CONFIG": "\udcff"},
    "a setting that is none": {"REPLOG_NODE_FLUSH_INTERVAL_S": "nan", "REPLOG_DATA_DIR": "\x1b[31m"},
    "a setting that nobody knows": {"REPLOG_[/]": "1"},
}
USUAL: Mapping[str, tuple[str, ...]] = {
    "init": ("replog", "init", "d", *MEMBER),
    "inspect": ("replog", "inspect", "{T}/good"),
    "verify": ("replog", "verify", "{T}/good", "--json"),
    "config check": ("replog", "config", "check", "{T}/good.toml"),
    "serve": ("replog", "serve", "--config", "{T}/absent.toml"),
    "status": ("replog", "status", *QUICK),
    "transfer": ("replog", "leader", "transfer", "n2", *QUICK),
    "log tail": ("replog", "log", "tail", *QUICK, "--json"),
    "sim": ("replog", "sim", "--seeds", "0:1", "--steps", "20"),
    "completion": ("replog", "completion", "bash"),
    "help": ("replog", "--help"),
    "shop totals": ("shop", "totals", *QUICK),
    "shop audit": ("shop", "audit", *QUICK, "--json"),
    "shop load": ("shop", "load", *QUICK),
    "bench plot": ("bench", "plot", "--results", "."),
}
"""One of each kind of command, in circumstances that are not."""


def environment_rows() -> Iterator[Row]:
    for what, variables in ENVIRONMENTS.items():
        for name, words in USUAL.items():
            yield Row("environment", f"{name}: {what}", words, variables=variables)
    for name, words in USUAL.items():
        start = 'mkdir gone; cd gone; rmdir ../gone; exec "$@"'
        yield Row("environment", f"{name}: the working directory was deleted", words, start=start)
    for module in ("secrets", "json", "trio", "socket"):
        start = f'echo "raise SystemExit(99)" > {module}.py; exec "$@"'
        words = ("replog", "serve", "--config", "{T}/good.toml", "--state-machine", "nowhere:Nothing")
        yield Row("environment", f"serve: a file {module}.py beside it", words, start=start, codes=(2,))


# --- descriptors ---


def descriptor_rows() -> Iterator[Row]:
    for name, words in USUAL.items():
        for closed in ("<&-", ">&-", "2>&-", "<&- >&-", ">&- 2>&-", "<&- >&- 2>&-"):
            is_told = "2>" not in closed and (name, ">&-" in closed) != ("status", True)  # what it says is its answer
            yield Row("descriptors", f"{name} {closed}", words, start=f'exec "$@" {closed}', is_told=is_told)
        for limit in (6, 8, 10, 14, 20):
            start = f'ulimit -n {limit}; exec "$@"'
            yield Row("descriptors", f"{name}: {limit} of them", words, start=start)


# --- disks ---

PLACES: Mapping[str, str] = {
    "a file is there": "echo x > d",
    "a folder with something in it": "mkdir d; echo x > d/x",
    "a link to nowhere": "ln -s nowhere d",
    "a link to itself": "ln -s d d",
    "a pipe": "mkfifo d",
    "half formatted": 'mkdir -p d/log; : > "d/log/data.mdb"',
    "half formatted, nothing written": "mkdir -p d/log",
    "formatted, and cut off": "cp -r {T}/good d; : > d/log/data.mdb",
    "formatted, and its end is gone": "cp -r {T}/good d; truncate -s 5000 d/log/data.mdb",
    "formatted, and damaged": "cp -r {T}/good d; printf damage > d/identity",
    "formatted, and copied": "cp -r {T}/good d",
    "formatted, without its log": "cp -r {T}/good d; rm -r d/log",
    "identity is a folder": "mkdir -p d/identity",
    "log is a file": "cp -r {T}/good d; rm -r d/log; echo x > d/log",
    "lock is a folder": "cp -r {T}/good d; rm d/lock; mkdir d/lock",
    "may not be entered": "cp -r {T}/good d; chmod 000 d; # plain",
    "may not be read": "cp -r {T}/good d; chmod 000 d/identity d/log/data.mdb; # plain",
    "may not be written": "mkdir d; chmod 500 . d; # plain",
}
PLAIN = "setpriv --bounding-set -dac_override,-dac_read_search"
"""root without what makes it root; what is not root needs no such thing."""


def disk_rows() -> Iterator[Row]:
    commands = (
        ("replog", "init", "d", *MEMBER),
        ("replog", "inspect", "d"),
        ("replog", "verify", "d"),
        ("replog", "verify", "d", "--json"),
        ("replog", "serve", "--config", "{T}/beside.toml"),
        ("replog", "config", "check", "{T}/beside.toml"),
        ("replog", "dev", "--data-dir", "d", "--state-machine", "nowhere:Nothing"),
        ("replog", "config", "check", "d"),
        ("replog", "serve", "--config", "d"),
        ("replog", "sim", "--replay-record", "d"),
        ("shop", "load", "d", *NOBODY),
        ("bench", "plot", "--results", "d"),
    )
    for what, prepare in PLACES.items():
        is_plain = prepare.endswith("# plain")
        start = f'{prepare.removesuffix("; # plain")}; exec {PLAIN if is_plain else ""} "$@"'
        for words in commands:
            if what != "a pipe" or words[-1] != "d":  # whoever opens a pipe waits for its other end
                yield Row("disk", f"{' '.join(words)}: {what}", words, start=start)
    for name in ("bom", "utf16", "zeros", "lines", "nested", "wide"):
        for words in (
            ("replog", "config", "check", f"{{T}}/{name}"),
            ("replog", "serve", "--config", f"{{T}}/{name}"),
            ("replog", "sim", "--replay-record", f"{{T}}/{name}"),
            ("shop", "load", f"{{T}}/{name}", "--name", "x", *NOBODY),
        ):
            yield Row("disk", f"{' '.join(words[:-1])}: a file of {name}", words, codes=(2,))


# --- streams ---

STREAMS = ("> /dev/full", "2> /dev/full", "> /dev/full 2> /dev/full", "| true", "2>&1 | true", "< /dev/null")


def stream_rows() -> Iterator[Row]:
    for name, words in USUAL.items():
        for stream in STREAMS:
            is_told = stream in ("> /dev/full", "< /dev/null")
            yield Row("streams", f"{name} {stream}", words, start=f'"$@" {stream}', is_told=is_told)
    done = (
        ("replog", "init", "d", *MEMBER),
        ("replog", "init", "d", *MEMBER, "--json"),
    )
    writes = (
        ("shop", "product", "put", "pot", "--name", "Pot", "--price", "1"),
        ("shop", "stock", "adjust", "pot", "5", "--reference", "r", "--json"),
        ("shop", "customer", "add", "c-9", "--name", "Ann"),
    )
    for stream in ("> /dev/full", "2> /dev/full", "> /dev/full 2> /dev/full", ">&-", "2>&-", "<&- >&- 2>&-"):
        for words in (*done, *writes):
            what = f"{' '.join(words[:3])} is done {stream}"
            is_served = words in writes
            is_told = stream == "> /dev/full"
            yield Row("streams", what, words, f'"$@" {stream}', codes=(0,), is_told=is_told, is_served=is_served)
