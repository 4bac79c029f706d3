"""The page of one node in a real browser: the lines are there, they move, and it works for every kind of visitor."""

from pathlib import Path

import pytest
from playwright.sync_api import expect

from browser.pages import Visitor, gateway, serve, shows
from servers import Mosquitto
from web.recorded import minutes, packets_of, store


def test_what_is_stored_is_drawn_and_what_comes_moves_the_lines(
    tmp_path: Path, mosquitto: Mosquitto, visit: Visitor
) -> None:
    story = list(minutes("7", loses_every=20))
    with serve(tmp_path, mosquitto) as (station, database), gateway(station) as say:
        store(database, story[:1300])
        visited = visit(station.url)
        shows(visited, packets_of(story[:1300]))

        expect(visited.page.locator("#packets-of")).to_have_text("of 1,300 packets")
        expect(visited.page.locator("#connection")).to_have_text("Live")
        for chart in ("temp", "hum"):
            for colour, least in (("measured", 500), ("estimate", 300), ("sent", 300), ("wrong", 10)):
                visited.draws(chart, colour, least)
        visited.shot("stored")
        before = visited.image("temp"), visited.image("hum")

        say(story[1300:])
        store(database, story[1300:])

        shows(visited, packets_of(story))
        expect(visited.page.locator("#packets-of")).to_have_text("of 1,440 packets")
        visited.draws_anew("temp", before[0])
        visited.draws_anew("hum", before[1])
        expect(visited.page.locator("#accuracy")).not_to_have_text("100.00 %")
        expect(visited.page.locator("#saved")).to_have_text("−92 %")
        visited.shot("live")


def test_without_the_nodes_log_there_are_points_and_an_honest_bound(
    tmp_path: Path, mosquitto: Mosquitto, visit: Visitor
) -> None:
    story = list(minutes("7"))
    with serve(tmp_path, mosquitto) as (station, database), gateway(station) as say:
        store(database, story[:1200], logs=False)
        visited = visit(station.url)
        say(story[1200:])
        shows(visited, packets_of(story))

        visited.draws("temp", "estimate", 300)
        visited.draws("temp", "sent", 300)
        assert visited.pixels("temp", "measured") < 20  # the edge of another colour may look like it
        expect(visited.page.locator("#aoii")).to_have_text("≥ 0 sec")
        expect(visited.page.locator("#aoii-more")).to_contain_text("lower bound")
        expect(visited.page.locator("#source-note")).to_contain_text("values between packets are unknown")
        visited.shot("no-log")


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_both_schemes_draw_their_own_colours(scheme: str, tmp_path: Path, mosquitto: Mosquitto, visit: Visitor) -> None:
    story = list(minutes("7"))
    with serve(tmp_path, mosquitto) as (station, database):
        store(database, story)
        visited = visit(station.url, color_scheme=scheme)
        shows(visited, packets_of(story))
        ground = visited.page.evaluate("getComputedStyle(document.body).backgroundColor")

        assert ground == {"light": "rgb(244, 246, 248)", "dark": "rgb(14, 19, 24)"}[scheme]
        visited.draws("temp", "estimate", 300)
        visited.shot(scheme)

        visited.page.emulate_media(color_scheme="dark" if scheme == "light" else "light")
        visited.draws("temp", "estimate", 300)


def test_it_speaks_korean_to_a_korean_browser_and_keeps_a_choice(
    tmp_path: Path, mosquitto: Mosquitto, visit: Visitor
) -> None:
    with serve(tmp_path, mosquitto) as (station, database):
        store(database, list(minutes("7")))
        visited = visit(station.url, locale="ko-KR")
        expect(visited.page.locator("#connection")).to_have_text("실시간")
        expect(visited.page.locator("h1:visible")).to_have_text("노드 7")
        assert visited.page.locator("html").get_attribute("lang") == "ko"
        visited.page.locator("#table-panel summary").click()
        assert "undefined" not in visited.page.evaluate("document.body.innerText")
        visited.shot("korean", whole=True)

        visited.page.get_by_role("button", name="English").click()
        expect(visited.page.locator("h1:visible")).to_have_text("Node 7")
        visited.page.reload()
        expect(visited.page.locator("h1:visible")).to_have_text("Node 7")


def test_node_and_span_are_chosen_by_keyboard_and_stay_in_the_address(
    tmp_path: Path, mosquitto: Mosquitto, visit: Visitor
) -> None:
    with serve(tmp_path, mosquitto) as (station, database):
        for node in ("1", "2"):
            store(database, list(minutes(node, shift=300 * int(node))))
        visited = visit(station.url)
        page = visited.page
        expect(page.locator(".tile")).to_have_count(2)

        page.locator(".tile", has_text="Node 2").focus()
        page.keyboard.press("Enter")
        expect(page.locator("h1:visible")).to_have_text("Node 2")
        expect(page.locator("#node-title")).to_be_focused()
        page.get_by_role("button", name="6 hours").focus()
        page.keyboard.press("Space")
        expect(page.locator("#packets-of")).to_have_text("of 360 packets")

        assert page.url.endswith("#node=2&span=21600")
        page.reload()
        expect(page.locator("h1:visible")).to_have_text("Node 2")
        expect(page.locator("#packets-of")).to_have_text("of 360 packets")
        expect(page.get_by_role("button", name="6 hours")).to_have_attribute("aria-pressed", "true")
        page.go_back()
        expect(page.locator("#packets-of")).to_have_text("of 1,440 packets")
        page.get_by_role("link", name="Previous: node 1").click()
        expect(page.locator("h1:visible")).to_have_text("Node 1")
        page.get_by_role("link", name="All nodes").click()
        expect(page.locator("h1:visible")).to_have_text("Fleet")


