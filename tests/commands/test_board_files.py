"""The files of a board: which are written, when none is, and that nothing on a host needs to be there."""

import json
import os
import stat
import sys
from pathlib import Path
from typing import Any

import pytest

from aoii.commands import board_files
from aoii.core.errors import InputError
from aoii.edge.drivers.board_radio import DEFAULT_AIR
from aoii.security.node_keys import NodeKey

ROOT = Path(__file__).parents[2]
KEY = NodeKey(1, bytes(range(16)))


def mode_of(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def test_a_nodes_files_are_the_source_its_configuration_and_a_main(tmp_path: Path) -> None:
    out = tmp_path / "node-7"

    board_files.write_node(board_files.Options(out), 7, KEY)

    config = json.loads((out / "aoii.json").read_text())
    written = {path.relative_to(out / "aoii").as_posix() for path in (out / "aoii").rglob("*.py")}
    assert written == set(board_files.FILES)
    assert not [name for name in written if name.endswith("shapes.py") or "host" in name or name.startswith("gateway")]
    assert all((out / "aoii" / name).read_bytes() == (board_files.SOURCE / name).read_bytes() for name in written)
    assert (config["node"], config["epoch"], bytes.fromhex(config["key"])) == (7, 1, KEY.key)
    assert config["air"] == list(DEFAULT_AIR)
    assert config["pins"]["reset"] == 23


def test_the_configuration_is_for_its_owner_only(tmp_path: Path) -> None:
    old = os.umask(0)
    try:
        board_files.write_node(board_files.Options(tmp_path / "out"), 7, KEY)
    finally:
        os.umask(old)

    assert [mode_of(tmp_path / name) for name in ("out", "out/aoii.json")] == [0o700, 0o600]


def test_files_are_replaced_only_by_force_and_leave_nothing_old_behind(tmp_path: Path) -> None:
    out = tmp_path / "out"
    board_files.write_receiver(board_files.Options(out))
    (out / "aoii" / "core" / "old.py").touch()

    with pytest.raises(InputError, match="--force"):
        board_files.write_node(board_files.Options(out), 7, KEY)
    board_files.write_receiver(board_files.Options(out, force=True))

    assert not (out / "aoii" / "core" / "old.py").exists()


def test_a_folder_that_holds_something_else_is_never_touched(tmp_path: Path) -> None:
    out = tmp_path / "src"
    (out / "aoii").mkdir(parents=True)
    (out / "aoii" / "precious.py").touch()

    with pytest.raises(InputError, match="something else"):
        board_files.write_receiver(board_files.Options(out, force=True))

    assert (out / "aoii" / "precious.py").exists()


@pytest.mark.parametrize(
    ("options", "match"),
    [
        ({"board": "toaster"}, "heltec-v2"),
        ({"air": DEFAULT_AIR._replace(bandwidth_hz=100_000)}, "bandwidth_hz"),
        ({"duty_permille": 0}, "duty cycle"),
        ({"compiled": True}, "mpy-cross"),
    ],
)
def test_what_cannot_be_is_said_before_anything_is_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, options: dict[str, Any], match: str
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setattr(sys, "executable", str(tmp_path / "python"))

    with pytest.raises(InputError, match=match):
        board_files.write_node(board_files.Options(tmp_path / "out", **options), 7, KEY)

    assert list(tmp_path.iterdir()) == []


def test_compiled_files_take_the_place_of_the_source(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    compiler = tmp_path / "bin" / "mpy-cross"
    compiler.parent.mkdir()
    compiler.write_text('#!/bin/sh\ncp "$5" "$4"\n')
    compiler.chmod(0o755)
    monkeypatch.setenv("PATH", str(compiler.parent), prepend=":")

    board_files.write_receiver(board_files.Options(tmp_path / "out", compiled=True))

    written = {path.relative_to(tmp_path / "out").as_posix() for path in (tmp_path / "out").rglob("*.*py")}
    assert "aoii/edge/drivers/board.mpy" in written
    assert [name for name in written if name.endswith(".py")] == ["main.py"]


def test_the_wiring_table_of_the_page_is_the_one_that_is_written() -> None:
    page = (ROOT / "deploy" / "board" / "README.md").read_text(encoding="utf-8")

    for name, pins in board_files.BOARDS.items():
        row = next(line for line in page.splitlines() if line.startswith(f"| `{name}` "))
        cells = [cell.strip() for cell in row.strip("|").split("|")][1:]
        assert cells == [str(pins.get(pin, "–")) for pin in PINS]


PINS = ("sck", "miso", "mosi", "select", "reset", "sda", "scl", "oled_reset", "power", "battery")
