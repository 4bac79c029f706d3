"""`aoii doctor` on a machine whose stations say, or do not say, how they are."""

import contextlib
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
import yaml

from aoii import doctor_stations, settings
from aoii.doctor_stations import Told
from servers import free_port

RULES = Path(__file__).parent.parent / "deploy" / "prometheus" / "rules"
WELL = {
    "gateway": "aoii_broker_up 1\naoii_gateway_publish_refused 0\n"
    'aoii_node_last_heard_timestamp_seconds{node="7"} %d\n',
    "server": "aoii_broker_up 1\naoii_database_up 1\n",
}


@contextlib.contextmanager
def serving(text: str) -> Iterator[int]:
    """A port that answers like a station that says `text`."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.end_headers()
            self.wfile.write(text.encode())

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the library's name
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield server.server_port
    finally:
        server.shutdown()
        server.server_close()


def told(tmp_path: Path, gateway: str | None = None, server: str | None = None) -> dict[str, Told]:
    """What is found wrong, by subject."""
    environ = {"AOII_DATA_DIR": str(tmp_path)}
    with contextlib.ExitStack() as stack:
        for name, text in (("GATEWAY", gateway), ("SERVER", server)):
            port = free_port() if text is None else stack.enter_context(serving(text))
            environ[f"{name}_STATUS_PORT"] = str(port)
        return {one.subject: one for one in doctor_stations.look(settings.load(environ)) if one.remedy is not None}


def test_stations_that_never_ran_here_are_no_fault(tmp_path: Path) -> None:
    assert told(tmp_path) == {}


@pytest.mark.parametrize(("file", "subject"), [("outbox.db", "gateway"), ("dead_letters.db", "server")])
def test_a_station_that_has_run_here_and_does_not_answer_is_found(tmp_path: Path, file: str, subject: str) -> None:
    (tmp_path / file).touch()

    found = told(tmp_path)

    assert found.keys() == {subject}
    assert f"systemctl start aoii-{subject}" in (found[subject].remedy or "")


def test_stations_that_are_well_have_no_remedies(tmp_path: Path) -> None:
    assert told(tmp_path, WELL["gateway"] % time.time(), WELL["server"]) == {}


@pytest.mark.parametrize(
    ("more", "subject"),
    [
        ("aoii_gateway_publish_refused 1", "broker"),
        ("aoii_broker_up 0", "broker"),
        ("aoii_outbox_oldest_age_seconds 301", "outbox"),
        ('aoii_node_last_heard_timestamp_seconds{node="7"} 1000', "radio"),
        ('aoii_node_heartbeat_seconds{node="7"} 60\naoii_node_battery_low{node="7"} 1', "node"),
        ('aoii_node_sensor_fault{node="7"} 1', "node"),
        ("aoii_gateway_clock_synced 0", "clock"),
        ('aoii_gateway_serial_up{port="/dev/ttyUSB0"} 0', "serial port"),
        ("aoii_outbox_bytes 90\naoii_outbox_limit_bytes 100", "outbox"),
        ('aoii_outbox_damaged_total{outcome="lost"} 2\naoii_outbox_damaged_total{outcome="salvaged"} 9', "disk"),
    ],
)
def test_what_a_gateway_says_names_the_hop(tmp_path: Path, more: str, subject: str) -> None:
    name = more.split(maxsplit=1)[0]
    lines = [line for line in (WELL["gateway"] % time.time()).splitlines() if not line.startswith(name.split("{")[0])]

    assert told(tmp_path, "\n".join([*lines, more, ""])).keys() == {subject}


def test_a_node_that_is_silent_while_others_speak_is_named(tmp_path: Path) -> None:
    text = WELL["gateway"] % time.time() + (
        'aoii_node_last_heard_timestamp_seconds{node="8"} 1000\naoii_node_heartbeat_seconds{node="8"} 60\n'
        'aoii_node_last_heard_timestamp_seconds{node="9"} 1000\n'  # with no heartbeat, silence says nothing
    )

    found = told(tmp_path, text)

    assert found.keys() == {"node"}
    assert found["node"].state == "1 silent for too long: 8"


@pytest.mark.parametrize(
    ("text", "subject", "words"),
    [
        ("aoii_broker_up 1\naoii_database_up 0\n", "database", "cannot write"),
        ('aoii_broker_up 1\naoii_database_up 1\naoii_dead_letters{reason="bad_row"} 2\n', "dead letters", "2 bad_row"),
        (
            'aoii_broker_up 0\naoii_database_up 1\naoii_broker_refusals_total{reason="subscription"} 3\n',
            "broker",
            "subscription at QoS 1",
        ),
    ],
)
def test_what_a_server_says_names_the_hop(tmp_path: Path, text: str, subject: str, words: str) -> None:
    found = told(tmp_path, server=text)

    assert found.keys() == {subject}
    assert words in found[subject].state


def test_something_else_on_the_port_is_no_station(tmp_path: Path) -> None:
    (tmp_path / "outbox.db").touch()

    assert told(tmp_path, "<html>\n{{{\n").keys() == {"gateway"}


def test_limits_are_those_of_the_alerts() -> None:
    rules = {
        rule.get("alert", rule.get("record")): rule["expr"]
        for file in ("alerts.yml", "recording.yml")
        for group in yaml.safe_load((RULES / file).read_text())["groups"]
        for rule in group["rules"]
    }

    assert f"> {doctor_stations.OUTBOX_OLD_S}" in rules["OutboxOld"]
    limit = f"+ {doctor_stations.HEARTBEAT_GRACE_S}, {doctor_stations.SILENT_S})"
    assert limit in rules["aoii:silence_limit:seconds"]
    assert limit in rules["NodeSilent"]
    assert f"> {doctor_stations.OUTBOX_FULL_SHARE} * aoii_outbox_limit_bytes" in rules["OutboxFull"]
