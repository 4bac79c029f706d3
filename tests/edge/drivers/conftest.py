"""What the tests of the board's wiring share."""

import sys
from collections.abc import Iterator

import pytest

from aoii.edge.drivers import board_flash


@pytest.fixture
def patch(monkeypatch: pytest.MonkeyPatch) -> Iterator[pytest.MonkeyPatch]:
    sys.modules.pop("aoii.edge.drivers.board", None)
    yield monkeypatch
    sys.modules.pop("aoii.edge.drivers.board", None)
    vars(board_flash).pop("open", None)  # `esp32.boot` put the board's disk there
