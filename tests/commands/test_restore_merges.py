"""`aoii restore --force` over an outbox or dead letters: what is there is taken in, also out of a damaged file."""

import contextlib
import os
import secrets
import socket
import sqlite3
from pathlib import Path

import pytest

from aoii.gateway.drivers.quarantine import Quarantine
from aoii.server.dead_letters.letters import DeadLetter, open_letters
from aoii.server.dead_letters.store import DeadLetters
from commands.saved_machine import Machine, Run, letters_of, outbox_of, saved
from commands.test_backup import NOBODY, by_nobody  # noqa: F401 - a fixture
from gateway.drivers.outbox_files import add, opened
from server.samples import a_reading, mysql_at
from servers import MariaDB

LETTERS = 200


def test_what_can_be_read_of_a_damaged_outbox_is_in_the_new_one(small: Machine, run: Run) -> None:
    with opened(small.outbox) as store:
        for counter in range(6, 206):
            add(store, counter).result()
    archive = saved(small, run)
    with opened(small.outbox) as store:
        add(store, 206).result()
    content = bytearray(small.outbox.read_bytes())
    content[8 * 4096 : 10 * 4096] = os.urandom(8192)
    small.outbox.write_bytes(content)

    code, _, err = run("--env-file", small.env, "restore", archive, "--only", "outbox", "--force")

    assert code == 0, err
    _, events, _ = outbox_of(small.outbox)
    assert {counter for _, counter in events} == set(range(3, 207))
    (aside,) = small.data.glob("outbox.db.before-restore-*")
    assert aside.read_bytes()[8 * 4096 : 10 * 4096] == content[8 * 4096 : 10 * 4096]


@pytest.mark.parametrize("name", ["outbox.db", "kept.db", "dead_letters.db"])
@pytest.mark.parametrize("content", [b"garbage" * 5000, b"", b"SQLite format 3\0" + bytes(84)])
def test_a_file_that_is_no_database_keeps_nothing_from_being_put_back(
    small: Machine, run: Run, name: str, content: bytes
) -> None:
    letters = letters_of(small)
    archive = saved(small, run)
    (small.data / name).write_bytes(content)

    code, _, err = run("--env-file", small.env, "restore", archive, "--without", "database", "--force")

    assert code == 0, err
    _, events, _ = outbox_of(small.outbox)
    assert [counter for _, counter in events] == [3, 4, 5]
    assert letters_of(small) == letters


def test_kept_readings_are_read_and_nothing_is_left_beside_them(small: Machine, run: Run) -> None:
    archive = saved(small, run)
    small.outbox.unlink()

    _, out, _ = run("--env-file", small.env, "restore", archive, "--only", "outbox")

    assert "3 readings" in out
    assert [path.name for path in small.data.glob("kept.db*")] == ["kept.db"]


def test_a_dump_that_is_cut_off_by_the_database_says_how_to_go_on(tmp_path: Path, mariadb: MariaDB, run: Run) -> None:
    machine = Machine(tmp_path, mysql_at(mariadb, mariadb.new_schema()))
    machine.fill()
    archive = saved(machine, run)
    user = f"u{secrets.token_hex(6)}"
    name = machine.place.name
    rights = "SELECT, CREATE, DROP, ALTER, INSERT"
    mariadb.execute(f"CREATE USER '{user}'@'%'", f"GRANT SELECT, CREATE, DROP ON {name}.* TO '{user}'@'%'")
    machine.env.write_text(machine.env.read_text().replace("MYSQL_USER=root", f"MYSQL_USER={user}"))

    words = ("--env-file", machine.env, "restore", archive, "--only", "database", "--force")
    code, _, err = run(*words)
    assert code == 2
    assert "run it again with --force" in err
    mariadb.execute(f"GRANT {rights} ON {name}.* TO '{user}'@'%'")
    assert run(*words)[0] == 0
    assert len(machine.rows()["readings"]) == 40


def test_the_quarantine_comes_back_and_what_was_damaged_is_in_it_once(small: Machine, run: Run) -> None:
    with contextlib.closing(sqlite3.connect(small.outbox)) as file, file:
        file.execute("INSERT INTO corrupt VALUES (NULL, 9, '7', 1, 99, x'00', 1)")
        file.execute("UPDATE events SET payload = x'0102' WHERE counter = 4")
    archive = saved(small, run)

    for _ in range(2):
        code, out, err = run("--env-file", small.env, "restore", archive, "--only", "outbox", "--force")
        assert code == 0, err
    assert "aoii dlq list" in out

    _, events, _ = outbox_of(small.outbox)
    assert [counter for _, counter in events] == [3, 5]
    with contextlib.closing(Quarantine(small.outbox)) as quarantine:
        assert [row.counter for row in quarantine.rows()] == [99, 4]


