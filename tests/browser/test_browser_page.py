"""The page in a real browser: the lines are there, they move, and it works for every kind of visitor.

Screenshots of each state are left in the test's temporary folder; look at them after a change of the design.
"""

import shutil
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from playwright.sync_api import Browser, ConsoleMessage, Error, Page, Request, expect, sync_playwright

from aoii import settings
from aoii.broker.client import Client
from aoii.broker.messages import READINGS_TOPIC, encode_estimate, encode_reading
from aoii.server.db import Database, open_database
from servers import AS_ROOT, Mosquitto, until
from web.recorded import PERIOD_MS, START_MS, Minute, minutes, packets_of, store
from web.station import WebStation

DESK = {"width": 1360, "height": 900}
PHONE = {"width": 390, "height": 844}
DAY = 1440
expect.set_options(timeout=30_000)  # a busy machine is slow, not wrong
FLAGS = ["--disable-background-networking", "--disable-component-update", "--disable-sync", "--no-first-run"]

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
PICTURE = "(id) => document.querySelector('#' + id + ' canvas').toDataURL()"


@pytest.fixture(scope="module")  # Playwright keeps an event loop running in this thread; other modules want none
def browser() -> Iterator[Browser]:
    program = shutil.which("chromium") or "/usr/bin/chromium"
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=program, args=[*FLAGS, *(["--no-sandbox"] if AS_ROOT else [])]
        )
        yield browser
        browser.close()


@dataclass
class Visit:
    """An open page, and everything that it complained of or asked for."""

    page: Page
    folder: Path
    errors: list[str] = field(default_factory=list)
    requests: list[str] = field(default_factory=list)

    def pixels(self, chart: str, colour: str) -> int:
        """How much of the chart has this colour."""
        found: int = self.page.evaluate(COUNT_PIXELS, [f"{chart}-chart", colour])
        return found

    def draws(self, chart: str, colour: str, more_than: int) -> None:
        """Wait until the chart has more than this of the colour: a drawing waits for its frame."""
        until(lambda: self.pixels(chart, colour) > more_than, what=f"{colour} in the chart {chart}")

    def draws_anew(self, chart: str, before: str) -> None:
        """Wait until the chart is another picture."""
        until(lambda: self.picture(chart) != before, what=f"another chart {chart}")

    def picture(self, chart: str) -> str:
        """The chart's canvas as it is now."""
        drawn: str = self.page.evaluate(PICTURE, f"{chart}-chart")
        return drawn

    def shot(self, name: str, *, whole: bool = False) -> None:
        """Keep a screenshot for people."""
        self.page.screenshot(path=self.folder / f"{name}.png", full_page=whole)


Visitor = Callable[..., Visit]


@pytest.fixture
def visit(browser: Browser, tmp_path: Path) -> Iterator[Visitor]:
    """Opens pages; at the end none of them may have failed or have asked anybody else for anything."""
    visits: list[tuple[Visit, str]] = []

    def open_page(url: str, **options: object) -> Visit:
        page = browser.new_page(**{"viewport": DESK, "timezone_id": "UTC", "locale": "en-GB"} | options)  # type: ignore[arg-type]  # by name
        visited = Visit(page, tmp_path)

        def complained(message: ConsoleMessage) -> None:
            if message.type in ("error", "warning"):
                visited.errors.append(message.text)

        def failed(error: Error) -> None:
            visited.errors.append(str(error))

        def asked(request: Request) -> None:
            visited.requests.append(request.url)

        page.on("console", complained)
        page.on("pageerror", failed)
        page.on("request", asked)
        page.goto(url)
        visits.append((visited, url.partition("#")[0]))
        return visited

    yield open_page
    for visited, url in visits:
        assert visited.errors == []
        assert [asked for asked in visited.requests if not asked.startswith(url)] == []
        visited.page.close()


@contextmanager
def stage(folder: Path, mosquitto: Mosquitto, **values: object) -> Iterator[tuple[WebStation, Database]]:
    """The web station over a database; its clock begins where the recorded day ends and runs a minute in a second."""
    clock = {
        "CLOCK_START_UNIX_S": (START_MS + DAY * PERIOD_MS) / 1000,
        "CLOCK_ORIGIN_S": time.monotonic(),
        "CLOCK_SPEED": 60,
    }
    station = WebStation(folder / "station", **{"MQTT_PORT": mosquitto.port} | clock | values)
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

    def say(story: list[Minute]) -> None:
        for minute in story:
            if minute.reading is not None:
                assert client.publish(READINGS_TOPIC, encode_reading(minute.reading, 1), 1)
            assert client.publish(READINGS_TOPIC, encode_estimate(minute.estimate), 0)

    try:
        yield say
    finally:
        client.stop()


