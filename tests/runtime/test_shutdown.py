"""How a station ends: when it is asked to, and only then."""

import signal
import subprocess
import sys
import threading
import time

import pytest

from aoii.runtime import shutdown
from servers import freeze_process

STATION = """
from aoii.runtime import shutdown
stop = shutdown.on_signals()
print("runs", flush=True)
while not stop.wait(0.1):
    print("turns", flush=True)
print("ends")
"""


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_station_that_was_frozen_goes_on_until_it_is_asked_to_end(number: signal.Signals) -> None:
    with subprocess.Popen([sys.executable, "-c", STATION], stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "runs\n"

        freeze_process(process.pid)
        time.sleep(1.2)  # longer than one wait of the loop, so that its deadline has passed
        process.send_signal(signal.SIGCONT)

        assert all(process.stdout.readline() == "turns\n" for _ in range(20))
        process.send_signal(number)
        assert process.wait(5) == 0


def test_what_a_start_makes_or_raises_comes_back_and_only_a_stop_ends_the_waiting() -> None:
    stop, gate = threading.Event(), threading.Event()

    def wait() -> None:
        pass

    def fail() -> None:
        raise TimeoutError("the port is taken")

    assert shutdown.run_unless_stopped(stop, lambda: 7, wait) == 7
    with pytest.raises(TimeoutError, match="taken"):
        shutdown.run_unless_stopped(stop, fail, wait)
    stop.set()
    assert shutdown.run_unless_stopped(stop, lambda: 7, wait) == 7
    assert shutdown.run_unless_stopped(stop, gate.wait, wait) is None
    gate.set()


def test_a_slow_start_calls_back_while_it_is_waited_for() -> None:
    called = threading.Event()

    assert shutdown.run_unless_stopped(threading.Event(), lambda: called.wait(30), called.set)
