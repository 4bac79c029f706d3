"""What has a copy when a disk is lost: node keys, the readings on one disk, the backup, and how far back it goes."""

import hashlib
import os
import tempfile
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from aoii import settings
from aoii.commands import backup_archive, doctor_copies, doctor_installation
from aoii.commands.backup_archive import Manifest, Member
from aoii.commands.doctor_installation import Installation
from aoii.commands.findings import Finding
from aoii.gateway.drivers import kept_rows
from aoii.security import node_keys
from aoii.security.node_keys import NodeKey
from gateway.drivers.outbox_files import MEGABYTE, keep, opened
from made_up_kernel import OTHER_PLACE, MadeUpKernel
from servers import MariaDB, free_port

HOUR_S = 3600
SECRET = bytes(range(16))


@pytest.fixture
def kernel(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> MadeUpKernel:
    """The files of tests are on the disk sda."""
    monkeypatch.setattr(doctor_installation, "UNITS", tmp_path / "units")
    kernel = MadeUpKernel(tmp_path, monkeypatch)
    kernel.put(tmp_path, "sda")
    return kernel


@pytest.fixture
def other_disk(kernel: MadeUpKernel) -> Iterator[Path]:
    """A folder on the disk sdb."""
    kernel.put(OTHER_PLACE, "sdb")
    with tempfile.TemporaryDirectory(dir=OTHER_PLACE) as folder:
        yield Path(folder)


class Examined:
    """An installation, and what is found of it."""

    def __init__(self, data_dir: Path) -> None:
        self.keys = data_dir / "node_keys"
        self.outbox = data_dir / "outbox.db"
        self._data_dir = data_dir

    def of(self, what: str, **values: object) -> list[Finding]:
        """The findings about one thing, or about everything (an empty name)."""
        environ = {"AOII_DATA_DIR": str(self._data_dir)} | {name: str(value) for name, value in values.items()}
        everywhere = dict.fromkeys(settings.STATIONS, settings.load(environ))
        found = doctor_copies.examine(Installation(None, everywhere))
        return [one for one in found if one.state.startswith(f"{what}: " if what else "")]

    def one(self, what: str, **values: object) -> Finding:
        """The only finding about it."""
        (found,) = self.of(what, **values)
        return found


@pytest.fixture
def examined(data_dir: Path, kernel: MadeUpKernel) -> Examined:
    return Examined(data_dir)


# --- node keys --------------------------------------------------------------------------------------------------------


@pytest.fixture
def keys(examined: Examined) -> dict[int, NodeKey]:
    """The keys of eight nodes; node 3 is in a rotation."""
    keys = {node: NodeKey(1, bytes((node,)) * 16) for node in range(8)}
    keys[3] = NodeKey(2, SECRET, keys[3])
    node_keys.write_key_file(examined.keys, keys)
    return keys


def test_without_keys_no_copy_is_asked_for(examined: Examined) -> None:
    nothing = examined.of("node keys")
    node_keys.write_key_file(examined.keys, {})

    assert nothing == examined.of("node keys") == []


@pytest.mark.usefixtures("keys")
def test_keys_of_which_no_copy_is_known_are_noted(examined: Examined) -> None:
    found = examined.one("node keys")

    assert "no copy is known (NODE_KEYS_COPY)" in found.state
    assert (found.is_checked, found.remedy) == (False, None)


@pytest.mark.usefixtures("keys")
def test_a_copy_that_is_elsewhere_is_vouched_for(examined: Examined) -> None:
    found = examined.one("node keys", NODE_KEYS_COPY="elsewhere")

    assert (found.is_checked, found.remedy) == (True, None)


def test_a_whole_copy_on_another_disk_is_well(examined: Examined, keys: dict[int, NodeKey], other_disk: Path) -> None:
    node_keys.write_key_file(other_disk / "keys", keys | {99: NodeKey(1, SECRET)})  # one that was retired here

    found = examined.one("node keys", NODE_KEYS_COPY=other_disk / "keys")

    assert found == Finding("copies", f"node keys: {other_disk}/keys has all of them, ext4 on sdb")


def test_a_copy_on_the_same_disk_is_none(examined: Examined, keys: dict[int, NodeKey], tmp_path: Path) -> None:
    node_keys.write_key_file(tmp_path / "keys", keys)

    found = examined.one("node keys", NODE_KEYS_COPY=tmp_path / "keys")

    assert "is on the same disk" in found.state
    assert found.remedy


def test_a_copy_that_lacks_keys_is_named_with_the_nodes_and_no_key(
    examined: Examined, keys: dict[int, NodeKey], other_disk: Path
) -> None:
    copy = other_disk / "keys"
    node_keys.write_key_file(copy, keys | {3: NodeKey(1, keys[3].key)})
    before_rotation = examined.one("node keys", NODE_KEYS_COPY=copy)
    node_keys.write_key_file(copy, keys | {3: NodeKey(2, SECRET)})
    after_rotation = examined.one("node keys", NODE_KEYS_COPY=copy)
    node_keys.write_key_file(copy, {0: keys[0]})
    almost_empty = examined.one("node keys", NODE_KEYS_COPY=copy)

    assert before_rotation.state == f"node keys: the copy {copy} lacks keys of node 3"
    assert after_rotation == before_rotation  # the gateway still accepts the key before, which the node may have
    assert before_rotation.remedy == f"copy it: install -m 600 {examined.keys} {copy}"
    assert almost_empty.state.endswith("lacks keys of node 1, 2, 3, 4, 5 and 2 more")
    assert SECRET.hex() not in str((before_rotation, almost_empty))


@pytest.mark.usefixtures("keys")
def test_a_copy_that_is_missing_or_cannot_be_read_is_named(examined: Examined, other_disk: Path) -> None:
    copy = other_disk / "keys"
    missing = examined.one("node keys", NODE_KEYS_COPY=copy)
    copy.write_text("7 1 nonsense\n")
    copy.chmod(0o644)
    open_to_all = examined.one("node keys", NODE_KEYS_COPY=copy)
    copy.chmod(0o600)
    wrong = examined.one("node keys", NODE_KEYS_COPY=copy)

    assert "does not exist" in missing.state
    assert "mount its disk, or copy it" in str(missing.remedy)
    assert "chmod 600" in str(open_to_all.remedy)
    assert f"{copy}:1: not `node epoch key`" in wrong.state


def test_a_copy_in_memory_is_named(
    examined: Examined, kernel: MadeUpKernel, keys: dict[int, NodeKey], other_disk: Path
) -> None:
    node_keys.write_key_file(other_disk / "keys", keys)
    kernel.mount(other_disk, "tmpfs")

    found = examined.one("node keys", NODE_KEYS_COPY=other_disk / "keys")

    assert "which is in memory" in found.state
    assert str(found.remedy).startswith("NODE_KEYS_COPY:")


# --- outbox and database on one disk ----------------------------------------------------------------------------------

RINGS = "the last 126 readings that each node holds"


def test_as_it_comes_all_is_on_one_disk_and_it_is_said_what_is_left(
    examined: Examined, tmp_path: Path, other_disk: Path
) -> None:
    (tmp_path / "backup").mkdir()

    alone, missing, same_disk, well = (
        examined.one("outbox", **({"BACKUP_DIR": folder} if folder else {}))
        for folder in (None, tmp_path / "nowhere", tmp_path / "backup", other_disk)
    )

    how = "outbox: on one disk with the database: if that dies, only"
    assert alone == Finding("copies", f"{how} {RINGS} are left", is_checked=False)
    assert missing == alone
    assert same_disk.state == f"{how} {RINGS} are left, because the backup (BACKUP_DIR) is on it, too"
    assert well.state == f"{how} the backup and {RINGS} are left"


def link_database(examined: Examined, folder: Path) -> None:
    """The SQLite file is in another folder, and a link leads there."""
    (folder / "aoii.db").touch()
    examined.outbox.with_name("aoii.db").symlink_to(folder / "aoii.db")


def test_a_disk_that_cannot_be_seen_is_said_to_be_unknown(examined: Examined, tmp_path: Path) -> None:
    with tempfile.TemporaryDirectory(dir=OTHER_PLACE) as unknown:  # nobody has said on which disk it is
        backup = examined.one("outbox", BACKUP_DIR=unknown)
        link_database(examined, Path(unknown))
        both = examined.one("outbox")

    assert backup.state.endswith(f"only {RINGS} are left, and the backup if it is on another disk")
    assert "perhaps on one disk with the database" in both.state


def test_a_database_on_another_disk_has_what_the_outbox_loses(examined: Examined, other_disk: Path) -> None:
    link_database(examined, other_disk)

    found = examined.one("outbox")

    assert found.is_checked
    assert "each has what the other loses" in found.state


def test_a_database_server_is_asked_where_its_files_are(
    examined: Examined, kernel: MadeUpKernel, synced_mariadb: MariaDB
) -> None:
    away = examined.of("", MYSQL_HOST="127.0.0.1", MYSQL_PORT=free_port())
    found = examined.one("outbox", MYSQL_HOST="127.0.0.1", MYSQL_PORT=synced_mariadb.port)

    assert [one.state.partition(":")[0] for one in away] == ["backup"]
    assert "on one disk with the database" in found.state


# --- backup -----------------------------------------------------------------------------------------------------------


def back_up(folder: Path, age_h: float, name: str = "aoii.sql.gz", content: bytes = b"a dump") -> None:
    (folder / name).parent.mkdir(parents=True, exist_ok=True)
    (folder / name).write_bytes(content)
    os.utime(folder / name, (0, time.time() - age_h * HOUR_S))


def test_that_no_backup_is_known_is_noted(examined: Examined) -> None:
    found = examined.one("backup")

    assert "none is known (BACKUP_DIR)" in found.state
    assert (found.is_checked, found.remedy) == (False, None)


def test_a_new_backup_on_another_disk_is_well(examined: Examined, other_disk: Path) -> None:
    back_up(other_disk, 90)
    back_up(other_disk, 5, "monday/aoii.sql.gz")
    back_up(other_disk, 0, "failed.sql.gz", b"")
    back_up(other_disk, 0, ".aoii-backup/aoii.tar")  # of a backup that is being made, or was killed

    found = examined.one("backup", BACKUP_DIR=other_disk)

    unknown = "not made by aoii backup, so nobody knows here what is in it"
    state = f"backup: the newest, monday/aoii.sql.gz, is 5 h old, and {unknown}"
    assert found == Finding("copies", state, is_checked=False)


def an_archive(folder: Path, hours: float, *parts: str, name: str = "made") -> Path:
    """An archive of `aoii backup` with some parts, made some hours ago."""
    at = datetime.now(UTC) - timedelta(hours=hours)
    content = folder / "content"
    content.write_bytes(b"")
    members = tuple(
        Member(f"{part}/content", part, "file", f"/etc/{part}", 0, hashlib.sha256().hexdigest()) for part in parts
    )
    path = folder / f"aoii-{name}.tar"
    backup_archive.write(path, Manifest("attic", at.isoformat(), None, (), members[:1]), folder, lambda _: None)
    return path


def test_of_archives_the_manifest_says_how_old_they_are_and_whether_they_have_the_database(
    examined: Examined, other_disk: Path
) -> None:
    an_archive(other_disk, 30, "database", name="copied-today")
    an_archive(other_disk, 1, "settings", name="of-a-gateway")
    (other_disk / "notes.txt").write_text("remember the milk")

    late = examined.one("backup", BACKUP_DIR=other_disk)
    an_archive(other_disk, 2, "database", name="whole")
    well = examined.one("backup", BACKUP_DIR=other_disk)

    assert "aoii-copied-today.tar, is 30 h old, and one is due" in late.state
    assert well == Finding("copies", "backup: the newest, aoii-whole.tar, is 2 h old")


def test_archives_without_the_database_or_damaged_are_no_backup_of_it(examined: Examined, other_disk: Path) -> None:
    an_archive(other_disk, 1, "settings", name="settings")
    partial = examined.one("backup", BACKUP_DIR=other_disk)
    damaged = an_archive(other_disk, 1, "database", name="whole")
    damaged.write_bytes(damaged.read_bytes()[:600])

    found = examined.of("backup", BACKUP_DIR=other_disk)

    assert "has no archive with the database that can be read" in partial.state
    assert partial.remedy
    assert [str(damaged) in one.state for one in found] == [True, False]
    assert all(one.remedy for one in found)


def test_a_backup_that_is_late_is_named_by_its_own_interval(examined: Examined, other_disk: Path) -> None:
    back_up(other_disk, 30)

    daily, weekly = (examined.one("backup", BACKUP_DIR=other_disk, BACKUP_INTERVAL_H=hours) for hours in (24, 168))

    assert "30 h old, and one is due every 24 h" in daily.state
    assert daily.remedy
    assert weekly.remedy is None


def test_a_folder_without_a_backup_is_named(examined: Examined, other_disk: Path) -> None:
    missing = examined.one("backup", BACKUP_DIR=other_disk / "none")
    empty = examined.one("backup", BACKUP_DIR=other_disk)
    back_up(other_disk, 1, content=b"")
    failed = examined.one("backup", BACKUP_DIR=other_disk)

    assert "is not a folder" in missing.state
    assert "has no file, or only empty ones" in empty.state
    assert empty == failed
    assert missing.remedy
    assert empty.remedy


def test_a_backup_on_the_database_s_disk_is_noted(examined: Examined, tmp_path: Path, synced_mariadb: MariaDB) -> None:
    back_up(tmp_path / "backup", 1)

    sqlite = examined.one("backup", BACKUP_DIR=tmp_path / "backup")
    mysql = examined.one(
        "backup", BACKUP_DIR=tmp_path / "backup", MYSQL_HOST="127.0.0.1", MYSQL_PORT=synced_mariadb.port
    )

    assert "on the database's own disk: keep a copy on another one" in sqlite.state
    assert not sqlite.is_checked
    assert mysql == sqlite


def test_a_backup_in_memory_is_named(examined: Examined, kernel: MadeUpKernel, other_disk: Path) -> None:
    back_up(other_disk, 1)
    kernel.mount(other_disk, "tmpfs")

    assert "which is in memory" in examined.one("backup", BACKUP_DIR=other_disk).state


# --- how far back kept readings go ------------------------------------------------------------------------------------


def keep_for(examined: Examined, hours: float, *, is_full: bool) -> None:
    """Keep readings of the last hours; some of before have made room or not."""
    with opened(examined.outbox, keep_bytes=MEGABYTE) as store:
        keep(store, range(10), round((time.time() - hours * HOUR_S) * 1000))
        if is_full:
            store.kept._attempt(lambda connection: kept_rows.note_forgotten(connection, [(b"7", 1, 1000)]))


def test_a_gateway_that_has_forgotten_nothing_reaches_back_far_enough(examined: Examined) -> None:
    nothing = examined.of("kept readings")
    keep_for(examined, 1, is_full=False)

    assert nothing == []
    assert examined.one("kept readings").remedy is None


def test_kept_readings_that_go_back_less_far_than_a_backup_gets_old_are_named(examined: Examined) -> None:
    keep_for(examined, 30, is_full=True)

    daily, weekly = (examined.one("kept readings", BACKUP_INTERVAL_H=hours) for hours in (24, 168))

    assert daily == Finding("copies", "kept readings: they go back 30 h")
    assert "go back 30 h, and a backup gets 168 h old (BACKUP_INTERVAL_H)" in weekly.state
    assert weekly.remedy == "raise KEEP_MB, which is 64, or make backups more often"


def test_kept_readings_that_go_back_less_far_than_the_newest_backup_are_named(
    examined: Examined, other_disk: Path
) -> None:
    keep_for(examined, 30, is_full=True)
    back_up(other_disk, 28)
    younger = examined.one("kept readings", BACKUP_DIR=other_disk)
    back_up(other_disk, 50)
    older = examined.one("kept readings", BACKUP_DIR=other_disk)

    assert younger.remedy is None
    assert "go back 30 h, and the newest backup is 50 h old" in older.state
    assert older.remedy


def test_a_gateway_that_keeps_nothing_is_noted(examined: Examined) -> None:
    found = examined.one("kept readings", KEEP_MB=0)

    assert "none (KEEP_MB=0)" in found.state
    assert not found.is_checked


def test_a_damaged_file_of_kept_readings_is_a_finding(examined: Examined) -> None:
    examined.outbox.with_name(kept_rows.FILE).write_bytes(b"not a database\n" * 100)

    assert "cannot be read" in examined.one("kept readings").state
