"""`aoii backup` and `aoii restore`: what a machine has is saved while it is used, and is back row by row."""

import contextlib
import fcntl
import os
import signal
import sqlite3
import subprocess
import sys
import tarfile
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from aoii.commands import backup, backup_parts
from commands.saved_machine import ODD, TABLES, Machine, Run, letters_of, outbox_of, saved, writing
from server.samples import mysql_at, run_sql, sqlite_at
from servers import MariaDB, free_port

NOBODY = 65534


def test_what_was_saved_is_back_row_by_row_after_everything_is_gone(machine: Machine, run: Run) -> None:
    texts = machine.env.read_bytes(), machine.keys.read_bytes()
    rows, letters, (name, _, _) = machine.rows(), letters_of(machine), outbox_of(machine.outbox)
    archive = saved(machine, run)
    machine.wipe()

    if machine.place.host is not None:
        code, out, err = run("restore", archive)
        assert (code, "--env-file" in err) == (2, True)  # it is not known yet where the database is
        assert run("restore", archive, "--without", "database")[0] == 0
        code, out, err = run("--env-file", machine.env, "restore", archive, "--only", "database")
    else:
        code, out, err = run("restore", archive)

    assert code == 0, out + err
    assert (machine.env.read_bytes(), machine.keys.read_bytes()) == texts
    assert machine.keys.stat().st_mode & 0o777 == 0o600
    assert machine.rows() == rows
    assert len(rows["readings"]) == 40
    assert letters_of(machine) == letters
    again, events, states = outbox_of(machine.outbox)
    assert [counter for _, counter in events] == [3, 4, 5]  # 1 and 2 were acknowledged
    assert again != name
    assert [seq for seq, _ in events] == [1, 2, 3]
    assert states == 0


def test_a_backup_is_made_while_readings_are_written_and_misses_none_of_them(machine: Machine, run: Run) -> None:
    with writing(machine):
        archive = saved(machine, run)

    machine.wipe()
    run("restore", archive, "--without", "database")
    assert run("--env-file", machine.env, "restore", archive, "--only", "database")[0] == 0

    stored = {row[0] for row in run_sql(machine.place, "SELECT counter FROM readings WHERE node = '9'")}
    with contextlib.closing(sqlite3.connect(machine.outbox)) as connection:
        waiting = {row[0] for row in connection.execute("SELECT counter FROM events WHERE node = '9'")}
    assert waiting
    assert stored == set(range(1000, 1000 + len(stored)))  # one instant: no reading is there without those before it
    assert waiting == set(range(1000, 1000 + len(waiting)))
    assert len(stored) >= len(waiting) - 1  # the database was saved later, so nothing is between the two


def test_the_archive_has_secrets_and_is_for_its_user_only(small: Machine, run: Run) -> None:
    old = os.umask(0)
    try:
        archive = saved(small, run)
    finally:
        os.umask(old)

    assert archive.stat().st_mode & 0o777 == 0o600
    with tarfile.open(archive) as tar:
        assert {entry.mode for entry in tar.getmembers()} == {0o600}
    assert [path.name for path in small.backups.iterdir() if path.name.startswith(".")] == [".aoii-backup.lock"]


@pytest.mark.parametrize("place", ["before_backup_archive", "in_backup_archive", "before_backup_published"])
def test_a_backup_that_is_killed_leaves_no_archive_and_the_next_one_clears_up(
    small: Machine, run: Run, place: str
) -> None:
    command = [sys.executable, "-m", "aoii.cli", "--env-file", str(small.env), "backup"]
    environ = {"PYTHONPATH": os.pathsep.join(sys.path), "PATH": os.environ["PATH"], "AOII_FAILPOINT": place}

    done = subprocess.run(command, env=environ, capture_output=True, check=False)

    assert done.returncode == -signal.SIGKILL, done.stderr
    assert small.archives() == []
    if place != "before_backup_published":  # from there on it is complete, and only has not got its name
        for left in filter(Path.is_file, small.backups.rglob("*")):
            assert run("restore", left, "--dry-run", "--force")[0] == 2
    saved(small, run)
    assert len(list(small.backups.iterdir())) == 2  # the archive and the lock