def shows(visited: Visit, packets: int) -> None:
    """Wait until the page shows this many packets, live."""
    expect(visited.page.locator("#packets")).to_have_text(str(packets))


def test_what_is_stored_is_drawn_and_what_comes_moves_the_lines(
    tmp_path: Path, mosquitto: Mosquitto, visit: Visitor
) -> None:
    story = list(minutes("7", loses_every=20))
    with stage(tmp_path, mosquitto) as (station, database), gateway(station) as say:
        store(database, story[:1300])
        visited = visit(station.url)
        shows(visited, packets_of(story[:1300]))

        expect(visited.page.locator("#packets-of")).to_have_text("of 1,300 packets")
        expect(visited.page.locator("#connection")).to_have_text("Live")
        for chart in ("temp", "hum"):
            for colour, least in (("actual", 500), ("belief", 300), ("sent", 300), ("wrong", 10)):
                visited.draws(chart, colour, least)
        visited.shot("stored")
        before = visited.picture("temp"), visited.picture("hum")

        say(story[1300:])
        store(database, story[1300:])

        shows(visited, packets_of(story))
        expect(visited.page.locator("#packets-of")).to_have_text("of 1,440 packets")
        visited.draws_anew("temp", before[0])
        visited.draws_anew("hum", before[1])
        expect(visited.page.locator("#right")).not_to_have_text("100.00 %")
        expect(visited.page.locator("#saved")).to_have_text("−92 %")
        visited.shot("live")


def test_without_the_nodes_log_there_are_points_and_an_honest_bound(
    tmp_path: Path, mosquitto: Mosquitto, visit: Visitor
) -> None:
    story = list(minutes("7"))
    with stage(tmp_path, mosquitto) as (station, database), gateway(station) as say:
        store(database, story[:1200], logs=False)
        visited = visit(station.url)
        say(story[1200:])
        shows(visited, packets_of(story))

        visited.draws("temp", "belief", 300)
        visited.draws("temp", "sent", 300)
        assert visited.pixels("temp", "actual") < 20  # the edge of another colour may look like it
        expect(visited.page.locator("#aoii")).to_have_text("≥ 0 sec")
        expect(visited.page.locator("#aoii-more")).to_contain_text("lower bound")
        expect(visited.page.locator("#source-note")).to_contain_text("Between packets nothing is known")
        visited.shot("no-log")


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_both_schemes_draw_their_own_colours(scheme: str, tmp_path: Path, mosquitto: Mosquitto, visit: Visitor) -> None:
    story = list(minutes("7"))
    with stage(tmp_path, mosquitto) as (station, database):
        store(database, story)
        visited = visit(station.url, color_scheme=scheme)
        shows(visited, packets_of(story))
        ground = visited.page.evaluate("getComputedStyle(document.body).backgroundColor")

        assert ground == {"light": "rgb(244, 246, 248)", "dark": "rgb(14, 19, 24)"}[scheme]
        visited.draws("temp", "belief", 300)
        visited.shot(scheme)

        visited.page.emulate_media(color_scheme="dark" if scheme == "light" else "light")
        visited.draws("temp", "belief", 300)


def test_on_a_phone_nothing_is_cut_off(tmp_path: Path, mosquitto: Mosquitto, visit: Visitor) -> None:
    with stage(tmp_path, mosquitto) as (station, database):
        for node in ("1", "2", "3"):
            store(database, list(minutes(node, shift=100 * int(node))))
        visited = visit(station.url, viewport=PHONE, device_scale_factor=2, has_touch=True, is_mobile=True)
        shows(visited, packets_of(list(minutes("1", shift=100))))

        assert visited.page.evaluate("document.documentElement.scrollWidth") == PHONE["width"]
        visited.draws("temp", "belief", 300)
        visited.shot("phone", whole=True)

        visited.page.locator(".card", has_text="Node 3").tap()
        expect(visited.page.locator("h1:visible")).to_have_text("Node 3")


