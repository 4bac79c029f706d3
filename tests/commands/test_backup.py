"""`aoii backup` and `aoii restore`: what a machine has is saved while it is used, and is back row by row."""

import contextlib
import fcntl
import functools
import json
import os
import signal
import socket
import sqlite3
import subprocess
import sys
import tarfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from aoii.commands import backup, backup_parts, main
from aoii.gateway.drivers import outbox_rows
from aoii.gateway.drivers.outbox_file import OutboxFile
from aoii.gateway.drivers.outbox_transaction import Transaction
from aoii.security import node_keys
from aoii.security.node_keys import NodeKey
from aoii.server.db import open_database
from aoii.server.dead_letters.letters import open_letters
from aoii.server.dead_letters.store import DeadLetters
from aoii.server.gaps import Gap, Gaps
from aoii.settings import Database as DatabaseSettings
from gateway.drivers.outbox_files import add, counters, opened, who
from server.samples import a_reading, an_edge_log_row, mysql_at, run_sql, sqlite_at
from servers import MariaDB, free_port

TABLES = ("readings", "edge_log", "gaps", "floors", "gateway_files", "gateway_numbers", "audits", "marks")
ODD = "a 'b\" #;\\n=c"  # every sign is meant, as settings are literal
WRITER = """
import sys, time
from pathlib import Path
from aoii.broker.messages import Identity
from aoii.gateway.drivers.outbox_file import OutboxFile
from aoii.server.db import open_database
from aoii.settings import load
from server.samples import a_reading
values = load(env_file=Path(sys.argv[1]), station="server")
outbox = OutboxFile(values.gateway.outbox_path, 1 << 26, keep_bytes=1 << 26)
database = open_database(values.database)
for counter in range(1000, 1_000_000):
    one = Identity("9", 1, counter)
    outbox.submit(lambda transaction: transaction.insert(one, "d", 1, b"payload", counter)).result()
    outbox.submit(lambda transaction: transaction.set_state("9", b"state")).result()
    database.insert_readings([a_reading(counter, "9")])
    if counter == 1003:
        print("writes", flush=True)
"""


def acknowledge(store: OutboxFile, *numbers: int) -> None:
    """As the server does: the readings leave the outbox, and are kept."""
    store.submit(functools.partial(Transaction.delete, identities=[who(one) for one in numbers])).result()


class Machine:
    """A machine with one file of settings, whose files were written by the stations' own code.

    Attributes:
        place: Where its database is.
        env: Its file of settings.
        data: Its data folder.
        backups: Where archives go.
    """

    def __init__(self, folder: Path, place: DatabaseSettings) -> None:
        self.place = place
        self.env = folder / "etc" / "aoii.env"
        self.data = folder / "data"
        self.backups = folder / "backups"
        self.keys = folder / "etc" / "secrets" / "node_keys"
        for made in (self.keys.parent, self.data, self.backups):
            made.mkdir(parents=True, exist_ok=True)
        lines = [f"AOII_DATA_DIR={self.data}", f"NODE_KEYS_FILE={self.keys}", f"BACKUP_DIR={self.backups}"]
        lines += [f"{name}_STATUS_PORT={free_port()}" for name in ("GATEWAY", "SERVER", "CSV", "EDGE_LOG", "EDGE")]
        if place.host is not None:
            lines += [f"MYSQL_HOST={place.host}", f"MYSQL_PORT={place.port}", f"MYSQL_DATABASE={place.name}"]
            lines += [f"MYSQL_USER={place.user}"]
        self.env.write_text("\n".join(lines) + "\n")

    def fill(self) -> None:
        node_keys.write_key_file(self.keys, {7: NodeKey(1, bytes(range(16)))})
        with contextlib.closing(open_database(self.place, migrate=True)) as database:
            database.insert_readings([a_reading(number) for number in range(1, 41)])
            database.insert_edge_log([an_edge_log_row(), an_edge_log_row(status="ü; -- '\"\n")])
            Gaps(database.pool).record([Gap("7", 1, 41, 42, "lost")])
        with contextlib.closing(DeadLetters(self.data / "dead_letters.db", 1)) as letters:
            letters.add([a_reading(50)], "bad_row", "too long")
        with opened(self.outbox, keep_bytes=1 << 20) as store:
            for counter in range(1, 6):
                add(store, counter).result()
            store.submit(lambda transaction: transaction.set_state("7", b"state")).result()
            acknowledge(store, 1, 2)

    @property
    def outbox(self) -> Path:
        return self.data / "outbox.db"

    def rows(self) -> dict[str, list[tuple[object, ...]]]:
        """Every row of every table of the database."""
        found = {table: run_sql(self.place, f"SELECT * FROM {table}") for table in TABLES}  # noqa: S608 - constants
        return {table: sorted(rows, key=repr) for table, rows in found.items()}

    def wipe(self) -> None:
        for path in (*self.data.iterdir(), self.env, self.keys):
            path.unlink()
        self.data.rmdir()
        self.keys.parent.rmdir()
        if self.place.host is not None:
            run_sql(self.place, f"DROP DATABASE {self.place.name}", f"CREATE DATABASE {self.place.name}")

    def archives(self) -> list[Path]:
        return sorted(path for path in self.backups.iterdir() if not path.name.startswith("."))


