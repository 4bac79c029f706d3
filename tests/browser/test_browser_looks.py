"""Every page in each language and colour scheme, on desktop and phone: legible, nothing cut off, all translated.

The screenshots in the test's temporary folder are for people: look at them after a change of the design.
"""

import itertools
import secrets
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import expect

from aoii.broker.node_liveness import NodeLiveness
from browser.pages import DESK, PHONE, Visitor, say, serve
from servers import Mosquitto
from web.recorded import START_MS, minutes, store

PAGES = {
    "fleet": ("#fleet", ".tile"),
    "node": ("#node=1", "#packets"),
    "range": ("#node=2&from=2016-01-01T00:00:00Z&to=2016-01-01T03:00:00Z", "#accuracy"),
    "pipeline": ("#pipeline", ".hop-state"),
}
NORMAL, LARGE = 4.5, 3.0  # WCAG 2.2, 1.4.3; large is 24 px, or bold from 18.66 px

# Texts whose contrast with what lies behind them is too low: [text, ratio].
FAINT = """([normal, large]) => {
  const paper = document.createElement("canvas").getContext("2d", {willReadFrequently: true});
  const rgba = (colour) => {
    paper.clearRect(0, 0, 1, 1);
    paper.fillStyle = colour;
    paper.fillRect(0, 0, 1, 1);
    const [r, g, b, a] = paper.getImageData(0, 0, 1, 1).data;
    return [r, g, b, a / 255];
  };
  const over = (top, below) => [0, 1, 2].map((n) => top[n] * top[3] + below[n] * (1 - top[3]));
  const ground = (element) => {
    if (!element) return [255, 255, 255];
    const own = rgba(getComputedStyle(element).backgroundColor);
    return own[3] === 1 ? own.slice(0, 3) : over(own, ground(element.parentElement));
  };
  const light = (rgb) => {
    const [r, g, b] = rgb.map((v) => v / 255).map((v) => (v <= 0.04045 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4));
    return 0.2126 * r + 0.7152 * g + 0.0722 * b;
  };
  const faint = [];
  const walk = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  while (walk.nextNode()) {
    const element = walk.currentNode.parentElement;
    const text = walk.currentNode.data.trim();
    if (!text || !element.checkVisibility() || element.closest("script, noscript, .skip")) continue;
    const style = getComputedStyle(element);
    const behind = ground(element);
    const [one, other] = [light(over(rgba(style.color), behind)), light(behind)].sort((a, b) => b - a);
    const ratio = (one + 0.05) / (other + 0.05);
    const size = parseFloat(style.fontSize);
    const isLarge = size >= 24 || (size >= 18.66 && Number(style.fontWeight) >= 700);
    if (ratio < (isLarge ? large : normal)) faint.push([text, ratio]);
  }
  return faint;
}"""
# Elements that a finger cannot hit well, or that a keyboard reaches without a name.
NAMELESS = """() => [...document.querySelectorAll("a, button, input, [tabindex='0']")]
  .filter((element) => element.checkVisibility())
  .filter((element) => !(element.getAttribute("aria-label") || element.getAttribute("aria-labelledby")
    || element.labels?.length || element.textContent.trim()))
  .map((element) => element.outerHTML)"""


@pytest.fixture(scope="module")
def url(tmp_path_factory: pytest.TempPathFactory, mosquitto: Mosquitto) -> Iterator[str]:
    """Six nodes in all states of liveness, two of them without a log, and one that is only expected."""
    now = START_MS / 1000 + 400 * 60
    folder = tmp_path_factory.mktemp("looks")
    with serve(folder, mosquitto, CLOCK_SPEED=0.01, CLOCK_START_UNIX_S=now, WEB_NODES="1-7") as (station, database):
        for node in range(1, 7):
            story = list(minutes(str(node), count=200 if node == 5 else 400, shift=200 * node, loses_every=9))
            store(database, story, logs=node not in (3, 4))
        said: tuple[NodeLiveness, ...] = "ok", "late", "unknown", "ok", "dead", "sensor_fault"
        say(station, {str(node): liveness for node, liveness in enumerate(said, 1)})
        yield f"{station.url}/"


@pytest.mark.parametrize("name", PAGES)
def test_a_page_is_legible_and_whole_in_every_language_scheme_and_size(name: str, url: str, visit: Visitor) -> None:
    advariant, sign = PAGES[name]
    visited = visit(f"{url}{advariant}")
    page = visited.page
    expect(page.locator(sign).first).not_to_be_empty()
    if name in ("node", "range"):
        visited.draws("temp", "estimate", 100)

    for width, size in (("desk", DESK), ("phone", PHONE)):
        page.set_viewport_size({"width": size["width"], "height": size["height"]})
        for language, button in (("en", "English"), ("ko", "한국어")):
            page.get_by_role("button", name=button).click()
            expect(page.locator("html")).to_have_attribute("lang", language)
            for scheme in ("light", "dark"):
                page.emulate_media(color_scheme=scheme)
                variant = f"{name}-{width}-{scheme}-{language}"
                assert page.evaluate(FAINT, [NORMAL, LARGE]) == [], variant
                assert page.evaluate(NAMELESS) == [], variant
                assert page.evaluate("document.documentElement.scrollWidth") == size["width"], variant
                assert "undefined" not in page.evaluate("document.body.innerText"), variant
                visited.shot(variant, whole=True)


