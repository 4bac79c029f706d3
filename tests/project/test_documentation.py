"""What is documented is what exists: every setting, metric and command, every link, and both languages."""

import argparse
import re
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import unquote

import pytest

import reference_pages
from aoii import settings
from aoii.commands import main
from aoii.runtime import metrics

ROOT = Path(__file__).parents[2]
REFERENCE = ROOT / "docs" / "reference"
PAGES = sorted(
    [
        *ROOT.glob("*.md"),
        *(page for folder in ("docs", "deploy", "benchmarks") for page in (ROOT / folder).rglob("*.md")),
    ]
)
KOREAN = {  # an English page and its Korean twin
    "README.md": "README.ko.md",
    "docs/howto/MONITORING.md": "docs/ko/MONITORING.md",
    "docs/howto/backup.md": "docs/ko/백업과_복원.md",
    "docs/howto/move-from-the-older-installation.md": "docs/ko/기존_설치에서_옮기기.md",
    "docs/howto/MQTT.md": "docs/ko/MQTT.md",
    "docs/howto/deploy-with-systemd.md": "docs/ko/systemd로_배포하기.md",
    "docs/howto/deploy-with-compose.md": "docs/ko/Compose로_배포하기.md",
    "docs/howto/raspberry-pi.md": "docs/ko/라즈베리_파이.md",
    "docs/howto/two-gateways.md": "docs/ko/게이트웨이_두_대.md",
    "docs/howto/real-hardware.md": "docs/ko/실제_하드웨어.md",
    "docs/howto/old-firmware.md": "docs/ko/이전_펌웨어_노드.md",
    "docs/howto/flash-a-node.md": "docs/ko/펌웨어_굽기.md",
    "docs/howto/setup.md": "docs/ko/설정하기.md",
    "docs/howto/install.md": "docs/ko/설치하기.md",
    "docs/howto/secure.md": "docs/ko/안전하게_설치하기.md",
    "docs/howto/dead-letters.md": "docs/ko/데드_레터.md",
    "docs/howto/durability.md": "docs/ko/내구성.md",
    "docs/howto/after-a-loss.md": "docs/ko/장비를_잃은_뒤.md",
    "docs/howto/retention.md": "docs/ko/데이터_보존.md",
    "docs/howto/web-page.md": "docs/ko/웹_페이지.md",
    "docs/tutorial/board-in-hand.md": "docs/ko/보드를_손에_들고.md",
    "docs/tutorial/first-ten-minutes.md": "docs/ko/처음_10분.md",
}
# what the demo tells its children; what the fault campaign and a service manager tell a station; how wide help is
NOT_SETTINGS = {"AOII_PARENT_PID", "AOII_FAILPOINT", "NOTIFY_SOCKET", "WATCHDOG_PID", "WATCHDOG_USEC", "COLUMNS"}


def text_of(page: Path) -> str:
    return page.read_text(encoding="utf-8")


def prose(page: Path) -> str:
    """The page without its code blocks."""
    return re.sub(r"^( *)```.*?^\1```$", "", text_of(page), flags=re.MULTILINE | re.DOTALL)


def headings(page: Path) -> list[str]:
    return re.findall(r"^#+ .*$", prose(page), re.MULTILINE)


def anchor(heading: str) -> str:
    """The anchor that hosts of Markdown make of a heading."""
    return re.sub(r"[^\w\- ]", "", heading.lstrip("# ").lower()).replace(" ", "-")


def commands(parser: argparse.ArgumentParser, name: str = "aoii") -> Iterator[tuple[str, argparse.ArgumentParser]]:
    """Every command and subcommand with its parser, by the words that a person types."""
    yield name, parser
    for word, child in reference_pages.subcommands(parser).items():
        yield from commands(child, f"{name} {word}")


@pytest.mark.parametrize("path", reference_pages.pages(), ids=str)
def test_a_page_that_is_made_from_the_code_is_up_to_date(path: Path) -> None:
    written = text_of(ROOT / path)

    # Word by word: how the help of a command is wrapped differs between versions of Python.
    assert written.split() == reference_pages.pages()[path].split()


