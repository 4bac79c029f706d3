"""The board's flash: slots, the learner's buffer and the sleep_store, with the power cut at every write."""

import errno
from pathlib import Path

import pytest

from aoii.core.store import SLOT_BYTES, CounterAllocator
from aoii.edge.drivers import board_flash
from aoii.edge.drivers.board_flash import RTC_BYTES, DoubleBuffer, Files, FlashStore, SleepStore
from aoii.edge.drivers.board_interfaces import Disk as AnyDisk
from parts.models import Disk, PowerCut, Rtc


@pytest.fixture(params=["model", "files"])
def disk(request: pytest.FixtureRequest, tmp_path: Path) -> AnyDisk:
    return Disk() if request.param == "model" else Files(str(tmp_path))


def test_slots_are_blank_at_first_and_survive_a_restart(disk: AnyDisk) -> None:
    first = FlashStore(disk)
    blank = first.read(5)
    first.write(5, b"record")

    second = FlashStore(disk)

    assert blank == b"\xff" * SLOT_BYTES
    assert second.read(5) == b"record".ljust(SLOT_BYTES, b"\0")
    assert second.read(6) == second.read(second.slots - 1) == b"\xff" * SLOT_BYTES


def test_numbers_never_repeat_after_a_restart(disk: AnyDisk) -> None:
    used: list[int] = []
    for _ in range(5):
        numbers = CounterAllocator(FlashStore(disk, "node-1.flash"), 1, 1)
        used += [numbers.next_counter() for _ in range(100)]

    assert used == sorted(set(used))


def test_a_file_of_slots_whose_first_writing_was_cut_is_completed() -> None:
    disk = Disk()
    disk.cut_at, disk.cut_share = 0, 2
    with pytest.raises(PowerCut):
        FlashStore(disk)

    store = FlashStore(disk)
    numbers = CounterAllocator(store, 7, 1)

    assert store.read(store.slots - 1) == b"\xff" * SLOT_BYTES
    assert numbers.next_frame() == 1


def test_a_file_that_cannot_be_opened_is_not_made_anew(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    files = Files(str(tmp_path))
    files.write("slots.bin", 0, b"numbers")

    def fail(path: str, mode: str) -> object:
        raise OSError(errno.EIO, "the flash does not answer")

    monkeypatch.setattr(board_flash, "open", fail, raising=False)
    with pytest.raises(OSError, match="does not answer"):
        files.write("slots.bin", 0, b"other")

    assert (tmp_path / "slots.bin").read_bytes() == b"numbers"


def test_slots_that_cannot_be_read_are_not_written_anew(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    files = Files(str(tmp_path))
    FlashStore(files).write(0, b"numbers")
    written = (tmp_path / "slots.bin").read_bytes()

    def fail_to_read(path: str, mode: str) -> object:
        if mode == "rb":
            raise OSError(errno.EIO, "the flash does not answer")
        return open(path, mode)  # noqa: PTH123

    monkeypatch.setattr(board_flash, "open", fail_to_read, raising=False)
    with pytest.raises(OSError, match="does not answer"):
        FlashStore(files)

    assert (tmp_path / "slots.bin").read_bytes() == written
    assert DoubleBuffer(files, "slots").load() == b""


def test_a_double_buffer_gives_what_was_saved_last(disk: AnyDisk) -> None:
    buffer = DoubleBuffer(disk, "learner")
    empty = buffer.load()
    for content in (b"one", b"two" * 2000, b"three"):
        buffer.save(content)
        assert buffer.load() == DoubleBuffer(disk, "learner").load() == content

    assert empty == b""


@pytest.mark.parametrize("share", range(5))
def test_a_double_buffer_whose_write_is_cut_holds_the_content_before_or_the_new_one(share: int) -> None:
    contents = [bytes((number,)) * (7000 - number) for number in range(1, 6)]
    for cut_at in range(len(contents)):
        disk = Disk()
        disk.cut_at, disk.cut_share = cut_at, share
        for content in contents[:cut_at]:
            DoubleBuffer(disk, "learner").save(content)
        with pytest.raises(PowerCut):
            DoubleBuffer(disk, "learner").save(contents[cut_at])

        found = DoubleBuffer(disk, "learner").load()

        assert found in {contents[cut_at - 1] if cut_at else b"", contents[cut_at] if share == 4 else b"-"}
        DoubleBuffer(disk, "learner").save(b"later")
        assert DoubleBuffer(disk, "learner").load() == b"later"


@pytest.mark.parametrize("size", [0, 100, RTC_BYTES - 5, RTC_BYTES - 4, 9000])
def test_what_is_laid_down_is_taken_up_once(size: int) -> None:
    disk, rtc = Disk(), Rtc()
    content = bytes(range(251)) * (size // 251 + 1)

    SleepStore(rtc, DoubleBuffer(disk, "sleep_store")).save(content[:size])

    assert SleepStore(rtc, DoubleBuffer(disk, "sleep_store")).pop() == content[:size]
    assert SleepStore(rtc, DoubleBuffer(disk, "sleep_store")).pop() == b""
    assert disk.writes == (size > RTC_BYTES - 5)


@pytest.mark.parametrize("stored", [b"", b"R", b"Rxxxxy", b"F\0\0\0\1", b"\xff" * 2048])
def test_what_is_not_whole_is_nothing(stored: bytes) -> None:
    rtc = Rtc()
    rtc.content = stored

    assert SleepStore(rtc, DoubleBuffer(Disk(), "sleep_store")).pop() == b""
