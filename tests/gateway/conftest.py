"""The serial port of one test's gateway."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from servers import pty_port


@pytest.fixture
def link(tmp_path: Path) -> Path:
    """Where the receiver's port appears."""
    return tmp_path / "receiver"


@pytest.fixture
def far(link: Path) -> Iterator[int]:
    """The radio's end of that port."""
    with pty_port(link) as far:
        yield far