def test_it_speaks_korean_to_a_korean_browser_and_keeps_a_choice(
    tmp_path: Path, mosquitto: Mosquitto, visit: Visitor
) -> None:
    with stage(tmp_path, mosquitto) as (station, database):
        store(database, list(minutes("7")))
        visited = visit(station.url, locale="ko-KR")
        expect(visited.page.locator("#connection")).to_have_text("실시간")
        expect(visited.page.locator("h1:visible")).to_have_text("노드 7")
        assert visited.page.locator("html").get_attribute("lang") == "ko"
        visited.page.locator("#table-panel summary").click()
        untranslated = visited.page.evaluate("document.body.innerText").count("undefined")
        assert untranslated == 0
        visited.shot("korean", whole=True)

        visited.page.get_by_role("button", name="English").click()
        expect(visited.page.locator("h1:visible")).to_have_text("Node 7")
        visited.page.reload()
        expect(visited.page.locator("h1:visible")).to_have_text("Node 7")


def test_both_languages_have_the_same_words(tmp_path: Path, mosquitto: Mosquitto, visit: Visitor) -> None:
    with stage(tmp_path, mosquitto) as (station, _):
        visited = visit(station.url)

        words = visited.page.evaluate(
            """async () => {
              const {speak} = await import("/static/words.js");
              const used = [...document.querySelectorAll("[data-word], [data-label], [data-title]")]
                .flatMap(({dataset}) => [dataset.word, dataset.label, dataset.title]).filter(Boolean);
              const [en, ko] = ["en", "ko"].map((name) => speak(name).words);
              const names = (words) => Object.keys(words).sort();
              return {used, names: [names(en), names(ko)], kinds: [names(en.kinds), names(ko.kinds)]};
            }"""
        )

        assert words["names"][0] == words["names"][1]
        assert words["kinds"] == [["backfill", "event", "heartbeat", "legacy"]] * 2
        assert set(words["used"]) <= set(words["names"][0])


def test_twenty_nodes_are_an_overview_and_one_is_not(tmp_path: Path, mosquitto: Mosquitto, visit: Visitor) -> None:
    with stage(tmp_path, mosquitto) as (station, database):
        store(database, list(minutes("1")))
        visited = visit(station.url)
        expect(visited.page.locator("h1:visible")).to_have_text("Node 1")
        expect(visited.page.locator("#fleet")).to_be_hidden()
        visited.shot("one-node")

        for node in range(2, 21):
            store(database, list(minutes(str(node), count=300 if node == 20 else DAY, shift=70 * node)))

        cards = visited.page.locator(".card")
        expect(cards).to_have_count(20)
        expect(cards.nth(1)).to_contain_text("Node 2")
        expect(cards.nth(9)).to_contain_text("Node 10")
        expect(visited.page.locator("#fleet-count")).to_have_text("20, 1 silent")
        expect(cards.nth(19)).to_contain_text("silent")
        visited.shot("twenty-nodes")


def test_node_and_span_are_chosen_by_keyboard_and_stay_in_the_address(
    tmp_path: Path, mosquitto: Mosquitto, visit: Visitor
) -> None:
    with stage(tmp_path, mosquitto) as (station, database):
        for node in ("1", "2"):
            store(database, list(minutes(node, shift=300 * int(node))))
        visited = visit(station.url)
        page = visited.page
        expect(page.locator(".card")).to_have_count(2)

        page.locator(".card", has_text="Node 2").focus()
        page.keyboard.press("Enter")
        expect(page.locator("h1:visible")).to_have_text("Node 2")
        page.get_by_role("button", name="6 hours").focus()
        page.keyboard.press("Space")
        expect(page.locator("#packets-of")).to_have_text("of 360 packets")

        assert page.url.endswith("#node=2&span=21600")
        page.reload()
        expect(page.locator("h1:visible")).to_have_text("Node 2")
        expect(page.locator("#packets-of")).to_have_text("of 360 packets")
        expect(page.get_by_role("button", name="6 hours")).to_have_attribute("aria-pressed", "true")


