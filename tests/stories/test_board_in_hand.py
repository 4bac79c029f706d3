"""The story of docs/tutorial/board-in-hand.md: its commands, in an empty folder, until a node's reading is on the page.

In the place of the boards there are a real MicroPython on a pseudo-terminal, which is written, and another
pseudo-terminal, on which the test sends what the node would send with the key that was written. Mosquitto is real.
"""

import contextlib
import json
import os
import re
import signal
import subprocess
import sys
import time
import tty
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest

from commands.setup.test_dialogue import Conversation
from gateway.station import OwnNode
from micropython.repl_board import repl_board
from servers import Mosquitto, free_port, until

PAGE = Path(__file__).parents[2] / "docs" / "tutorial" / "board-in-hand.md"
LIMIT_S = 600.0


def blocks() -> list[str]:
    """What the page says to type, block by block."""
    return re.findall(r"^```sh\n(.*?)^```$", PAGE.read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL)


@contextlib.contextmanager
def shell(block: str, ports: dict[str, str]) -> Iterator["subprocess.Popen[str]"]:
    """The block as a shell runs it, with these ports in the place of the page's; what it leaves running is ended."""
    for name, port in ports.items():
        block = block.replace(name, port)
    process = subprocess.Popen(["sh", "-ec", block], text=True, stdout=subprocess.PIPE, start_new_session=True)
    try:
        yield process
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGTERM)
        process.communicate(timeout=60)


def typed(block: str, ports: dict[str, str]) -> str:
    """Run a block to its end; what it prints."""
    with shell(block, ports) as process:
        said, _ = process.communicate(timeout=300)
    assert process.returncode == 0, said
    return said


def answered(receiver: Path, broker: int, page: int) -> None:
    """Answer `aoii setup` as the page says."""
    talk = Conversation()
    talk.answer("Language", with_="en")
    if os.geteuid() == 0 and Path("/run/systemd/system").is_dir():
        talk.answer("systemd", with_="no")
    talk.answer("What does this machine do?", with_="all")
    talk.answer("Where are the nodes used?", with_="KR920")
    talk.answer("Name of this gateway", with_="")
    talk.answer("Serial port of the receiver", with_=str(receiver))
    talk.answer("Host of the MQTT broker", with_="127.0.0.1")
    talk.answer("TLS", with_="")
    talk.answer("Port of the broker", with_=str(broker))
    talk.answer("log in at the broker", with_="")
    talk.answer("Where do the readings go?", with_="")
    talk.answer("127.0.0.1", with_="")
    talk.answer("[5001]", with_=str(page))
    talk.answer(with_="")
    assert talk.end() == 0, talk.said


@contextlib.contextmanager
def receiver_port(link: Path) -> Iterator[int]:
    """The radio's end of a serial port that nobody has open, as `aoii setup` wants it."""
    ours, theirs = os.openpty()
    tty.setraw(theirs)
    link.symlink_to(os.ttyname(theirs))
    os.close(theirs)
    yield ours
    os.close(ours)


def nodes(page: int) -> list[dict[str, object]]:
    """The nodes on the page; none while it does not answer."""
    with contextlib.suppress(OSError), urllib.request.urlopen(f"http://127.0.0.1:{page}/api/nodes", timeout=20) as said:
        found: list[dict[str, object]] = json.load(said)
        return found
    return []


def test_a_board_in_hand_is_trusted_data_in_ten_minutes(
    tmp_path: Path, mosquitto: Mosquitto, monkeypatch: pytest.MonkeyPatch
) -> None:
    began_s = time.monotonic()
    page = free_port()
    programs = tmp_path / "bin"
    programs.mkdir()
    (programs / "aoii").write_text(f'#!/bin/sh\nexec "{sys.executable}" -m aoii.cli "$@"\n')
    (programs / "aoii").chmod(0o755)
    home = tmp_path / "home"
    home.mkdir()
    monkeypatch.chdir(home)
    monkeypatch.setenv("PATH", f"{programs}{os.pathsep}{os.environ['PATH']}")
    for name in ("GATEWAY", "SERVER", "CSV", "EDGE_LOG"):  # other tests run stations too
        monkeypatch.setenv(f"{name}_STATUS_PORT", str(free_port()))
    flash_receiver, _setup, start, add_node, look = blocks()
    with receiver_port(tmp_path / "receiver") as radio, repl_board(tmp_path) as (port, board):
        typed(flash_receiver, {"/dev/ttyUSB0": port})
        assert json.loads((board.disk / "aoii.json").read_text())["role"] == "receiver"
        board.erase()  # it stands for another one now
        answered(tmp_path / "receiver", mosquitto.port, page)
        with shell(start, {}):
            typed(add_node, {"/dev/ttyUSB1": port})
            config = json.loads((board.disk / "aoii.json").read_text())
            assert (config["role"], config["node"]) == ("node", 1)
            assert config["air"][0] == 922_100_000

            node = OwnNode(radio, config["node"], config["epoch"], bytes.fromhex(config["key"]))
            node.send(1, 1)

            def shown() -> bool:
                return [(one["node"], one["last_day"]["name"]) for one in nodes(page)] == [("1", "Greenhouse")]  # type: ignore[index]

            until(shown, 120, "the node is on the page under its name")
            listed, examined = look.splitlines()
            until(lambda: re.search(r"Greenhouse.*row 3.*\bok\b", typed(listed, {})), 60, "the node is ok")
            with shell(examined, {}) as doctor:
                said, _ = doctor.communicate(timeout=120)
            failed = set(re.findall(r"^FAIL  (.{12})", said, re.MULTILINE))
            assert failed <= {"copies".ljust(12)}, said
    took_s = time.monotonic() - began_s
    print(f"a board in hand: {took_s:.0f} s, of {LIMIT_S:.0f}")
