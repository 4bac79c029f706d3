"""How a station is told to stop: SIGTERM or SIGINT sets an event, and every wait is a wait for that event.

The signals are received by a thread, not by a signal handler. A handler interrupts the main thread wherever that is. If
the main thread waits for the event just then, it may hold the event's lock, and a handler that sets the event would
block for ever. `signal.sigtimedwait` does not help either: after SIGSTOP and SIGCONT it may return a signal that was
never sent (CPython 3.11).
"""

import ctypes
import os
import signal
import sys
import threading
from collections.abc import Callable, Mapping
from concurrent import futures
from typing import TypeVar

T = TypeVar("T")

PARENT_VARIABLE = "AOII_PARENT_PID"  # set by the demo: this process ends when the demo does
PR_SET_PDEATHSIG = 1  # prctl(2)
STOP_SIGNALS = (signal.SIGTERM, signal.SIGINT)
POLL_S = 0.1  # between two calls of `while_waiting`
GRACE_S = 1.0  # after the stop, for a file that is being opened: once it is open, it can be closed properly


def on_signals(actions: Mapping[signal.Signals, Callable[[], None]] | None = None) -> threading.Event:
    """Return an event that SIGTERM and SIGINT set. Call this in the main thread, before other threads start.

    Args:
        actions: Other signals, each with a function that the signal thread calls.
    """
    others = dict(actions or {})
    stopping = threading.Event()
    # Every thread started later inherits this mask; only the thread below takes the signals.
    signal.pthread_sigmask(signal.SIG_BLOCK, {*STOP_SIGNALS, *others})

    def receive() -> None:
        while (number := signal.Signals(signal.sigwait({*STOP_SIGNALS, *others}))) in others:
            others[number]()
        stopping.set()

    threading.Thread(target=receive, name="signals", daemon=True).start()
    return stopping


def run_unless_stopped(stop: threading.Event, build: Callable[[], T], while_waiting: Callable[[], None]) -> T | None:
    """Call `build` in a thread of its own and return its result; None if the stop comes and `build` does not return.

    A disk that does not answer blocks the thread that opens a file there, and no signal frees it. That thread is left
    behind; it does not keep the process alive. (A thread in uninterruptible sleep outlives even SIGKILL, and so does
    its process, until the disk answers.)

    Args:
        stop: As `on_signals` returns it.
        build: Opens what the station needs. What it raises is raised here.
        while_waiting: Called several times a second until `build` returns or the stop comes.
    """
    made: futures.Future[T] = futures.Future()

    def work() -> None:
        try:
            made.set_result(build())
        except BaseException as error:
            made.set_exception(error)

    threading.Thread(target=work, name="start", daemon=True).start()
    while not stop.is_set() and not futures.wait([made], POLL_S).done:
        while_waiting()
    if not futures.wait([made], GRACE_S).done:
        return None
    return made.result()


def end_with_parent() -> None:
    """Under a demo on Linux: have the kernel send SIGTERM to this process when the demo ends, even if it is killed.

    Raises:
        SystemExit: The demo has ended already.
    """
    parent = os.environ.get(PARENT_VARIABLE)
    if parent is None or not sys.platform.startswith("linux"):
        return
    ctypes.CDLL(None, use_errno=True).prctl(PR_SET_PDEATHSIG, signal.SIGTERM)
    if os.getppid() != int(parent):  # the demo ended before the call above
        raise SystemExit(1)
