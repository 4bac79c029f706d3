"""Dead letters of a test's own."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from aoii.server.dead_letters.store import DeadLetters


@pytest.fixture
def letters(tmp_path: Path) -> Iterator[DeadLetters]:
    """An empty file with the smallest cap, 1 MiB."""
    letters = DeadLetters(tmp_path / "dead_letters.db", 1)
    yield letters
    letters.close()
