"""Running seeds: that the faults really strike, that a violation is found and told, and what the command prints."""

from __future__ import annotations

import errno
import json
import subprocess
from collections import Counter

import pytest

from replog.cli.app import build_app
from replog.cli_kit import run
from replog.errors import ConfigError, Lacking
from replog.sim import run_seed, run_seeds
from replog.sim.checkers import ViolationFound
from replog.sim.runner import Simulation
from replog.sim.workload import RegisterWorkload

FAULTS = {
    # network
    "message_lost", "message_doubled", "message_overtaken", "partition", "one_way_cut", "isolate_one_link", "chain",
    "flap", "black_hole", "link_reset", "unheard_leader", "piece_lost", "value_flipped", "message_queued", "far_apart",
    # processes
    "crash", "crash_all", "pause", "hand_over", "aimed_crash", "aimed_crashes", "write_unheard", "turn_cut",
    "settings_differ", "clean_stop", "stop_cut", "start_cut",
    # disks
    "slow_disk", "stalled_disk", "write_stalled", "full_disk", "failing_write", "write_failed", "damaged_record",
    "damage_repaired", "damaged_promise", "damaged_acceptance", "wiped_disk", "incarnation_refused", "state_transfer",
    "full_everywhere", "hanging_state", "full_state", "cut_jobs", "install_crash", "space_awaited",
    # journals
    "journal_replayed", "journal_torn", "journal_damaged", "journal_switched", "journal_not_made", "checkpoint_cut",
    # clocks
    "clock_jump", "clock_skew",
    # memory
    "memory_lack", "slot_cut",
    # clients
    "client_link_broken", "client_link_stalled", "client_unreached", "client_redirected", "client_ping",
    "client_node_left", "client_repeated", "client_held_up", "client_abandoned", "client_left", "client_killed",
    "client_told_NotLeader", "client_told_SequenceGap", "client_told_SessionGone", "client_refused_overloaded",
    "client_refused_storage_full", "client_read_refused_overloaded", "client_read_refused_not_leader",
    "client_call_OutcomeUnknown", "client_call_SessionExpired", "client_call_Unavailable", "client_call_Overloaded",
    "client_call_StorageFull", "client_read_Unavailable", "client_new_session", "client_frame_flipped",
    "client_dropped",
    # followers of the log
    "follower_moved", "follower_began_anew",
    # strangers
    "stranger_OpenSession", "stranger_Commands", "stranger_CloseSession",
}  # fmt: skip


def test_every_fault_there_is_strikes_and_nothing_is_violated() -> None:
    """A fault that never strikes tests nothing: each is counted where it happens, and 200 lives meet them all."""
    counted: Counter[str] = Counter()
    linearizable = stale = 0
    for seed in range(200):
        result = run_seed(seed)
        assert result.violation is None, f"replog sim --replay {result.seed}"
        counted += Counter(result.faults)
        linearizable += result.reads_linearizable
        stale += result.reads_stale
        if set(counted) == FAULTS and min(linearizable, stale) > 1000:
            break
    assert set(counted) == FAULTS
    assert min(linearizable, stale) > 1000


@pytest.mark.parametrize("replicas", [1, 3, 5])
def test_the_size_of_the_cluster_can_be_given(replicas: int) -> None:
    """A cluster of any size keeps its promises."""
    for seed in range(5):
        assert run_seed(seed, replicas=replicas).violation is None


def test_that_the_members_change_can_be_given() -> None:
    """Then each of these lives has seven nodes, and some reach other members; else nobody is there to become one."""
    changed = [run_seed(seed, changes=True) for seed in range(6)]
    assert [result.violation for result in changed] == [None] * 6
    assert sum(result.faults.get("members_changed", 0) for result in changed) > 20
    assert "members_changed" not in run_seed(6).faults


def test_a_state_machine_that_is_not_deterministic_is_found() -> None:
    """At the slot where two replicas first differ, in one sentence."""
    result = run_seed(0, replicas=3, state_machine="tests.sim.broken_machines:Dice")
    assert result.violation is not None
    assert result.violation.checker == "equal digest"


def test_a_set_that_is_iterated_over_is_found() -> None:
    """All replicas of a simulation agree on its order; a process with another hash seed does not."""
    result = run_seed(0, replicas=3, state_machine="tests.sim.broken_machines:SetOrder")
    assert result.violation is not None
    assert result.violation.checker == "equal digest"
    assert "PYTHONHASHSEED" in result.violation.sentence


def test_a_state_that_is_used_wrongly_is_found_at_the_first_command() -> None:
    """The command fails on every replica alike, so nothing differs; but it is a mistake."""
    result = run_seed(0, replicas=3, state_machine="tests.sim.broken_machines:Misused")
    assert result.violation is not None
    assert result.violation.checker == "state machine"
    assert result.violation.sentence.endswith("TypeError: put: a value is bytes, not str")


