"""Readings that are not acknowledged: the doctor names the hop that holds them up, and the cause if it can be known."""

import contextlib
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from aoii import settings
from aoii.broker.messages import encode_reading
from aoii.commands import doctor, doctor_installation
from aoii.commands.doctor_delivery import Evidence, judge
from aoii.commands.findings import Finding
from aoii.core.errors import UnavailableError
from aoii.gateway.drivers.outbox_file import OutboxFile
from aoii.runtime import metrics
from aoii.runtime.metric_snapshot import MetricSnapshot, decode_metrics
from aoii.runtime.station_client import StationClient
from aoii.security import authority
from aoii.server.db import open_database
from secure_broker import SecureBroker
from server.samples import a_reading
from servers import free_port, until

TESTS = Path(__file__).parent.parent


def said(*lines: str) -> MetricSnapshot:
    return MetricSnapshot(samples=decode_metrics("\n".join([*lines, ""])))


PUBLISHING = said("aoii_broker_up 1", 'aoii_gateway_publishes_total{event="RX",qos="1",result="sent",reason="0"} 9')
RECEIVING = said("aoii_broker_up 1", "aoii_database_up 1", 'aoii_messages_received_total{event="RX"} 9')
DEAF = said("aoii_broker_up 1", "aoii_database_up 1", 'aoii_messages_received_total{event="RX"} 0')


@pytest.mark.parametrize(
    ("known", "hop", "words"),
    [
        (Evidence(said("aoii_broker_up 0")), "between gateway and broker", "not connected"),
        (Evidence(said("aoii_broker_up 1", "aoii_gateway_publish_refused 1")), "between gateway and broker", "refuses"),
        (Evidence(said("aoii_broker_up 1", "aoii_outbox_too_large_events 2")), "between gateway and broker", "larger"),
        (
            Evidence(said("aoii_broker_up 1", 'aoii_gateway_publishes_total{event="RX",reason="16"} 4')),
            "between broker and server",
            "nobody subscribes",
        ),
        (Evidence(PUBLISHING), "behind the broker", "not on this machine"),
        (Evidence(PUBLISHING, is_server_silent=True), "between broker and server", "does not answer"),
        (Evidence(PUBLISHING, is_published_enough=True), "behind the broker", "nobody subscribes"),
        (Evidence(said("aoii_broker_up 0"), is_published_enough=True), "between gateway and broker", "not connected"),
        (
            Evidence(PUBLISHING, said("aoii_broker_up 0", "aoii_database_up 1")),
            "between broker and server",
            "not connected",
        ),
        (Evidence(PUBLISHING, DEAF), "between broker and server", "received no reading"),
        (Evidence(PUBLISHING, DEAF, is_stored=False), "between broker and server", "received no reading"),
        (Evidence(PUBLISHING, RECEIVING, is_stored=False), "between broker and server", "does not have it"),
        (
            Evidence(PUBLISHING, said("aoii_broker_up 1", "aoii_database_up 0")),
            "between server and database",
            "cannot write",
        ),
        (Evidence(PUBLISHING, RECEIVING, is_stored=True), "on the way back from server to gateway", "database has"),
        (Evidence(PUBLISHING, DEAF, is_stored=True), "on the way back from server to gateway", "database has"),
        (Evidence(PUBLISHING, RECEIVING), "on the way back from server to gateway", "takes readings"),
    ],
)
def test_the_first_hop_that_does_not_pass_readings_on_is_named(known: Evidence, hop: str, words: str) -> None:
    held = judge(known)

    assert held.hop == hop
    assert words in held.cause
    assert held.remedy


def test_the_remedy_names_what_is_known_of_the_cause() -> None:
    one_user = judge(Evidence(PUBLISHING, DEAF, "attic", None, "attic", "attic"))
    other_broker = judge(Evidence(PUBLISHING, DEAF, is_one_broker=False))
    wrong_user = judge(Evidence(PUBLISHING, RECEIVING, "attic", None, "gateway", "server", is_stored=True))

    renamed = judge(Evidence(PUBLISHING, RECEIVING, "attic", "cellar", is_stored=True))
    renamed_elsewhere = judge(Evidence(PUBLISHING, None, "attic", "cellar"))

    assert "accepted as GATEWAY_ID=cellar" in renamed.cause
    assert "read aoii/ack/cellar" in renamed.remedy
    assert "GATEWAY_ID back to cellar" in renamed.remedy
    assert "accepted as GATEWAY_ID=cellar" in renamed_elsewhere.remedy
    assert "both log in as attic" in one_user.remedy
    assert ".env.server" in one_user.remedy
    assert "the same MQTT_BROKER" in other_broker.remedy
    assert "must be attic, and is gateway" in wrong_user.remedy


