"""The fleet in a real browser: the worst node first, filtered by state and name, also with 500 nodes."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import httpx2
import pytest
from playwright.sync_api import expect

from browser.pages import PHONE, Visitor, say, serve
from servers import Mosquitto
from web.recorded import START_MS, minutes, store

FLEET = 500
SLOW = 0.01  # a log stays fresh for three minutes of the clock: longer than a busy machine needs


TOTALS = ("total", "avg-temp", "avg-humidity", "mae-temp", "mae-humidity", "first-at", "last-at")
NODES = 20
MINUTES = 300


@pytest.fixture(scope="module")
def url(tmp_path_factory: pytest.TempPathFactory, mosquitto: Mosquitto) -> Iterator[str]:
    """Twenty nodes and one that is only expected: number 20 is dead, number 4 has no log."""
    now = START_MS / 1000 + MINUTES * 60
    folder = tmp_path_factory.mktemp("fleet")
    with serve(folder, mosquitto, CLOCK_SPEED=SLOW, CLOCK_START_UNIX_S=now, WEB_NODES="20-21") as (station, database):
        for node in range(1, NODES + 1):
            story = list(minutes(str(node), count=MINUTES - 150 if node == NODES else MINUTES, shift=70 * node))
            store(database, story, logs=node != 4)
        say(station, {str(node): "dead" if node == NODES else "ok" for node in range(1, NODES + 1)})
        yield f"{station.url}/"


def test_the_fleet_shows_the_worst_first(url: str, visit: Visitor) -> None:
    visited = visit(url)
    tiles = visited.page.locator(".tile")
    expect(tiles).to_have_count(NODES + 1)

    first = [("20", "dead"), ("21", "unknown"), ("1", "okestimate correct"), ("2", "okestimate correct")]
    for place, (node, state) in enumerate(first):
        expect(tiles.nth(place)).to_contain_text(f"Node {node}{state}")
    expect(tiles.nth(12)).to_contain_text("Node 11")
    expect(tiles.nth(20)).to_contain_text("Node 19")
    visited.shot("twenty-nodes")


def test_nodes_are_found_by_state_and_by_name_with_the_keyboard(url: str, visit: Visitor) -> None:
    page = visit(url).page
    shown = page.locator("#tiles > li:visible")
    expect(shown).to_have_count(NODES + 1)

    page.get_by_role("button", name="dead 1").focus()
    page.keyboard.press("Space")
    expect(shown).to_have_count(1)
    expect(page.get_by_role("button", name="dead 1")).to_have_attribute("aria-pressed", "true")
    page.keyboard.press("Space")
    page.get_by_role("searchbox", name="Find a node").fill("1")
    expect(shown).to_have_count(12)
    page.get_by_role("searchbox", name="Find a node").fill("99")
    expect(page.get_by_text("No nodes match.")).to_be_visible()


def test_the_fleet_is_a_table_too_and_its_states_are_read_aloud(url: str, visit: Visitor) -> None:
    page = visit(url).page
    expect(page.locator("#fleet-spoken")).to_have_text("dead 1, unknown 1, ok 19, estimate correct 18")

    page.get_by_text("All nodes as a table").click()
    rows = page.locator("#fleet-rows tr")
    expect(rows).to_have_count(NODES + 1)
    expect(rows.first).to_contain_text("Node 20dead")
    page.get_by_role("table").get_by_role("link", name="Node 4", exact=True).click()
    expect(page.locator("h1:visible")).to_have_text("Node 4")


def test_the_totals_over_all_readings_are_those_of_the_older_page(url: str, visit: Visitor) -> None:
    stats = httpx2.get(f"{url}api/stats").json()
    visited = visit(url)

    shown = {name: visited.page.locator(f"#{name}") for name in TOTALS}

    expect(shown["total"]).to_have_text(f"{stats['total']:,}")
    expect(shown["avg-temp"]).to_have_text(f"{stats['avg_temp']:.2f} °C".replace("-", "−"))
    expect(shown["avg-humidity"]).to_have_text(f"{stats['avg_humidity']:.2f} %")
    expect(shown["mae-temp"]).to_have_text(f"{stats['mae_temp']:.4f} °C")
    expect(shown["mae-humidity"]).to_have_text(f"{stats['mae_humidity']:.4f} %")
    expect(shown["first-at"]).to_have_text(stats["first_at"].replace("T", " ")[:19])
    expect(shown["last-at"]).to_have_text(stats["last_at"].replace("T", " ")[:19])
    visited.page.get_by_role("button", name="한국어").click()
    expect(visited.page.get_by_role("heading", name="전체 측정값")).to_be_visible()
    visited.shot("totals", whole=True)


def test_one_node_is_shown_at_once(tmp_path: Path, mosquitto: Mosquitto, visit: Visitor) -> None:
    with serve(tmp_path, mosquitto) as (station, database):
        store(database, list(minutes("1", count=60)))
        visited = visit(f"{station.url}/#fleet")
        expect(visited.page.locator(".tile")).to_have_count(1)

        visited.page.goto("about:blank")
        visited.page.goto(station.url)
        expect(visited.page.locator("h1:visible")).to_have_text("Node 1")
        assert visited.page.url.endswith("#node=1&span=86400")


@contextmanager
def fake_gateway(text: str) -> Iterator[int]:
    """A status port with these metrics and no checks."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            body = text.encode() if self.path == "/metrics" else b'{"ok": true, "checks": {}}'
            self.send_response(200)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the library's name
            """Not needed."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield server.server_port
        server.shutdown()


def test_the_health_of_nodes_is_shown_in_the_fleet_and_at_the_node(
    tmp_path: Path, mosquitto: Mosquitto, visit: Visitor
) -> None:
    metrics = """
