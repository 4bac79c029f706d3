"""`aoii doctor` on a machine whose stations answer, report faults, or are silent."""

import contextlib
import json
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from aoii import settings
from aoii.commands import doctor_installation, doctor_stations
from aoii.commands.doctor_installation import Installation
from aoii.commands.findings import Finding
from servers import free_port

WELL = {
    "gateway": "aoii_broker_up 1\naoii_gateway_publish_refused 0\n"
    'aoii_node_last_heard_timestamp_seconds{node="7"} %d\n',
    "server": "aoii_broker_up 1\naoii_database_up 1\n",
}


@contextlib.contextmanager
def serving(text: str, failing: tuple[str, ...] = ()) -> Iterator[int]:
    """A port that answers like a station that says `text`, whose checks with these names fail."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            fails = [name for name in failing if (self.path == "/healthz") == name.startswith("thread")]
            is_asked = self.path != "/metrics"
            self.send_response(503 if is_asked and fails else 200)
            self.end_headers()
            checks = {"checks": {"broker": True} | dict.fromkeys(fails, False)}
            self.wfile.write(json.dumps(checks).encode() if is_asked else text.encode())

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the library's name
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield server.server_port
    finally:
        server.shutdown()
        server.server_close()


@pytest.fixture(autouse=True)
def _no_units(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(doctor_installation, "UNITS", tmp_path / "units")


def examine(environ: dict[str, str]) -> list[Finding]:
    """What is found when all stations have these settings."""
    values = settings.load(environ)
    return list(doctor_stations.examine(Installation(None, dict.fromkeys(settings.STATIONS, values))))


def faults(tmp_path: Path, *failing: str, more: dict[str, str] | None = None, **says: str | None) -> dict[str, Finding]:
    """What is found wrong, by subject, when these stations answer."""
    found = findings(tmp_path, *failing, more=more, **says)
    return {one.subject: one for one in found if one.remedy is not None}


def findings(tmp_path: Path, *failing: str, more: dict[str, str] | None = None, **says: str | None) -> list[Finding]:
    """All that is found when these stations answer."""
    environ = {"AOII_DATA_DIR": str(tmp_path)} | (more or {})
    with contextlib.ExitStack() as stack:
        for name in ("gateway", "server", "csv", "edge_log"):
            text = says.get(name)
            port = free_port() if text is None else stack.enter_context(serving(text, failing))
            environ[f"{name.upper()}_STATUS_PORT"] = str(port)
        return examine(environ)


def test_stations_that_never_ran_here_are_no_fault(tmp_path: Path) -> None:
    assert faults(tmp_path) == {}


@pytest.mark.parametrize(
    ("file", "subject"),
    [("outbox.db", "gateway"), ("dead_letters.db", "server"), ("experiment_log_online.csv", "csv")],
)
def test_a_station_that_has_run_here_and_does_not_answer_is_found(tmp_path: Path, file: str, subject: str) -> None:
    (tmp_path / file).touch()

    found = faults(tmp_path)

    assert found.keys() == {subject}
    assert f"systemctl start aoii-{subject}" in (found[subject].remedy or "")


def test_stations_that_are_well_have_no_remedies(tmp_path: Path) -> None:
    assert faults(tmp_path, gateway=WELL["gateway"] % time.time(), server=WELL["server"]) == {}


@pytest.mark.parametrize(
    ("more", "subject"),
    [
        ("aoii_gateway_publish_refused 1", "broker"),
        ("aoii_broker_up 0", "broker"),
        ("aoii_outbox_oldest_age_seconds 301", "outbox"),
        ('aoii_node_last_heard_timestamp_seconds{node="7"} 1000', "radio"),
        ('aoii_node_heartbeat_seconds{node="7"} 60\naoii_node_battery_low{node="7"} 1', "node"),
        ('aoii_node_sensor_fault{node="7"} 1', "node"),
        ('aoii_node_flash_erased{node="7"} 1', "node"),
        ("aoii_broker_short_connections 3", "broker"),
        ("aoii_outbox_events 105\naoii_outbox_oldest_age_seconds 61", "outbox"),
        ("aoii_gateway_clock_synced 0", "clock"),
        ('aoii_gateway_serial_up{port="/dev/ttyUSB0"} 0', "serial port"),
        ("aoii_outbox_bytes 90\naoii_outbox_limit_bytes 100", "outbox"),
        ("aoii_outbox_time_to_full_seconds 86399", "outbox"),
        ("aoii_disk_time_to_full_seconds 9000\naoii_disk_free_bytes 4\naoii_disk_size_bytes 9", "disk"),
        ('aoii_outbox_damaged_total{outcome="lost"} 2\naoii_outbox_damaged_total{outcome="salvaged"} 9', "disk"),
    ],
)
def test_a_fault_that_a_gateway_reports_names_the_hop(tmp_path: Path, more: str, subject: str) -> None:
    name = more.split(maxsplit=1)[0]
    lines = [line for line in (WELL["gateway"] % time.time()).splitlines() if not line.startswith(name.split("{")[0])]

    assert faults(tmp_path, gateway="\n".join([*lines, more, ""])).keys() == {subject}


def test_the_doctor_says_in_hours_when_buffers_are_full_and_how_far_kept_readings_go_back(tmp_path: Path) -> None:
    gateway = WELL["gateway"] % time.time() + (
        "aoii_outbox_time_to_full_seconds 18000\naoii_kept_reach_seconds 864000\n"
        "aoii_disk_time_to_full_seconds 180000\n"
    )
    server = WELL["server"] + "aoii_dead_letters_time_to_full_seconds 1800\naoii_disk_time_to_full_seconds NaN\n"

    found = {(one.subject, one.state): one.remedy for one in findings(tmp_path, gateway=gateway, server=server)}

    outbox = found["outbox", "full in 5.0 h, at the rate of the last 10 minutes"]
    assert "raise OUTBOX_MAX_MB" in (outbox or "")
    letters = found["dead letters", "full in 30 minutes, at the rate of the last 10 minutes"]
    assert "repair the database" in (letters or "")
    assert found["disk", "full in 50.0 h, at the rate of the last 120 minutes"] is None  # no fault yet
    assert found["copies", "kept readings: at the rate of the last day there is room for 10 days"] is None
    assert [state for subject, state in found if subject == "disk"] == [
        "full in 50.0 h, at the rate of the last 120 minutes"
    ]


@pytest.mark.parametrize("seconds", ["NaN", "+Inf", "700000"])
def test_what_is_not_known_does_not_fill_or_is_far_off_is_not_named(tmp_path: Path, seconds: str) -> None:
    text = WELL["gateway"] % time.time() + f"aoii_outbox_time_to_full_seconds {seconds}\n"

    assert not [one for one in findings(tmp_path, gateway=text) if one.state.startswith("full in")]


def test_a_node_whose_flash_was_erased_is_named_with_the_cure(tmp_path: Path) -> None:
    found = faults(tmp_path, gateway=WELL["gateway"] % time.time() + 'aoii_node_flash_erased{node="7"} 1\n')["node"]

    assert found.state == "repeats the numbers of its epoch, as after its flash was erased: 7"
    assert "aoii node replace" in (found.remedy or "")


@pytest.mark.parametrize(
    ("station", "text", "cause"),
    [
        ("gateway", WELL["gateway"] % 4e9, "the same GATEWAY_ID"),
        ("server", WELL["server"], "another aoii server"),
        ("csv", "aoii_broker_up 1\n", "another aoii csv"),
    ],
)
def test_connections_that_end_soon_again_and_again_are_found_with_the_likely_causes(
    station: str, text: str, cause: str, tmp_path: Path
) -> None:
    few: dict[str, Any] = {station: text + "aoii_broker_short_connections 2\naoii_broker_reconnects_total 40\n"}
    many: dict[str, Any] = {station: text + "aoii_broker_short_connections 17\n"}

    found = faults(tmp_path, **many)["broker"]

    assert faults(tmp_path, **few) == {}
    assert f"the {station} has lost its connection 40 times since it started" in [
        one.state for one in findings(tmp_path, **few)
    ]
    assert f"ended 17 connections of the {station} in a row" in found.state
    assert cause in (found.remedy or "")
    assert "larger than the broker allows" in (found.remedy or "")


def test_a_node_that_is_silent_while_others_speak_is_named(tmp_path: Path) -> None:
    text = WELL["gateway"] % time.time() + (
        'aoii_node_liveness{node="8",state="dead"} 1\naoii_node_liveness{node="8",state="ok"} 0\n'
        'aoii_node_liveness{node="9",state="dead"} 0\naoii_node_liveness{node="9",state="late"} 1\n'
    )

    found = faults(tmp_path, gateway=text)

    assert found.keys() == {"node"}
    assert found["node"].state == "1 dead, silent for twice as long as promised: 8"
    assert "1 late: 9" in [one.state for one in findings(tmp_path, gateway=text)]


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
        (
            'aoii_broker_up 1\naoii_database_up 1\naoii_gateway_clock_offset_seconds{gateway="attic"} -3600\n',
            "clock",
            "gateway attic is -3600 s",
        ),
    ],
)
def test_a_fault_that_a_server_reports_names_the_hop(tmp_path: Path, text: str, subject: str, words: str) -> None:
    found = faults(tmp_path, server=text)

    assert found.keys() == {subject}
    assert words in found[subject].state


@pytest.mark.parametrize(
    ("station", "text", "check", "subject", "words"),
    [
        ("gateway", WELL["gateway"] % 4e9, "outbox", "outbox", "cannot be written"),
        ("gateway", WELL["gateway"] % 4e9, "thread_of_the_radio", "gateway", "no progress: thread_of_the_radio"),
        ("server", WELL["server"], "dead_letters", "dead letters", "acknowledges nothing more"),
        ("csv", "aoii_broker_up 1\n", "file", "csv", "cannot write CSV_FILE"),
        ("csv", "aoii_broker_up 0\n", "broker", "broker", "the csv is not connected"),
        ("edge_log", "aoii_database_up 0\n", "database", "database", "the edgelog cannot write"),
        ("edge_log", 'aoii_database_up 1\naoii_gateway_serial_up{port="/dev/x"} 0\n', "ports", "log port", "/dev/x"),
    ],
)
def test_a_check_that_fails_names_the_hop(
    tmp_path: Path, station: str, text: str, check: str, subject: str, words: str
) -> None:
    says: dict[str, Any] = {station: text}

    found = faults(tmp_path, check, **says)

    assert found.keys() == {subject}
    assert words in found[subject].state


def test_dead_letters_that_wait_for_a_database_that_answers_name_the_database(tmp_path: Path) -> None:
    found = faults(tmp_path, server=WELL["server"] + 'aoii_dead_letters{reason="database_away"} 40\n')

    assert found.keys() == {"database", "dead letters"}
    assert "40 readings wait in the dead letters" in found["database"].state


def test_rejected_frames_are_reported_and_are_no_fault(tmp_path: Path) -> None:
    text = WELL["gateway"] % time.time() + 'aoii_gateway_rejected_total{reason="mac"} 12\n'
    with serving(text) as port:
        environ = {"AOII_DATA_DIR": str(tmp_path), "GATEWAY_STATUS_PORT": str(port)}
        found = [one for one in examine(environ) if "12 mac" in one.state]

    assert [(one.subject, one.remedy) for one in found] == [("radio", None)]


def test_a_log_reader_with_ports_that_does_not_answer_is_found(tmp_path: Path) -> None:
    assert faults(tmp_path, more={"EDGE_LOG_PORT": "/dev/ttyUSB1"}).keys() == {"edgelog"}


def test_a_page_that_is_set_up_here_and_does_not_answer_is_found(tmp_path: Path) -> None:
    assert faults(tmp_path, more={"PORT": str(free_port())}).keys() == {"web"}


def test_what_only_settings_suggest_may_be_for_another_machine_and_the_remedy_says_so(tmp_path: Path) -> None:
    """One file may be on every machine, and has the page's port for the machine that runs the page."""
    (tmp_path / "outbox.db").touch()

    found = faults(
        tmp_path,
        more={"EDGE_LOG_PORT": "/dev/ttyUSB1", "PORT": str(free_port()), "WEB_STATIONS": "server=127.0.0.1:5012"},
    )

    assert found.keys() == {"gateway", "edgelog", "web"}
    assert "another machine" not in str(found["gateway"].remedy)
    elsewhere = "; if it runs on another machine, remove {} from the settings of this one"
    assert str(found["edgelog"].remedy).endswith(elsewhere.format("EDGE_LOG_PORT"))
    assert str(found["web"].remedy).endswith(elsewhere.format("PORT and WEB_STATIONS"))


