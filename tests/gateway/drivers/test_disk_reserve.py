"""The room that is reserved on the disk: taken when the disk has it, and given back when it is needed."""

import errno
import os
from pathlib import Path
from types import SimpleNamespace

import pytest

from aoii.gateway.drivers.disk_reserve import SIZE_BYTES, DiskReserve


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "outbox.db.reserve"


def leave_free(monkeypatch: pytest.MonkeyPatch, free_bytes: int) -> None:
    monkeypatch.setattr(os, "statvfs", lambda _: SimpleNamespace(f_bavail=free_bytes, f_frsize=1))


def test_the_room_is_really_occupied_until_it_is_released(file: Path) -> None:
    reserve = DiskReserve(file)

    reserve.acquire()
    reserve.acquire()

    assert reserve.is_held
    assert file.stat().st_size == SIZE_BYTES
    assert file.stat().st_blocks * 512 >= SIZE_BYTES, "a sparse file reserves nothing"
    reserve.release()
    assert not reserve.is_held
    assert not file.exists()


def test_it_is_taken_only_when_as_much_again_stays_free(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    reserve = DiskReserve(file)

    leave_free(monkeypatch, 2 * SIZE_BYTES - 1)
    reserve.acquire()
    assert (reserve.is_held, file.exists()) == (False, False)

    leave_free(monkeypatch, 2 * SIZE_BYTES)
    reserve.acquire()
    assert reserve.is_held


def test_after_a_restart_on_a_full_disk_the_file_that_is_there_counts(
    file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    DiskReserve(file).acquire()
    leave_free(monkeypatch, 0)
    again = DiskReserve(file)

    again.acquire()

    assert again.is_held


def test_a_file_that_could_not_be_filled_is_deleted(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: int) -> None:
        raise OSError(errno.ENOSPC, "no space")

    monkeypatch.setattr(os, "posix_fallocate", fail)
    reserve = DiskReserve(file)

    reserve.acquire()

    assert (reserve.is_held, file.exists()) == (False, False)


@pytest.mark.parametrize(("free_bytes", "is_needed"), [(SIZE_BYTES - 1, True), (SIZE_BYTES, False)])
def test_it_is_needed_when_less_than_its_size_is_free(
    file: Path, monkeypatch: pytest.MonkeyPatch, free_bytes: int, is_needed: bool
) -> None:
    leave_free(monkeypatch, free_bytes)

    assert DiskReserve(file).is_needed() is is_needed
