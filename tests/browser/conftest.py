"""A browser, and visits whose pages may neither fail nor ask anybody else for anything."""

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
