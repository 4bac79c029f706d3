"""The web station as a process: its stream of events, a database that is replaced, and its end."""

import http.client
import json
import signal
import socket
import struct
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import httpx2
import pytest

from aoii import settings
from aoii.broker.client import Client
from aoii.broker.messages import READINGS_TOPIC, encode_estimate, encode_reading
from aoii.server.db import Database, open_database
from aoii.settings import Settings
from aoii.web.app import WebPage
from aoii.web.live import Live
from servers import MariaDB, Mosquitto, free_port, until
from web.recorded import minutes, packets_of, store
from web.station import WebStation

STORY = list(minutes("7", count=600))
ESTABLISHED = "01"  # in /proc/net/tcp


class Stream:
    """Reads the events of one page."""

    def __init__(self, station: WebStation, **options: object) -> None:
        self._client = httpx2.Client(timeout=20)
        query = "&".join(f"{name}={value}" for name, value in options.items())
        self._answer = self._client.send(
            self._client.build_request("GET", f"{station.url}/events?{query}"), stream=True
        )
        assert self._answer.status_code == 200
        self._lines = self._answer.iter_lines()

    def next(self) -> tuple[str, dict[str, object]]:
        """The next event and its content."""
        name = ""
        for line in self._lines:
            if line.startswith("event: "):
                name = line.removeprefix("event: ")
            elif line.startswith("data: "):
                return name, json.loads(line.removeprefix("data: "))
        raise EOFError

    def update(self, key: str) -> object:
        """The next content that has `key`."""
        while True:
            _, content = self.next()
            if content.get(key):
                return content[key]

    def drain(self) -> None:
        """Read to the end; raises when the answer is cut off."""
        for _ in self._lines:
            pass

    def close(self) -> None:
        """Leave the page."""
        self._client.close()


@pytest.fixture
def station(tmp_path: Path, mosquitto: Mosquitto) -> Iterator[WebStation]:
    station = WebStation(tmp_path, MQTT_PORT=mosquitto.port)
    open_database(settings_of(station).database, migrate=True).close()
    with station:
        yield station


def settings_of(station: WebStation) -> Settings:
    return settings.load({name: str(value) for name, value in station.values.items()})


def database_of(station: WebStation) -> Database:
    return open_database(settings_of(station).database)


def filled(station: WebStation) -> None:
    """Store the story and wait until the page knows it."""
    database = database_of(station)
    store(database, STORY)
    database.close()

    def known() -> bool:
        (node,) = httpx2.get(f"{station.url}/api/nodes").json()
        return bool(node["last_day"] and (node["last_day"]["aoii"] or {}).get("instants") == len(STORY))

    until(known)


def test_a_page_first_gets_what_is_stored_and_then_what_arrives(station: WebStation) -> None:
    filled(station)
    stream = Stream(station, node="7", span=86400)

    name, snapshot = stream.next()
    assert name == "snapshot"
    assert (snapshot["node"], snapshot["beta_temp"], snapshot["beta_hum"]) == ("7", 0.5, 3.0)
    assert len(snapshot["packets"]) == packets_of(STORY)  # type: ignore[arg-type]  # JSON
    assert len(snapshot["samples"]) == len(STORY)  # type: ignore[arg-type]  # JSON
    assert (snapshot["previous"], snapshot["next"], snapshot["states"]) == (None, None, {"unknown": 1})

    more = list(minutes("7", count=620))[600:]
    database = database_of(station)
    store(database, more)
    samples = stream.update("samples")
    assert samples == [
        [snapshot["samples"][-1][0] + (n + 1) * 60_000, m.log.actual_temp, m.log.actual_humidity,  # type: ignore[index]  # JSON
         m.log.pred_temp, m.log.pred_humidity]
        for n, m in enumerate(more)
    ]  # fmt: skip
    database.close()
    stream.close()


