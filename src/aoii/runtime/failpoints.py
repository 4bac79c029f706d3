"""Named places in the code where the fault campaign (`make faults`) can end the process.

`AOII_FAILPOINT=after_database_commit:3` makes a station kill itself with SIGKILL when it reaches that place for the
third time. Without the variable, reaching a place costs one comparison. The variable is deliberately not a setting: it
must never appear in an `.env`.
"""

import os
import signal
import threading

_name, _, _passes = os.environ.get("AOII_FAILPOINT", "").partition(":")
_left = int(_passes or 1)
_lock = threading.Lock()  # several threads may pass one place


def reach(name: str) -> None:
    """Kill the process if AOII_FAILPOINT names this place and it has been reached as often as that says."""
    global _left  # noqa: PLW0603 - the count belongs to the process that it ends
    if name == _name:
        with _lock:
            _left -= 1
            if _left == 0:
                os.kill(os.getpid(), signal.SIGKILL)
