"""How a station stops: SIGTERM or SIGINT sets an event, and whoever waits, waits on that event.

A thread takes the signals. A handler would run in the middle of whatever the main thread does, and where that is a wait
on the same event, which then holds the event's lock, setting it would never return. `signal.sigtimedwait` is no way out
either: after SIGSTOP and SIGCONT it may return a signal that nobody sent (CPython 3.11).
"""

import signal
import threading

NUMBERS = (signal.SIGTERM, signal.SIGINT)


def on_signals() -> threading.Event:
    """An event that SIGTERM and SIGINT set; to be called in the main thread, before it starts others."""
    stopping = threading.Event()
    signal.pthread_sigmask(signal.SIG_BLOCK, NUMBERS)  # threads inherit this, so only the one below gets them

    def take() -> None:
        signal.sigwait(NUMBERS)
        stopping.set()

    threading.Thread(target=take, name="signals", daemon=True).start()
    return stopping
