"""The gateway on real parts: starts, restarts, stops, and neighbours that come and go."""

import contextlib
import json
import os
import signal
import subprocess
import sys
import threading
import time
import urllib.request
from dataclasses import replace
from pathlib import Path
from urllib.error import HTTPError

import pytest

from aoii.broker.client import CONNECT_TIMEOUT_S
from aoii.core.errors import InputError
from aoii.core.forecast import Trend
from aoii.gateway import gateway as station
from aoii.gateway.drivers.outbox_transaction import Transaction
from aoii.gateway.gateway import Gateway
from aoii.runtime.status_port import served
from aoii.settings import Settings
from gateway.station import (
    START_S,
    Listener,
    OwnNode,
    SteppedClock,
    configured,
    listening,
    reply,
    running,
    say,
    wait_connected,
)
from servers import Mosquitto, free_port, pty_port, until


def test_the_broker_may_come_after_the_gateway_and_go_and_come_again(tmp_path: Path, link: Path, far: int) -> None:
    port = free_port()
    values = configured(tmp_path / "data", port, "late", link)
    node = OwnNode(far)
    with running(values) as gateway:
        until(lambda: gateway.readiness()["serial"])
        node.send(1, 1)
        assert not gateway.readiness()["broker"]
        with Mosquitto(tmp_path / "first", port), listening(values) as listener:
            assert [message["counter"] for message in listener.readings(1, timeout_s=20)] == [1]
            node.send(2, 2)
            assert [message["counter"] for message in listener.readings(1)] == [2]
        until(lambda: not gateway.readiness()["broker"])
        node.send(3, 3)

        found: set[int] = set()
        with Mosquitto(tmp_path / "second", port), listening(values) as listener:  # this broker knows of none of them
            until(lambda: found.add(listener.next()["counter"]) or found == {1, 2, 3})  # type: ignore[func-returns-value]


def test_the_adapter_may_be_unplugged_and_plugged_in_again(
    tmp_path: Path, values: Settings, link: Path, listener: Listener
) -> None:
    with running(values) as gateway:
        for number in (1, 2):
            with pty_port(link) as far:
                wait_connected(gateway)
                OwnNode(far).send(number, number)
                say(far, f"{20 + number}.00,40.00")
                assert reply(far) is not None
            until(lambda: not gateway.readiness()["serial"])

        messages = listener.readings(4)

    assert sorted(message["actual_t"] for message in messages) == [21.0, 21.5, 21.5, 22.0]