# --- as it was first seen: MQTT.md followed together with deploy-with-systemd.md --------------------------------------


@pytest.fixture
def installation(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[tuple[Path, SecureBroker]]:
    """One file for all units, with the gateway's certificate, at a broker with the shipped ACL; one reading waits."""
    monkeypatch.setattr(doctor_installation, "UNITS", tmp_path / "units")
    ours, theirs = os.openpty()
    with SecureBroker(tmp_path / "broker") as broker:
        file = tmp_path / "aoii.env"
        file.write_text(
            f"AOII_DATA_DIR={tmp_path}/data\nGATEWAY_ID=gateway\nSERIAL_PORT={os.ttyname(theirs)}\n"
            f"MQTT_BROKER=127.0.0.1\nMQTT_PORT={broker.port}\nMQTT_TLS_CA={broker.certs}/ca.crt\n"
            f"MQTT_TLS_CERT={broker.certs}/gateway.crt\nMQTT_TLS_KEY={broker.certs}/gateway.key\n"
            f"GATEWAY_STATUS_PORT={free_port()}\nSERVER_STATUS_PORT={free_port()}\nCSV_STATUS_PORT=0\n"
            f"EDGE_LOG_STATUS_PORT=0\nPORT={free_port()}\n"
        )
        values = settings.load({}, file)
        open_database(values.database, migrate=True).close()
        accept_a_reading(values, ago_s=120)
        yield file, broker
    os.close(ours)
    os.close(theirs)


def accept_a_reading(values: settings.Settings, ago_s: float, gateway: str = "gateway", counter: int = 1) -> None:
    """Put a reading into the outbox as if the gateway had accepted it some time ago."""
    reading = a_reading(counter, gateway=gateway)
    assert reading.identity is not None
    identity, digest, payload = reading.identity, reading.digest(), encode_reading(reading, 1)
    outbox = OutboxFile(values.gateway.outbox_path, 10_000_000)
    accepted_ms = round((time.time() - ago_s) * 1000)
    outbox.submit(lambda tx: tx.insert(identity, digest, 1, payload, accepted_ms)).result(30)
    outbox.close()


@contextlib.contextmanager
def running(station: str, file: Path, variant: str = "") -> Iterator[None]:
    """A station as its unit starts it; with less patience if `variant`, one of `faults.variants`, says so."""
    module = ["faults.variants", variant] if variant else ["aoii.cli"]
    command = [sys.executable, "-m", *module, "--env-file", str(file), station]
    environment = {"PATH": os.environ["PATH"], "PYTHONPATH": str(TESTS)}
    with (file.parent / f"{station}.log").open("ab") as log:
        process = subprocess.Popen(command, stdout=log, stderr=log, env=environment)
    try:
        yield
    except BaseException as error:
        error.add_note(f"--- {station}:\n{(file.parent / f'{station}.log').read_text()[-3000:]}")
        raise
    finally:
        process.terminate()
        process.wait(30)


def has(file: Path, station: str, metric: object, least: float = 1, **labels: str) -> bool:
    """Whether the station serves a metric with at least this value."""
    values = settings.load({}, file, station)
    port = values.gateway.status_port if station == "gateway" else values.server.status_port
    with contextlib.suppress(UnavailableError):
        snapshot = MetricSnapshot(samples=StationClient("127.0.0.1", port).metrics())
        return (snapshot.total(metric, **labels) or 0) >= least  # type: ignore[arg-type]  # a gauge or a counter
    return False


def outbox(file: Path) -> Finding:
    (finding,) = [one for one in doctor.examine(file) if one.subject == "outbox"]
    return finding


def test_a_server_that_logs_in_as_the_gateway_is_named_until_it_has_a_user_of_its_own(
    installation: tuple[Path, SecureBroker],
) -> None:
    file, broker = installation
    with running("gateway", file):
        with running("server", file):
            until(lambda: has(file, "server", metrics.BROKER_UP), 60)
            until(lambda: has(file, "gateway", metrics.PUBLISHES, event="RX", result="sent"), 60)

            held = outbox(file)
            (login,) = [one for one in doctor.examine(file) if " log in as " in one.state]
        stopped = outbox(file)
        file.with_name("aoii.env.server").write_text(
            f"MQTT_TLS_CERT={broker.certs}/server.crt\nMQTT_TLS_KEY={broker.certs}/server.key\n"
        )
        with running("server", file):
            until(lambda: has(file, "gateway", metrics.COMMIT_ACKS, status="stored"), 400)
            until(lambda: outbox(file).remedy is None, 60)
            after = list(doctor.examine(file))

    assert "held up between broker and server" in held.state
    assert "both log in as gateway" in (held.remedy or "")
    assert f"{file}.server" in (held.remedy or "")
    assert "gateway, server and web log in as gateway" in login.state
    assert "held up between broker and server: the server does not answer" in stopped.state
    assert [one.state for one in after if one.subject == "broker" and one.remedy] == []
    assert [one.state.partition(":")[0] for one in after if "answers, encrypted" in one.state] == [
        "gateway",
        "server",
    ]


def test_a_server_that_never_came_up_is_named_with_its_unit_and_without(
    installation: tuple[Path, SecureBroker],
) -> None:
    file, _ = installation
    with running("gateway", file):
        until(lambda: has(file, "gateway", metrics.PUBLISHES, event="RX", result="sent"), 60)
        unknown = outbox(file)
        wants = doctor_installation.UNITS / "aoii.target.wants"
        wants.mkdir(parents=True)
        (wants / "aoii-gateway.service").touch()
        (wants / "aoii-server.service").touch()

        enabled = {one.subject: one for one in doctor.examine(file)}

    assert "held up between broker and server: nobody subscribes to the readings" in unknown.state
    assert "held up between broker and server: the server does not answer" in enabled["outbox"].state
    assert "does not answer on port" in enabled["server"].state
    assert "systemctl start aoii-server" in (enabled["server"].remedy or "")


def test_an_acknowledgement_that_the_gateway_may_not_read_is_named(installation: tuple[Path, SecureBroker]) -> None:
    file, broker = installation
    file.write_text(file.read_text().replace("GATEWAY_ID=gateway", "GATEWAY_ID=attic"))
    values = settings.load({}, file)
    values.gateway.outbox_path.unlink()
    accept_a_reading(values, ago_s=120, gateway="attic")
    file.with_name("aoii.env.server").write_text(
        f"MQTT_TLS_CERT={broker.certs}/server.crt\nMQTT_TLS_KEY={broker.certs}/server.key\n"
    )
    with running("gateway", file), running("server", file):
        until(lambda: has(file, "server", metrics.READINGS_PROCESSED, outcome="stored"), 60)
        until(lambda: has(file, "gateway", metrics.OUTBOX_OLDEST_S, 61), 60)

        held = outbox(file)

    assert "held up on the way back from server to gateway: the database has the reading" in held.state
    assert "must be attic, and is gateway" in (held.remedy or "")


def test_a_reading_of_a_former_name_that_the_gateway_may_not_read_is_named_and_so_is_the_cure(
    installation: tuple[Path, SecureBroker],
) -> None:
    file, broker = installation
    authority.make_client(broker.certs, "attic")
    acl = broker.acl.read_text() + "\nuser attic\ntopic write aoii/readings\n"
    broker.allow(acl)
    file.write_text(file.read_text().replace("GATEWAY_ID=gateway", "GATEWAY_ID=attic").replace("/gateway.", "/attic."))
    file.with_name("aoii.env.server").write_text(
        f"MQTT_TLS_CERT={broker.certs}/server.crt\nMQTT_TLS_KEY={broker.certs}/server.key\n"
    )
    log = file.parent / "gateway.log"
    with running("gateway", file), running("server", file):
        until(lambda: has(file, "server", metrics.READINGS_PROCESSED, outcome="stored"), 60)
        until(lambda: "set GATEWAY_ID back" in log.read_text(), 120)
        held = outbox(file)
        broker.allow(acl + "topic read aoii/ack/gateway\n")

        until(lambda: has(file, "gateway", metrics.COMMIT_ACKS, status="duplicate"), 400)
        until(lambda: outbox(file).remedy is None, 60)

    assert "accepted as GATEWAY_ID=gateway, and the server acknowledges it under that name" in held.state
    assert "read aoii/ack/gateway" in (held.remedy or "")
