"""Advice that can be followed in a clone and in an installed wheel."""

import ast
import re
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

import aoii
from aoii.runtime import advice

PACKAGE = Path(aoii.__file__).parent
OF_THE_CLONE = re.compile(
    r"\b(docs|deploy|scripts|tests|benchmarks|requirements)/|`make |\bmake (run|test|lint|docs)\b"
)
WRITES_THERE = {"commands/lab/report.py"}  # names a page that it makes, not one that is there


@pytest.fixture
def in_a_wheel(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(advice, "is_clone", lambda: False)


def test_a_clone_has_its_documents_and_scripts() -> None:
    assert advice.is_clone()
    assert advice.document("docs/reference/lab.md") == "docs/reference/lab.md"
    assert advice.install_lab() == "`scripts/set-up test`"


def test_a_wheel_names_the_repository_and_the_packages(in_a_wheel: None) -> None:
    assert re.fullmatch(r"https://\S+, docs/reference/lab\.md", advice.document("docs/reference/lab.md"))
    assert advice.install_lab().startswith(f"`{sys.executable} -m pip install 'matplotlib>=")
    assert "starlette" not in advice.install_lab()


def texts_without_advice(tree: ast.AST) -> Iterator[ast.Constant]:
    """The texts of a program that are neither docstrings nor handed to `document`."""
    for child in ast.iter_child_nodes(tree):
        if isinstance(child, ast.Expr) and isinstance(child.value, ast.Constant):
            continue
        if isinstance(child, ast.Call) and ast.unparse(child.func).endswith("document"):
            continue
        if isinstance(child, ast.Constant) and isinstance(child.value, str):
            yield child
        yield from texts_without_advice(child)


def test_no_message_names_a_file_or_a_command_that_only_a_clone_has() -> None:
    found = []
    for path in sorted(PACKAGE.rglob("*.py")):
        name = path.relative_to(PACKAGE).as_posix()
        if name not in {*WRITES_THERE, "runtime/advice.py"}:
            tree = ast.parse(path.read_text(encoding="utf-8"))
            found += [f"{name}:{text.lineno}: {text.value!r}" for text in texts_without_advice(tree)
                      if OF_THE_CLONE.search(str(text.value))]  # fmt: skip

    assert found == []
    assert all((advice.ROOT / path).exists() for path in named_documents())


def named_documents() -> set[str]:
    """Every path that some message hands to `document`."""
    sources = "".join(path.read_text(encoding="utf-8") for path in PACKAGE.rglob("*.py"))
    return set(re.findall(r"document\([\"']([^\"']+)[\"']\)", sources))
