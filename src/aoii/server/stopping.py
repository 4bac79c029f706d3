"""How a station of the server stops: SIGTERM or SIGINT sets an event, and whoever waits, waits on that event."""

import signal
import threading


def on_signals() -> threading.Event:
    """An event that SIGTERM and SIGINT set; to be called in the main thread."""
    stopping = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stopping.set())
    return stopping