def test_the_oldest_archives_go_when_the_new_one_is_there(small: Machine, run: Run) -> None:
    other = small.backups / "aoii-elsewhere-20200101T000000.000000Z.tar"
    other.touch()
    archives = [saved(small, run) if n == 0 else _newest(small, run) for n in range(3)]

    code, out, _ = run("--env-file", small.env, "backup", "--keep", 2)

    assert code == 0
    assert [str(path) in out for path in archives] == [True, True, False]
    assert len(small.archives()) == 3
    assert other in small.archives()


def test_older_archives_stay_when_a_backup_fails(small: Machine, run: Run) -> None:
    archive = saved(small, run)
    content = bytearray((small.data / "dead_letters.db").read_bytes())
    content[4096 + 8 : 4096 + 64] = bytes(56)
    (small.data / "dead_letters.db").write_bytes(content)

    code, _, err = run("--env-file", small.env, "backup", "--keep", 1)

    assert code == 2
    assert "dead_letters.db" in err
    assert small.archives() == [archive]


def test_a_database_that_does_not_answer_is_an_error_unless_it_is_left_out(
    tmp_path: Path, mariadb: MariaDB, run: Run
) -> None:
    machine = Machine(tmp_path, mysql_at(mariadb, mariadb.new_schema()))
    machine.fill()
    machine.env.write_text(machine.env.read_text().replace(f"={mariadb.port}\n", f"={free_port()}\n"))

    code, _, err = run("--env-file", machine.env, "backup")
    assert (code, machine.archives()) == (2, [])
    assert "no dump can be made" in err

    _, out, _ = run("--env-file", machine.env, "backup", "--without", "database")
    assert "database: LEFT OUT" in out
    assert len(machine.archives()) == 1


def test_a_file_that_should_be_there_is_an_error_unless_it_is_left_out(small: Machine, run: Run) -> None:
    (small.env.with_name("aoii.env.gateway")).write_text("GATEWAY_ID=gateway\n")
    small.outbox.unlink()

    code, _, err = run("--env-file", small.env, "backup")

    assert code == 2
    assert "--without outbox" in err
    assert run("--env-file", small.env, "backup", "--without", "outbox", "--without", "database")[0] == 0


def test_a_dump_that_lacks_a_table_is_an_error(tmp_path: Path, mariadb: MariaDB, run: Run) -> None:
    machine = Machine(tmp_path, mysql_at(mariadb, mariadb.new_schema()))
    machine.fill()
    schema = machine.place.name
    user = f"u{time.monotonic_ns() % 10**9}"
    quoted = ODD.replace("\\", "\\\\").replace("'", "\\'")
    mariadb.execute(f"CREATE USER '{user}'@'%' IDENTIFIED BY '{quoted}'")
    for table in {*TABLES, "alembic_version"} - {"gaps"}:
        mariadb.execute(f"GRANT SELECT ON {schema}.{table} TO '{user}'@'%'")
    text = machine.env.read_text().replace("MYSQL_USER=root", f"MYSQL_USER={user}\nMYSQL_PASSWORD={ODD}")
    machine.env.write_text(text)

    code, _, err = run("--env-file", machine.env, "backup")
    assert code == 2
    assert "may not read the table gaps" in err

    mariadb.execute(f"GRANT SELECT ON {schema}.gaps TO '{user}'@'%'")
    code, out, _ = run("--env-file", machine.env, "backup")
    assert code == 0
    assert "was not restored for trial: its user may not make a database" in out  # and so it is not called verified
    assert "verified" not in out


def test_key_files_that_only_one_station_names_are_saved(small: Machine, run: Run) -> None:
    secret = small.env.with_name("web_token")
    secret.write_text("0123456789abcdef\n")
    secret.chmod(0o600)
    small.env.with_name("aoii.env.web").write_text(f"WEB_TOKEN_FILE={secret}\n")

    archive = saved(small, run)

    with tarfile.open(archive) as tar:
        names = [name.partition("-")[2] for name in tar.getnames()]
    assert {"aoii.env", "aoii.env.web", "web_token", "node_keys"} <= set(names)