def test_estimates_come_from_the_broker_and_packets_need_no_database(station: WebStation) -> None:
    filled(station)
    stream = Stream(station, node="7", span=3600)
    stream.next()
    until(lambda: httpx2.get(f"{station.url}/readyz").json()["checks"]["broker"])
    sender = Client(settings_of(station).mqtt, "sender")
    sender.start()
    assert sender.wait_ready(30)
    later = list(minutes("7", count=1440))[600:]
    reading = next(minute.reading for minute in later if minute.reading is not None)

    sender.publish(READINGS_TOPIC, b"not JSON", 0)
    sender.publish(READINGS_TOPIC, encode_estimate(later[0].estimate), 0)
    estimates = stream.update("estimates")
    sender.publish(READINGS_TOPIC, encode_reading(reading, 1), 1)
    packets = stream.update("packets")

    assert estimates == [[later[0].estimate.unix_ms, later[0].estimate.pred_t, later[0].estimate.pred_h]]
    assert packets == [
        [reading.event_unix_ms, reading.actual_t, reading.actual_h, reading.pred_t, reading.pred_h, reading.kind, 1]
    ]
    sender.stop()
    stream.close()


def test_the_fleet_comes_once_and_then_only_what_changed(station: WebStation) -> None:
    filled(station)
    stream = Stream(station, view="fleet")

    name, snapshot = stream.next()
    database = database_of(station)
    store(database, list(minutes("8", count=5)))
    changed = stream.update("nodes")

    assert (name, snapshot["view"]) == ("snapshot", "fleet")
    assert [tile["node"] for tile in snapshot["nodes"]] == ["7"]  # type: ignore[attr-defined]  # JSON
    assert [tile["node"] for tile in changed] == ["8"]  # type: ignore[attr-defined]  # JSON
    database.close()
    stream.close()


def test_the_pipeline_comes_every_second_and_to_scripts(station: WebStation) -> None:
    filled(station)
    stream = Stream(station, view="pipeline")

    _, snapshot = stream.next()
    again = stream.update("hops")
    asked = httpx2.get(f"{station.url}/api/pipeline").json()

    names = ["radio", "gateway", "outbox", "broker", "server", "database", "commit"]
    assert [hop["name"] for hop in snapshot["hops"]] == names  # type: ignore[attr-defined]  # JSON
    assert [hop["name"] for hop in again] == names  # type: ignore[attr-defined]  # JSON
    assert list(asked) == ["hops", "others", "dead_letters"]
    assert httpx2.get(f"{station.url}/api/delivery").json().keys() == asked.keys()  # its path in 0.1.0
    stream.close()


def test_a_page_gets_the_node_it_asked_for_as_soon_as_that_is_known(station: WebStation) -> None:
    filled(station)
    stream = Stream(station, node="12")
    assert stream.next()[1]["node"] == "7"

    database = database_of(station)
    store(database, list(minutes("12", count=5)))

    name, content = stream.next()
    while name != "snapshot":
        name, content = stream.next()
    assert content["node"] == "12"
    database.close()
    stream.close()


def test_updates_come_at_most_four_times_a_second(station: WebStation) -> None:
    filled(station)
    stream = Stream(station, node="7")
    stream.next()
    sender = Client(settings_of(station).mqtt, "sender")
    sender.start()
    assert sender.wait_ready(30)
    until(lambda: httpx2.get(f"{station.url}/readyz").json()["checks"]["broker"])

    begin_s = time.monotonic()  # before all of them: what comes late may come together
    for minute in STORY:
        sender.publish(READINGS_TOPIC, encode_estimate(minute.estimate), 0)
    arrived = updates = 0
    while arrived < len(STORY):
        estimates = stream.update("estimates")
        assert isinstance(estimates, list)
        arrived += len(estimates)
        updates += 1

    assert updates <= 2 + (time.monotonic() - begin_s) / 0.25
    sender.stop()
    stream.close()


