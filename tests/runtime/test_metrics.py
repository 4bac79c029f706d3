"""What five stations serve as processes, compared with the declarations."""

import contextlib
import re
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass

import pytest
from prometheus_client import Counter, generate_latest
from prometheus_client.parser import text_string_to_metric_families

from aoii.core.frames import BACKFILL, EVENT, LOW_BATTERY
from aoii.runtime import metrics
from aoii.security import node_keys
from faults.stations import Station
from gateway.station import KEYS, NODE, OwnNode
from reference_pages import metric_rows
from servers import Mosquitto, free_port, pty_port, until
from web.station import WebStation

NAMES = ("gateway", "server", "csv", "edgelog")
STATUS_PORTS = {"gateway": "GATEWAY", "server": "SERVER", "csv": "CSV", "edgelog": "EDGE_LOG"}
SPEED = 60  # an estimate is due every second


@dataclass(frozen=True)
class System:
    """The stations, and the node that the gateway hears."""

    stations: dict[str, Station]
    page: WebStation
    node: OwnNode

    def text(self, name: str) -> str:
        """What a station answers to Prometheus."""
        port = self.page.port if name == "web" else self.stations[name]._status_port
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=15) as answer:
            return str(answer.read().decode())

    def value(self, station: str, sample: str) -> float | None:
        """A sample by its name and labels, as Prometheus writes them; None when it is not served."""
        found = re.search(rf"^{re.escape(sample)} (\S+)$", self.text(station), re.MULTILINE)
        return float(found[1]) if found else None


@pytest.fixture(scope="module")
def system(tmp_path_factory: pytest.TempPathFactory, mosquitto: Mosquitto) -> Iterator[System]:
    folder = tmp_path_factory.mktemp("stations")
    receiver, log = folder / "receiver", folder / "log"
    keys = folder / "keys"
    node_keys.write_key_file(keys, KEYS)
    ports = {f"{words}_STATUS_PORT": str(free_port()) for words in STATUS_PORTS.values()}
    settings = ports | {
        "AOII_DATA_DIR": str(folder / "data"),
        "MQTT_BROKER": "127.0.0.1",
        "MQTT_PORT": str(mosquitto.port),
        "MQTT_NAMESPACE": "catalogue",
        "SERIAL_PORT": str(receiver),
        "EDGE_LOG_PORT": str(log),
        "NODE_KEYS_FILE": str(keys),
        "GATEWAY_ID": "catalogue",
        "CLOCK_SPEED": str(SPEED),
        "CLOCK_START_UNIX_S": str(int(time.time())),
        "CLOCK_ORIGIN_S": str(time.monotonic()),
    }
    stations = {
        name: Station(name, folder, settings, int(settings[f"{STATUS_PORTS[name]}_STATUS_PORT"])) for name in NAMES
    }
    page = WebStation(folder, **{name: settings[name] for name in ("MQTT_PORT", "MQTT_NAMESPACE")})
    with contextlib.ExitStack() as stack:
        far = stack.enter_context(pty_port(receiver))
        stack.enter_context(pty_port(log))
        for station in stations.values():
            station.start()
            stack.callback(station.kill)
        for station in stations.values():
            station.wait_started()
        stack.enter_context(page)
        for name in ("gateway", "server"):
            until(stations[name].takes_part, 30, f"{name} takes its part")
        node = OwnNode(far)
        node.send(1, 1, 2150, battery=140)
        node.send(2, 5, 2350, flags=EVENT | LOW_BATTERY, battery=110)
        node.send(3, 3, 2300, flags=BACKFILL)
        system = System(stations, page, node)
        # an empty outbox would not say so: it is empty before they arrive as well
        until(lambda: system.value("gateway", "aoii_commit_ack_seconds_count") == 3, 30, "all of it in the database")
        until(lambda: system.value("web", "aoii_readings_total") == 3, 30, "the page's view of the table")
        yield system


def families(text: str) -> dict[str, str]:
    """Names of what is served, with their types; without when a counter was made, which is not a metric of ours."""
    found = dict(re.findall(r"^# TYPE (aoii_\S+) (\w+)$", text, re.MULTILINE))
    return {name: kind for name, kind in found.items() if not name.endswith("_created")}


def samples(text: str, name: str) -> list[tuple[str, str]]:
    """What stands behind `name` in each line, but for when a counter was made."""
    return re.findall(rf"^{name}((?:_bucket|_sum|_count)?(?:\{{.*\}})?) (\S+)$", text, re.MULTILINE)


def test_stations_serve_what_is_declared_and_nothing_else(system: System) -> None:
    served: dict[str, str] = {}
    for name in (*NAMES, "web"):
        served |= families(system.text(name))

    declared = {row.name: "gauge" if row.kind == "info" else row.kind for row in metric_rows()}
    of_the_nodes = {family.name for family in metrics.BY_STATION["edge"].collect()}

    assert served.items() <= declared.items()
    unserved = declared.keys() - served.keys()
    assert not [name for name in unserved if name.removesuffix("_total") not in of_the_nodes]