def test_without_a_folder_or_anything_to_save_it_says_what_to_do(small: Machine, run: Run, tmp_path: Path) -> None:
    assert "is not a folder" in run("--env-file", small.env, "backup", "--to", tmp_path / "nowhere")[2]
    assert "BACKUP_DIR" in run("backup")[2]
    assert "--env-file" in run("backup", "--to", tmp_path)[2]


def test_two_backups_into_one_folder_do_not_meet(small: Machine, run: Run) -> None:
    with (small.backups / ".aoii-backup.lock").open("ab") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        code, _, err = run("--env-file", small.env, "backup")

    assert code == 2
    assert "another backup is being made there" in err


def test_the_options_name_the_parts_that_there_are() -> None:
    assert backup.PARTS == backup_parts.NAMES


def _newest(machine: Machine, run: Run) -> Path:
    before = set(machine.archives())
    saved(machine, run)
    (new,) = set(machine.archives()) - before
    return new


def test_a_dump_is_counted_in_a_database_that_is_gone_afterwards(tmp_path: Path, mariadb: MariaDB, run: Run) -> None:
    machine = Machine(tmp_path, mysql_at(mariadb, mariadb.new_schema()))
    machine.fill()

    _, out, _ = run("--env-file", machine.env, "backup")

    assert f"database: {machine.place.name} at 127.0.0.1:{machine.place.port}, 40 readings" in out
    assert "read back and verified" in out
    left = [name for (name,) in mariadb.execute("SHOW DATABASES") if f"{machine.place.name}_" in str(name)]
    assert left == []


@pytest.fixture
def by_nobody() -> Iterator[Machine]:
    """A machine whose files are nobody's, in a folder that everybody may pass, while we are nobody."""
    with tempfile.TemporaryDirectory(dir="/tmp") as name:
        folder = Path(name)
        made = Machine(folder, sqlite_at(folder / "data" / "aoii.db"))
        made.fill()
        for path in (folder, *folder.rglob("*")):
            os.chown(path, NOBODY, NOBODY)
        os.setegid(NOBODY)
        os.seteuid(NOBODY)
        try:
            yield made
        finally:
            os.seteuid(0)
            os.setegid(0)


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can be somebody else")
def test_what_root_has_left_does_not_keep_the_user_of_the_stations_from_a_backup(by_nobody: Machine, run: Run) -> None:
    os.seteuid(0)
    saved(by_nobody, run)
    killed = by_nobody.backups / ".aoii-backup-killed"
    killed.mkdir(mode=0o700)
    (killed / "0-aoii.env").touch()
    os.seteuid(NOBODY)

    saved(by_nobody, run)

    assert killed.exists()
    os.seteuid(0)
    saved(by_nobody, run)
    assert not killed.exists()
    assert len(by_nobody.archives()) == 3


@pytest.mark.parametrize("share", [0.0, 0.3, 0.9])
def test_a_disk_that_is_full_leaves_the_older_archive_and_nothing_else(small: Machine, run: Run, share: float) -> None:
    """Every file may have so much of the size of an archive."""
    archive = saved(small, run)
    limited = (
        "import resource, sys; from aoii.commands import main; "
        "resource.setrlimit(resource.RLIMIT_FSIZE, (int(sys.argv[1]),) * 2); sys.exit(main.main(sys.argv[2:]))"
    )
    words = [str(int(share * archive.stat().st_size)), "--env-file", str(small.env), "backup", "--keep", "1"]
    environ = {"PYTHONPATH": os.pathsep.join(sys.path), "PATH": os.environ["PATH"]}

    done = subprocess.run([sys.executable, "-c", limited, *words], env=environ, capture_output=True, check=False)

    assert done.returncode == 2, done.stderr
    assert {path.name for path in small.backups.iterdir()} == {archive.name, ".aoii-backup.lock"}