def test_the_pages_name_every_setting_and_every_metric() -> None:
    assert all(f"`{name}`" in text_of(REFERENCE / "settings.md") for name in settings.BY_NAME)
    assert all(f"`{name}`" in text_of(REFERENCE / "metrics.md") for name, *_ in metrics.DECLARED.values())
    assert all(f"#{name}=" in text_of(ROOT / ".env.example") for name in settings.BY_NAME)


def test_no_page_uses_the_old_name_of_a_metric() -> None:
    generated_or_history = {REFERENCE / "metrics.md", ROOT / "CHANGELOG.md"}

    for page in set(PAGES) - generated_or_history:
        assert not [old for old in metrics.RENAMED if re.search(rf"\b{old}\b", text_of(page))], page.name


def test_every_variable_that_the_source_reads_is_a_setting() -> None:
    source = "\n".join(path.read_text(encoding="utf-8") for path in (ROOT / "src").rglob("*.py"))

    read = set(re.findall(r'environ(?:\.get\(|\[)"(\w+)"|getenv\("(\w+)"', source))

    assert {first or second for first, second in read} <= settings.BY_NAME.keys() | NOT_SETTINGS


def test_every_metric_is_declared_in_one_file_and_nowhere_else() -> None:
    made = {
        str(path.relative_to(ROOT))
        for path in (ROOT / "src").rglob("*.py")
        if re.search(r"\b(Counter|Gauge|Histogram|Summary|Info|Enum)\(\s*\"aoii_", path.read_text(encoding="utf-8"))
    }

    assert made <= {"src/aoii/runtime/metrics.py"}


def test_every_command_and_every_option_is_on_the_page_of_the_commands() -> None:
    page = text_of(REFERENCE / "cli.md")

    for name, parser in commands(main.build_parser()):
        assert f" {name}\n" in page
        for option in (option for action in parser._actions for option in action.option_strings):
            assert option in page, f"{name} {option}"


def test_every_station_is_in_both_readmes() -> None:
    words = {name.split()[1] for name, _ in commands(main.build_parser()) if " " in name}

    for page in (ROOT / "README.md", ROOT / "README.ko.md"):
        text = text_of(page)
        assert not [word for word in words if f"`aoii {word}" not in text], page.name


REPLACED = {"aoii board", "aoii keys"}  # commands that pages about the past name


def test_every_command_that_a_page_shows_exists() -> None:
    known = {name for name, _ in commands(main.build_parser())}
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))

    for page in PAGES:
        shown = set(re.findall(r"(?:^|`|\.venv/bin/)(aoii [a-z]+)\b", text_of(page), re.MULTILINE))
        tells_history = page.name == "CHANGELOG.md" or page.parent.name == "decisions"
        assert shown <= known | (REPLACED if tells_history else set()), page.name
        made = set(re.findall(r"(?:^|`)make ([a-z-]+)\b", text_of(page), re.MULTILINE))
        assert made <= targets, page.name


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_every_link_and_image_of_a_page_is_there(page: Path) -> None:
    for target in re.findall(r"\]\(([^)\s]+)\)", prose(page)):
        if re.match(r"[a-z]+:", target):
            continue
        path, _, fragment = unquote(target).partition("#")
        linked = (page.parent / path) if path else page
        assert linked.exists(), f"{page.name} links to {target}"
        if fragment:
            assert fragment in {anchor(heading) for heading in headings(linked)}, f"{page.name} links to {target}"


@pytest.mark.parametrize(("english", "korean"), KOREAN.items())
def test_a_page_and_its_korean_twin_have_the_same_shape(english: str, korean: str) -> None:
    ours, theirs = ROOT / english, ROOT / korean

    assert shape(ours) == shape(theirs)
    assert re.search("[가-힣]", text_of(theirs))


def shape(page: Path) -> list[list[str]]:
    """The depths of its headings, its lists, the columns of each row of its tables, and its blocks of code."""
    lists = re.findall(r"^( *(?:-|\d+\.)) ", prose(page), re.MULTILINE)
    rows = re.findall(r"^\|.*", prose(page), re.MULTILINE)
    blocks = re.findall(r"^ *```\w*\n.*?^ *```$", text_of(page), re.MULTILINE | re.DOTALL)
    return [
        [heading.split()[0] for heading in headings(page)],
        lists,
        [re.sub(r"[^|]|\\\|", "", row) for row in rows],
        [re.sub(r"(^|\s+)#.*", "", block, flags=re.MULTILINE) for block in blocks],  # comments are translated
    ]


