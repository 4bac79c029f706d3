"""The page as a whole: every section in its order, and a folder without recordings."""

from pathlib import Path

import pytest

from aoii.core.errors import InputError
from aoii.lab import report
from aoii.lab.report import write_report


def test_sections_are_written_in_order_and_empty_ones_are_left_out(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(report, "SECTIONS", (lambda _: "# A\n", lambda _: "", lambda material: f"## {material.seed}\n"))

    write_report(None, tmp_path / "deep" / "page.md", 5)

    assert (tmp_path / "deep" / "page.md").read_text() == "# A\n\n## 5\n"


def test_a_folder_without_recordings_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="has no recordings"):
        write_report(tmp_path, tmp_path / "page.md", 1)
