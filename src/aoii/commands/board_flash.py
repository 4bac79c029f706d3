"""Writes an ESP32: MicroPython itself by esptool, files by mpremote; and reads back what was written.

Both are programs of their own, which an optional part of this package installs. The port stays open here meanwhile:
when the last one who has it open closes it, the control lines fall, which resets many boards, and then the program on
the board would run again between two commands.
"""

import contextlib
import fcntl
import hashlib
import importlib.util
import json
import os
import select
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO, cast

from aoii.commands import board_port
from aoii.commands.board_files import CONFIG
from aoii.core.errors import InputError, UnavailableError
from aoii.runtime import advice

INTERRUPT = b"\r\x03\x03\x02"  # Ctrl-C stops a program, Ctrl-B leaves the raw REPL if somebody left it on
PROMPT = b">>> "
INTERRUPT_EVERY_S = 0.2  # a board that was reset can be interrupted for three seconds
HINT_AFTER_S = 2.0
INTERRUPT_LIMIT_S = 60.0
SILENCE_LIMIT_S = 60.0  # a file takes a few seconds; mpremote itself waits 10 s for most answers
FIRMWARE_MAGIC = 0xE9  # first byte of an ESP32 image
FIRMWARE_AT = "0x1000"  # of an ESP32; other chips begin elsewhere, and have another radio
MAIN = "main.py"
MARK = "aoii-board:"  # begins the line with an answer, among whatever else the board prints

LOOK = """
import json, os
try:
    with open({config!r}) as f: c = json.load(f)
except (OSError, ValueError): c = {{}}
print({mark!r} + json.dumps([c.get('role'), c.get('node'), c.get('epoch'), 'slots.bin' in os.listdir()]))
"""
# main.py goes first and comes last: a board that loses its power meanwhile runs nothing by halves.
PREPARE = """
import os
wanted, folders = {wanted!r}, {folders!r}
def tidy(folder):
    for one in list(os.ilistdir(folder)):
        path = folder + '/' + one[0]
        if one[1] & 0x4000:
            tidy(path)
            if path not in folders: os.rmdir(path)
        elif path not in wanted: os.remove(path)
if 'main.py' in os.listdir(): os.remove('main.py')
for folder in folders:
    try: os.mkdir(folder)
    except OSError: pass
tidy('aoii')
"""
DIGESTS = """
import binascii, hashlib, json
found = []
for path in {paths!r}:
    h = hashlib.sha256()
    with open(path, 'rb') as f:
        while True:
            b = f.read(512)
            if not b: break
            h.update(b)
    found.append(binascii.hexlify(h.digest()).decode())
print({mark!r} + json.dumps(found))
"""


@dataclass(frozen=True)
class OnBoard:
    """What is on a board.

    Attributes:
        role: `node` or `receiver`; None: it has none of our files.
        node: The number of the node; None for a receiver.
        epoch: The epoch of the node's key; None for a receiver.
        has_counters: Whether it has counters, which go on only with the same node and epoch.
    """

    role: str | None
    node: int | None
    epoch: int | None
    has_counters: bool


def require_tools(with_firmware: bool) -> None:
    """Check that what writes a board is installed.

    Raises:
        InputError: It is not; the message says what installs it.
    """
    needed = ("mpremote", "esptool") if with_firmware else ("mpremote",)
    if missing := [name for name in needed if importlib.util.find_spec(name) is None]:
        raise InputError(
            f"{' and '.join(missing)}: not installed", f"{advice.install_boards()} installs what is needed"
        )


def check_firmware(file: Path) -> None:
    """Check that a file may be MicroPython for an ESP32.

    Raises:
        InputError: It is not there, or something else.
    """
    remedy = "download the .bin of ESP32_GENERIC from https://micropython.org/download/ESP32_GENERIC/"
    try:
        with file.open("rb") as content:
            first = content.read(1)
    except OSError as error:
        raise InputError(f"{file}: cannot be read ({error.strerror})", remedy) from error
    if first != bytes([FIRMWARE_MAGIC]):
        raise InputError(f"{file} is no firmware of an ESP32", remedy)


def write_firmware(port: str, file: Path) -> None:
    """Erase a board and write MicroPython; esptool compares checksums, and shows its progress on a terminal.

    Raises:
        InputError: The port cannot be used.
        UnavailableError: esptool could not do it.
    """
    with board_port.opened(port):
        pass  # so that a port that is busy or missing is said in our words
    options = ["--chip", "esp32", "--port", port, "--baud", "460800"]
    command = [sys.executable, "-m", "esptool", *options, "write-flash", "--erase-all", FIRMWARE_AT, str(file)]
    shows = sys.stdout.isatty()
    done = subprocess.run(command, check=False, capture_output=not shows, text=True, stdin=subprocess.DEVNULL)
    if done.returncode:
        reason = "" if shows else f" ({_reason(done.stdout + done.stderr)})"
        remedy = "hold the board's BOOT button while you press reset, and run this again"
        raise UnavailableError(f"esptool could not write {file} at {port}{reason}", remedy)


