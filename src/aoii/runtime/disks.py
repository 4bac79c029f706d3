"""Where a file really is: the file system that holds it, the disks below that, and whether it outlives a power cut.

Linux says this in `/proc/self/mountinfo` and `/sys/dev/block`; elsewhere everything is unknown. It is what the kernel
knows: a disk that reports a write as done and still has it in its cache looks like any other.
"""

import contextlib
import os
import re
from pathlib import Path
from typing import Literal, NamedTuple

MOUNTS = Path("/proc/self/mountinfo")
BLOCK_DEVICES = Path("/sys/dev/block")

IN_MEMORY = frozenset({"tmpfs", "ramfs", "rootfs", "devtmpfs"})
MEMORY_DISKS = ("zram", "ram")
MEMORY_CARDS = ("mmcblk",)  # in a slot of the machine; one in a USB reader looks like any disk
WITHOUT_BARRIER = frozenset({"nobarrier", "barrier=0", "fsync_mode=nobarrier", "volatile"})
"""Options of ext4, XFS, f2fs and overlay with which a sync does not wait until the disk has emptied its cache."""
ELSEWHERE = frozenset({"afs", "ceph", "cifs", "fuse.rclone", "fuse.sshfs", "nfs", "nfs4", "smb3"})
"""Kinds of file systems that another machine holds; not those of a virtual machine's host, which may be on its disk."""
DEPTH_LIMIT = 8  # of devices on devices: a file on a loop device on a logical volume on an array on a partition is 4

Risk = Literal["memory", "layer", "cache"]


class FileSystem(NamedTuple):
    """A file system in its place.

    Attributes:
        kind: Such as `ext4`.
        source: What is mounted, such as `/dev/sda1`.
        place: Where.
        options: Of the mount and of the file system, such as `rw` or `upperdir=/a`.
    """

    kind: str
    source: str
    place: Path
    options: frozenset[str]


def existing(path: Path) -> Path:
    """The file itself, or the nearest folder above it that exists: there it would be made; without symbolic links.

    Raises:
        OSError: This user may not look.
    """
    found = path.absolute()
    while not found.exists() and found.parent != found:
        found = found.parent
    return found.resolve()


def file_system(path: Path) -> FileSystem | None:
    """The file system that holds a file, or would; None: unknown."""
    try:
        place = existing(path)
        mounts = [_mount(line) for line in MOUNTS.read_text(errors="surrogateescape").splitlines()]
    except OSError:
        return None
    found: FileSystem | None = None
    for mount in filter(None, mounts):
        is_deeper = found is None or len(mount.place.parts) >= len(found.place.parts)  # of two at one place, the last
        if is_deeper and place.is_relative_to(mount.place):
            found = mount
    return found


def risk(path: Path) -> Risk | None:
    """Why a file would not outlive a power cut or a restart; None: no reason is known.

    `memory`: it is in memory. `layer`: it is in the root file system of a container, which goes with the container.
    `cache`: the file system does not make the disk write what it is told to sync.
    """
    found = file_system(path)
    if found is None:
        return None
    if found.kind in IN_MEMORY or any(disk.startswith(MEMORY_DISKS) for disk in disks(path)):
        return "memory"
    if found.options & WITHOUT_BARRIER:
        return "cache"
    if found.kind == "overlay" and found.place == Path("/"):  # one elsewhere is a folder that somebody mounted here
        return _risk_of_overlay(found)
    return None


def disks(path: Path) -> frozenset[str]:
    """The physical disks that a file is on, or would be, such as `sda`; empty: unknown.

    A partition is its disk; a logical volume, an encrypted device and an array are the disks below them.
    """
    with contextlib.suppress(OSError):
        number = existing(path).stat().st_dev
        if found := _disks_of(_number(number)):
            return found
        mount = file_system(path)
        if mount is not None and mount.source.startswith("/dev/"):  # Btrfs numbers its subvolumes, not its disk
            return _disks_of(_number(Path(mount.source).stat().st_rdev))
    return frozenset()


def is_memory_card(path: Path) -> bool:
    """Whether a file is on a memory card, or would be; False if that is not known."""
    return any(disk.startswith(MEMORY_CARDS) for disk in disks(path))


def are_on_one_disk(first: Path, second: Path) -> bool | None:
    """Whether one disk holds both files, or would; None: unknown. A share of another machine is none of our disks."""
    ours, theirs = disks(first), disks(second)
    if ours and theirs:
        return bool(ours & theirs)
    if (ours and _is_elsewhere(second)) or (theirs and _is_elsewhere(first)):
        return False
    try:
        is_same = existing(first).stat().st_dev == existing(second).stat().st_dev
    except OSError:
        return None
    return True if is_same else None  # two file systems without a device, as of a network, may be one disk or two


def _is_elsewhere(path: Path) -> bool:
    found = file_system(path)
    return found is not None and found.kind in ELSEWHERE


def _mount(line: str) -> FileSystem | None:
    """A line of mountinfo: number, parent, device, root, place, options, optional fields, -, kind, source, options."""
    head, dash, tail = line.partition(" - ")
    before, after = head.split(" "), tail.split(" ")
    if not dash or len(before) < 6 or len(after) < 3:
        return None
    options = frozenset([*before[5].split(","), *map(_unescaped, after[2].split(","))])
    return FileSystem(after[0], _unescaped(after[1]), Path(_unescaped(before[4])), options)


def _unescaped(text: str) -> str:
    r"""A name of mountinfo, in which a blank is `\040`."""
    return re.sub(r"\\([0-7]{3})", lambda match: chr(int(match[1], 8)), text)


def _risk_of_overlay(overlay: FileSystem) -> Risk | None:
    """That of the folder to which it writes, if that can be seen; inside a container it cannot."""
    uppers = [Path(option.partition("=")[2]) for option in overlay.options if option.startswith("upperdir=")]
    for upper in uppers:
        if upper.is_dir():
            below = file_system(upper)
            return "memory" if below is not None and below.kind in IN_MEMORY else None
    return "layer"


def _number(device: int) -> str:
    return f"{os.major(device)}:{os.minor(device)}"


def _disks_of(number: str, depth: int = 0) -> frozenset[str]:
    """The physical disks below a block device, given as `MAJOR:MINOR`; empty if it is none.

    Raises:
        OSError: What the kernel says of it cannot be read.
    """
    device = (BLOCK_DEVICES / number).resolve()
    if depth > DEPTH_LIMIT or not (device / "dev").exists():
        return frozenset()
    if (device / "partition").exists():
        device = device.parent
    below = [(slave / "dev").read_text().strip() for slave in sorted((device / "slaves").glob("*"))]
    if (file := device / "loop" / "backing_file").exists():
        below.append(_number(Path(file.read_text().strip()).stat().st_dev))
    found = [_disks_of(one, depth + 1) for one in below]
    return frozenset[str]().union(*found) or frozenset({device.name})