def test_a_machine_that_fails_every_command_is_told(capsys: pytest.CaptureFixture[str]) -> None:
    """Nothing is violated when a command exits, but a clean run of failures says little."""
    words = ("--replicas", "3", "--state-machine", "tests.sim.broken_machines:Exits", "--jobs", "1")
    code, out = sim("--seeds", "1:3", *words, capsys=capsys)
    assert code == 0
    assert "commands failed" in out


def test_a_state_machine_of_ones_own_is_run_with_random_commands() -> None:
    """Any bytes at all: a state machine has to give every command a defined outcome."""
    result = run_seed(0, state_machine="tests.sim.broken_machines:Counter")
    assert result.violation is None
    assert result.commands_applied > 0


def test_a_cluster_that_answers_nobody_makes_no_progress() -> None:
    """The progress phase is a check: here nobody can vote."""
    simulation = Simulation(0, replicas=3, workload=RegisterWorkload(), steps=200, trace=None)
    for host in simulation.hosts.values():
        host.disk.damage_promise()
    with pytest.raises(ViolationFound) as found:
        simulation.run()
    assert found.value.violation.checker == "progress"


def test_many_seeds_are_added_up_and_stop_after_enough_violations() -> None:
    """The report counts what ran, and names each violation's seed."""
    clean = run_seeds(range(4), processes=1)
    assert (clean.seeds, clean.violations) == (4, [])
    assert clean.steps == sum(run_seed(seed).steps for seed in range(4))
    broken = run_seeds(
        range(50), processes=1, replicas=3, state_machine="tests.sim.broken_machines:Dice", violations_max=2
    )
    assert len(broken.violations) == 2
    assert broken.seeds < 50


def sim(*words: str, capsys: pytest.CaptureFixture[str]) -> tuple[int, str]:
    """Exit code and output of ``replog sim``."""
    code = run(build_app(["sim", *words]), ["sim", *words])
    return int(code), capsys.readouterr().out


def test_the_command_reports_in_json(capsys: pytest.CaptureFixture[str]) -> None:
    """Exit 0 when clean; the keys a build's script reads."""
    code, out = sim("--seeds", "0:3", "--replicas", "3", "--jobs", "1", "--json", capsys=capsys)
    report = json.loads(out)
    assert code == 0
    assert {
        "seeds", "steps", "faults", "elections", "slots_chosen", "commands_applied", "violations", "seconds",
    } <= set(report)  # fmt: skip
    assert (report["seeds"], report["violations"]) == (3, [])


def test_the_command_ends_with_one_and_says_how_to_replay(capsys: pytest.CaptureFixture[str]) -> None:
    """Exit 1 when something was violated, with the seed, the checker and a sentence."""
    words = ("--replicas", "3", "--state-machine", "tests.sim.broken_machines:Dice", "--jobs", "1")
    code, out = sim("--seeds", "0:1", *words, "--json", capsys=capsys)
    (violation,) = json.loads(out)["violations"]
    assert code == 1
    assert (violation["seed"], violation["checker"]) == (0, "equal digest")
    assert violation["replay"] == ("replog sim --replicas 3 --state-machine tests.sim.broken_machines:Dice --replay 0")


def test_what_this_machine_lacks_is_no_violation(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without a descriptor for the process that replays a log, nothing is known of the log."""

    def refuse(*_: object, **__: object) -> None:
        raise OSError(errno.EMFILE, "Too many open files")

    monkeypatch.setattr("replog.sim.elsewhere._processes", {})
    monkeypatch.setattr(subprocess, "Popen", refuse)
    with pytest.raises(Lacking, match=r"Too many open files\. That is no violation"):
        run_seed(0, steps=50)
    assert run(build_app(), ["sim", "--seeds", "0:1", "--steps", "50", "--jobs", "1"]) == Lacking.exit_code


@pytest.mark.parametrize("words", ["--replicas=-1", "--replicas=0", "--replicas=99999", "--steps=0", "--steps=-1"])
@pytest.mark.parametrize("asked", ["--seeds=0:1", "--replay=0"])
def test_sizes_that_can_not_be_meant_are_refused(asked: str, words: str, capsys: pytest.CaptureFixture[str]) -> None:
    """None of them is a default in disguise, a defect, or a run that never ends."""
    assert run(build_app(), ["sim", asked, words]) == ConfigError.exit_code
    assert f"error: {words.replace('=', ' ')}: " in capsys.readouterr().err


@pytest.mark.parametrize("jobs", [-1, 0, 99_999])
def test_no_processes_are_no_processes(jobs: int) -> None:
    """Nor as many as no machine has."""
    assert run(build_app(), ["sim", "--seeds=0:1", "--jobs", str(jobs)]) == ConfigError.exit_code
    if jobs < 1:
        with pytest.raises(ConfigError, match="run nothing"):
            run_seeds(range(1), processes=jobs)
