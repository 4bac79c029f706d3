"""A browser, and pages that must not fail and must not send requests to other servers."""

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, ConsoleMessage, Error, Request, sync_playwright

from browser.pages import DESK, Visit, Visitor
from servers import AS_ROOT

FLAGS = ["--disable-background-networking", "--disable-component-update", "--disable-sync", "--no-first-run"]


@pytest.fixture(scope="module")  # Playwright keeps an event loop running in this thread; other modules want none
def browser() -> Iterator[Browser]:
    program = shutil.which("chromium") or "/usr/bin/chromium"
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=program, args=[*FLAGS, *(["--no-sandbox"] if AS_ROOT else [])]
        )
        yield browser
        browser.close()


@pytest.fixture
def visit(browser: Browser, tmp_path: Path) -> Iterator[Visitor]:
    """Opens pages; at the end checks that none has failed or sent a request to another server."""
    visits: list[tuple[Visit, str]] = []

    def open_page(url: str, **options: object) -> Visit:
        page = browser.new_page(**{"viewport": DESK, "timezone_id": "UTC", "locale": "en-GB"} | options)  # type: ignore[arg-type]  # by name
        visited = Visit(page, tmp_path)

        def on_console(message: ConsoleMessage) -> None:
            if message.type in ("error", "warning"):
                visited.errors.append(message.text)

        def on_error(error: Error) -> None:
            visited.errors.append(str(error))

        def on_request(request: Request) -> None:
            visited.requests.append(request.url)

        page.on("console", on_console)
        page.on("pageerror", on_error)
        page.on("request", on_request)
        page.goto(url)
        visits.append((visited, url.partition("#")[0]))
        return visited

    yield open_page
    for visited, url in visits:
        assert visited.errors == []
        assert [asked for asked in visited.requests if not asked.startswith(url)] == []
        visited.page.close()
