"""How a station is told to stop: SIGTERM or SIGINT sets an event, and every wait is a wait for that event.

A thread receives the signals. A signal handler would run inside whatever the main thread does; if that is a wait for
the same event, it holds the event's lock, and setting the event would never return. `signal.sigtimedwait` does not help
either: after SIGSTOP and SIGCONT it may return a signal that was never sent (CPython 3.11).
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
POLL_S = 0.1
GRACE_S = 1.0  # what is being opened at the stop may still finish, so that it is closed properly


def on_signals(also: Mapping[signal.Signals, Callable[[], None]] | None = None) -> threading.Event:
    """An event that SIGTERM and SIGINT set. Call it in the main thread, before other threads start.

    Args:
        also: Other signals, each with a function that the signal thread calls.
    """
    others = dict(also or {})
    stopping = threading.Event()
    signal.pthread_sigmask(signal.SIG_BLOCK, {*STOP_SIGNALS, *others})  # inherited by threads; one waits for them

    def receive() -> None:
        while (number := signal.Signals(signal.sigwait({*STOP_SIGNALS, *others}))) in others:
            others[number]()
        stopping.set()

    threading.Thread(target=receive, name="signals", daemon=True).start()
    return stopping


def run_unless_stopped(stop: threading.Event, build: Callable[[], T], while_waiting: Callable[[], None]) -> T | None:
    """Call `build` in a thread of its own; None if the station is told to stop and `build` does not return.

    A disk that does not answer blocks the thread that opens a file there, and no signal frees it. That thread is left
    behind and does not keep the process alive. (A thread in uninterruptible sleep outlives even SIGKILL, and so does
    its process, until the disk answers.)

    Args:
        stop: As `on_signals` returns it.
        build: Opens what the station needs; what it raises is raised here.
        while_waiting: Called several times a second until then.
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
    """Under a demo: have the kernel stop this process when the demo ends, even if it is killed (Linux)."""
    parent = os.environ.get(PARENT_VARIABLE)
    if parent is None or not sys.platform.startswith("linux"):
        return
    ctypes.CDLL(None, use_errno=True).prctl(PR_SET_PDEATHSIG, signal.SIGTERM)
    if os.getppid() != int(parent):  # it ended before the call above
        raise SystemExit(1)
