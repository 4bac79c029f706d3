"""What the tests of the lab's commands share: a small recording, and an empty working directory."""

from pathlib import Path

import pytest

HEADER = "timestamp,node,temperature,humidity\n"


@pytest.fixture
def recording(tmp_path: Path) -> Path:
    """A file with 400 minutes of two nodes."""
    path = tmp_path / "two.csv"
    rows = [
        f"2026-01-01T{minute // 60:02}:{minute % 60:02}:00,{node},{20 + minute % 50 / 10 + offset},{40 + minute % 30}\n"
        for node, offset in (("a", 0), ("b", 1))
        for minute in range(400)
    ]
    path.write_text(HEADER + "".join(rows))
    return path


@pytest.fixture
def in_empty_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Run in a folder without recordings."""
    monkeypatch.chdir(tmp_path)
