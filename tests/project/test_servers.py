"""What tests do to the processes that they start is done when they go on."""

import signal
import subprocess
import sys
from pathlib import Path

from servers import freeze_process

BUSY = """
import threading
def work():
    while True:
        pass
for _ in range(20):
    threading.Thread(target=work, daemon=True).start()
print("works", flush=True)
work()
"""


def states(pid: int) -> set[str]:
    """The states of all threads of a process, by the letters of proc(5)."""
    tasks = Path(f"/proc/{pid}/task").iterdir()
    return {(task / "stat").read_text().rpartition(")")[2].split()[0] for task in tasks}


def test_a_process_is_frozen_with_all_its_threads_as_often_as_one_likes() -> None:
    with subprocess.Popen([sys.executable, "-c", BUSY], stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        found = [process.stdout.readline()]
        for _ in range(20):
            freeze_process(process.pid)
            found += states(process.pid)
            freeze_process(process.pid)  # it is frozen already
            process.send_signal(signal.SIGCONT)
        process.kill()

    assert found == ["works\n"] + 20 * ["T"]
