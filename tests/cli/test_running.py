"""Whatever comes out of a command becomes one exit code and one sentence."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest

import replog.errors
from replog.cli_kit import ExitCode, new_app, run
from replog.errors import Damaged, OutcomeUnknown, ReplogError, Unavailable

from .conftest import Replog


def raising(error: BaseException) -> Callable[[Sequence[str]], object]:
    def app(tokens: Sequence[str]) -> object:
        raise error

    return app


def error_classes() -> list[type[ReplogError]]:
    found = [value for value in vars(replog.errors).values() if isinstance(value, type)]
    return [value for value in found if issubclass(value, ReplogError)]


@pytest.mark.parametrize("kind", error_classes(), ids=lambda kind: kind.__name__)
def test_every_error_of_the_library_has_a_row_in_the_table(kind: type[ReplogError]) -> None:
    """No error ends a command with a number that the table of exit codes doesn't know."""
    assert kind.exit_code in set(ExitCode)


def test_an_error_is_a_sentence_and_a_next_step_without_traceback(capsys: pytest.CaptureFixture[str]) -> None:
    """A person reads what happened and what to do, and a script reads the code."""
    code = run(raising(Unavailable("1 of 3 replicas reachable, 2 needed.")), [])
    output = capsys.readouterr()
    assert code == 3
    assert output.out == ""
    assert output.err.splitlines() == [
        "error: 1 of 3 replicas reachable, 2 needed.",
        "next:  replog status says which nodes are up; the command may be sent again as it was.",
    ]


def test_a_note_on_an_error_replaces_the_general_next_step(capsys: pytest.CaptureFixture[str]) -> None:
    """Who raises an error may know better than the table what to do next."""
    error = OutcomeUnknown("no reply within 2 s.")
    error.add_note("shop order show o-7 tells whether it was placed.")
    assert run(raising(error), []) == 6
    assert "next:  shop order show o-7 tells whether it was placed." in capsys.readouterr().err


def test_who_asked_for_json_gets_the_error_as_json_too(capsys: pytest.CaptureFixture[str]) -> None:
    """Stdout holds exactly one object, also when the command failed."""
    assert run(raising(Damaged("slot 7 fails its checksum.")), ["--json"]) == 5
    fields = json.loads(capsys.readouterr().out)
    assert fields["schema"] == 1
    assert fields["error"]["kind"] == "Damaged"
    assert fields["error"]["exit_code"] == 5
    assert fields["error"]["message"] == "slot 7 fails its checksum."


def test_a_nursery_does_not_hide_what_happened_in_it(capsys: pytest.CaptureFixture[str]) -> None:
    """An error wrapped in groups is reported as if it came alone."""
    group = BaseExceptionGroup("outer", [BaseExceptionGroup("inner", [Unavailable("nobody answered.")])])
    assert run(raising(group), []) == 3
    assert "error: nobody answered." in capsys.readouterr().err


def test_a_defect_beside_an_expected_error_is_not_hidden(capsys: pytest.CaptureFixture[str]) -> None:
    """A group that holds a defect is a defect, with its traceback."""
    group = ExceptionGroup("both", [Unavailable("nobody answered."), KeyError("slot")])
    assert run(raising(group), []) == 1
    assert "Traceback" in capsys.readouterr().err


def test_interrupting_is_no_defect(capsys: pytest.CaptureFixture[str]) -> None:
    """Ctrl-C ends with 130 and without a traceback, also from inside a nursery."""
    assert run(raising(KeyboardInterrupt()), []) == 130
    assert run(raising(BaseExceptionGroup("nursery", [KeyboardInterrupt()])), []) == 130
    assert "Traceback" not in capsys.readouterr().err


def test_a_bug_shows_its_traceback(capsys: pytest.CaptureFixture[str]) -> None:
    """What nobody foresaw ends with 1 and everything needed to find it."""
    assert run(raising(ZeroDivisionError("division")), []) == 1
    assert "ZeroDivisionError" in capsys.readouterr().err


def test_a_file_that_is_not_there_needs_no_traceback(capsys: pytest.CaptureFixture[str]) -> None:
    """A wrong path is the person's to mend: code 2 and the path."""
    assert run(raising(FileNotFoundError(2, "No such file or directory", "replica.toml")), []) == 2
    assert "error: replica.toml: No such file or directory" in capsys.readouterr().err


def test_markup_in_an_error_is_printed_as_it_is(capsys: pytest.CaptureFixture[str]) -> None:
    """A key in brackets is not taken for a colour."""
    run(raising(Unavailable("unknown key [options]")), [])
    assert "unknown key [options]" in capsys.readouterr().err


def test_a_command_decides_its_code(capsys: pytest.CaptureFixture[str]) -> None:
    """What a command returns is what the process ends with; nothing means success."""
    app = new_app("words", "For this test.")
    app.command(lambda: 3, name="three")
    app.command(lambda: None, name="nothing")
    assert (run(app, ["three"]), run(app, ["nothing"])) == (3, 0)


