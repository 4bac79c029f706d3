"""Whether a question of the audit comes back: judged from metrics, and tried with a broker that grants and drops."""

import os
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from aoii import settings
from aoii.commands import doctor, doctor_installation
from aoii.commands.doctor_audit import examine
from aoii.commands.findings import Finding
from aoii.runtime import metrics
from aoii.runtime.metric_snapshot import MetricSnapshot, decode_metrics
from aoii.server.db import open_database
from commands.test_doctor_delivery import accept_a_reading, has, running
from secure_broker import SecureBroker
from server.samples import a_reading
from servers import free_port, until

MINUTE_S, HOUR_S = 60, 3600


def said(*lines: str) -> MetricSnapshot:
    return MetricSnapshot(samples=decode_metrics("\n".join([*lines, ""])))


def ago(seconds: float | None) -> float:
    """That time as Unix time; 0 for None: never."""
    return 0 if seconds is None else time.time() - seconds


def server(*, answered: float | None = None, looked: float | None = MINUTE_S, looks: int = 9, more: str = "") -> str:
    return (
        f'aoii_database_up 1\naoii_audit_looks_total{{result="incremental"}} {looks}\n'
        f"aoii_audit_look_timestamp_seconds {ago(looked)}\n"
        f'aoii_audit_round_trip_timestamp_seconds{{gateway="attic"}} {ago(answered)}\n{more}'
    )


def gateway(*, asked: float | None = None, sent: int = 0, refused: int = 0) -> str:
    return (
        f"aoii_repair_question_timestamp_seconds {ago(asked)}\n"
        f'aoii_repair_reports_total{{result="sent"}} {sent}\naoii_repair_reports_total{{result="refused"}} {refused}'
    )


def found(gateway: str | None, server: str | None, name: str = "attic") -> list[Finding]:
    return list(examine(name, gateway and said(gateway), server and said(server)))  # type: ignore[arg-type]  # or None


def only(gateway: str | None, server: str | None, name: str = "attic") -> Finding:
    (finding,) = found(gateway, server, name)
    return finding


def test_an_answer_within_two_hours_is_well() -> None:
    assert only(None, server(answered=90 * MINUTE_S)) == Finding(
        "audit", "gateway attic answered the server 90 min ago"
    )


def test_an_answer_that_is_older_is_not() -> None:
    finding = only(None, server(answered=3 * HOUR_S))

    assert finding.state.startswith("gateway attic last answered 3.0 h ago")
    assert finding.remedy


def test_a_gateway_that_never_answered_is_given_ten_minutes() -> None:
    young, old = (only(None, server(looks=looks)) for looks in (2, 3))

    assert (young.is_checked, young.remedy) == (False, None)
    assert young.state.endswith("wait ten minutes, and look again")
    assert old.state == (
        "gateway attic has not answered since the server started; it is off, or aoii/ask/attic or aoii/holds/attic "
        "does not pass the broker"
    )
    assert "let the server write aoii/ask/attic and read aoii/holds/attic" in str(old.remedy)


@pytest.mark.parametrize(
    ("values", "cause", "remedy"),
    [
        ({}, "do not reach it on aoii/ask/attic", "the server's user write aoii/ask/attic"),
        ({"asked": 5 * HOUR_S, "sent": 9}, "do not reach it on aoii/ask/attic", "the gateway's read it"),
        ({"asked": MINUTE_S, "refused": 3}, "refuses its answers on aoii/holds/attic", "write aoii/holds/attic"),
        ({"asked": MINUTE_S, "sent": 3}, "answers on aoii/holds/attic do not reach", "read aoii/holds/+"),
    ],
)
def test_where_both_ends_are_here_the_topic_is_named(values: dict[str, int], cause: str, remedy: str) -> None:
    finding = only(gateway(**values), server())

    assert cause in finding.state
    assert remedy in str(finding.remedy)


def test_the_metrics_of_this_gateway_say_nothing_of_another() -> None:
    assert "it is off, or" in only(gateway(asked=MINUTE_S, sent=3), server(), name="cellar").state


def test_an_audit_that_does_not_look_is_named_unless_the_database_is_away() -> None:
    failing = server(answered=1, looked=None, more="aoii_audit_failures_total 7\n")
    stuck, never = found(None, server(answered=1, looked=2 * HOUR_S))[0], found(None, failing)[0]

    assert "last looked for missing readings 2.0 h ago" in stuck.state
    assert stuck.remedy
    assert "never, and has failed 7 times" in never.state
    assert only(None, server(answered=1, looked=None)).remedy is None  # it has just been started
    assert only(None, failing.replace("aoii_database_up 1", "aoii_database_up 0")).remedy is None


