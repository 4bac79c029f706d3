"""A receiver of the older kind on /dev/ttyUSB0: prints the lines that a pipe brings, keeps the answers.

Runs alone in the container, with nothing but Debian's Python.
"""

import grp
import os
import pty
import threading
import tty
from pathlib import Path

PORT = Path("/dev/ttyUSB0")
LINES, ANSWERS = Path("/run/receiver.lines"), Path("/run/receiver.answers")


def main() -> None:
    ours, theirs = pty.openpty()
    tty.setraw(theirs)
    path = os.ttyname(theirs)
    os.chown(path, 0, grp.getgrnam("dialout").gr_gid)
    Path(path).chmod(0o660)
    PORT.unlink(missing_ok=True)
    PORT.symlink_to(path)
    LINES.unlink(missing_ok=True)
    os.mkfifo(LINES)
    ANSWERS.write_text("")

    def answers() -> None:
        with ANSWERS.open("ab", buffering=0) as file:
            while True:
                file.write(os.read(ours, 1024))

    threading.Thread(target=answers, daemon=True).start()
    while True:
        with LINES.open("rb") as pipe:
            for line in pipe:
                os.write(ours, line.strip() + b"\r\n")


main()