aoii_node_battery_volts{node="1"} 3.31
aoii_node_battery_low{node="1"} 1.0
aoii_node_rssi_dbm{node="1"} -117.0
aoii_node_snr_db{node="1"} -4.0
aoii_node_readings_missing{node="1"} 2.0
"""
    with fake_gateway(metrics) as port:
        values = {"WEB_STATIONS": f"gateway=127.0.0.1:{port}", "CLOCK_START_UNIX_S": START_MS / 1000 + 3600}
        with serve(tmp_path, mosquitto, CLOCK_SPEED=SLOW, **values) as (station, database):  # type: ignore[arg-type]  # days is not among them
            for node in ("1", "2", "3"):
                store(database, list(minutes(node, count=60)))
            say(station, {"1": "ok", "2": "sensor_fault", "3": "ok"})
            page = visit(station.url).page
            tiles = page.locator(".tile")

            expect(tiles.nth(0)).to_contain_text("Node 2sensor fault")
            expect(tiles.nth(1)).to_contain_text("Node 1low battery")
            expect(tiles.nth(2)).to_contain_text("Node 3okestimate correct")
            tiles.nth(1).click()
            expect(page.locator("#battery")).to_have_text("3.31 V")
            expect(page.locator("#rssi")).to_have_text("−117 dBm")
            expect(page.locator("#rssi-more")).to_have_text("SNR −4 dB, 2 readings missing")
            expect(page.locator("#node-states")).to_have_text("low batteryokestimate correct")


def test_five_hundred_nodes_are_a_map_on_a_desk_and_on_a_phone(
    tmp_path: Path, mosquitto: Mosquitto, visit: Visitor
) -> None:
    with serve(tmp_path, mosquitto, CLOCK_SPEED=SLOW, CLOCK_START_UNIX_S=START_MS / 1000 + 600) as (
        station,
        database,
    ):
        one = [minute.reading for minute in minutes("1", count=10) if minute.reading is not None]
        database.insert_readings(
            [
                replace(reading, identity=replace(reading.identity, node=str(node)))
                for node in range(1, FLEET + 1)
                for reading in one
                if reading.identity is not None
            ]
        )
        visited = visit(station.url)
        tiles = visited.page.locator(".tile")
        expect(tiles).to_have_count(FLEET)
        expect(visited.page.locator("#fleet-count")).to_have_text("500 nodes")
        visited.shot("five-hundred")

        visited.page.set_viewport_size({"width": PHONE["width"], "height": PHONE["height"]})
        assert visited.page.evaluate("document.documentElement.scrollWidth") == PHONE["width"]
        visited.shot("five-hundred-phone")
        tiles.nth(499).click()
        expect(visited.page.locator("h1:visible")).to_have_text("Node 500")


def test_a_tile_in_use_does_not_move(tmp_path: Path, mosquitto: Mosquitto, visit: Visitor) -> None:
    with serve(tmp_path, mosquitto, CLOCK_SPEED=SLOW, CLOCK_START_UNIX_S=START_MS / 1000 + 12000) as (
        station,
        database,
    ):
        for node in ("1", "2"):
            store(database, list(minutes(node, count=200))[100:])
        visited = visit(station.url)
        page = visited.page
        expect(page.locator(".tile")).to_have_count(2)
        page.locator(".tile").nth(1).focus()
        page.keyboard.press("Shift+Tab")
        page.keyboard.press("Tab")
        expect(page.locator(".tile", has_text="Node 2")).to_be_focused()

        store(database, list(minutes("0", count=5)))  # it is silent, and belongs before the others

        expect(page.locator(".tile")).to_have_count(3)
        expect(page.locator(".tile", has_text="Node 2")).to_be_focused()