SAVING = {"two packets where send-on-delta needs three": "was chosen", "세 개 보낼 때 두 개": "고를 때"}


@pytest.mark.parametrize("name", ["README.md", "README.ko.md", "CHANGELOG.md", "docs/explanation/learning.md"])
def test_a_page_that_says_what_the_learning_saves_says_on_what_it_was_measured_and_what_it_saves_elsewhere(
    name: str,
) -> None:
    text = text_of(ROOT / name)
    said = [(line, where) for line in text.splitlines() for words, where in SAVING.items() if words in line]

    assert said
    assert all(where in line for line, where in said)
    assert re.search(r"\b35(?: series that nobody tuned to|개 시계열)", text)
    assert "0.86" in text


@pytest.mark.parametrize("page", ["docs/howto/dead-letters.md", "docs/ko/데드_레터.md", "docs/ko/장애_대응.md"])
def test_every_log_sentence_that_an_operator_looks_for_is_logged(page: str) -> None:
    source = "\n".join(path.read_text(encoding="utf-8") for path in (ROOT / "src").rglob("*.py"))

    quoted = set(re.findall(r"`([a-z]+(?:,? [a-z]+)+)`", prose(ROOT / page)))
    sentences = {words for words in quoted if words.split()[0] not in {"aoii", "make", "systemctl"}}

    assert sentences
    assert [words for words in sentences if f'"{words}"' not in source] == []


@pytest.mark.parametrize("page", ["docs/howto/MQTT.md", "docs/ko/MQTT.md"])
def test_every_refusal_that_the_page_about_mqtt_explains_is_one_that_a_station_reports(page: str) -> None:
    source = "\n".join(path.read_text(encoding="utf-8") for path in (ROOT / "src").rglob("*.py"))

    explained = re.findall(
        r"^\| (?:the certificate of … )?([a-z][\w ]+) \| (?:`tls`|none|없음) \|", text_of(ROOT / page), re.MULTILINE
    )

    assert len(explained) == 8
    assert [words for words in explained if words not in source] == []


def test_the_korean_page_of_the_alerts_has_each_with_its_severity() -> None:
    ours = set(re.findall(r"\[(\w+)\]\(\S+\) \| (\w+) \|", text_of(ROOT / "docs" / "ko" / "알림별_조치.md")))
    theirs = set(re.findall(r"\[(\w+)\]\(\S+\) \| (\w+) \|", text_of(ROOT / "docs" / "runbooks" / "README.md")))

    assert len(theirs) > 25
    assert ours == theirs


def test_the_korean_terms_are_those_of_the_glossary() -> None:
    rows = [
        [cell.strip() for cell in line.split("|")[1:-1]]
        for line in text_of(REFERENCE / "glossary.md").splitlines()
        if line.startswith("|")
    ]
    known = {word for row in rows for word in row[1].split(", ")}
    terms = re.findall(r"^\| ([가-힣].*?) \|", text_of(ROOT / "docs" / "ko" / "용어.md"), re.MULTILINE)

    assert {len(row) for row in rows} == {5}
    assert len(terms) > 30
    assert {word for term in terms for word in term.split(", ")} - {"용어", "영어"} <= known


def test_every_page_is_reached_from_the_table_of_contents() -> None:
    start = ROOT / "docs" / "index.md"
    reached, left = set(), [start]
    while left:
        page = left.pop()
        if page in reached or page.suffix != ".md" or not page.exists():
            continue
        reached.add(page)
        targets = re.findall(r"\]\(([^)\s#]+)", prose(page))
        left += [(page.parent / unquote(target)).resolve() for target in targets if ":" not in target]

    assert [page for page in PAGES if page.resolve() not in reached] == []


def test_nothing_of_the_place_where_it_was_written_is_on_a_page() -> None:
    for page in PAGES:
        assert not re.search(r"/root/", text_of(page)), page.name