class Board:
    """A board at a port, at its prompt; made by `attached`."""

    def __init__(self, port: str) -> None:
        self._port = port

    def look(self) -> OnBoard:
        """What is on it."""
        match self._answer(self._run([["exec", LOOK.format(config=CONFIG, mark=MARK)]])):
            case [str(role), int(node), int(epoch), bool(has_counters)]:
                return OnBoard(role, node, epoch, has_counters)
            case [role, *_]:
                return OnBoard(role if isinstance(role, str) else None, None, None, has_counters=False)
            case _:
                return OnBoard(None, None, None, has_counters=False)

    def write(self, folder: Path, on_file: Callable[[int], object]) -> int:
        """Write the files in a folder, delete files of an older program, and compare every file's SHA-256.

        Args:
            folder: As `board_files` makes it.
            on_file: Called with 1 for each file that is written.

        Returns:
            How many files there are.

        Raises:
            UnavailableError: It failed, or what was read back differs. Then the board has no `main.py`, and runs
                nothing.
        """
        files = sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file())
        folders = sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_dir())
        self._write(
            folder, [one for one in files if one != MAIN], on_file, PREPARE.format(wanted=files, folders=folders)
        )
        self._write(folder, [MAIN], on_file)
        return len(files)

    def reset(self) -> None:
        """Start the program on it."""
        self._run([["reset"]])

    def _write(
        self, folder: Path, files: Sequence[str], on_file: Callable[[int], object], prepare: str = "pass"
    ) -> None:
        """Run `prepare` on the board, write files and compare them, all in one run of mpremote."""
        copies = [["fs", "cp", str(folder / file), f":{file}"] for file in files]
        digests = DIGESTS.format(paths=list(files), mark=MARK)

        def on_line(line: str) -> None:
            if line.startswith("cp "):
                on_file(1)

        found = self._answer(self._run([["exec", prepare], *copies, ["exec", digests]], on_line))
        wanted = [hashlib.sha256((folder / file).read_bytes()).hexdigest() for file in files]
        if wrong := [file for at, file in enumerate(files) if found[at : at + 1] != [wanted[at]]]:
            remedy = "run this again; if it stays so, the board's flash is bad or full"
            raise UnavailableError(f"{wrong[0]} on the board at {self._port} is not what was written", remedy)

    def _answer(self, lines: Sequence[str]) -> list[object]:
        """The answer of a script among what the board has printed."""
        try:
            return list(json.loads([line for line in lines if line.startswith(MARK)][-1].removeprefix(MARK)))
        except (IndexError, ValueError, TypeError) as error:
            raise UnavailableError(f"the board at {self._port} does not answer as a board", "run this again") from error

    def _run(
        self, commands: Sequence[Sequence[str]], on_line: Callable[[str], object] = lambda line: None
    ) -> list[str]:
        """Run commands of mpremote on the board, and return what they printed, by lines.

        Raises:
            UnavailableError: It failed, or has said nothing for a minute.
        """
        command = [sys.executable, "-u", "-m", "mpremote", "connect", self._port]
        for words in commands:
            command += [*words, "+"]
        lines: list[str] = []
        with subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT
        ) as child:
            for line in _lines(child, cast(IO[bytes], child.stdout)):
                on_line(line)
                lines.append(line)
        if child.returncode:
            reason = _reason("\n".join(lines)) or "it stopped answering"
            remedy = "press the board's reset button and run this again"
            raise UnavailableError(f"mpremote failed at {self._port}: {reason}", remedy)
        return lines


@contextlib.contextmanager
def attached(port: str, say: Callable[[str], object]) -> Iterator[Board]:
    """A board whose program has been interrupted.

    Args:
        port: Its serial port.
        say: Called with what a person should do, if the board does not answer at once.

    Raises:
        InputError: The port is not there.
        UnavailableError: It cannot be opened, or no MicroPython answers.
    """
    with board_port.opened(port) as descriptor:
        _interrupt(port, descriptor, say)
        fcntl.flock(descriptor, fcntl.LOCK_UN)  # mpremote locks it too
        yield Board(port)


def _interrupt(port: str, descriptor: int, say: Callable[[str], object]) -> None:
    """Send Ctrl-C until the prompt comes: a node sleeps most of the time, and then it takes a press on reset."""
    began_s = time.monotonic()
    has_said = False
    seen = b""
    while (elapsed_s := time.monotonic() - began_s) < INTERRUPT_LIMIT_S:
        if elapsed_s > HINT_AFTER_S and not has_said:
            has_said = True
            say(f"The board at {port} does not answer yet: press its reset button (RST or EN).")
        try:
            os.write(descriptor, INTERRUPT)
            while select.select([descriptor], [], [], INTERRUPT_EVERY_S)[0]:
                seen = (seen + os.read(descriptor, 4096))[-len(PROMPT) :]
                if seen == PROMPT and not select.select([descriptor], [], [], INTERRUPT_EVERY_S)[0]:
                    return
        except BlockingIOError:
            continue
        except OSError as error:
            raise UnavailableError(f"{port} was unplugged ({error.strerror})", "plug the board in again") from error
    remedy = "press its reset button and run this again, or put MicroPython on it with --firmware"
    raise UnavailableError(f"no MicroPython answers at {port}", remedy)


def _lines(child: "subprocess.Popen[bytes]", stdout: IO[bytes]) -> Iterator[str]:
    """The lines that a process prints, as they come; a process that is silent for too long is ended."""
    rest = b""
    while True:
        if not select.select([stdout], [], [], SILENCE_LIMIT_S)[0]:
            child.kill()
        data = os.read(stdout.fileno(), 65_536)
        if not data:
            break
        *whole, rest = (rest + data).split(b"\n")
        yield from (line.decode("utf-8", "replace").rstrip("\r") for line in whole)
    if rest:
        yield rest.decode("utf-8", "replace")


def _reason(text: str) -> str:
    """The last line that says what is wrong, or else the last one."""
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    return next((line for line in reversed(lines) if "error" in line.lower()), lines[-1] if lines else "")
