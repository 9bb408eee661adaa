"""Formatting a data directory from a program: by names, and the same as ``replog init`` does."""

from __future__ import annotations

from pathlib import Path

import pytest

import replog
from replog.directory.layout import read_identity

MEMBERS = ("n1", "n2", "n3")


def test_a_directory_is_formatted_by_names_or_by_values(tmp_path: Path) -> None:
    """A path as text, nodes as they are written in settings: the same cluster on every machine."""
    replog.format_directory(str(tmp_path / "one"), node="n1", members=MEMBERS, cluster="counters")
    members = [replog.NodeId(3), replog.NodeId(1), replog.NodeId(2)]
    replog.format_directory(tmp_path / "two", node=replog.NodeId(2), members=members, cluster="counters")
    one, two = (read_identity(tmp_path / name) for name in ("one", "two"))
    assert (one.node, two.node) == (1, 2)
    assert (one.cluster, one.membership) == (two.cluster, two.membership)
    assert one.incarnation != two.incarnation


@pytest.mark.parametrize(
    ("node", "members", "words"),
    [
        ("n4", MEMBERS, "node n4 is not among the members n1, n2, n3"),
        ("one", MEMBERS, "'one' is no node"),
        ("n1", ["n1", ""], "'' is no node"),
    ],
)
def test_a_wrong_name_formats_nothing(tmp_path: Path, node: str, members: list[str], words: str) -> None:
    """The mistake is named before anything is written."""
    with pytest.raises(replog.ConfigError, match=words):
        replog.format_directory(tmp_path / "one", node=node, members=members, cluster="counters")
    assert not (tmp_path / "one").exists()


def test_a_directory_that_holds_something_is_refused(tmp_path: Path) -> None:
    """Once in a node's life."""
    replog.format_directory(tmp_path / "one", node="n1", members=MEMBERS, cluster="counters")
    with pytest.raises(replog.Refused, match="already formatted for node n1"):
        replog.format_directory(tmp_path / "one", node="n1", members=MEMBERS, cluster="counters")


def test_settings_made_in_a_program_take_text_for_paths_and_nodes(tmp_path: Path) -> None:
    """What a file may say, a program may say."""
    config = replog.ReplicaConfig(data_dir=str(tmp_path), members={"n1": "127.0.0.1:7101"})
    assert (config.data_dir, config.members) == (tmp_path, {replog.NodeId(1): "127.0.0.1:7101"})
    with pytest.raises(ValueError, match="is no node; write n1"):
        replog.ReplicaConfig(data_dir=tmp_path, members={"one": "127.0.0.1:7101"})


def test_an_interrupted_formatting_is_told_from_a_folder_of_somebody_else(tmp_path: Path) -> None:
    """What to do differs, and depends on whether the node ever ran."""
    replog.format_directory(tmp_path / "one", node="n1", members=MEMBERS, cluster="counters")
    (tmp_path / "one" / "identity").unlink()
    with pytest.raises(replog.Refused, match="has a log and no identity: formatting was interrupted"):
        replog.format_directory(tmp_path / "one", node="n1", members=MEMBERS, cluster="counters")