@pytest.mark.parametrize("name", PAGES)
def test_axe_finds_no_barrier_on_a_page(name: str, url: str, visit: Visitor) -> None:
    address, sign = PAGES[name]
    visited = visit(f"{url}{address}")
    page = visited.page
    expect(page.locator(sign).first).not_to_be_empty()
    for summary in page.locator("summary:visible").all():  # the tables behind the charts are looked at too
        summary.click()

    for scheme in ("light", "dark"):
        page.emulate_media(color_scheme=scheme)
        assert visited.barriers() == [], scheme


def test_axe_finds_a_barrier_when_there_is_one(url: str, visit: Visitor) -> None:
    visited = visit(f"{url}#fleet")
    expect(visited.page.locator(".tile")).to_have_count(7)

    visited.page.locator("h1:visible").evaluate("(heading) => { heading.style.color = '#ddd'; }")

    assert [rule for _, rule, _ in visited.barriers()] == ["color-contrast"]


def test_what_is_faint_or_nameless_is_found(url: str, visit: Visitor) -> None:
    page = visit(f"{url}#fleet").page
    expect(page.locator(".tile")).to_have_count(7)

    page.evaluate("document.documentElement.style.setProperty('--muted', '#8a97a5')")
    page.evaluate("document.querySelector('#search').removeAttribute('aria-label')")

    faint = [text for text, ratio in page.evaluate(FAINT, [NORMAL, LARGE])]
    assert "7 nodes" in faint
    assert "Measurement times, in your time zone." in faint
    assert len(page.evaluate(NAMELESS)) == 1


def test_a_node_without_packets_has_a_page_that_says_so(url: str, visit: Visitor) -> None:
    page = visit(f"{url}#node=7").page

    expect(page.locator("#node-states")).to_have_text("unknown")
    expect(page.locator("#last")).to_have_text("never")
    expect(page.locator("#accuracy-more")).to_have_text("no packets received")
    expect(page.get_by_role("img", name="Temperature, °C of node 7: no data yet.")).to_be_visible()


def test_headings_and_landmarks_are_in_order_on_every_page(url: str, visit: Visitor) -> None:
    visited = visit(f"{url}#fleet")
    page = visited.page

    for advariant, sign in PAGES.values():
        page.evaluate("(hash) => { location.hash = hash; }", advariant)
        expect(page.locator(f"{sign}:visible").first).not_to_be_empty()

        assert page.locator("h1:visible").count() == 1
        levels = page.evaluate(
            "[...document.querySelectorAll('h1,h2,h3')].filter((e) => e.checkVisibility()).map((e) => +e.tagName[1])"
        )
        assert levels[0] == 1
        assert all(after - before <= 1 for before, after in itertools.pairwise(levels))
        assert page.get_by_role("main").count() == 1
        assert page.get_by_role("banner").count() == 1
        assert page.get_by_role("contentinfo").count() == 1


def test_the_keyboard_goes_from_the_skip_link_through_the_page_in_the_order_of_reading(
    url: str, visit: Visitor
) -> None:
    visited = visit(f"{url}#fleet")
    page = visited.page
    expect(page.locator(".tile")).to_have_count(7)

    page.keyboard.press("Tab")
    expect(page.get_by_role("link", name="Skip to content")).to_be_focused()
    visited.shot("skip")
    page.keyboard.press("Enter")
    expect(page.locator("#main")).to_be_focused()
    page.keyboard.press("Tab")
    expect(page.locator(".filter").first).to_be_focused()
    assert page.evaluate("getComputedStyle(document.activeElement).outlineStyle") == "solid"
    assert visited.page.url.endswith("#fleet")


def test_a_page_whose_session_has_ended_leads_to_the_form_which_is_legible_too(
    tmp_path: Path, mosquitto: Mosquitto, visit: Visitor
) -> None:
    token = secrets.token_hex()
    with serve(tmp_path, mosquitto, WEB_TOKEN=token) as (station, database):
        store(database, list(minutes("1", count=30)))
        visited = visit(f"{station.url}/")
        page = visited.page
        for scheme in ("light", "dark"):
            page.emulate_media(color_scheme=scheme)
            assert page.evaluate(FAINT, [NORMAL, LARGE]) == []
            visited.shot(f"form-{scheme}")
        page.locator("input[type=password]").fill(token)
        page.keyboard.press("Enter")
        expect(page.locator("h1:visible")).to_have_text("Node 1")

        page.context.clear_cookies()
        page.locator("#pipeline-tab").click()

        expect(page.locator("input[type=password]")).to_be_visible()
        refused = [text for text in visited.errors if "401" not in text]
        assert refused == []
        visited.errors.clear()  # the browser itself complains of the refusal


def test_the_empty_page_is_legible(tmp_path: Path, mosquitto: Mosquitto, visit: Visitor) -> None:
    with serve(tmp_path, mosquitto) as (station, _):
        visited = visit(station.url)
        expect(visited.page.get_by_role("heading", name="No readings yet")).to_be_visible()

        for scheme in ("light", "dark"):
            visited.page.emulate_media(color_scheme=scheme)
            assert visited.page.evaluate(FAINT, [NORMAL, LARGE]) == []
            visited.shot(f"empty-{scheme}", whole=True)
