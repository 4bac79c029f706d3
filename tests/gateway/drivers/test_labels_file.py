"""The file of node labels: replaced as a whole, and read again when it changes."""

import os
import stat
from pathlib import Path

import pytest

from aoii.core.errors import InputError
from aoii.gateway.drivers import labels_file
from aoii.gateway.drivers.labels_file import LabelFile
from aoii.gateway.node_labels import NodeLabel

LABELS = {"7": NodeLabel("온실")}


def test_no_file_is_no_labels_and_everybody_may_read_what_is_written(tmp_path: Path) -> None:
    path = tmp_path / "new" / "nodes.json"
    old = os.umask(0o077)
    try:
        missing = labels_file.read(path)
        labels_file.write(path, LABELS)
    finally:
        os.umask(old)

    assert missing == {}
    assert labels_file.read(path) == LABELS
    assert stat.S_IMODE(path.stat().st_mode) == 0o644
    assert [one.name for one in path.parent.iterdir()] == ["nodes.json"]


@pytest.mark.parametrize("content", [b"{", b"\xff", b'{"v": 1, "nodes": {"7": {"name": "8"}}}'])
def test_a_file_that_cannot_be_used_is_named(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "nodes.json"
    path.write_bytes(content)

    with pytest.raises(InputError, match=str(path)):
        labels_file.read(path)


def test_a_folder_that_cannot_be_written_is_said(tmp_path: Path) -> None:
    (tmp_path / "file").touch()

    with pytest.raises(InputError, match="cannot be written"):
        labels_file.write(tmp_path / "file" / "nodes.json", LABELS)


def test_labels_follow_the_file_and_stay_while_a_new_one_is_damaged(tmp_path: Path) -> None:
    path = tmp_path / "nodes.json"
    kept = LabelFile(path)
    seen = [dict(kept.labels())]
    for content in (LABELS, {"7": NodeLabel("Barn")}):
        labels_file.write(path, content)
        seen.append(dict(kept.labels()))

    path.write_text("damaged")
    seen.append(dict(kept.labels()))
    path.unlink()

    assert seen == [{}, LABELS, {"7": NodeLabel("Barn")}, {"7": NodeLabel("Barn")}]
    assert kept.labels() == {}
