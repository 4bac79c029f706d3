"""Fixtures that all areas share: nothing of whoever runs the tests, and the real servers, once for each process."""

import logging
import signal
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

from aoii.runtime import metrics, shutdown
from aoii.settings import BY_NAME
from servers import UNSYNCED, MariaDB, Mosquitto, pty_port

TESTS = Path(__file__).parent
# The files that take longest, the longest first. Where tests run side by side, all tests of a file share a worker: one
# of these that came last would run alone when everything else is done.
LONGEST = (
    "faults/test_faults.py",
    "server/test_mqtt_to_mysql.py",
    "integration/test_demo.py",
    "project/test_front_door.py",
    "project/test_distribution.py",
    "faults/test_machines.py",
    "faults/test_alerts.py",
    "integration/test_audit.py",
    "commands/test_doctor_delivery.py",
    "server/test_tables.py",
    "faults/test_spoofing.py",
    "gateway/drivers/test_outbox_recovery.py",
    "commands/test_doctor_audit.py",
    "server/test_queries.py",
    "integration/test_version_0_1.py",
    "project/test_audit.py",
    "server/test_connection.py",
    "server/test_link_model.py",
    "integration/test_secrets.py",
)

# A busy machine may stall an example, or the making of one, for a second: that is no fault of what is tested.
# The examples are the same in every run; `--hypothesis-profile=default` looks for new ones.
settings.register_profile("patient", deadline=None, suppress_health_check=[HealthCheck.too_slow], derandomize=True)
settings.load_profile("patient")


@pytest.hookimpl(trylast=True)  # after pytest-randomly, whose order stays within each file and among the others
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Put the longest files first."""
    if gone := [name for name in LONGEST if not (TESTS / name).is_file()]:
        raise pytest.UsageError(f"tests/conftest.py: LONGEST names files that are not there: {', '.join(gone)}")
    order = {TESTS / name: place for place, name in enumerate(LONGEST)}
    items.sort(key=lambda item: order.get(item.path, len(order)))


@pytest.fixture(scope="session", autouse=True)
def _no_settings_of_the_developer(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Hide `.env` and the environment before any other fixture: they may name a database that is in use."""
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(tmp_path_factory.mktemp("nowhere"))
        for name in BY_NAME:
            patch.delenv(name, raising=False)
        yield


@pytest.fixture(autouse=True)
def _empty_working_directory(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> None:
    """A working directory for each test, which its child processes inherit; no other test's files are in it."""
    monkeypatch.chdir(tmp_path_factory.mktemp("cwd"))


@pytest.fixture(autouse=True)
def _no_signal_is_left_blocked() -> Iterator[None]:
    """A child process inherits the blocked signals of the test that starts it, and then cannot be told to stop."""
    yield
    blocked = signal.pthread_sigmask(signal.SIG_SETMASK, ())
    assert not blocked, f"this test left signals blocked: {blocked}"


@pytest.fixture(autouse=True)
def _the_log_goes_where_it_went() -> Iterator[None]:
    """A command that runs in a test logs to the standard error of that test, which is closed after it."""
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    yield
    root.handlers[:] = handlers
    root.setLevel(level)


@pytest.fixture(autouse=True)
def _every_value_of_a_bounded_label_is_declared() -> Iterator[None]:
    """A value that `runtime/metrics.py` does not know would be served from its first event on only, and miss it."""
    yield
    assert metrics.undeclared() == []


@pytest.fixture
def stop(monkeypatch: pytest.MonkeyPatch) -> threading.Event:
    """For a station that runs in this process: what a signal would set, so that it leaves the signals alone."""
    event = threading.Event()
    monkeypatch.setattr(shutdown, "on_signals", lambda also: event)
    return event


@pytest.fixture(scope="session")
def mosquitto(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Mosquitto]:
    with Mosquitto(tmp_path_factory.mktemp("mosquitto")) as server:
        yield server


@pytest.fixture(scope="session")
def mariadb(tmp_path_factory: pytest.TempPathFactory) -> Iterator[MariaDB]:
    with MariaDB(tmp_path_factory.mktemp("mariadb"), options=UNSYNCED) as server:
        yield server


@pytest.fixture(scope="session")
def synced_mariadb(tmp_path_factory: pytest.TempPathFactory) -> Iterator[MariaDB]:
    """With the settings of MariaDB itself, so that a commit is on the disk."""
    with MariaDB(tmp_path_factory.mktemp("synced-mariadb")) as server:
        yield server


@pytest.fixture
def data_dir(tmp_path: Path) -> Path:
    """A station's AOII_DATA_DIR."""
    path = tmp_path / "data"
    path.mkdir()
    return path


@pytest.fixture
def link(tmp_path: Path) -> Path:
    """Where the receiver's port appears."""
    return tmp_path / "receiver"


@pytest.fixture
def far(link: Path) -> Iterator[int]:
    """The radio's end of that port."""
    with pty_port(link) as far:
        yield far