@pytest.mark.parametrize("chosen", [".env.gateway", "units/aoii.target.wants/aoii-gateway.service"])
def test_where_stations_were_chosen_the_shared_settings_of_others_suggest_none(tmp_path: Path, chosen: str) -> None:
    (tmp_path / chosen).parent.mkdir(parents=True, exist_ok=True)
    (tmp_path / chosen).touch()
    with serving(WELL["gateway"] % time.time()) as port:
        environ = {
            "AOII_DATA_DIR": str(tmp_path), "GATEWAY_STATUS_PORT": str(port), "SERVER_STATUS_PORT": str(free_port()),
            "EDGE_LOG_PORT": "/dev/ttyUSB1", "EDGE_LOG_STATUS_PORT": str(free_port()), "PORT": str(free_port()),
        }  # fmt: skip

        found = examine(environ)

    assert [one for one in found if one.remedy] == []
    assert [(one.subject, one.state.partition("; ")[2]) for one in found if not one.is_checked] == [
        ("edgelog", "it need not, if EDGE_LOG_PORT is for another machine"),
        ("web", "it need not, if PORT is for another machine"),
    ]


def test_a_station_that_was_chosen_and_has_its_settings_is_expected(tmp_path: Path) -> None:
    (tmp_path / ".env.web").touch()

    assert faults(tmp_path, more={"PORT": str(free_port())}).keys() == {"web"}


