"""`aoii node flash` with mpremote on a real MicroPython: what is on the board afterwards, and what is refused.

There is no ESP32 here: the board is the one of repl_board.py, and esptool finds nobody who answers.
"""

import fcntl
import json
import os
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from aoii.commands import board_files, board_flash, main
from aoii.commands.board_files import SOURCE
from aoii.gateway.drivers import labels_file
from aoii.security import node_keys
from micropython.repl_board import ReplBoard, repl_board

FILES = ("core/errors.py", "edge/drivers/__init__.py")


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("AOII_DATA_DIR", str(tmp_path / "data"))
    return tmp_path


@pytest.fixture(scope="module")
def one_board(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[str, ReplBoard]]:
    with repl_board(tmp_path_factory.mktemp("board")) as found:
        yield found


@pytest.fixture
def attached(one_board: tuple[str, ReplBoard], monkeypatch: pytest.MonkeyPatch) -> tuple[str, ReplBoard]:
    """The board, empty again; its program is short, because mpremote writes 10 kB a second."""
    monkeypatch.setattr(board_files, "FILES", FILES)
    one_board[1].erase()
    return one_board


def config_on(board: ReplBoard) -> dict[str, object]:
    found: dict[str, object] = json.loads((board.disk / "aoii.json").read_text())
    return found


def test_one_command_makes_a_board_a_node_and_another_updates_its_program(
    attached: tuple[str, ReplBoard], folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    port, board = attached
    (board.disk / "aoii").mkdir()
    (board.disk / "aoii" / "gone.mpy").write_text("of an older version")

    assert main.main(["node", "add", "--name", "온실", "--port", port, "--board", "heltec-v2"]) == 0

    key = node_keys.read_key_file(folder / "data" / "node_keys")[1]
    written = {path.relative_to(board.disk).as_posix() for path in board.disk.rglob("*") if path.is_file()}
    assert written == {*(f"aoii/{name}" for name in FILES), "main.py", "aoii.json"}
    assert all((board.disk / "aoii" / name).read_bytes() == (SOURCE / name).read_bytes() for name in FILES)
    config = config_on(board)
    assert (config["node"], config["epoch"], config["key"]) == (1, 1, key.key.hex())
    assert board.resets == 1
    assert key.key.hex() not in capsys.readouterr().out

    (board.disk / "slots.bin").touch()  # the node has run
    (board.disk / "aoii" / "core" / "errors.py").write_text("old")
    assert main.main(["node", "flash", "온실", "--port", port]) == 0

    assert (board.disk / "aoii" / "core" / "errors.py").read_bytes() == (SOURCE / "core" / "errors.py").read_bytes()
    assert (board.disk / "slots.bin").exists()

    (board.disk / "slots.bin").unlink()  # an erased board, or another one
    assert main.main(["node", "flash", "온실", "--port", port]) == 2
    assert "aoii node replace 1" in capsys.readouterr().err

    assert main.main(["node", "replace", "온실", "--out", str(folder / "out")]) == 0
    assert json.loads((folder / "out" / "aoii.json").read_text())["epoch"] == 2
    assert labels_file.read(folder / "data" / "nodes.json")["1"].flashed == 2


def test_a_board_of_somebody_else_is_left_as_it_is(
    attached: tuple[str, ReplBoard], capsys: pytest.CaptureFixture[str]
) -> None:
    port, board = attached
    (board.disk / "aoii.json").write_text('{"role": "node", "node": 9, "epoch": 1}')

    assert main.main(["receiver", "flash", "--port", port]) == 2
    assert main.main(["node", "add", "--port", port]) == 2

    assert capsys.readouterr().err.count("is node 9") == 2
    assert [path.name for path in board.disk.iterdir()] == ["aoii.json"]
    assert main.main(["receiver", "flash", "--port", port, "--force"]) == 0
    assert config_on(board)["role"] == "receiver"


def test_a_board_that_does_not_keep_what_is_written_never_starts(
    attached: tuple[str, ReplBoard], folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    port, board = attached
    board.spoil = "aoii/core/errors.py"

    assert main.main(["node", "add", "--port", port]) == 2

    assert "aoii/core/errors.py on the board" in capsys.readouterr().err
    assert not (board.disk / "main.py").exists()
    assert board.resets == 0
    assert labels_file.read(folder / "data" / "nodes.json")["1"].flashed is None


def test_a_node_that_sleeps_is_reached_when_somebody_presses_reset(
    attached: tuple[str, ReplBoard], monkeypatch: pytest.MonkeyPatch
) -> None:
    port, board = attached
    board.is_asleep = True
    monkeypatch.setattr(board_flash, "HINT_AFTER_S", 0)
    said: list[str] = []

    def say(text: str) -> None:
        said.append(text)
        board.press_reset()

    with board_flash.attached(port, say) as reached:
        found = reached.look()

    assert found == board_flash.OnBoard(None, None, None, has_counters=False)
    assert ["reset button" in text for text in said] == [True]


def test_a_port_where_no_micropython_answers_is_said(
    attached: tuple[str, ReplBoard], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    port, board = attached
    board.is_asleep = True
    monkeypatch.setattr(board_flash, "INTERRUPT_LIMIT_S", 0.5)

    assert main.main(["receiver", "flash", "--port", port]) == 2

    assert "no MicroPython answers" in capsys.readouterr().err


def test_firmware_is_written_to_a_board_that_answers_only(
    attached: tuple[str, ReplBoard], folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    port, board = attached
    (folder / "esptool.cfg").write_text("[esptool]\nconnect_attempts = 1\n")
    (folder / "page.html").write_text("<html>")
    (folder / "firmware.bin").write_bytes(b"\xe9" + bytes(1023))

    for firmware in ("page.html", "firmware.bin"):
        assert main.main(["receiver", "flash", "--port", port, "--firmware", firmware]) == 2

    said = capsys.readouterr().err
    assert "page.html is no firmware of an ESP32" in said
    assert "Failed to connect to ESP32" in said
    assert "BOOT" in said
    assert list(board.disk.iterdir()) == []


def test_a_tool_that_is_missing_is_named_with_what_installs_it(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setitem(sys.modules, "mpremote", None)  # as if it were not installed

    assert main.main(["node", "add", "--port", "/dev/ttyUSB0"]) == 2

    assert "mpremote: not installed; `scripts/set-up test` installs" in capsys.readouterr().err


def test_a_port_that_another_process_has_is_said_before_a_key_is_made(
    attached: tuple[str, ReplBoard], folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    port, _ = attached
    gateway = os.open(port, os.O_RDWR | os.O_NOCTTY)
    fcntl.flock(gateway, fcntl.LOCK_EX)
    try:
        assert main.main(["node", "add", "--port", port]) == 2
    finally:
        os.close(gateway)

    assert "in use by another process; stop what uses it (the gateway" in capsys.readouterr().err
    assert not (folder / "data" / "node_keys").exists()
