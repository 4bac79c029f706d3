"""What is told to the service manager, and when."""

import os
import secrets
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from aoii.runtime.systemd import Notifier, startup_notifier
from deploy.supervisor import Supervisor

HOUR_S = 3600.0
AT_EVERY_TURN_S = 2e-6


class Station:
    """What a station says of itself, as the test wants it."""

    def __init__(self) -> None:
        self.works = True
        self.broker = False

    def alive(self) -> dict[str, bool]:
        return {"clock": True, "worker": self.works}

    def ready(self) -> dict[str, bool]:
        return {"broker": self.broker, "disk": True}


Attach = Callable[..., tuple[Supervisor, Notifier]]


@pytest.fixture
def station() -> Station:
    return Station()


@pytest.fixture
def attach(tmp_path: Path, station: Station) -> Iterator[Attach]:
    """A supervisor, and the station's side of it."""
    supervisors = []

    def attach(watchdog_s: float | None = None, **environ: str) -> tuple[Supervisor, Notifier]:
        supervisor = Supervisor(tmp_path / "notify", watchdog_s)
        supervisors.append(supervisor)
        return supervisor, Notifier(station.alive, station.ready, supervisor.environment | environ)

    yield attach
    for supervisor in supervisors:
        supervisor.close()


def test_a_station_that_waits_runs_and_says_so_once(attach: Attach, station: Station) -> None:
    supervisor, manager = attach()

    for station.broker in (False, True, False, True):
        manager.notify()

    assert supervisor.messages() == [
        "READY=1", "STATUS=waits for: broker", "STATUS=ready", "STATUS=waits for: broker", "STATUS=ready",
    ]  # fmt: skip


def test_the_human_line_is_said_when_it_changes_and_only_then(attach: Attach, station: Station) -> None:
    supervisor, manager = attach()

    for station.works in (True, True, False, False, True):
        manager.notify()

    assert supervisor.messages() == [
        "READY=1", "STATUS=waits for: broker", "STATUS=makes no progress: worker", "STATUS=waits for: broker",
    ]  # fmt: skip


def test_the_watchdog_is_fed_only_while_there_is_progress(attach: Attach, station: Station) -> None:
    station.broker = True
    supervisor, manager = attach(AT_EVERY_TURN_S)

    manager.notify()
    manager.notify()
    assert supervisor.messages().count("WATCHDOG=1") == 2
    station.works = False
    manager.notify()
    manager.notify()
    assert "WATCHDOG=1" not in supervisor.messages()
    station.works = True
    manager.notify()

    assert "WATCHDOG=1" in supervisor.messages()


def test_the_watchdog_is_fed_no_more_often_than_twice_in_its_time(attach: Attach) -> None:
    supervisor, manager = attach(HOUR_S)

    for _ in range(10):
        manager.notify()

    assert supervisor.messages().count("WATCHDOG=1") == 1


def test_a_station_that_waits_for_something_does_not_prolong_its_start(attach: Attach) -> None:
    supervisor, manager = attach(AT_EVERY_TURN_S)

    manager.notify()
    manager.notify()

    assert supervisor.messages() == ["READY=1", "STATUS=waits for: broker", "WATCHDOG=1", "WATCHDOG=1"]


def test_a_start_that_opens_its_files_is_prolonged_but_not_for_ever(attach: Attach) -> None:
    supervisor, _ = attach(AT_EVERY_TURN_S)

    startup_notifier(supervisor.environment).notify()
    assert supervisor.messages() == ["STATUS=waits for: its files", "WATCHDOG=1", "EXTEND_TIMEOUT_USEC=2"]
    startup_notifier(supervisor.environment, limit_s=0).notify()

    assert supervisor.messages() == ["STATUS=makes no progress: files"]


def test_a_watchdog_of_another_process_is_not_fed(attach: Attach) -> None:
    supervisor, manager = attach(AT_EVERY_TURN_S, WATCHDOG_PID=str(os.getpid() + 1))

    manager.notify()

    assert "WATCHDOG=1" not in supervisor.messages()


def test_a_stop_is_said(attach: Attach) -> None:
    supervisor, manager = attach()

    manager.notify_stopping()

    assert supervisor.messages() == ["STOPPING=1", "STATUS=stops"]


def test_an_abstract_address_is_reached(station: Station) -> None:
    supervisor = Supervisor(f"@aoii-{secrets.token_hex(8)}")

    Notifier(station.alive, station.ready, supervisor.environment).notify()

    assert supervisor.messages() == ["READY=1", "STATUS=waits for: broker"]
    supervisor.close()


def test_without_a_service_manager_nothing_happens(station: Station) -> None:
    manager = Notifier(station.alive, station.ready, {"WATCHDOG_USEC": "1000"})

    manager.notify()
    manager.notify_stopping()


def test_what_a_manager_did_not_receive_is_sent_again(tmp_path: Path, station: Station) -> None:
    station.broker = True
    address = tmp_path / "notify"
    manager = Notifier(station.alive, station.ready, {"NOTIFY_SOCKET": str(address)})

    manager.notify()
    supervisor = Supervisor(address)
    manager.notify()

    assert supervisor.messages() == ["READY=1", "STATUS=ready"]
    supervisor.close()


def test_a_manager_that_reads_nothing_does_not_hold_the_station_up(attach: Attach) -> None:
    supervisor, manager = attach(AT_EVERY_TURN_S)

    for _ in range(2000):  # more than any queue of datagrams
        manager.notify()

    assert 0 < supervisor.messages().count("WATCHDOG=1") < 2000