@pytest.mark.parametrize(
    ("words", "mentions"),
    [
        (["stauts"], 'Unknown command "stauts". Did you mean "status"?'),
        (["status", "--endpionts", "a:1"], "--endpionts"),
        (["status", "--endpoints", "nonsense"], "'nonsense' is no host:port"),
        (["status", "--timeout", "-1"], "'-1' is no time"),
        (["status", "--timeout", "nan"], "'nan' is no time"),
        (["dev", "--replicas", "0.6"], "'0.6' is no whole number"),
        (["sim", "--seeds", "1", "--jobs", "1e3"], "'1e3' is no whole number"),
        (["sim", "--seeds", "9:3"], "'9:3' is empty"),
        (["init", "d", "--node", "n1"], "--member"),
        (["init", "d", "--node", "n4", "--member", "n1=h:1"], "--member n4=host:port"),
        (["init", "d", "--node", "n1", "--member", "n1=h"], "'h' is no host:port"),
        (["init", "d", "--node", "n1", "--member", "n1=h:1", "--member", "1=h:2"], "n1 is given twice"),
    ],
)
def test_a_wrong_command_line_names_the_word_and_ends_with_two(replog: Replog, words: list[str], mentions: str) -> None:
    """Usage errors name what is wrong in the person's own words."""
    done = replog(*words)
    assert done.code == 2, done
    assert mentions in done.err
    assert "Traceback" not in done.err


def test_a_usage_error_points_to_the_help_of_its_command(replog: Replog) -> None:
    """The next step is the page that explains this command, not the first page."""
    assert "next:  replog leader --help" in replog("leader", "tranfer").err
    assert "next:  replog init --help" in replog("init", "somewhere", "--node", "n1").err


def test_help_lists_every_command_without_importing_it() -> None:
    """``replog --help`` loads neither the event loop nor the store: it answers at once."""
    heavy = "{'trio', 'lmdb', 'msgspec', 'cattrs', 'structlog'}"
    script = (
        "import sys; from replog.cli.app import build_app; from replog.cli_kit import run;"
        "run(build_app(), ['--help']);"
        f"loaded = {heavy} & set(sys.modules); assert not loaded, loaded"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    for word in ("dev", "init", "serve", "status", "leader", "log", "inspect", "verify", "config", "sim"):
        (line,) = [line for line in done.stdout.splitlines() if f" {word} " in line[:15]]
        assert len(line.split()) >= 5, f"{word} is not explained: {line}"


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (["dev", "--help"], "With --json one object a line"),
        (["leader", "transfer", "--help"], "clients find the new leader by themselves"),
        (["config", "check", "--help"], "What is only suspicious is a warning on stderr."),
    ],
)
def test_a_command_explains_itself_in_full(replog: Replog, words: list[str], sentence: str) -> None:
    """The summary of the first page does not replace the page of the command."""
    done = replog(*words)
    assert (done.code, sentence in " ".join(done.out.split())) == (0, True), done.out


def test_a_reader_that_goes_away_ends_the_command_quietly() -> None:
    """``replog log tail | head`` leaves no complaint behind."""
    script = (
        "import sys; from replog.cli_kit import new_app, run\n"
        "app = new_app('flood', 'Prints a lot.')\n"
        "@app.command\n"
        "def lines():\n"
        "    for number in range(200000): print(number)\n"
        "sys.exit(run(app, ['lines']))"
    )
    with subprocess.Popen(
        [sys.executable, "-c", script], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as child:
        assert child.stdout is not None
        assert child.stderr is not None
        child.stdout.readline()
        child.stdout.close()
        assert child.stderr.read() == ""
        assert child.wait(timeout=20) == 141


@pytest.mark.parametrize("is_grouped", [False, True])
def test_bytes_that_are_no_text_are_a_mistake_of_the_caller(
    capsys: pytest.CaptureFixture[str], is_grouped: bool
) -> None:
    """Wherever they are found out: the command says which, and is no defect."""
    with pytest.raises(UnicodeEncodeError) as caught:
        "a\udcff".encode()
    raised = ExceptionGroup("tasks", [caught.value]) if is_grouped else caught.value
    assert run(raising(raised), []) == ExitCode.USAGE
    assert "error: 'a\\udcff' is no text: its bytes are no UTF-8. Type it anew." in capsys.readouterr().err


def test_text_that_an_encoding_lacks_is_a_defect(capsys: pytest.CaptureFixture[str]) -> None:
    """That is not what was typed."""
    with pytest.raises(UnicodeEncodeError) as caught:
        "\u20ac".encode("ascii")
    assert run(raising(caught.value), []) == ExitCode.BUG
    assert "defect of the program" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("program", "module"),
    [
        *((program, module) for program in ("replog", "shop_sm", "bench") for module in ("trio", "json", "cyclopts")),
        ("replog", "typing"),
        ("replog", "msgspec"),
    ],
)
def test_a_file_in_the_working_directory_takes_no_modules_place(program: str, module: str, tmp_path: Path) -> None:
    """``python -m`` looks there first; the command looks there last, as the installed one does."""
    (tmp_path / f"{module}.py").write_text("raise SystemExit(99)")
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(path for path in sys.path if path)}
    done = subprocess.run(
        [sys.executable, "-m", program, "--help"], cwd=tmp_path, env=environment, capture_output=True, text=True
    )
    assert (done.returncode, done.stderr) == (ExitCode.OK, "")


def test_what_is_only_in_the_working_directory_is_found(tmp_path: Path) -> None:
    """Last of all."""
    (tmp_path / "counter.py").write_text("raise SystemExit(99)")
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(path for path in sys.path if path)}
    words = ("sim", "--seeds", "0:1", "--state-machine", "counter:Counter")
    done = subprocess.run([sys.executable, "-m", "replog", *words], cwd=tmp_path, env=environment, capture_output=True)
    assert done.returncode != ExitCode.OK
    assert b"counter" in done.stderr