def test_an_outbox_of_a_newer_version_is_refused_and_nothing_is_changed(small: Machine, run: Run) -> None:
    with contextlib.closing(sqlite3.connect(small.outbox)) as file:
        file.execute("PRAGMA user_version = 99")

    code, _, err = run("--env-file", small.env, "backup")

    assert code == 2
    assert "a newer aoii made this outbox (version 99)" in err
    assert small.archives() == []


def test_dead_letters_that_came_after_the_backup_stay_and_those_of_it_come_back(small: Machine, run: Run) -> None:
    path = small.data / "dead_letters.db"
    with contextlib.closing(DeadLetters(path, 1)) as letters:
        letters.add([a_reading(number) for number in range(100, 100 + LETTERS)], "bad_row", "too long")
        letters.add_to_ring([(b"{no message", "not JSON")])
    archive = saved(small, run)
    with contextlib.closing(open_letters(path, writes=True)) as file:
        file.remove([letter.id for letter in file.letters(1000) if letter.counter in (50, 100)])
    with contextlib.closing(DeadLetters(path, 1)) as letters:
        letters.add([a_reading(900)], "mismatch", "another content")
    numbers = {letter.counter: letter.id for letter in small_letters(path)}

    for _ in range(2):
        code, out, err = run("--env-file", small.env, "restore", archive, "--only", "dead-letters", "--force")
        assert code == 0, err

    merged = small_letters(path)
    wanted = [None, 50, *range(100, 100 + LETTERS), 900]
    assert sorted(merged_counters(path), key=str) == sorted(wanted, key=str)
    assert {letter.counter: letter.id for letter in merged if letter.counter in numbers} == numbers
    assert all(letter.is_sound for letter in merged)
    assert f"has {LETTERS + 3} dead letters now" in out
    with contextlib.closing(DeadLetters(path, 1)) as letters:  # and the server goes on with them
        assert letters.recoveries == []
        letters.add([a_reading(901)], "bad_row", "")
    assert max(letter.id for letter in small_letters(path)) > max(letter.id for letter in merged)


def small_letters(path: Path) -> list[DeadLetter]:
    with contextlib.closing(open_letters(path)) as letters:
        return list(letters.letters(10_000))


def merged_counters(path: Path) -> list[int | None]:
    return [letter.counter for letter in small_letters(path)]


def test_a_restore_that_ended_half_way_says_what_is_back_and_the_outbox_is_still_to_come(
    small: Machine, run: Run
) -> None:
    archive = saved(small, run)
    small.wipe()
    small.data.mkdir()
    obstacle = small.data / f".aoii.db{'.restoring'}"
    obstacle.mkdir()  # where the database is put together

    code, out, err = run("restore", archive)
    assert code == 2
    assert f"keys: {small.keys} is back" in out
    assert not small.outbox.exists()

    obstacle.rmdir()
    code, out, err = run("restore", archive)
    assert code == 0, err
    assert f"keys: {small.keys} is there already" in out
    assert outbox_of(small.outbox)[1]


def test_a_link_stays_one_and_what_it_points_to_is_put_back(small: Machine, run: Run, tmp_path: Path) -> None:
    far = tmp_path / "other disk" / "aoii.env"
    far.parent.mkdir()
    small.env.rename(far)
    small.env.symlink_to(far)
    text = far.read_text()
    archive = saved(small, run)
    far.unlink()

    code, _, err = run("restore", archive, "--only", "settings")

    assert code == 0, err
    assert small.env.is_symlink()
    assert far.read_text() == text


def test_an_archive_of_another_machine_is_named(small: Machine, run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    archive = saved(small, run)
    small.wipe()
    monkeypatch.setattr(socket, "gethostname", lambda: "other")

    _, out, _ = run("restore", archive)

    assert "and is put back on other" in out


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can be somebody else")
def test_who_is_not_root_is_told_that_files_of_others_are_his_now(by_nobody: Machine, run: Run) -> None:  # noqa: F811
    os.seteuid(0)
    by_nobody.env.chmod(0o644)
    os.chown(by_nobody.env, 1, 1)
    os.seteuid(NOBODY)
    archive = saved(by_nobody, run)

    code, out, err = run("restore", archive, "--only", "settings", "--to", by_nobody.data / "trial")

    assert code == 0, err
    assert f"{by_nobody.env.name} is yours now and was daemon:daemon's" in out
