"""The outbox file of one test."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from aoii.gateway.drivers.outbox_file import OutboxFile
from gateway.drivers.outbox_files import opened


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "data" / "outbox.db"


@pytest.fixture
def store(path: Path) -> Iterator[OutboxFile]:
    with opened(path) as store:
        yield store