def test_a_log_reader_that_has_left_its_file_is_expected_also_where_others_were_chosen(tmp_path: Path) -> None:
    for file in (".env.gateway", "edge_log.csv"):
        (tmp_path / file).touch()
    log = {"EDGE_LOG_PORT": "/dev/ttyUSB1", "EDGE_LOG_CSV_FILE": str(tmp_path / "edge_log.csv")}

    assert faults(tmp_path, more=log, gateway=WELL["gateway"] % time.time()).keys() == {"edgelog"}


def test_a_page_that_answers_is_well_or_says_that_it_makes_no_progress(tmp_path: Path) -> None:
    with serving("", ("thread",)) as broken, serving("") as sound:
        assert faults(tmp_path, more={"PORT": str(sound)}) == {}
        assert "makes no progress" in faults(tmp_path, more={"PORT": str(broken)})["web"].state


def test_a_station_whose_unit_starts_with_the_machine_belongs_here(tmp_path: Path) -> None:
    links = tmp_path / "units" / "aoii.target.wants"
    links.mkdir(parents=True)
    (links / "aoii-csv.service").touch()

    assert faults(tmp_path).keys() == {"csv"}


def test_something_else_on_the_port_is_no_station(tmp_path: Path) -> None:
    (tmp_path / "outbox.db").touch()

    assert faults(tmp_path, gateway="<html>\n{{{\n").keys() == {"gateway"}


@pytest.mark.parametrize(("budget", "is_fault"), [("5e8", True), ("1e9", False), ("+Inf", False)])
def test_what_a_station_writes_in_a_day_is_said_and_a_fault_above_its_budget(
    tmp_path: Path, budget: str, is_fault: bool
) -> None:
    writes = f"aoii_written_bytes_per_day 6e8\naoii_write_budget_bytes_per_day {budget}\n"
    with serving(WELL["server"] + writes) as port:
        found = examine({"AOII_DATA_DIR": str(tmp_path), "SERVER_STATUS_PORT": str(port)})

    (disk,) = (one for one in found if one.subject == "disk")
    assert disk.state.startswith("the server writes 600 MB a day")
    assert (disk.remedy is not None) is is_fault
