"""A station keeps its settings when its files change, says what they would be, and takes SIGHUP as a question."""

import logging
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from aoii.commands import doctor_stations
from aoii.commands.doctor_stations import Answer
from aoii.commands.findings import Finding
from aoii.commands.settings_watch import SettingsWatch
from aoii.core.errors import UnavailableError
from aoii.runtime import metrics
from aoii.security import node_keys
from servers import free_port, until


@pytest.fixture
def watch() -> SettingsWatch:
    Path(".env").write_text("# ours\nMQTT_PORT=1884\n")
    return SettingsWatch(None, "server")


def state() -> tuple[float, float]:
    return metrics.value(metrics.SETTINGS_USABLE), metrics.value(metrics.SETTINGS_NEED_RESTART)


def test_wrong_settings_are_said_once_with_the_remedy_until_they_are_right(
    watch: SettingsWatch, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)

    Path(".env.server").write_text("MYSQL_PORT=fast\n")
    watch.look()
    watch.judge()
    wrong = state()
    Path(".env.server").unlink()
    watch.look()

    said = [record for record in caplog.records if record.levelno >= logging.INFO]
    assert [record.message for record in said] == [
        "new settings are wrong, old ones stay", "files of settings are right again",
    ]  # fmt: skip
    assert "MYSQL_PORT" in said[0].__dict__["reason"]
    assert "use a whole number from 1 to 65535" in said[0].__dict__["reason"]
    assert (wrong, state()) == ((0, 0), (1, 0))


def test_other_settings_need_a_restart_and_a_comment_does_not(
    watch: SettingsWatch, caplog: pytest.LogCaptureFixture
) -> None:
    Path(".env").write_text("# yours\nMQTT_PORT=1884\n")
    watch.look()
    comment = state()
    Path(".env").write_text("MQTT_PORT=1885\n")
    watch.look()
    watch.judge()

    assert (comment, state()) == ((1, 0), (1, 1))
    assert [record.message for record in caplog.records] == ["settings have changed; restart the station to use them"]


@pytest.fixture
def gateway() -> Iterator[tuple[subprocess.Popen[bytes], int]]:
    """A gateway without a terminal, as under a service manager; its port and broker are not there."""
    port = free_port()
    Path("data").mkdir()
    node_keys.write_key_file(Path("data/node_keys"), {7: node_keys.NodeKey(1, bytes(16))})
    Path(".env").write_text(
        f"GATEWAY_STATUS_PORT={port}\nMQTT_BROKER=127.0.0.1\nMQTT_PORT={free_port()}\nSERIAL_PORT={Path.cwd()}/none\n"
    )
    code = "import sys; from aoii.cli import main; sys.exit(main(['gateway']))"
    with Path("log").open("wb") as log:
        station = subprocess.Popen([sys.executable, "-c", code], stdout=log, stderr=log, start_new_session=True)
    try:
        until(lambda: answer(port) is not None or station.poll() is not None, 30, "the gateway")
        yield station, port
    finally:
        station.kill()
        station.wait()


def answer(port: int) -> Answer | None:
    try:
        return doctor_stations._ask(port)
    except UnavailableError:
        return None


def remarks(port: int) -> list[Finding]:
    found = answer(port)
    assert found is not None
    return list(doctor_stations._files("gateway", found.snapshot))


def value(port: int, metric: object) -> float | None:
    found = answer(port)
    return None if found is None else found.snapshot.total(metric)  # type: ignore[arg-type]


def test_a_station_lives_through_sighup_with_wrong_settings_and_keys_and_takes_the_keys_when_they_are_right(
    gateway: tuple[subprocess.Popen[bytes], int],
) -> None:
    station, port = gateway
    right = Path(".env").read_text()

    Path(".env").write_text("MQTT_PORT=fast\n")
    Path("data/node_keys").write_text("7 two\n")
    station.send_signal(signal.SIGHUP)
    until(lambda: value(port, metrics.SETTINGS_USABLE) == 0, 20, "the wrong settings")
    until(lambda: value(port, metrics.NODE_KEYS_USABLE) == 0, 20, "the wrong keys")
    wrong = remarks(port)
    Path(".env").write_text(right + "BETA_TEMP=1\n")
    node_keys.write_key_file(Path("data/node_keys"), {8: node_keys.NodeKey(1, bytes(16))})
    station.send_signal(signal.SIGHUP)
    until(lambda: value(port, metrics.SETTINGS_NEED_RESTART) == 1, 20, "the new settings")
    until(lambda: value(port, metrics.NODE_KEYS_USABLE) == 1, 20, "the right keys")

    assert [finding.subject for finding in wrong] == ["settings", "node keys"]
    assert [finding.remedy for finding in remarks(port)] == ["restart it (systemctl restart aoii-gateway)"]
    assert value(port, metrics.SETTINGS_USABLE) == 1
    station.send_signal(signal.SIGTERM)
    assert station.wait(15) == 0
    log = Path("log").read_text()
    assert log.count("new settings are wrong, old ones stay") == 1
    assert log.count("new node keys not usable, old ones stay") == 1