@pytest.mark.parametrize(
    ("values", "state", "is_fault"),
    [
        ({"asked": 5 * MINUTE_S, "sent": 1}, "the server asked this gateway 5 min ago", False),
        ({"asked": 5 * MINUTE_S, "sent": 1, "refused": 2}, "the server asked this gateway 5 min ago", False),
        ({"asked": 4 * HOUR_S, "sent": 1}, "no question of the server has come for 4.0 h", True),
    ],
)
def test_a_gateway_alone_says_what_it_has_heard(values: dict[str, int], state: str, is_fault: bool) -> None:
    alone = only(gateway(**values), None)

    assert alone.state == state
    assert (alone.remedy is not None) is is_fault


def test_a_gateway_alone_that_was_never_asked_or_is_refused_says_so() -> None:
    refused, unasked = found(gateway(refused=2), None)

    assert "refuses what the gateway reports on aoii/holds/attic" in refused.state
    assert "restart the broker" in str(refused.remedy)
    assert "no question of the server has come since the gateway started" in unasked.state
    assert (unasked.is_checked, unasked.remedy) == (False, None)


def test_old_stations_have_no_audit() -> None:
    assert found("aoii_broker_up 1", "aoii_database_up 1") == []
    assert found("aoii_broker_up 1", None) == []
    assert only("aoii_broker_up 1", server()).remedy == "update the gateway"


# --- with a real broker -----------------------------------------------------------------------------------------------


@pytest.fixture
def installation(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[tuple[Path, SecureBroker]]:
    """A gateway and a server with users of their own; a row, and a reading on its way, make the gateway known."""
    monkeypatch.setattr(doctor_installation, "UNITS", tmp_path / "units")
    ours, theirs = os.openpty()
    with SecureBroker(tmp_path / "broker") as broker:
        file = tmp_path / "aoii.env"
        file.write_text(
            f"AOII_DATA_DIR={tmp_path}/data\nGATEWAY_ID=gateway\nSERIAL_PORT={os.ttyname(theirs)}\n"
            f"MQTT_BROKER=127.0.0.1\nMQTT_PORT={broker.port}\nMQTT_TLS_CA={broker.certs}/ca.crt\n"
            f"GATEWAY_STATUS_PORT={free_port()}\nSERVER_STATUS_PORT={free_port()}\nCSV_STATUS_PORT=0\n"
            f"EDGE_LOG_STATUS_PORT=0\nPORT={free_port()}\n"
        )
        for user in ("gateway", "server"):
            Path(f"{file}.{user}").write_text(
                f"MQTT_TLS_CERT={broker.certs}/{user}.crt\nMQTT_TLS_KEY={broker.certs}/{user}.key\n"
            )
        values = settings.load({}, file)
        database = open_database(values.database, migrate=True)
        database.insert_reading(a_reading(1, gateway="gateway"))
        database.close()
        accept_a_reading(values, ago_s=1, counter=2)
        yield file, broker
    os.close(ours)
    os.close(theirs)


def audit(file: Path) -> list[Finding]:
    return [one for one in doctor.examine(file) if one.subject == "audit"]


@pytest.mark.parametrize(
    ("line", "cause"),
    [
        ("pattern read aoii/ask/%u\n", "the server's questions do not reach it on aoii/ask/gateway"),
        ("topic write aoii/ask/+\n", "the server's questions do not reach it on aoii/ask/gateway"),
        ("topic write aoii/holds/gateway\n", "the broker refuses its answers on aoii/holds/gateway"),
        ("topic read aoii/holds/+\n", "its answers on aoii/holds/gateway do not reach the server"),
    ],
)
def test_the_topic_that_a_broker_grants_and_does_not_deliver_is_named_until_its_acl_is_mended(
    installation: tuple[Path, SecureBroker], line: str, cause: str
) -> None:
    file, broker = installation
    whole = broker.acl.read_text()
    assert line in whole
    broker.allow(whole.replace(line, "", 1))
    with running("gateway", file, "hasty"), running("server", file, "hasty"):
        until(lambda: any(cause in one.state for one in audit(file)), 200, cause)
        broker.allow(whole)
        until(lambda: has(file, "server", metrics.AUDIT_ROUND_TRIP_S, gateway="gateway"), 200)

        mended = audit(file)

    assert mended == [Finding("audit", "gateway gateway answered the server 0 min ago")]
