"""The readings of an outbox that failed their checksum: shown, deleted by a person, and never put back."""

import contextlib
import sqlite3
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from aoii.core.errors import UnavailableError
from aoii.gateway.drivers import quarantine
from aoii.gateway.drivers.outbox_file import OutboxFile
from aoii.gateway.drivers.quarantine import Quarantine
from gateway.drivers.outbox_files import counters, filled


@pytest.fixture
def damaged(path: Path) -> Path:
    """An outbox in which the readings 2 to 4 of five are quarantined."""
    filled(path, 5)
    with contextlib.closing(sqlite3.connect(path)) as connection:
        connection.execute("UPDATE events SET payload = x'ff' WHERE counter BETWEEN 1 AND 3")
        connection.commit()
    with contextlib.closing(OutboxFile(path, 1 << 24)) as file:
        assert len(counters(file)) == 2
    return path


@contextlib.contextmanager
def opened(path: Path, writes: bool = False) -> Iterator[Quarantine]:
    with contextlib.closing(Quarantine(path, writes)) as found:
        yield found


def test_every_row_is_shown_in_order_page_by_page(damaged: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(quarantine, "PAGE_ROWS", 2)

    with opened(damaged) as found:
        rows = list(found.rows())

        assert [(row.node, row.epoch, row.counter, row.payload) for row in rows] == [
            ("7", 1, counter, b"\xff") for counter in (1, 2, 3)
        ]
        assert found.row(rows[1].id) == rows[1]
        assert found.row(99) is None


def test_rows_are_deleted_that_are_as_they_were_seen(damaged: Path) -> None:
    with opened(damaged, writes=True) as found:
        first, second, third = found.rows()

        gone = found.drop([first, replace(second, found_ms=second.found_ms + 1), replace(third, id=99)])

        assert gone == [first]
        assert list(found.rows()) == [second, third]


def test_a_row_of_the_wrong_types_is_shown_all_the_same(damaged: Path) -> None:
    with contextlib.closing(sqlite3.connect(damaged)) as connection:
        connection.execute("UPDATE corrupt SET node = 7, epoch = 'x', counter = x'00', payload = 8")
        connection.commit()

    with opened(damaged) as found:
        row = next(found.rows())

    assert (row.node, row.epoch, row.counter, row.payload) == (None, None, None, b"")


def test_a_gateway_may_have_the_file_open_meanwhile(damaged: Path) -> None:
    with contextlib.closing(OutboxFile(damaged, 1 << 24)) as file, opened(damaged, writes=True) as found:
        found.drop(list(found.rows()))

        assert len(counters(file)) == 2
        assert list(found.rows()) == []


def test_an_outbox_that_is_not_there_or_not_one_is_said_with_its_path(tmp_path: Path) -> None:
    other = tmp_path / "other.db"
    other.write_bytes(b"not a database at all" * 500)

    with pytest.raises(UnavailableError, match=r"absent\.db"):
        Quarantine(tmp_path / "absent.db")
    with pytest.raises(UnavailableError, match=r"other\.db: .*the file is damaged; the gateway salvages"):
        Quarantine(other)
    assert sorted(file.name for file in tmp_path.iterdir()) == ["other.db"]
