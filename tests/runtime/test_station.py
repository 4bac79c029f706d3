"""How a station is run: built, started, watched, stopped, whatever its parts do."""

import os
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest

from aoii.runtime import shutdown, station
from aoii.runtime.station import Part, PartThread, Station, liveness_of, run_station
from aoii.runtime.systemd import Notifier


class Made(Station):
    """A station that does nothing, and remembers what it was told."""

    def __init__(self) -> None:
        self.told: list[str] = []
        self.is_running = True
        self.started = threading.Event()

    def start(self) -> None:
        self.told.append("start")
        self.started.set()

    def stop(self) -> None:
        self.told.append("stop")

    def parts(self) -> Iterator[Part]:
        yield Part("worker", self.is_running, time.monotonic())

    def readiness(self) -> Mapping[str, bool]:
        return {"broker": True}

    def unplug(self) -> None:
        self.told.append("unplug")


def test_parts_of_one_name_are_judged_together_and_each_by_its_own_patience() -> None:
    now_s = time.monotonic()
    parts = [
        Part("ports", True, now_s),
        Part("ports", True, now_s - 70),
        Part("patient", True, now_s - 70, 100),
        Part("ended", False, now_s),
    ]

    assert liveness_of(parts) == {"ports": False, "patient": True, "ended": False}


def test_a_thread_that_was_never_started_is_not_waited_for() -> None:
    thread = PartThread("worker", lambda: None)

    thread.join(10)

    assert not thread.part.is_running


def test_a_station_runs_until_it_is_asked_to_stop(stop: threading.Event) -> None:
    made = Made()

    def ask() -> None:
        made.started.wait(10)
        stop.set()

    threading.Thread(target=ask).start()

    assert run_station("edge", 0, lambda: made) == 0

    assert made.told == ["start", "stop"]


@pytest.mark.usefixtures("stop")
def test_a_station_whose_part_ended_by_itself_is_stopped_and_says_which(caplog: pytest.LogCaptureFixture) -> None:
    made = Made()
    made.is_running = False

    assert run_station("edge", 0, lambda: made) == 1

    assert made.told == ["start", "stop"]
    assert [vars(record)["threads"] for record in caplog.records if "by itself" in record.message] == [["worker"]]


def test_a_station_that_is_stopped_while_it_is_built_is_left_behind(
    stop: threading.Event, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(shutdown, "GRACE_S", 0.05)
    gate = threading.Event()

    def build() -> Made:
        stop.set()
        gate.wait(60)
        return Made()

    assert run_station("edge", 0, build) == 0

    gate.set()
    assert any("check the disk" in record.message for record in caplog.records)


def test_a_station_that_opens_its_files_for_long_says_so_once(
    stop: threading.Event, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(station, "SLOW_OPENING_S", 0.0)
    looks = iter(range(3))
    gate = threading.Event()
    monkeypatch.setattr(Notifier, "notify", lambda _: gate.set() if next(looks, None) is None else None)

    def build() -> Made:
        gate.wait(60)  # until systemd was informed several times
        stop.set()
        return Made()

    run_station("edge", 0, build)

    assert [record.levelname for record in caplog.records if "still not open" in record.message] == ["WARNING"]


@pytest.mark.usefixtures("stop")
def test_a_station_that_cannot_start_is_stopped_all_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    made = Made()
    monkeypatch.setattr(made, "start", lambda: 1 / 0)

    with pytest.raises(ZeroDivisionError):
        run_station("edge", 0, lambda: made)

    assert made.told == ["stop"]


PROGRAM = """
import os, signal, threading
from aoii.runtime.station import run_station
from runtime.test_station import Made

made = Made()

def act(station):
    station.unplug()
    os.kill(os.getpid(), signal.SIGTERM)

def ask():
    made.started.wait(10)
    os.kill(os.getpid(), signal.SIGUSR1)

def build():
    threading.Thread(target=ask).start()
    return made

print(run_station("edge", 0, build, {signal.SIGUSR1: act}), *made.told)
"""


def test_another_signal_reaches_the_station() -> None:
    environment = os.environ | {"PYTHONPATH": str(Path(__file__).parents[1])}

    ran = subprocess.run(
        [sys.executable, "-c", PROGRAM], env=environment, capture_output=True, text=True, timeout=60, check=True
    )

    assert ran.stdout.split() == ["0", "start", "unplug", "stop"]


HANGING_PROGRAM = """
import sys, threading
from aoii.runtime import station, systemd
from runtime.test_station import Made

def hang():
    threading.Event().wait()

made = Made()
setattr(*{"opens": (systemd, "OPENING_LIMIT_S"), "starts": (station, "SILENCE_LIMIT_S")}[sys.argv[1]], 0.5)
if sys.argv[1] == "starts":
    made.start = hang
station.run_station("edge", 0, hang if sys.argv[1] == "opens" else lambda: made)
"""


@pytest.mark.parametrize("phase", ["opens", "starts"])
def test_a_start_that_hangs_ends_by_itself_and_shows_where(phase: str) -> None:
    environment = os.environ | {"PYTHONPATH": str(Path(__file__).parents[1])}

    ran = subprocess.run(
        [sys.executable, "-c", HANGING_PROGRAM, phase],
        env=environment, capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip

    assert ran.returncode == 1
    assert "in hang" in ran.stderr


def test_a_thread_shows_its_progress_and_an_error_that_ends_it_is_logged(caplog: pytest.LogCaptureFixture) -> None:
    gate = threading.Event()

    def work() -> None:
        gate.wait(10)
        thread.record_progress()
        raise ZeroDivisionError

    thread = PartThread("worker", work)
    thread.start()
    before = thread.part
    gate.set()
    thread.join(10)

    assert (before.name, before.is_running, thread.part.is_running) == ("worker", True, False)
    assert thread.part.last_progress_s > before.last_progress_s
    (record,) = [record for record in caplog.records if record.levelname == "ERROR"]
    assert vars(record)["part"] == "worker"
    assert record.exc_info is not None