@pytest.fixture(params=["sqlite", "mariadb"])
def machine(request: pytest.FixtureRequest, tmp_path: Path, run: "Run") -> Machine:
    """A machine with each kind of database."""
    if request.param == "sqlite":
        made = Machine(tmp_path, sqlite_at(tmp_path / "data" / "aoii.db"))
    else:
        server: MariaDB = request.getfixturevalue("mariadb")
        made = Machine(tmp_path, mysql_at(server, server.new_schema()))
    made.fill()
    return made


@pytest.fixture
def small(tmp_path: Path, run: "Run") -> Machine:
    """A machine with SQLite."""
    made = Machine(tmp_path, sqlite_at(tmp_path / "data" / "aoii.db"))
    made.fill()
    return made


Run = Callable[..., tuple[int, str, str]]


@pytest.fixture
def run(capsys: pytest.CaptureFixture[str]) -> Run:
    """Runs a command; its exit code and what it printed."""

    def run(*words: object) -> tuple[int, str, str]:
        capsys.readouterr()
        code = main.main([str(word) for word in words])
        printed = capsys.readouterr()
        return code, printed.out, printed.err

    return run


def saved(machine: Machine, run: Run, *words: object) -> Path:
    """A backup of the machine; its archive."""
    code, out, err = run("--env-file", machine.env, "backup", *words)
    assert code == 0, out + err
    return machine.archives()[-1]


@contextlib.contextmanager
def writing(machine: Machine) -> Iterator[subprocess.Popen[str]]:
    """A process that accepts readings and stores them, as fast as it can, with the stations' own code."""
    path = os.pathsep.join(sys.path)
    command = [sys.executable, "-c", WRITER, str(machine.env)]
    environ = {"PYTHONPATH": path, "PATH": os.environ["PATH"]}
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environ) as process:
        try:
            assert process.stdout is not None
            assert process.stdout.readline() == "writes\n"
            yield process
        finally:
            process.kill()


def outbox_of(path: Path) -> tuple[str, list[tuple[int, int]], int]:
    """The name of an outbox file, sequence number and counter of each reading, and how many states it has."""
    with contextlib.closing(sqlite3.connect(path)) as connection:
        events = connection.execute("SELECT seq, counter FROM events ORDER BY seq").fetchall()
        states = connection.execute("SELECT count(*) FROM nodes").fetchone()[0]
        return outbox_rows.file_id(connection), events, states


def letters_of(machine: Machine) -> list[object]:
    with contextlib.closing(open_letters(machine.data / "dead_letters.db")) as letters:
        return list(letters.letters(100, 0))


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


def test_the_restore_says_what_begins_empty(small: Machine, run: Run) -> None:
    archive = saved(small, run)
    small.wipe()

    _, out, _ = run("restore", archive)

    assert "with the 3 readings that were not acknowledged" in out
    for word in ("sequence numbers", "estimates", "replay windows", "link state", "kept readings"):
        assert word in out.partition("begins empty")[2]


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


def test_the_gateway_goes_on_with_a_restored_outbox(small: Machine, run: Run) -> None:
    archive = saved(small, run)
    small.wipe()
    run("restore", archive)

    with opened(small.outbox, keep_bytes=1 << 20) as store:
        assert store.recoveries == []
        assert not store.is_older_copy
        assert counters(store) == [3, 4, 5]
        item = add(store, 6).result()

    assert item is not None
    assert item.seq == 4


def test_what_was_acknowledged_since_the_backup_does_not_come_back(small: Machine, run: Run) -> None:
    archive = saved(small, run)
    with opened(small.outbox, keep_bytes=1 << 20) as store:
        acknowledge(store, 3)
        add(store, 6).result()

    code, out, err = run("--env-file", small.env, "restore", archive, "--only", "outbox", "--force")

    assert code == 0, err
    assert "1 were acknowledged since" in out
    _, events, _ = outbox_of(small.outbox)
    assert sorted(counter for _, counter in events) == [4, 5, 6]  # 6 waits still: it came after the backup


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


