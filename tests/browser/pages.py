"""The page in a real browser: an open page with its errors, and the station behind it.

Screenshots of each state are left in the test's temporary folder; look at them after a change of the design.
"""

import queue
import secrets
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from playwright.sync_api import Page, expect

from aoii import settings
from aoii.broker.client import Client
from aoii.broker.messages import READINGS_TOPIC, encode_estimate, encode_reading
from aoii.broker.node_liveness import ErrorBound, NodeLiveness, Vouched
from aoii.broker.node_status import NodeStatus, encode, topic_of
from aoii.server.db import Database, open_database
from servers import Mosquitto, until
from web.recorded import PERIOD_MS, START_MS, Minute
from web.station import WebStation

DESK = {"width": 1360, "height": 900}
PHONE = {"width": 390, "height": 844}
DAY = 1440
expect.set_options(timeout=30_000)  # a busy machine is slow, not wrong

# Pixels of the chart's canvas within a small distance of a colour of the page (its canvas is otherwise transparent).
COUNT_PIXELS = """([id, name]) => {
  const canvas = document.querySelector("#" + id + " canvas");
  const {width, height} = canvas;
  const paper = Object.assign(document.createElement("canvas"), {width, height});
  const copy = paper.getContext("2d", {willReadFrequently: true});
  copy.fillStyle = getComputedStyle(document.documentElement).getPropertyValue("--" + name).trim();
  copy.fillRect(0, 0, 1, 1);
  const [r, g, b] = copy.getImageData(0, 0, 1, 1).data;
  copy.clearRect(0, 0, width, height);
  copy.drawImage(canvas, 0, 0);
  const {data} = copy.getImageData(0, 0, width, height);
  let found = 0;
  for (let at = 0; at < data.length; at += 4) {
    const apart = Math.abs(data[at] - r) + Math.abs(data[at + 1] - g) + Math.abs(data[at + 2] - b);
    if (data[at + 3] > 200 && apart < 40) found += 1;
  }
  return found;
}"""
IMAGE = "(id) => document.querySelector('#' + id + ' canvas').toDataURL()"


AXE = Path(sys.prefix) / "page" / "node_modules" / "axe-core" / "axe.min.js"  # scripts/check-page installs it
# What axe-core finds: [impact, rule, the element] of each violation that keeps somebody from using the page.
BARRIERS = """async () => (await axe.run(document, {resultTypes: ["violations"]})).violations
  .filter(({impact}) => impact === "serious" || impact === "critical")
  .flatMap(({impact, id, nodes}) => nodes.map(({html}) => [impact, id, html]))"""


@dataclass
class Visit:
    """An open page, with its errors and requests."""

    page: Page
    folder: Path
    errors: list[str] = field(default_factory=list)
    requests: list[str] = field(default_factory=list)

    def barriers(self) -> list[list[str]]:
        """What keeps people with a screen reader, a keyboard or weak eyes from using the page, as axe-core finds it."""
        if not self.page.evaluate("'axe' in window"):
            assert AXE.exists(), f"there is no {AXE}; run this first: scripts/check-page"
            self.page.evaluate(AXE.read_text(encoding="utf-8"))
        found: list[list[str]] = self.page.evaluate(BARRIERS)
        return found

    def pixels(self, chart: str, colour: str) -> int:
        """How much of the chart has this colour."""
        found: int = self.page.evaluate(COUNT_PIXELS, [f"{chart}-chart", colour])
        return found

    def draws(self, chart: str, colour: str, more_than: int) -> None:
        """Wait until the chart has more than this of the colour: a drawing waits for its frame."""
        until(lambda: self.pixels(chart, colour) > more_than, what=f"{colour} in the chart {chart}")

    def draws_anew(self, chart: str, before: str) -> None:
        """Wait until the chart is another picture."""
        until(lambda: self.image(chart) != before, what=f"another chart {chart}")

    def image(self, chart: str) -> str:
        """The chart's canvas as it is now."""
        drawn: str = self.page.evaluate(IMAGE, f"{chart}-chart")
        return drawn

    def shot(self, name: str, *, whole: bool = False) -> None:
        """Keep a screenshot for people."""
        self.page.screenshot(path=self.folder / f"{name}.png", full_page=whole)


Visitor = Callable[..., Visit]


@contextmanager
def serve(
    folder: Path, mosquitto: Mosquitto, *, days: int = 1, **values: object
) -> Iterator[tuple[WebStation, Database]]:
    """The web station over a database; its clock begins where the recorded days end and runs a minute in a second."""
    clock = {
        "CLOCK_START_UNIX_S": (START_MS + days * DAY * PERIOD_MS) / 1000,
        "CLOCK_ORIGIN_S": time.monotonic(),
        "CLOCK_SPEED": 60,
    }
    broker = {"MQTT_PORT": mosquitto.port, "MQTT_NAMESPACE": secrets.token_hex(4)}  # it keeps what it is told of nodes
    station = WebStation(folder / "station", **broker | clock | values)
    database = open_database(loaded(station).database, migrate=True)
    try:
        with station:
            yield station, database
    finally:
        database.close()


def loaded(station: WebStation) -> settings.Settings:
    return settings.load({name: str(value) for name, value in station.values.items()})


@contextmanager
def gateway(station: WebStation) -> Iterator[Callable[[list[Minute]], None]]:
    """Publishes what a gateway would."""
    client = Client(loaded(station).mqtt, "gateway")
    client.start()
    assert client.wait_ready(30)

    def publish(story: list[Minute]) -> None:
        for minute in story:
            if minute.reading is not None:
                assert client.publish(READINGS_TOPIC, encode_reading(minute.reading, 1), 1)
            assert client.publish(READINGS_TOPIC, encode_estimate(minute.estimate), 0)

    try:
        yield publish
    finally:
        client.stop()


def say(station: WebStation, nodes: Mapping[str, NodeLiveness]) -> None:
    """Have the broker keep what a gateway would say of nodes at the beginning of the station's clock."""
    begun_ms = round(1000 * float(str(station.values["CLOCK_START_UNIX_S"])))
    client = Client(loaded(station).mqtt, "says", on_published=lambda published: ended.put(published.reason))
    ended: queue.Queue[int | None] = queue.Queue()
    client.start()
    try:
        assert client.wait_ready(30)
        for node, liveness in nodes.items():
            bound = ErrorBound(0.5, 3.0) if liveness in ("ok", "late") else None
            status = NodeStatus(node, "roof", Vouched(liveness, begun_ms, bound), 60, 7200, begun_ms, 86_400)
            assert client.publish(topic_of("roof", node), encode(status), 1, node, keep=True)
        assert {ended.get(timeout=30) for _ in nodes} <= {0, 16}
    finally:
        client.stop()


def shows(visited: Visit, packets: int) -> None:
    """Wait until the page shows this many packets, live."""
    expect(visited.page.locator("#packets")).to_have_text(str(packets))