def test_who_cannot_see_the_charts_gets_landmarks_words_and_a_table(
    tmp_path: Path, mosquitto: Mosquitto, visit: Visitor
) -> None:
    story = list(minutes("7"))
    with serve(tmp_path, mosquitto) as (station, database):
        for node in ("7", "8"):
            store(database, list(minutes(node)))
        visited = visit(f"{station.url}/#node=7")
        page = visited.page
        shows(visited, packets_of(story))

        expect(page.get_by_role("navigation", name="Pages")).to_be_visible()
        expect(page.get_by_role("navigation", name="Nodes")).to_be_visible()
        expect(page.get_by_role("main")).to_have_count(1)
        expect(page.get_by_role("status").filter(has_text="Live")).to_be_visible()
        temps = [minute.log.actual_temp for minute in story]
        told = f"Temperature, °C of node 7, last 24 hours: {min(temps)} to {max(temps)}".replace("-", "−")
        chart = page.get_by_role("img", name=told)
        expect(chart).to_be_visible()
        page.get_by_text("Latest packets as a table").click()
        rows = page.get_by_role("row")
        expect(rows).to_have_count(101)
        last = next(minute.reading for minute in reversed(story) if minute.reading is not None)
        expect(rows.nth(1)).to_contain_text(f"{last.actual_t:.2f}".replace("-", "−"))
        page.keyboard.press("Tab")
        visited.shot("table", whole=True)


def test_the_cursor_shows_measured_and_estimate(tmp_path: Path, mosquitto: Mosquitto, visit: Visitor) -> None:
    story = list(minutes("7"))
    with serve(tmp_path, mosquitto) as (station, database):
        store(database, story)
        visited = visit(station.url)
        shows(visited, packets_of(story))

        visited.page.locator("#temp-chart .u-over").hover()

        expect(visited.page.locator("#temp-readout")).to_contain_text("measured −2")
        expect(visited.page.locator("#hum-readout")).to_contain_text("estimate")


def test_an_empty_system_lists_what_to_check_and_fills_by_itself(
    tmp_path: Path, mosquitto: Mosquitto, visit: Visitor
) -> None:
    with serve(tmp_path, mosquitto) as (station, database):
        visited = visit(station.url)
        expect(visited.page.get_by_role("heading", name="No readings yet")).to_be_visible()
        expect(visited.page.locator("#empty-broker")).to_have_text("Yes.")
        expect(visited.page.locator("#empty-database")).to_have_text("Yes.")
        visited.shot("empty")

        store(database, list(minutes("7", count=30)))

        expect(visited.page.locator(".tile")).to_contain_text("Node 7")


def test_a_database_that_is_away_is_shown_while_the_live_half_goes_on(
    tmp_path: Path, mosquitto: Mosquitto, visit: Visitor
) -> None:
    story = list(minutes("7"))
    with serve(tmp_path, mosquitto) as (station, database), gateway(station) as say:
        store(database, story[:1200])
        visited = visit(station.url)
        shows(visited, packets_of(story[:1200]))
        path = station.data_dir / "aoii.db"

        database.close()
        path.rename(path.with_suffix(".away"))
        notice = visited.page.get_by_text("Cannot read the database.")
        expect(notice).to_be_visible()
        expect(visited.page.locator("#connection")).to_have_text("Partly live")
        before = visited.image("temp")
        say(story[1200:])
        shows(visited, packets_of(story))
        visited.draws_anew("temp", before)
        visited.shot("database-away")

        path.with_suffix(".away").rename(path)
        expect(notice).to_be_hidden()
        expect(visited.page.locator("#connection")).to_have_text("Live")


def test_a_lost_web_server_is_shown_and_found_again(tmp_path: Path, mosquitto: Mosquitto, visit: Visitor) -> None:
    story = list(minutes("7"))
    with serve(tmp_path, mosquitto) as (station, database):
        store(database, story)
        visited = visit(station.url)
        shows(visited, packets_of(story))

        station.kill()
        expect(visited.page.locator("#connection")).to_have_text("Disconnected. Retrying…")
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
    with serve(tmp_path, mosquitto) as (station, database):
        store(database, list(minutes(name, count=20)))
        visited = visit(station.url)

        expect(visited.page.locator("h1:visible")).to_have_text(f"Node {name}")
        assert visited.page.locator("img:not(.logo)").count() == 0