def test_a_gateway_that_is_killed_resumes_from_its_file(
    tmp_path: Path, mosquitto: Mosquitto, link: Path, far: int, name: str
) -> None:
    values = configured(tmp_path / "data", free_port(), name, link)  # no broker there
    environment = os.environ | {
        "AOII_DATA_DIR": str(tmp_path / "data"), "GATEWAY_ID": name, "MQTT_BROKER": "127.0.0.1",
        "MQTT_PORT": str(values.mqtt.port), "SERIAL_PORT": str(link), "GATEWAY_STATUS_PORT": "0",
    }  # fmt: skip
    command = [sys.executable, "-m", "aoii.cli", "--env-file", str(tmp_path / "data" / "empty.env"), "gateway"]
    node = OwnNode(far)
    with subprocess.Popen(command, env=environment, stderr=subprocess.DEVNULL) as process:
        while process.poll() is None:
            node.transmit(node.frame(1, 1))
            if node.ack(0.2) is not None:
                break
        say(far, "30.00,50.00")
        assert reply(far) is not None
        process.kill()

    again = configured(tmp_path / "data", mosquitto.port, name, link)
    with listening(again) as listener, running(again) as gateway:
        found = {message["node"]: message for message in listener.readings(2)}
        listener.commit(*found.values())
        until(lambda: gateway._outbox_file.events == 0)
        wait_connected(gateway)
        repeated = node.send(1, 1)
        say(far, "30.10,50.00")
        assert reply(far) is not None
        (old,) = listener.readings(1)

    assert {message["actual_t"] for message in found.values()} == {21.5, 30.0}
    assert repeated.frame == 1
    assert (old["counter"], old["pred_t"], old["total_tx"]) == (1, 30.0, 3)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_it_stops_within_seconds_when_asked_even_without_broker_and_port(
    tmp_path: Path, name: str, number: signal.Signals
) -> None:
    configured(tmp_path / "data", free_port(), name, tmp_path / "absent")
    environment = os.environ | {
        "AOII_DATA_DIR": str(tmp_path / "data"), "MQTT_BROKER": "127.0.0.1", "MQTT_PORT": str(free_port()),
        "SERIAL_PORT": str(tmp_path / "absent"), "GATEWAY_STATUS_PORT": "0",
    }  # fmt: skip
    command = [sys.executable, "-m", "aoii.cli", "--env-file", str(tmp_path / "data" / "empty.env"), "gateway"]
    with subprocess.Popen(command, env=environment, stderr=subprocess.PIPE, text=True) as process:
        assert process.stderr is not None
        until(lambda: "gateway started" in process.stderr.readline(), what="the start")  # type: ignore[union-attr]

        process.send_signal(number)

        assert process.wait(10) == 0
        assert "gateway stops" in process.stderr.read()
    assert not (tmp_path / "data" / "outbox.db-wal").exists()  # closed cleanly


def test_it_stops_in_time_when_the_disk_hangs_and_says_what_it_left(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, values: Settings, far: int
) -> None:
    assert station.THREADS_LIMIT_S + CONNECT_TIMEOUT_S + 1 < station.STOP_LIMIT_S < 9.5
    monkeypatch.setattr(station, "STOP_LIMIT_S", 1.0)
    monkeypatch.setattr(station, "THREADS_LIMIT_S", 0.5)
    monkeypatch.setattr("aoii.gateway.drivers.outbox_file.QUEUE_LIMIT", 2)
    monkeypatch.setattr("aoii.gateway.drivers.outbox_file.SUBMIT_LIMIT_S", 10.0)
    is_held, gate = threading.Event(), threading.Event()

    def hold(_: Transaction) -> None:
        is_held.set()
        gate.wait(60)

    with running(values) as gateway:
        wait_connected(gateway)
        gateway._outbox_file.submit(hold)
        assert is_held.wait(10)
        for number in range(4):
            say(far, f"2{number}.00,40.00")
        until(gateway._outbox_file._queue.full)

        began_s = time.monotonic()
        gateway.stop()

        assert time.monotonic() - began_s < 30  # not the 60 of the one that holds
        said = [vars(record)["threads"] for record in caplog.records if "left behind" in record.message]
        assert len(said) == 1
        assert {f"thread of {values.gateway.serial_ports[0]}", "outbox"} <= set(said[0])
        gate.set()
        until(lambda: not any(part.is_running for part in gateway.parts()))


def test_after_a_restart_the_forecast_goes_on(
    tmp_path: Path, mosquitto: Mosquitto, link: Path, far: int, name: str
) -> None:
    clock = SteppedClock(start_unix_s=START_S)
    values = replace(configured(tmp_path / "data", mosquitto.port, name, link), clock=clock)
    with running(values) as gateway:
        wait_connected(gateway)
        OwnNode(far).send(1, 1, trend=Trend(0, 100, 0, 0, 1), generation=0)

    rising = []
    with listening(values) as listener, running(values) as gateway:
        wait_connected(gateway)
        for _ in range(3):
            clock.go_on(60)
            rising.append(listener.next("EST")["pred_t"])

    assert 21.5 < rising[0] < rising[1] < rising[2] < 21.5 + 50 * 0.5


