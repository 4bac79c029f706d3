"""Where a file is: which file system, which disks, and whether a power cut or a restart takes it."""

import os
from pathlib import Path

import pytest

from aoii.runtime import disks
from made_up_kernel import OTHER_PLACE, MadeUpKernel


@pytest.fixture
def kernel(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> MadeUpKernel:
    return MadeUpKernel(tmp_path, monkeypatch)


def number_of(place: Path) -> str:
    return f"{os.major(place.stat().st_dev)}:{os.minor(place.stat().st_dev)}"


def test_the_deepest_mount_holds_a_file_and_of_two_at_one_place_the_last(tmp_path: Path, kernel: MadeUpKernel) -> None:
    kernel.mount(tmp_path / "a folder", "xfs")
    kernel.mount(tmp_path, "ext3")
    kernel.mount(tmp_path / "a folder", "btrfs")
    (tmp_path / "a folder").mkdir()

    found = [disks.file_system(path) for path in (tmp_path / "a folder/not/yet/there", tmp_path / "b", Path("/"))]

    assert [one and one.kind for one in found] == ["btrfs", "ext3", "ext4"]


def test_a_name_that_begins_like_a_mount_is_not_in_it(tmp_path: Path, kernel: MadeUpKernel) -> None:
    kernel.mount(tmp_path / "data", "tmpfs")
    (tmp_path / "database").mkdir()

    assert disks.risk(tmp_path / "database") is None


def test_a_link_is_where_it_leads(tmp_path: Path, kernel: MadeUpKernel) -> None:
    (tmp_path / "memory").mkdir()
    (tmp_path / "data").symlink_to(tmp_path / "memory")
    kernel.mount(tmp_path / "memory", "tmpfs")

    assert disks.risk(tmp_path / "data/outbox.db") == "memory"


@pytest.mark.parametrize(
    ("kind", "options", "risk"),
    [
        ("ext4", "rw,errors=remount-ro", None),
        ("tmpfs", "rw,size=1024k", "memory"),
        ("ext4", "rw,nobarrier", "cache"),
        ("ext4", "rw,barrier=0", "cache"),
        ("f2fs", "rw,fsync_mode=nobarrier", "cache"),
        ("overlay", "rw,upperdir=/no/such/folder", "layer"),
        ("overlay", "rw,upperdir=/no/such/folder,volatile", "cache"),
    ],
)
def test_what_a_power_cut_or_a_restart_takes_is_known(
    tmp_path: Path, kernel: MadeUpKernel, kind: str, options: str, risk: str | None
) -> None:
    kernel.mount("/", kind, options=options)

    assert disks.risk(tmp_path / "outbox.db") == risk


def test_an_overlay_that_writes_to_a_folder_of_this_machine_is_as_safe_as_that(
    tmp_path: Path, kernel: MadeUpKernel
) -> None:
    (tmp_path / "upper").mkdir()
    kernel.mount("/", "overlay", options=f"rw,upperdir={tmp_path}/upper")
    kernel.mount(tmp_path, "ext4")
    on_disk = disks.risk(Path("/etc"))
    kernel.mount(tmp_path, "tmpfs")

    assert (on_disk, disks.risk(Path("/etc"))) == (None, "memory")


def test_a_partition_is_its_disk_and_a_device_the_disks_below_it(tmp_path: Path, kernel: MadeUpKernel) -> None:
    kernel.partition("8:1", kernel.disk("8:0", "sda"))
    kernel.partition("8:17", kernel.disk("8:16", "sdb"))
    kernel.disk("9:0", "md0", on=("8:1", "8:17"))
    kernel.disk(number_of(tmp_path), "dm-0", on=("9:0",))

    assert disks.disks(tmp_path / "outbox.db") == {"sda", "sdb"}


def test_a_disk_in_memory_is_memory_whatever_is_on_it(tmp_path: Path, kernel: MadeUpKernel) -> None:
    kernel.put(tmp_path, "zram0")

    assert disks.risk(tmp_path) == "memory"


def test_devices_that_stand_on_themselves_end(tmp_path: Path, kernel: MadeUpKernel) -> None:
    kernel.disk(number_of(tmp_path), "dm-0", on=(number_of(tmp_path),))

    assert disks.disks(tmp_path) == {"dm-0"}


def test_files_on_one_disk_are_told_from_those_on_two(tmp_path: Path, kernel: MadeUpKernel) -> None:
    same_file_system = disks.are_on_one_disk(tmp_path / "a", tmp_path / "b")
    unknown = disks.are_on_one_disk(tmp_path, OTHER_PLACE)
    kernel.put(tmp_path, "sda")
    half_known = disks.are_on_one_disk(tmp_path, OTHER_PLACE)
    kernel.put(OTHER_PLACE, "sdb")

    assert (same_file_system, unknown, half_known) == (True, None, None)
    assert disks.are_on_one_disk(tmp_path, OTHER_PLACE) is False
    assert disks.are_on_one_disk(tmp_path / "a", tmp_path / "b") is True


def test_a_share_of_another_machine_is_none_of_our_disks(tmp_path: Path, kernel: MadeUpKernel) -> None:
    kernel.put(tmp_path, "sda")
    kernel.mount(OTHER_PLACE, "nfs4", "nas:/backup")

    assert disks.are_on_one_disk(tmp_path, OTHER_PLACE) is False
    assert disks.are_on_one_disk(OTHER_PLACE, tmp_path) is False


@pytest.mark.parametrize("text", ["", "nonsense\n", "1 2 3 - \n", "1 1 0:1 / /\n", "\0 - \0\n"])
def test_without_the_kernels_word_everything_is_unknown(tmp_path: Path, kernel: MadeUpKernel, text: str) -> None:
    disks.MOUNTS.write_text(text)

    assert (disks.file_system(tmp_path), disks.risk(tmp_path), disks.disks(tmp_path)) == (None, None, frozenset())
    disks.MOUNTS.unlink()
    assert (disks.file_system(tmp_path), disks.risk(tmp_path)) == (None, None)


def test_the_real_kernel_is_understood(tmp_path: Path) -> None:
    """Whatever holds the files of this test, Linux has a line for it."""
    found = disks.file_system(tmp_path)

    assert found is not None
    assert tmp_path.resolve().is_relative_to(found.place)
