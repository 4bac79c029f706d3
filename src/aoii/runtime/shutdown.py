"""How a station stops: SIGTERM or SIGINT sets an event, and whoever waits, waits on that event.

A thread takes the signals. A handler would run in the middle of whatever the main thread does, and where that is a wait
on the same event, which then holds the event's lock, setting it would never return. `signal.sigtimedwait` is no way out
either: after SIGSTOP and SIGCONT it may return a signal that nobody sent (CPython 3.11).
"""

import ctypes
import os
import signal
import sys
import threading
from collections.abc import Callable
from concurrent import futures
from typing import TypeVar

T = TypeVar("T")

PARENT_VARIABLE = "AOII_PARENT_PID"  # set by the demo: this process ends when that one does
PR_SET_PDEATHSIG = 1  # prctl(2)
NUMBERS = (signal.SIGTERM, signal.SIGINT)
TURN_S = 0.1
LAST_CHANCE_S = 1.0  # for what is being opened when the station is asked to stop; what it makes must be closed after it


def on_signals() -> threading.Event:
    """An event that SIGTERM and SIGINT set; to be called in the main thread, before it starts others."""
    stopping = threading.Event()
    signal.pthread_sigmask(signal.SIG_BLOCK, NUMBERS)  # threads inherit this, so only the one below gets them

    def take() -> None:
        signal.sigwait(NUMBERS)
        stopping.set()

    threading.Thread(target=take, name="signals", daemon=True).start()
    return stopping


def unless_asked(stop: threading.Event, build: Callable[[], T], turn: Callable[[], None]) -> T | None:
    """What `build` makes, or None: the station was asked to stop, and `build` does not come back.

    A disk that does not answer holds the thread that opens a file there, and no signal frees it. So that is done in a
    thread of its own, which is left behind and keeps no process alive. (A thread that the kernel holds without any
    interruption outlives even SIGKILL, and its process with it, until the disk answers.)

    Args:
        stop: As `on_signals` gives it.
        build: Opens what the station needs; whatever it raises is raised here.
        turn: Called several times a second while that takes.
    """
    made: futures.Future[T] = futures.Future()

    def work() -> None:
        try:
            made.set_result(build())
        except BaseException as error:
            made.set_exception(error)

    threading.Thread(target=work, name="start", daemon=True).start()
    while not stop.is_set() and not futures.wait([made], TURN_S).done:
        turn()
    if not futures.wait([made], LAST_CHANCE_S).done:
        return None
    return made.result()


def end_with_parent() -> None:
    """Under a demo: have the kernel end this process when the demo dies, however it dies (Linux)."""
    parent = os.environ.get(PARENT_VARIABLE)
    if parent is None or not sys.platform.startswith("linux"):
        return
    ctypes.CDLL(None, use_errno=True).prctl(PR_SET_PDEATHSIG, signal.SIGTERM)
    if os.getppid() != int(parent):  # it died before the call above
        raise SystemExit(1)