def test_a_port_that_cannot_be_opened_is_said_once_and_so_is_another_reason(
    caplog: pytest.LogCaptureFixture, values: Settings, link: Path
) -> None:
    def said() -> list[str]:
        return [vars(one)["reason"] for one in caplog.records if vars(one)["event"] == "serial_away"]

    with running(values):
        until(lambda: len(said()) == 1)
        link.write_text("not a device")
        until(lambda: len(said()) == 2)

    assert "No such file" in said()[0]


def test_the_status_port_shows_what_is_missing(tmp_path: Path, mosquitto: Mosquitto, link: Path, name: str) -> None:
    port = free_port()
    values = configured(tmp_path / "data", mosquitto.port, name, link, GATEWAY_STATUS_PORT=str(port))

    def asked(path: str) -> tuple[int, dict[str, object]]:
        with contextlib.ExitStack() as stack:
            try:
                answer = stack.enter_context(urllib.request.urlopen(f"http://127.0.0.1:{port}{path}", timeout=5))
            except HTTPError as error:
                answer = stack.enter_context(error)
            return answer.status, json.loads(answer.read())

    with running(values) as gateway, served("gateway", port, gateway.liveness, gateway.readiness):
        until(lambda: gateway.readiness()["broker"])
        checks = {"broker": True, "outbox": True, "serial": False, "server": True}
        assert asked("/readyz") == (503, {"ok": False, "checks": checks, "reason": "waits for: serial"})
        assert asked("/healthz")[0] == 200
        with pty_port(link):
            wait_connected(gateway)
            assert asked("/readyz")[0] == 200


def test_a_reading_that_nobody_acknowledges_in_time_shows_that_the_server_is_missing(
    monkeypatch: pytest.MonkeyPatch, gateway: Gateway, far: int, listener: Listener
) -> None:
    monkeypatch.setattr("aoii.gateway.gateway.COMMIT_ACK_DEADLINE_S", 1)
    assert gateway.readiness()["server"]
    OwnNode(far).send(1, 1)
    message = listener.next()

    until(lambda: not gateway.readiness()["server"])
    listener.commit(message)
    until(lambda: gateway.readiness()["server"])


def test_where_nobody_acknowledges_a_reading_that_nobody_takes_shows_that_the_subscriber_is_missing(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, mosquitto: Mosquitto, link: Path, far: int
) -> None:
    monkeypatch.setattr("aoii.gateway.gateway.COMMIT_ACK_DEADLINE_S", 1)
    values = configured(tmp_path, mosquitto.port, "older", link, OUTBOX_KEEP_UNTIL="published", MQTT_NAMESPACE="alone")
    with running(values) as gateway:
        wait_connected(gateway)
        assert gateway.readiness()["subscriber"]
        OwnNode(far).send(1, 1)

        until(lambda: not gateway.readiness()["subscriber"])

        assert "server" not in gateway.readiness()


def test_a_thread_that_hangs_is_not_alive(monkeypatch: pytest.MonkeyPatch, gateway: Gateway) -> None:
    assert all(gateway.liveness().values())
    gate = threading.Event()
    gateway._outbox_file.submit(lambda _: gate.wait(10))

    monkeypatch.setattr(station, "PROGRESS_S", 1.5)

    until(lambda: not gateway.liveness()["outbox"])
    gate.set()
    until(lambda: all(gateway.liveness().values()))
    assert gateway.ended() == []


def test_wrong_weights_or_keys_keep_it_from_starting(tmp_path: Path, link: Path) -> None:
    (tmp_path / "theirs.py").write_text("W1 = []\n")
    values = configured(tmp_path / "data", 1883, "wrong", link, MIRROR_WEIGHTS=str(tmp_path / "theirs.py"))
    with pytest.raises(InputError, match=r"theirs\.py: X_MEAN is missing"):
        Gateway(values)

    values = configured(tmp_path / "data", 1883, "wrong", link)
    values.gateway.node_keys_file.chmod(0o644)
    with pytest.raises(InputError, match="chmod 600"):
        Gateway(values)
