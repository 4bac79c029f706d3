"""A station that remembers which of its files were executed: SIGUSR1 begins, SIGUSR2 writes them to a file, one a line.

Whether it has begun is told by a file beside that one, with the suffix `.begun`.

Run as `python -m integration.traced_station FILE COMMAND`, where COMMAND is one of `aoii`.
"""

import signal
import sys
import threading
from pathlib import Path
from types import FrameType
from typing import Any

import aoii
from aoii.commands.main import main

SOURCE = f"{Path(aoii.__file__).parent}/"


class Trace:
    """The files of the package whose functions were called while it was on, in the order of their first call."""

    def __init__(self) -> None:
        self.files: dict[str, None] = {}
        self.is_on = False

    def note(self, frame: FrameType, event: str, _: Any) -> None:
        """What `sys.setprofile` calls."""
        if self.is_on and event == "call" and frame.f_code.co_name != "<module>":
            path = frame.f_code.co_filename
            if path.startswith(SOURCE):
                self.files.setdefault(path.removeprefix(SOURCE))

    def install(self) -> None:
        """Follow this thread and all that begin after it."""
        threading.setprofile(self.note)
        sys.setprofile(self.note)

    def begin(self) -> None:
        """Forget what was seen, and follow from now on."""
        self.files.clear()
        self.is_on = True


if __name__ == "__main__":
    trace, out = Trace(), Path(sys.argv[1])

    def write(*_: object) -> None:
        trace.is_on = False
        unfinished = out.with_suffix(".part")
        unfinished.write_text("\n".join(list(trace.files)))
        unfinished.rename(out)

    def begin(*_: object) -> None:
        trace.begin()
        out.with_suffix(".begun").touch()

    signal.signal(signal.SIGUSR1, begin)
    signal.signal(signal.SIGUSR2, write)
    trace.install()
    sys.exit(main(sys.argv[2:]))