def test_every_flipped_byte_of_content_is_found_and_nothing_is_put_back(small: Machine, run: Run) -> None:
    archive = saved(small, run)
    sound = archive.read_bytes()
    with tarfile.open(archive) as tar:
        places = [(entry.name, entry.offset_data + entry.size // 2) for entry in tar.getmembers()]
        places += [(f"header of {entry.name}", entry.offset + 3) for entry in tar.getmembers()]
    small.wipe()

    for name, place in places:
        archive.write_bytes(sound[:place] + bytes([sound[place] ^ 1]) + sound[place + 1 :])
        code, _, err = run("restore", archive)
        assert (code, small.env.exists()) == (2, False), name
        assert str(archive) in err

    for length in (0, 100, len(sound) // 2, sound.rindex(b"SQLite format 3") + 100):
        archive.write_bytes(sound[:length])
        assert run("restore", archive)[0] == 2
    assert not small.data.exists()


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


def _newest(machine: Machine, run: Run) -> Path:
    before = set(machine.archives())
    saved(machine, run)
    (new,) = set(machine.archives()) - before
    return new


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
    assert run("--env-file", machine.env, "backup")[0] == 0


def test_nothing_is_put_back_while_a_station_writes(machine: Machine, run: Run) -> None:
    archive = saved(machine, run)
    with writing(machine):
        code, _, err = run("--env-file", machine.env, "restore", archive, "--force")
        assert code == 2
        assert "stop the stations first" in err
        code, out, _ = run("--env-file", machine.env, "restore", archive, "--dry-run", "--force")
        assert code == 1
        assert "would be refused" in out


def test_what_exists_is_not_overwritten_unless_it_is_forced(machine: Machine, run: Run) -> None:
    rows = machine.rows()
    archive = saved(machine, run)
    run_sql(machine.place, "DELETE FROM readings WHERE counter = 3")
    machine.keys.write_text("")

    code, _, err = run("--env-file", machine.env, "restore", archive)
    assert code == 2
    assert f"{machine.keys} exists and differs" in err
    assert str(machine.env) not in err  # it is there, byte for byte
    assert machine.keys.read_text() == ""

    assert run("--env-file", machine.env, "restore", archive, "--force")[0] == 0
    assert machine.rows() == rows
    assert machine.keys.read_text()
    (aside,) = machine.keys.parent.glob("node_keys.before-restore-*")
    assert aside.read_text() == ""


def test_a_trial_puts_files_below_a_folder_and_changes_nothing_else(machine: Machine, run: Run, tmp_path: Path) -> None:
    archive = saved(machine, run)
    before = {path: path.stat().st_mtime_ns for path in machine.data.iterdir()}

    code, _, _ = run("--env-file", machine.env, "restore", archive, "--to", tmp_path / "trial")

    assert code == 0
    assert {path: path.stat().st_mtime_ns for path in machine.data.iterdir()} == before
    below = tmp_path / "trial" / machine.keys.relative_to("/")
    assert below.read_bytes() == machine.keys.read_bytes()
    if machine.place.host is None:
        copy = sqlite_at(tmp_path / "trial" / machine.place.sqlite_path.relative_to("/"))
        assert run_sql(copy, "SELECT * FROM readings") == run_sql(machine.place, "SELECT * FROM readings")


def test_a_restore_that_ended_before_the_keys_were_back_can_be_run_again(small: Machine, run: Run) -> None:
    secret = small.env.with_name("web_token")
    secret.write_text("0123456789abcdef\n")
    secret.chmod(0o600)
    with small.env.open("a") as file:
        file.write(f"WEB_TOKEN_FILE={secret}\n")
    archive = saved(small, run)
    small.wipe()
    secret.unlink()
    assert run("restore", archive, "--only", "settings")[0] == 0

    code, out, err = run("restore", archive)

    assert code == 0, err
    assert f"{small.env} is there already" in out
    assert secret.read_text() == "0123456789abcdef\n"


def test_nothing_is_put_back_while_a_status_port_answers(small: Machine, run: Run) -> None:
    archive = saved(small, run)
    port = int(small.env.read_text().partition("SERVER_STATUS_PORT=")[2].split()[0])

    with socket.create_server(("127.0.0.1", port)):
        code, _, err = run("--env-file", small.env, "restore", archive)

    assert code == 2
    assert f"the server runs (port {port} answers)" in err


def test_another_format_is_refused_in_words(small: Machine, run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("aoii.commands.backup_archive.FORMAT", 2)
    archive = saved(small, run)
    monkeypatch.undo()

    code, _, err = run("restore", archive)

    assert code == 2
    assert "format 2" in err
    with tarfile.open(archive) as tar:
        manifest = tar.extractfile("manifest.json")
        assert manifest is not None
        assert json.load(manifest)["format"] == 2


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
