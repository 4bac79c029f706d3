"""Named places at which a station can be told to die, for the fault campaign (`make faults`) and for nothing else.

`AOII_FAILPOINT=after_database_commit:3` makes a station kill itself, as SIGKILL from outside would, when it reaches the
place of that name for the third time. Unset, as it is everywhere but in that campaign, reaching a place costs one
comparison. It is no setting: nobody should ever find it in an `.env`.
"""

import os
import signal
import threading

_name, _, _passes = os.environ.get("AOII_FAILPOINT", "").partition(":")
_left = int(_passes or 1)
_lock = threading.Lock()  # several threads may pass one place


def reach(name: str) -> None:
    """Die here, if this is the place and the time; else nothing."""
    global _left  # noqa: PLW0603 - of the process, like its end
    if name == _name:
        with _lock:
            _left -= 1
            if _left == 0:
                os.kill(os.getpid(), signal.SIGKILL)
