"""The documentation site: what its pages are gathered from, where their links lead, and what the navigation names.

The site itself is built here when its environment is there (`make docs-site` makes it), and in the build's own job.
"""

import hashlib
import re
import subprocess
from pathlib import Path
from typing import Any

import pytest

import docs_site

ROOT = Path(__file__).parents[2]
ENVIRONMENT = ROOT / "build" / "docs"
ELSEWHERE = "https://example.org/aoii"
PLACES = {"README.md": "index.md", "docs/howto/MQTT.md": "howto/MQTT.md", "docs/images/page.png": "images/page.png"}


def named(nav: list[Any]) -> list[str]:
    """Every page of a navigation, in its order."""
    pages = []
    for entry in nav:
        for value in entry.values() if isinstance(entry, dict) else [entry]:
            pages += [value] if isinstance(value, str) else named(value)
    return pages


@pytest.mark.parametrize(
    ("file", "link", "there"),
    [
        ("README.md", "docs/howto/MQTT.md", "howto/MQTT.md"),
        ("README.md", "docs/howto/MQTT.md#1-make", "howto/MQTT.md#1-make"),
        ("README.md", "docs/images/page.png", "images/page.png"),
        ("docs/howto/MQTT.md", "../../README.md", "../index.md"),
        ("docs/howto/MQTT.md", "#here", "#here"),
        ("docs/howto/MQTT.md", "https://example.com/a", "https://example.com/a"),
        ("README.md", "LICENSE", f"{ELSEWHERE}/blob/main/LICENSE"),
        ("docs/howto/MQTT.md", "../../deploy", f"{ELSEWHERE}/tree/main/deploy"),
        ("README.md", "docs/nowhere.md", "docs/nowhere.md"),  # left as it is, for the builder to complain about
    ],
)
def test_a_link_leads_to_the_same_thing_from_the_site(file: str, link: str, there: str) -> None:
    moved = docs_site.relinked(f"Read [this]({link}).", file, PLACES, ELSEWHERE)

    assert moved == f"Read [this]({there})."


def test_what_looks_like_a_link_in_code_stays() -> None:
    text = "Read:\n\n```python\ntable[0](docs/howto/MQTT.md)\n```\n"

    assert docs_site.relinked(text, "README.md", PLACES, ELSEWHERE) == text


def test_the_navigation_names_every_page_that_is_gathered_once_and_no_other(tmp_path: Path) -> None:
    docs_site.gather(tmp_path / "out")

    pages = {path.relative_to(tmp_path / "out" / "pages").as_posix() for path in tmp_path.rglob("*.md")}
    navigation = named(docs_site.navigation(docs_site.places()))
    assert set(navigation) == pages
    assert len(navigation) == len(pages)


def test_there_is_a_page_for_every_module() -> None:
    modules = docs_site.modules()

    assert "aoii" in modules
    assert "aoii.core.link" in modules
    assert len(modules) == len(set(named(docs_site.code_navigation())))


def test_a_page_in_both_languages_leads_to_the_other_one(tmp_path: Path) -> None:
    docs_site.gather(tmp_path / "out")

    pages = tmp_path / "out" / "pages"
    assert "\n[한국어](../ko/MQTT.md)\n" in (pages / "howto" / "MQTT.md").read_text(encoding="utf-8")
    assert "\n[English](../howto/MQTT.md)\n" in (pages / "ko" / "MQTT.md").read_text(encoding="utf-8")
    assert "\n[English](../index.md)\n" in (pages / "ko" / "index.md").read_text(encoding="utf-8")


def test_a_page_that_the_table_of_contents_lacks_is_refused() -> None:
    found = docs_site.places() | {"docs/howto/forgotten.md": "howto/forgotten.md"}

    with pytest.raises(SystemExit, match=r"does not list docs/howto/forgotten\.md"):
        docs_site.navigation(found)


def test_the_site_is_built_without_a_link_that_leads_nowhere(tmp_path: Path) -> None:
    lock = (ROOT / "requirements" / "docs.txt").read_bytes()
    made = ENVIRONMENT / "made"
    if not made.exists() or hashlib.sha256(lock).hexdigest() not in made.read_text():
        pytest.skip("`make docs-site` has not made the environment of the site here")
    docs_site.gather(tmp_path / "site")
    config = tmp_path / "site" / "mkdocs.yml"
    config.write_text(config.read_text(encoding="utf-8").replace("../../src", str(ROOT / "src")), encoding="utf-8")

    done = subprocess.run(
        [ENVIRONMENT / "bin" / "zensical", "build", "--strict"],
        cwd=config.parent, capture_output=True, text=True, check=False,
    )  # fmt: skip

    assert done.returncode == 0, done.stdout + done.stderr
    timing = config.parent / "site" / "code" / "aoii" / "core" / "link_timing" / "index.html"
    # `Attributes:` of a docstring, as a table.
    row = r">backoff_limit_ms</span></code></td>.{,300}Upper limit of all pauses"
    assert re.search(row, timing.read_text(encoding="utf-8"), re.DOTALL)
