"""``replog submit`` and ``replog query``: one's own state machine from the command line, against a real replica."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest
from anyio.from_thread import start_blocking_portal

import replog as library

from .conftest import Replog

pytestmark = [pytest.mark.processes, pytest.mark.xdist_group("processes")]

Say = Callable[[bytes], None]


@pytest.fixture(scope="module")
def endpoint() -> Iterator[str]:
    """Where a cluster of one answers, which runs the machine below."""
    with (
        start_blocking_portal("trio") as portal,
        portal.wrap_async_context_manager(
            library.local_cluster(replicas=1, state_machine="tests.cli.test_submit_and_query:Lists")
        ) as cluster,
    ):
        yield cluster.endpoints[0]


@pytest.fixture(autouse=True)
def of_this_cluster(endpoint: str, replog: Replog, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("REPLOG_ENDPOINTS", endpoint)


@pytest.fixture
def stdin(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Say]:
    """Lets the next command read these bytes."""
    with ExitStack() as opened:

        def say(data: bytes) -> None:
            (tmp_path / "stdin").write_bytes(data)
            monkeypatch.setattr("sys.stdin", opened.enter_context((tmp_path / "stdin").open()))

        yield say


class Lists(library.StateMachine):
    """Answers with the command, behind a colon; ``raise`` fails. Asked for a command it says how often that ran."""

    def apply(self, state: library.State, command: library.Command) -> bytes:
        if command.payload.startswith(b"raise"):
            raise ValueError(command.payload[5:].decode())
        key = b"=" + command.payload
        state.put(key, b"%d" % (int(state.get(key, b"0")) + 1))
        return b":" + command.payload

    def query(self, view: library.StateView, request: bytes) -> bytes:
        return view.get(b"=" + request, b"0")


def test_a_command_runs_once_and_its_reply_is_printed(replog: Replog) -> None:
    """Text in, text out."""
    done = replog("submit", "grüße")
    assert (done.code, done.out, done.err) == (0, ":grüße\n", "")
    assert replog("query", "grüße").out == "1\n"


def test_a_stale_question_is_answered_by_any_node(replog: Replog) -> None:
    """It may be behind, but says how far it is."""
    slot = replog("submit", "x", "--json").fields["slot"]
    assert replog("query", "x", "--stale", "--json").fields["applied_through"] >= slot
    assert replog("query", "never", "--stale").out == "0\n"


def test_a_command_may_begin_with_a_dash(replog: Replog) -> None:
    """Behind two dashes nothing is an option."""
    assert replog("submit", "--", "-5").out == ":-5\n"


def test_any_bytes_travel_as_hexadecimal(replog: Replog) -> None:
    """Both ways."""
    assert replog("submit", "--hex", "00ff").out == "3a00ff\n"
    assert replog("query", "--hex", "00FF").out == "31\n"


@pytest.mark.parametrize("word", ["0", "0x00", "zz", "ä"])
def test_what_is_no_hexadecimal_is_refused(replog: Replog, word: str) -> None:
    """Nothing is sent."""
    done = replog("submit", "--hex", word)
    assert (done.code, done.out) == (2, "")
    assert "is not hexadecimal; write two digits a byte" in done.err


@pytest.mark.parametrize("reply", [b"\x1b[2J", b"\xff", b"a\nb"])
def test_a_reply_never_steers_the_terminal(replog: Replog, stdin: Say, reply: bytes) -> None:
    """What is not printable is shown as digits, on one line."""
    stdin(reply)
    assert replog("submit").out == f"0x{(b':' + reply).hex()}\n"


def test_standard_input_is_the_command_where_no_word_is_given(replog: Replog, stdin: Say) -> None:
    """As a whole, with every byte."""
    stdin(b"two\nlines\n")
    assert replog("submit", "--json").fields["text"] == ":two\nlines\n"
    stdin(b"two\nlines\n")
    assert replog("query").out == "1\n"


def test_each_line_is_a_command(replog: Replog, stdin: Say) -> None:
    """In order, an empty one and the last one without its end included."""
    stdin(b"a\r\n\nb")
    assert replog("submit", "--lines").out == ":a\n:\n:b\n"
    stdin(b"a\nnever\n")
    assert replog("query", "--lines").out == "1\n0\n"


def test_many_lines_are_as_good_as_few(replog: Replog, stdin: Say) -> None:
    """More than one reading and more than one frame, each line once."""
    count = 20_000
    stdin(b"".join(b"many %d\n" % number for number in range(count)))
    done = replog("submit", "--lines")
    assert done.code == 0
    assert done.out.splitlines() == [f":many {number}" for number in range(count)]


def test_lines_that_fail_are_named_and_the_others_run(replog: Replog, stdin: Say) -> None:
    """Exit code 4 tells that some failed."""
    stdin(b"p\nraise[red]no\nq\n")
    done = replog("submit", "--lines")
    assert (done.code, done.out) == (4, ":p\n:q\n")
    assert "failed: line 2 (slot " in done.err
    assert "): ValueError: [red]no" in done.err


def test_lines_as_json_are_one_object_a_line(replog: Replog, stdin: Say) -> None:
    """Failed ones too, in their places."""
    stdin(b"p\nraise no\n\xff\n")
    done = replog("submit", "--lines", "--json")
    first, second, third = map(json.loads, done.out.splitlines())
    assert (done.code, first["reply"], first["text"]) == (4, b":p".hex(), ":p")
    assert second["failed"] == "ValueError:  no"
    assert (third["reply"], third["text"]) == (b":\xff".hex(), None)
    assert second["offset"] == first["offset"] + 1


def test_lines_and_a_word_contradict_each_other(replog: Replog) -> None:
    """Nothing is sent."""
    for command in ("submit", "query"):
        assert replog(command, "word", "--lines").code == 2


def test_a_wrong_line_is_named(replog: Replog, stdin: Say) -> None:
    """By its number."""
    stdin(b"00\nfoo\n")
    assert "line 2 is not hexadecimal" in replog("submit", "--lines", "--hex").err


def test_a_command_that_fails_is_an_error_with_what_was_raised(replog: Replog) -> None:
    """One object with --json."""
    done = replog("submit", "raise no", "--json")
    assert (done.code, done.fields["error"]["kind"]) == (4, "CommandFailed")


def test_nobody_there_is_unreachable(replog: Replog, stdin: Say) -> None:
    """Definitely not done, and the lines that are meant are named."""
    stdin(b"a\nb\n")
    done = replog("submit", "--lines", "--endpoints", "127.0.0.1:1", "--timeout", "0.2")
    assert (done.code, done.out) == (3, "")
    assert "lines 1 to 2 were sent together" in done.err


def test_a_closed_standard_input_is_said(replog: Replog, monkeypatch: pytest.MonkeyPatch) -> None:
    """As under some supervisors."""
    monkeypatch.setattr("sys.stdin", None)
    assert "standard input is empty, or closed" in replog("submit").err


def test_lines_are_sent_as_they_come(endpoint: str) -> None:
    """Whoever writes one line and waits for its reply gets it."""
    import subprocess
    import sys

    command = [sys.executable, "-m", "replog", "submit", "--lines", "--endpoints", endpoint]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, env=os.environ) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        for line in (b"one\n", b"two\n"):
            process.stdin.write(line)
            process.stdin.flush()
            assert process.stdout.readline() == b":" + line
        process.stdin.close()
        assert process.wait(10) == 0
