"""What Linux says of mounts and disks, made up: tests run in containers, on memory and on any disk."""

import os
from pathlib import Path

import pytest

from aoii.runtime import disks

OTHER_PLACE = Path("/dev/shm")  # noqa: S108 - a real place whose files have another device number than those of tests


class MadeUpKernel:
    """Until something else is mounted, everything is on one plain file system, whose disk is not known.

    Args:
        folder: For the files that stand for `/proc/self/mountinfo` and `/sys/dev/block`.
        patch: Undoes it at the end of the test.
    """

    def __init__(self, folder: Path, patch: pytest.MonkeyPatch) -> None:
        self._folder = folder / "kernel"
        (self._folder / "numbers").mkdir(parents=True)
        self._mounts = self._folder / "mountinfo"
        patch.setattr(disks, "MOUNTS", self._mounts)
        patch.setattr(disks, "BLOCK_DEVICES", self._folder / "numbers")
        self.mount("/")

    def mount(self, place: Path | str, kind: str = "ext4", source: str = "/dev/none", options: str = "rw") -> None:
        """Mount a file system; `options` are its own, not those of the mount."""
        escaped = str(place).replace(" ", r"\040")
        with self._mounts.open("a") as file:
            file.write(f"21 1 8:1 / {escaped} rw,relatime shared:1 - {kind} {source} {options}\n")

    def disk(self, number: str, name: str, on: tuple[str, ...] = ()) -> Path:
        """Add a disk, or a device on others, with this MAJOR:MINOR; `on` are the numbers of those below it."""
        device = self._add(number, self._folder / "devices" / name)
        (device / "slaves").mkdir()
        for below in on:
            (device / "slaves" / below.replace(":", "-")).symlink_to(self._folder / "numbers" / below)
        return device

    def partition(self, number: str, of: Path) -> None:
        """Add a partition of a disk."""
        (self._add(number, of / f"{of.name}{number.partition(':')[2]}") / "partition").write_text("1\n")

    def put(self, place: Path, name: str) -> None:
        """Say that the file system which really holds a place is on a disk with this name."""
        number = place.stat().st_dev
        self.disk(f"{os.major(number)}:{os.minor(number)}", name)

    def _add(self, number: str, device: Path) -> Path:
        device.mkdir(parents=True)
        (device / "dev").write_text(f"{number}\n")
        (self._folder / "numbers" / number).symlink_to(device)
        return device
