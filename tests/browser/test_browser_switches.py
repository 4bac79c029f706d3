"""The switches of a demo in a real browser; a page that is no demo shows none."""

from pathlib import Path

from playwright.sync_api import expect

from aoii.runtime import switches
from aoii.runtime.switches import Switches
from aoii.server.db import open_database
from browser.pages import PHONE, Visitor, loaded
from servers import until
from web.station import WebStation


def test_a_demo_has_switches_that_say_what_they_break_and_what_is_broken(tmp_path: Path, visit: Visitor) -> None:
    file = tmp_path / "switches.json"
    switches.write(file, Switches(frozenset(switches.SWITCHES)))
    web = WebStation(tmp_path / "demo", EDGE_SWITCHES_FILE=file)
    open_database(loaded(web).database, migrate=True).close()
    with web:
        visited = visit(f"{web.url}/#pipeline")
        page = visited.page
        broker = page.get_by_role("checkbox", name="broker")
        expect(page.get_by_role("region", name="Break it").get_by_role("checkbox")).to_have_count(5)
        expect(broker).not_to_be_checked()
        expect(page.get_by_text("broker works")).to_be_visible()

        broker.focus()
        page.keyboard.press("Space")
        until(lambda: switches.read(file).broken == {"broker"})
        expect(page.get_by_text("broker broken")).to_be_visible()
        assert visited.barriers() == []
        visited.shot("broken", whole=True)

        page.get_by_role("button", name="한국어").click()
        expect(page.get_by_role("checkbox", name="브로커 고장")).to_be_checked()
        page.set_viewport_size({"width": 360, "height": PHONE["height"]})
        assert page.evaluate("document.documentElement.scrollWidth") == 360
        visited.shot("broken-korean-phone", whole=True)
        page.get_by_role("checkbox", name="브로커 고장").uncheck()
        until(lambda: switches.read(file).broken == frozenset())


def test_a_page_that_is_no_demo_shows_no_switches(tmp_path: Path, visit: Visitor) -> None:
    web = WebStation(tmp_path / "field")
    open_database(loaded(web).database, migrate=True).close()
    with web:
        page = visit(f"{web.url}/#pipeline").page
        expect(page.locator("#verdict")).not_to_be_empty()
        expect(page.locator("#switches")).to_be_hidden()