def test_a_database_that_replaces_another_is_read_from_its_start(station: WebStation) -> None:
    filled(station)
    stream = Stream(station, node="7")
    stream.next()

    for file in station.data_dir.glob("aoii.db*"):
        file.unlink()
    database = open_database(settings_of(station).database, migrate=True)
    store(database, list(minutes("8", count=30)))

    until(lambda: [node["node"] for node in nodes(station)] == ["8"])
    name, content = stream.next()
    while name != "snapshot" or content["node"] != "8":
        name, content = stream.next()
    database.close()
    stream.close()


def nodes(station: WebStation) -> list[dict[str, object]]:
    answer = httpx2.get(f"{station.url}/api/nodes")
    found: list[dict[str, object]] = answer.json() if answer.status_code == 200 else []
    return found


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_it_stops_at_a_signal_while_pages_are_open(station: WebStation, number: signal.Signals) -> None:
    streams = [Stream(station) for _ in range(3)]
    for stream in streams:
        stream.next()
    assert station.process is not None

    station.signal(number)

    assert station.process.wait(10) == 0  # what a graceful stop may take
    for stream in streams:
        stream.drain()
        stream.close()
    log = (station.folder / "server.log").read_text()
    assert "Traceback" not in log
    assert "ERROR" not in log


def test_it_stops_while_the_database_is_frozen_and_a_request_waits_for_it(tmp_path: Path, mariadb: MariaDB) -> None:
    values = {"MYSQL_HOST": "127.0.0.1", "MYSQL_PORT": mariadb.port, "MYSQL_DATABASE": mariadb.new_schema()}
    station = WebStation(tmp_path, MQTT_PORT=free_port(), **values)
    open_database(settings_of(station).database, migrate=True).close()
    with station:
        until(lambda: httpx2.get(f"{station.url}/api/stats").status_code == 200)
        assert station.process is not None
        mariadb.freeze()
        try:
            request = http.client.HTTPConnection("127.0.0.1", station.port, timeout=30)
            request.request("GET", "/api/recent")
            until(lambda: unread_bytes(station.port) == 0, what="the page has read the request")

            station.signal(signal.SIGTERM)

            assert request.getresponse().status == 503
            assert station.process.wait(10) == 0  # what a graceful stop may take
            request.close()
        finally:
            mariadb.thaw()


def unread_bytes(port: int) -> int:
    """Bytes that have come to a port of this machine, and that its process has not read yet."""
    connections = [line.split() for line in Path("/proc/net/tcp").read_text().splitlines()[1:]]
    ours = [fields for fields in connections if fields[1].endswith(f":{port:04X}") and fields[3] == ESTABLISHED]
    return sum(int(fields[4].split(":")[1], 16) for fields in ours)


def test_a_port_in_use_is_reported_with_the_remedy(station: WebStation, tmp_path: Path) -> None:
    second = WebStation(tmp_path / "second", **station.values)

    with pytest.raises(AssertionError, match=r"cannot listen on .*; set PORT or WEB_HOST to a free one"):
        second.start()


def test_a_page_that_is_slow_to_start_has_not_lost_its_threads(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    allowed = threading.Event()
    start = Live.start

    def start_late(live: Live) -> None:
        assert allowed.wait(30)
        start(live)

    monkeypatch.setattr(Live, "start", start_late)
    page = WebPage(settings_of(WebStation(tmp_path, MQTT_PORT=free_port())))

    page.start()
    ended_before = page.ended()
    allowed.set()
    until(lambda: {part.name for part in page.parts()} == {"page", "poller", "network"})
    ended_after = page.ended()
    page.stop()

    assert (ended_before, ended_after) == ([], [])


def test_a_reader_that_hangs_up_leaves_no_traceback(station: WebStation) -> None:
    for path in ("/metrics", "/events", "/"):
        for request in (f"GET {path} HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n", f"GET {path}"):
            with socket.create_connection(("127.0.0.1", station.port), timeout=20) as peer:
                peer.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
                peer.sendall(request.encode())

    assert httpx2.get(f"{station.url}/metrics", timeout=20).status_code == 200
    station.signal(signal.SIGTERM)
    assert station.process is not None
    station.process.wait(20)
    assert "Traceback" not in (station.folder / "server.log").read_text()
