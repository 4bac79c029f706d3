"""Words that the glossary has replaced do not come back: not in a name, and those in quotes not in text either."""

import ast
import io
import re
import tokenize
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[2]
GLOSSARY = ROOT / "docs" / "reference" / "glossary.md"
PYTHON = sorted(path for folder in ("src", "tests", "benchmarks") for path in (ROOT / folder).rglob("*.py"))
SCRIPTS = sorted(path for path in (ROOT / "src/aoii/web/static").rglob("*.js") if "vendor" not in path.parts)
LISTS = {"glossary.md", "metrics.md"}  # of retired words; of labels, which keep their values
PAGES = sorted(
    [
        *(page for page in ROOT.glob("*.md") if page.name != "CHANGELOG.md"),
        *(page for page in (ROOT / "docs").rglob("*.md") if "decisions" not in page.parts and page.name not in LISTS),
        *(ROOT / "deploy").rglob("*.md"),
    ]
)  # a changelog and a decision say what was, in the words of their day


@dataclass(frozen=True)
class Retired:
    """What may not be used any more: words that are part of a name, and phrases of text."""

    words: frozenset[str]
    phrases: tuple[str, ...]


def retired(table: str) -> Retired:
    """The last column of every table row: `"parked", park` is a phrase and a word."""
    words, phrases = set(), []
    for row in re.findall(r"^\|(.+)\|$", table, re.MULTILINE):
        last = row.split("|")[-1]
        phrases += re.findall(r'"([^"]+)"', last)
        words |= {word.strip(" `") for word in re.sub(r'"[^"]+"', "", last).split(",")}
    return Retired(
        frozenset(words - {"", "Replaces"} - {word for word in words if set(word) <= {"-", " "}}), tuple(phrases)
    )


FOUND = retired(GLOSSARY.read_text(encoding="utf-8"))


def words_of(name: str) -> set[str]:
    """The words of a name, in lower case and singular, and the name itself."""
    parts = re.findall(r"[A-Z]?[a-z]+|[A-Z]+(?![a-z])", name)
    return {name} | {part.lower() for part in parts} | {part.lower().removesuffix("s") for part in parts}


def names(source: str) -> Iterator[tuple[int, str]]:
    """Every name that a program defines or uses, with its line."""
    for node in ast.walk(ast.parse(source)):
        for field in ("id", "attr", "name", "arg", "asname"):
            name = getattr(node, field, None)
            if isinstance(name, str):
                yield getattr(node, "lineno", 0), name


def remarks(source: str) -> Iterator[tuple[int, str]]:
    """Every comment and docstring, with its line; what stands in backquotes is a name and left out."""
    for token in tokenize.generate_tokens(io.StringIO(source).readline):
        if token.type == tokenize.COMMENT or (token.type == tokenize.STRING and token.string.startswith('"""')):
            yield token.start[0], re.sub(r"`[^`]*`", "", token.string)


def test_the_column_is_read_as_it_is_meant() -> None:
    table = '| Term | Meaning | From | Replaces |\n|---|---|---|---|\n| a | b | c | "is parked", park, `PeerError` |\n'

    assert retired(table) == Retired(frozenset({"park", "PeerError"}), ("is parked",))


def test_a_word_is_found_inside_a_name() -> None:
    assert {"belief", "PeerError"} & words_of("last_beliefs") == {"belief"}
    assert {"belief", "PeerError"} & words_of("heldBelief") == {"belief"}
    assert {"belief", "PeerError"} & words_of("PeerError") == {"PeerError"}
    assert not {"belief", "plan"} & words_of("explanation")


def test_the_glossary_has_replaced_something() -> None:
    assert len(FOUND.words) > 20


def place(path: Path, line: int) -> str:
    return f"{path.relative_to(ROOT).as_posix()}:{line}"


def test_no_name_has_a_word_that_was_replaced() -> None:
    found = {
        f"{place(path, line)}: {name}"
        for path in PYTHON
        for line, name in [(0, path.stem), *names(path.read_text(encoding="utf-8"))]
        if FOUND.words & words_of(name)
    }

    assert sorted(found) == []


def test_no_name_of_the_page_has_a_word_that_was_replaced() -> None:
    found = set()
    for path in SCRIPTS:
        code = re.sub(r"""//.*|/\*.*?\*/|"[^"\n]*"|`[^`]*`""", "", path.read_text(encoding="utf-8"), flags=re.DOTALL)
        found |= {f"{path.name}: {name}" for name in re.findall(r"[A-Za-z_]\w*", code) if FOUND.words & words_of(name)}

    assert sorted(found) == []


def test_no_text_has_a_phrase_that_was_replaced() -> None:
    found = set()
    for path in [*PAGES, *PYTHON]:
        text = path.read_text(encoding="utf-8")
        lines = remarks(text) if path.suffix == ".py" else enumerate(re.sub(r"`[^`]*`", "", text).splitlines(), 1)
        for line, said in lines:
            found |= {f"{place(path, line)}: {it}" for it in FOUND.phrases if re.search(rf"\b{it}\b", said)}

    assert sorted(found) == []
