"""History by range in a real browser: any range, by mouse and by keyboard, and a notice where data is missing."""

from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest
from playwright.sync_api import Page, expect

from aoii.server.db import Database
from browser.pages import Visitor, serve
from servers import Mosquitto, until
from web.recorded import minutes, store

DAYS = 9
HOLE = range(3, 6)  # hours of the fourth day that the log lacks


def story(database: Database) -> None:
    """Nine days of one node, with a hole in its log, and the packets of another that has none."""
    day = list(minutes("7"))
    for number in range(DAYS):
        shift = timedelta(days=number)
        rows = [m.log for m in day if m.log.event_time and not (number == 3 and m.log.event_time.hour in HOLE)]
        database.insert_edge_log([replace(row, event_time=row.event_time + shift) for row in rows if row.event_time])
        readings = [m.reading for m in day if m.reading and m.reading.identity and m.reading.event_unix_ms]
        for node in ("7", "8"):
            database.insert_readings(
                [
                    replace(
                        reading,
                        identity=replace(reading.identity, node=node, counter=1000 * number + reading.identity.counter),
                        event_unix_ms=reading.event_unix_ms + number * 86_400_000,
                    )
                    for reading in readings
                    if reading.identity and reading.event_unix_ms
                ]
            )


@pytest.fixture(scope="module")
def url(tmp_path_factory: pytest.TempPathFactory, mosquitto: Mosquitto) -> Iterator[str]:
    """The station over the story; no test of these writes."""
    with serve(tmp_path_factory.mktemp("history"), mosquitto, days=DAYS, CLOCK_SPEED=1) as (station, database):
        story(database)
        yield f"{station.url}/"


def range_note(page: Page, text: str) -> None:
    expect(page.locator("#range-note")).to_contain_text(text)


def test_a_long_range_is_drawn_in_columns_and_zoomed_until_every_point_is_there(url: str, visit: Visitor) -> None:
    visited = visit(f"{url}#node=7")
    page = visited.page
    page.get_by_role("button", name="7 days").click()
    range_note(page, "grouped by")
    expect(page.locator(".legend .extremes")).to_be_visible()
    expect(page.locator(".legend .estimate")).to_be_hidden()
    visited.draws("temp", "measured", 500)
    visited.shot("week", whole=True)
    page.locator("#table-name").click()
    until(lambda: page.locator("#column-rows tr").count() > 500)
    page.locator("#table-name").click()

    page.locator("#temp-chart").scroll_into_view_if_needed()
    before = visited.image("temp")
    box = page.locator("#temp-chart .u-over").bounding_box()
    assert box is not None
    across = box["y"] + box["height"] / 2
    page.mouse.move(box["x"] + 0.45 * box["width"], across)
    page.mouse.down()
    page.mouse.move(box["x"] + 0.50 * box["width"], across, steps=4)
    page.mouse.up()

    range_note(page, "All points")
    visited.draws_anew("temp", before)
    visited.draws("temp", "estimate", 100)
    expect(page.get_by_role("button", name="Custom…")).to_have_attribute("aria-pressed", "true")
    assert "from=" in page.url
    page.go_back()
    range_note(page, "grouped by")


def test_without_a_mouse_the_range_is_moved_zoomed_and_written(url: str, visit: Visitor) -> None:
    visited = visit(f"{url}#node=7&from=2016-01-05T00:00:00Z&to=2016-01-05T08:00:00Z")
    page = visited.page
    range_note(page, "All points: 480 samples")

    page.get_by_role("button", name="Zoom in").focus()
    page.keyboard.press("Enter")
    range_note(page, "All points: 240 samples")
    page.keyboard.press("Tab")
    page.keyboard.press("Enter")
    range_note(page, "All points: 480 samples")
    page.get_by_role("button", name="Earlier").press("Enter")
    until(lambda: "from=2016-01-04T20%3A00%3A00Z&to=2016-01-05T04%3A00%3A00Z" in page.url)
    page.get_by_role("button", name="Custom…").press("Enter")
    expect(page.get_by_label("From", exact=True)).to_be_focused()
    page.get_by_label("From", exact=True).fill("2016-01-04T02:00")
    page.get_by_label("To", exact=True).fill("2016-01-04T01:00")
    page.get_by_role("button", name="Show", exact=True).press("Enter")
    expect(page.get_by_role("alert").filter(has_text="before the end")).to_be_visible()
    page.get_by_label("To", exact=True).fill("2016-01-04T07:00")
    page.get_by_role("button", name="Show", exact=True).press("Enter")

    range_note(page, "All points: 120 samples")
    expect(page.locator("#accuracy-more")).to_have_text("of 120 samples")


def test_no_line_crosses_a_gap_in_the_log(url: str, visit: Visitor) -> None:
    visited = visit(f"{url}#node=7&span=604800")
    range_note(visited.page, "grouped by")

    drawn = visited.page.evaluate(
        """async () => {
          const {decodeHistory} = await import("/static/api.js");
          const {extremes} = await import("/static/series.js");
          const query = "node=7&start=2016-01-03T00:00:00Z&end=2016-01-10T00:00:00Z";
          const {measured} = decodeHistory(await (await fetch("/api/series?" + query)).json());
          const {time, max_measured} = extremes(measured, [], "temp");
          return time.map((second, place) => [new Date(second * 1000).toISOString(), max_measured[place]]);
        }"""
    )

    inside = [value for at, value in drawn if "2016-01-04T02:59:00.000Z" < at < "2016-01-04T06:00"]
    assert inside == [None]


def test_a_node_without_a_log_shows_what_arrived(url: str, visit: Visitor) -> None:
    visited = visit(f"{url}#node=8&span=604800")

    range_note(visited.page, "All points: 0 samples")
    visited.draws("temp", "sent", 200)


def test_a_range_without_rows_and_a_database_that_is_away_are_shown(
    tmp_path: Path, mosquitto: Mosquitto, visit: Visitor
) -> None:
    with serve(tmp_path, mosquitto, days=DAYS, CLOCK_SPEED=1) as (station, database):
        store(database, list(minutes("7", count=30)))
        visited = visit(f"{station.url}/#node=7&from=2015-01-05T00:00:00Z&to=2015-01-06T00:00:00Z")
        page = visited.page
        expect(page.get_by_text("No data for this node in this range.")).to_be_visible()
        visited.shot("nothing-there")

        database.close()
        path = station.data_dir / "aoii.db"
        path.rename(path.with_suffix(".away"))
        expect(page.get_by_text("Cannot read the database.")).to_be_visible()
        page.get_by_role("button", name="Earlier").click()

        expect(page.get_by_role("alert").filter(has_text="Cannot load the history")).to_be_visible()
        visited.shot("history-away")
        refused = [text for text in visited.errors if "503" not in text]
        assert refused == []
        visited.errors.clear()  # the browser itself complains of the refusal
