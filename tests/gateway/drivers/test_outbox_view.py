"""The gateway's files seen from outside; what waits longest is tried with the doctor (tests/commands)."""

import sqlite3
from pathlib import Path

import pytest

from aoii.gateway.drivers import kept_file
from aoii.gateway.drivers.outbox_view import KeptSpan, kept_span
from gateway.drivers.outbox_files import MEGABYTE, keep, opened


def test_what_is_kept_goes_back_to_the_oldest_reading_that_had_not_to_make_room(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(kept_file, "PRUNE_STEP", 10)
    with opened(path, keep_bytes=MEGABYTE // 4) as store:
        nothing = kept_span(path)
        keep(store, range(1, 21), 1000)
        all_of_them = kept_span(path)
        keep(store, range(21, 401), 1000)
        some = kept_span(path)

    assert nothing == KeptSpan(None, has_forgotten=False)
    assert all_of_them == KeptSpan(1001, has_forgotten=False)
    assert some.has_forgotten
    assert some.oldest_ms is not None
    assert 1001 < some.oldest_ms < 1400


def test_without_the_file_there_is_an_error_and_still_no_file(tmp_path: Path) -> None:
    with pytest.raises(sqlite3.Error):
        kept_span(tmp_path / "outbox.db")

    assert list(tmp_path.iterdir()) == []