def test_who_cannot_see_the_charts_gets_landmarks_words_and_a_table(
    tmp_path: Path, mosquitto: Mosquitto, visit: Visitor
) -> None:
    story = list(minutes("7"))
    with stage(tmp_path, mosquitto) as (station, database):
        for node in ("7", "8"):
            store(database, list(minutes(node)))
        visited = visit(station.url)
        page = visited.page
        shows(visited, packets_of(story))

        expect(page.get_by_role("navigation", name="Nodes")).to_be_visible()
        expect(page.get_by_role("main")).to_have_count(1)
        expect(page.get_by_role("status").filter(has_text="Live")).to_be_visible()
        temps = [minute.log.actual_temp for minute in story]
        told = f"Temperature, °C of node 7, last 24 hours: from {min(temps)} to {max(temps)}".replace("-", "−")
        chart = page.get_by_role("img", name=told)
        expect(chart).to_be_visible()
        page.get_by_text("The latest packets as a table").click()
        rows = page.get_by_role("row")
        expect(rows).to_have_count(101)
        last = next(minute.reading for minute in reversed(story) if minute.reading is not None)
        expect(rows.nth(1)).to_contain_text(f"{last.actual_t:.2f}".replace("-", "−"))
        page.keyboard.press("Tab")
        visited.shot("table", whole=True)


def test_the_cursor_tells_measured_and_believed(tmp_path: Path, mosquitto: Mosquitto, visit: Visitor) -> None:
    story = list(minutes("7"))
    with stage(tmp_path, mosquitto) as (station, database):
        store(database, story)
        visited = visit(station.url)
        shows(visited, packets_of(story))

        visited.page.locator("#temp-chart .u-over").hover()

        expect(visited.page.locator("#temp-readout")).to_contain_text("measured −2")
        expect(visited.page.locator("#hum-readout")).to_contain_text("believed")


def test_an_empty_system_says_what_to_check_and_fills_by_itself(
    tmp_path: Path, mosquitto: Mosquitto, visit: Visitor
) -> None:
    with stage(tmp_path, mosquitto) as (station, database):
        visited = visit(station.url)
        expect(visited.page.get_by_role("heading", name="No reading yet")).to_be_visible()
        expect(visited.page.locator("#empty-broker")).to_have_text("Yes.")
        expect(visited.page.locator("#empty-database")).to_have_text("Yes.")
        visited.shot("empty")

        store(database, list(minutes("7", count=30)))

        expect(visited.page.locator("h1:visible")).to_have_text("Node 7")


def test_a_database_that_is_away_is_told_and_the_live_half_goes_on(
    tmp_path: Path, mosquitto: Mosquitto, visit: Visitor
) -> None:
    story = list(minutes("7"))
    with stage(tmp_path, mosquitto) as (station, database), gateway(station) as say:
        store(database, story[:1200])
        visited = visit(station.url)
        shows(visited, packets_of(story[:1200]))
        path = station.data_dir / "aoii.db"

        database.close()
        path.rename(path.with_suffix(".away"))
        notice = visited.page.get_by_text("The database cannot be read.")
        expect(notice).to_be_visible()
        expect(visited.page.locator("#connection")).to_have_text("Live, in part")
        before = visited.picture("temp")
        say(story[1200:])
        shows(visited, packets_of(story))
        visited.draws_anew("temp", before)
        visited.shot("database-away")

        path.with_suffix(".away").rename(path)
        expect(notice).to_be_hidden()
        expect(visited.page.locator("#connection")).to_have_text("Live")


def test_a_server_that_went_away_is_told_and_found_again(tmp_path: Path, mosquitto: Mosquitto, visit: Visitor) -> None:
    story = list(minutes("7"))
    with stage(tmp_path, mosquitto) as (station, database):
        store(database, story)
        visited = visit(station.url)
        shows(visited, packets_of(story))

        station.kill()
        expect(visited.page.locator("#connection")).to_have_text("Connection lost, trying again…")
        expect(visited.page.locator("#lost-notice")).to_be_visible()
        visited.shot("lost")
        station.start()
        expect(visited.page.locator("#connection")).to_have_text("Live")

        expect(visited.page.locator("#lost-notice")).to_be_hidden()
        refused = [text for text in visited.errors if "Failed to load resource" not in text]
        assert refused == []
        visited.errors.clear()  # the browser itself complains of the refused connections


def test_a_name_with_markup_is_shown_as_text(tmp_path: Path, mosquitto: Mosquitto, visit: Visitor) -> None:
    name = '<img src=x onerror="alert(1)">'
    with stage(tmp_path, mosquitto) as (station, database):
        store(database, list(minutes(name, count=20)))
        visited = visit(station.url)

        expect(visited.page.locator("h1:visible")).to_have_text(f"Node {name}")
        assert visited.page.locator("img:not(.logo)").count() == 0