def test_no_value_of_a_label_is_declared_twice() -> None:
    for one in metrics.DECLARED.values():
        assert len(set(one.values)) == len(one.values), one.name


def test_labels_are_those_that_are_declared(system: System) -> None:
    allowed = {row.name: set(filter(None, row.labels.split(", "))) for row in metric_rows()}

    for name in (*NAMES, "web"):
        for sample, labels in re.findall(r"^(aoii_\w+)\{(.*)\} ", system.text(name), re.MULTILINE):
            base = next(
                (end for end in (sample, re.sub(r"_(bucket|sum|count|created)$", "", sample)) if end in allowed), None
            )
            if base is None:
                assert sample.endswith("_created")
                continue
            assert set(re.findall(r'(\w+)="', labels)) - {"le"} == allowed[base], sample


def test_a_server_serves_how_old_a_backup_gets_for_the_alert_about_kept_readings(system: System) -> None:
    assert system.value("server", "aoii_backup_interval_seconds") == 24 * 3600  # BACKUP_INTERVAL_H is 24


def test_what_receiver_and_node_report_is_served(system: System) -> None:
    found = {
        name: system.value("gateway", f'aoii_node_{name}{{node="{NODE}"}}')
        for name in (
            "rssi_dbm",
            "snr_db",
            "battery_volts",
            "battery_low",
            "readings_missing",
            "readings_waiting",
            "error_celsius",
        )
    }

    assert found == {
        "rssi_dbm": -90, "snr_db": 8, "battery_volts": 3.2, "battery_low": 1, "readings_missing": 2,
        "readings_waiting": 1, "error_celsius": 2,
    }  # fmt: skip
    heard_s = system.value("gateway", f'aoii_node_last_heard_timestamp_seconds{{node="{NODE}"}}')
    assert heard_s is not None
    assert 0 <= time.time() - heard_s < 600


def test_the_way_of_a_reading_is_timed_from_its_sample_to_its_commit(system: System) -> None:
    assert system.value("server", "aoii_end_to_end_latency_seconds_count") == 3
    assert system.value("gateway", "aoii_commit_ack_seconds_count") == 3


def test_the_server_measures_the_clock_of_the_gateway_by_its_estimates(system: System) -> None:
    name = 'aoii_gateway_clock_offset_seconds{gateway="catalogue"}'
    until(lambda: system.value("server", name) is not None, 30, "an estimate")

    offset_s = system.value("server", name)
    assert offset_s is not None
    assert -15 * SPEED < offset_s <= 0


def test_the_broker_reports_how_much_it_has_dropped(system: System) -> None:
    until(lambda: system.value("server", "aoii_broker_sys_up") == 1, what="the statistics of the broker")

    assert system.value("server", "aoii_broker_dropped_messages") is not None


def test_a_publish_is_counted_with_the_reason_code_of_the_broker(system: System) -> None:
    sent = 'aoii_gateway_publishes_total{event="RX",qos="1",reason="0",result="sent"}'

    assert system.value("gateway", sent) == 3


@pytest.mark.parametrize("old", sorted(metrics.RENAMED))
def test_a_renamed_metric_has_the_same_values_under_its_old_name(system: System, old: str) -> None:
    new = metrics.name_of(metrics.RENAMED[old])
    texts = [generate_latest(registry).decode() for registry in metrics.BY_STATION.values()]
    texts += [system.text(name) for name in NAMES]

    found = [samples(text, new) for text in texts]

    assert any(found)
    assert [samples(text, old) for text in texts] == found


AT_THE_START = """
from prometheus_client import generate_latest
from aoii.runtime import metrics
print("\\n".join(generate_latest(registry).decode() for registry in metrics.BY_STATION.values()))
"""


def test_every_value_of_a_bounded_label_is_served_at_0_from_the_start() -> None:
    """Prometheus sees no increase when a series begins at 1."""
    done = subprocess.run([sys.executable, "-c", AT_THE_START], capture_output=True, text=True, check=True)
    served = {
        (sample.name, frozenset(sample.labels.items())): sample.value
        for family in text_string_to_metric_families(done.stdout + "\n")
        for sample in family.samples
    }
    counters = [one for metric, one in metrics.DECLARED.items() if isinstance(metric, Counter) and one.registries]
    born_later = [one.name for one in counters if one.labels and len((one.values or ((),))[0]) < len(one.labels)]
    at_start = [(one, values) for one in counters if one.name not in born_later for values in one.values or ((),)]

    found = [served.get((one.name, frozenset(zip(one.labels, values, strict=True)))) for one, values in at_start]
    assert set(found) == {0}
    assert born_later == ["aoii_node_readings_total", "aoii_node_sample_periods_total"]  # with the node


def test_a_node_with_a_key_is_counted_from_0(system: System) -> None:
    """The first reading of a node is an increase too: its series are there before it."""
    for node in KEYS:
        assert system.value("gateway", f'aoii_node_readings_total{{kind="heartbeat",node="{node}"}}') == 0
