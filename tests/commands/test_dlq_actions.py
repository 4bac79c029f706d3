"""`aoii dlq`: both stores, from the command line, while the stations may be running."""

import contextlib
import json
import os
import shutil
import sqlite3
import tempfile
import threading
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import pytest

from aoii.broker.messages import Identity
from aoii.commands import dlq_actions, main
from aoii.gateway.drivers.outbox_file import OutboxFile
from aoii.gateway.outbox import Fetch
from aoii.server.db import Database, open_database
from aoii.server.dead_letters.letters import DeadLetter, Letters
from aoii.server.dead_letters.store import DeadLetters
from aoii.server.gaps import Gap, Gaps
from server.samples import a_reading, sqlite_at
from servers import AS_ROOT

Dlq = Callable[..., tuple[int, str, str]]
NOBODY = 65534


@pytest.fixture
def run(data_dir: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Dlq:
    """Runs `aoii dlq`; its exit code and what it printed."""
    monkeypatch.setenv("AOII_DATA_DIR", str(data_dir))

    def run(*arguments: object) -> tuple[int, str, str]:
        capsys.readouterr()
        code = main.main(["dlq", *map(str, arguments)])
        printed = capsys.readouterr()
        return code, printed.out, printed.err

    return run


@pytest.fixture
def letters(data_dir: Path) -> Iterator[DeadLetters]:
    with contextlib.closing(DeadLetters(data_dir / "dead_letters.db", 4)) as letters:
        yield letters


@pytest.fixture
def database(data_dir: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Database]:
    monkeypatch.setenv("DATABASE", str(data_dir / "aoii.db"))
    with contextlib.closing(open_database(sqlite_at(data_dir / "aoii.db"), migrate=True)) as database:
        yield database


@pytest.fixture
def outbox(data_dir: Path) -> Path:
    """An outbox with one damaged reading, and its gateway stopped."""
    path = data_dir / "outbox.db"
    with contextlib.closing(OutboxFile(path, 1 << 24)) as store:
        for counter in (1, 2):
            store.submit(lambda tx, c=counter: tx.insert(Identity("8", 1, c), "d", 1, b"reading %d" % c, 0)).result()  # type: ignore[misc]  # lambda's default
    with contextlib.closing(sqlite3.connect(path)) as connection:
        connection.execute("UPDATE events SET payload = x'ff1b' WHERE counter = 1")
        connection.commit()
    with contextlib.closing(OutboxFile(path, 1 << 24)) as store:
        store.submit(lambda tx: tx.fetch(Fetch(0, 9))).result()
    return path


def listed(printed: str) -> list[list[str]]:
    return [line.split() for line in printed.splitlines()[1:]]


def test_both_stores_are_listed_with_reason_times_and_attempts(run: Dlq, letters: DeadLetters, outbox: Path) -> None:
    letters.add([a_reading(5)], "mismatch", "")
    letters.add([a_reading(5)], "mismatch", "")
    letters.add_to_ring([(b"\xff", "encoding: payload is not UTF-8")])

    code, out, err = run("list")

    assert code == 0
    assert out.splitlines()[0].split() == list(dlq_actions.COLUMNS)
    assert [row[:4] + row[6:] for row in listed(out)] == [
        ["server", "1", "7/1/5", "mismatch", "2"],
        ["server", "3", "-", "malformed", "1"],
        ["gateway", "1", "8/1/1", "corrupt", "1"],
    ]
    assert "3 dead letters" in err


def test_the_list_is_narrowed_by_store_and_by_reason_and_made_for_programs(
    run: Dlq, letters: DeadLetters, outbox: Path
) -> None:
    letters.add([a_reading(5)], "bad_row", "too hot")

    _, by_reason, _ = run("list", "--reason", "corrupt", "--json")
    _, by_store, _ = run("list", "--store", "server", "--json")

    (corrupt,) = map(json.loads, by_reason.splitlines())
    assert (corrupt["store"], corrupt["payload"], corrupt["payload_base64"]) == ("gateway", None, "/xs=")
    (bad,) = map(json.loads, by_store.splitlines())
    assert (bad["reason"], bad["detail"], bad["attempts"], bad["payload_base64"]) == ("bad_row", "too hot", 1, None)
    assert json.loads(bad["payload"])["actual_t"] == 21.5
    assert bad["first"] == bad["last"]


def test_a_letter_is_shown_whole_and_no_terminal_obeys_it(run: Dlq, letters: DeadLetters, outbox: Path) -> None:
    letters.add_to_ring([(b"\x1b]0;owned\x07 {", "json: payload is not JSON")])

    code, out, _ = run("show", "server:1")

    assert code == 0
    assert "reason    malformed" in out
    assert "payload, 12 bytes:\n\\x1b]0;owned\\x07 {\n" in out
    code, _, err = run("show", "1")
    assert code == 2
    assert "write server:1 or gateway:1" in err
    code, _, err = run("show", "99")
    assert code == 2
    assert "`aoii dlq list` shows those that are" in err
    code, out, _ = run("show", "1", "--store", "gateway", "--json")
    assert json.loads(out)["reason"] == "corrupt"


def test_a_node_that_repeats_its_numbers_is_named_with_the_cure(run: Dlq, letters: DeadLetters) -> None:
    letters.add([a_reading(counter, node="7") for counter in (1, 2, 3)], "mismatch", "")
    letters.add([a_reading(1, node="8"), a_reading(2, node="8")], "mismatch", "")
    letters.add([a_reading(counter, node="gateway/ttyUSB0") for counter in (1, 2, 3)], "mismatch", "")
    letters.add([a_reading(counter, node="9") for counter in (1, 2, 3)], "bad_row", "")

    _, _, err = run("list")
    _, shown, _ = run("show", "1")

    named = [line for line in err.splitlines() if "flash was erased" in line]
    assert [line.partition(":")[0] for line in named] == ["node 7 has repeated 3 numbers of its epoch 1"]
    assert "aoii node replace 7" in named[0]
    assert "if node 7 does this again and again: its flash was erased" in shown


def test_without_any_store_it_says_where_it_looked(run: Dlq, data_dir: Path) -> None:
    code, _, err = run("list")

    assert code == 2
    assert f"{data_dir}/dead_letters.db does not exist" in err
    assert f"{data_dir}/outbox.db does not exist" in err
    assert list(data_dir.iterdir()) == []


def test_what_the_table_takes_now_leaves_the_dead_letters_and_twice_changes_nothing(
    run: Dlq, letters: DeadLetters, database: Database
) -> None:
    database.insert_reading(a_reading(2))
    database.insert_reading(a_reading(3))
    letters.add([a_reading(1), a_reading(2)], "bad_row", "the table was too small")
    letters.add([a_reading(3, actual_t=30.0)], "mismatch", "")
    letters.add_to_ring([(b"{}", "event: event is neither RX nor EST")])

    first = run("replay", "--all")
    second = run("replay", "--all")

    assert first[0] == second[0] == 1
    assert [line.split()[2].rstrip(",") for line in first[1].splitlines()] == [
        "stored", "duplicate", "mismatch", "malformed",
    ]  # fmt: skip
    assert "2 in the database, 2 stay" in first[2]
    assert sorted(who.counter for who in database.identities()) == [1, 2, 3]
    assert [(letter.reason, letter.attempts) for letter in letters.letters(9)] == [("mismatch", 3), ("malformed", 3)]


def test_replay_takes_one_letter_or_one_reason(run: Dlq, letters: DeadLetters, database: Database) -> None:
    letters.add([a_reading(counter) for counter in (1, 2, 3)], "bad_row", "")
    letters.add([a_reading(4)], "mismatch", "")

    assert run("replay", "server:2")[0] == 0
    assert run("replay", "--all", "--reason", "mismatch")[0] == 0

    assert sorted(who.counter for who in database.identities()) == [2, 4]
    assert [letter.counter for letter in letters.letters(9)] == [1, 3]


def test_what_is_not_for_a_person_to_replay_is_left_and_said(
    run: Dlq, letters: DeadLetters, outbox: Path, database: Database
) -> None:
    letters.add([a_reading(1)], "database_away", "")

    assert "the server replays it by itself" in run("replay", "server:1")[2]
    assert "is corrupt and cannot be inserted" in run("replay", "gateway:1")[2]
    code, out, _ = run("replay", "--all")

    assert code == 0
    assert "2 not for replay" in out
    assert letters.counts()["database_away"] == 1


def test_a_letter_that_was_damaged_on_the_disk_is_not_inserted(
    run: Dlq, letters: DeadLetters, database: Database
) -> None:
    letters.add([a_reading(1)], "bad_row", "")
    letters._connection.execute("UPDATE letters SET payload = CAST(replace(payload, '21.5', '99.5') AS BLOB)")

    code, out, _ = run("replay", "--all")

    assert code == 1
    assert "corrupt, stays" in out
    assert database.stats().total == 0


def test_while_the_database_is_away_nothing_changes(
    run: Dlq, letters: DeadLetters, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MYSQL_HOST", "127.0.0.1")
    monkeypatch.setenv("MYSQL_PORT", "1")
    letters.add([a_reading(1)], "bad_row", "hot")

    code, _, err = run("replay", "--all")

    assert code == 2
    assert err
    assert [(letter.reason, letter.attempts) for letter in letters.letters(9)] == [("bad_row", 1)]


def test_drop_asks_and_writes_what_it_dropped_to_the_log(
    run: Dlq, letters: DeadLetters, outbox: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    letters.add([a_reading(1)], "mismatch", "")
    letters.add([a_reading(2)], "database_away", "")
    questions: list[str] = []
    monkeypatch.setattr("sys.stdin.isatty", lambda: True)
    monkeypatch.setattr("builtins.input", lambda question: "" if questions.append(question) is None else "y")  # type: ignore[func-returns-value]  # on purpose

    refused = run("drop", "--all")
    done = run("drop", "--all", "--yes")

    assert (refused[0], refused[1]) == (1, "nothing dropped\n")
    assert "Drop 1 corrupt, 1 mismatch?" in questions[0]
    assert (done[0], done[1]) == (0, "2 dropped\n")
    told = [line for line in done[2].splitlines() if "dead letter dropped" in line]
    assert len(told) == 2
    assert all(word in told[0] for word in ("7", "actual_t", "mismatch"))
    assert [letter.reason for letter in letters.letters(9)] == ["database_away"]
    assert run("list", "--store", "gateway")[1] == ""


def test_nobody_looks_for_the_numbers_of_dropped_readings(run: Dlq, letters: DeadLetters, database: Database) -> None:
    letters.add([a_reading(counter) for counter in (1, 2, 2, 4)], "bad_row", "")
    letters.add_malformed_readings([(Identity("8", 2, 3), b"{}", "shape")])
    letters.add([a_reading(9)], "database_away", "")
    letters.add_to_ring([(b"{}", "event: event is neither RX nor EST")])

    assert run("drop", "--all", "--yes")[:2] == (0, "5 dropped\n")

    detail = "dead letter dropped"
    retired = [Gap("7", 1, 1, 2, "retired", detail), Gap("7", 1, 4, 4, "retired", detail)]
    assert Gaps(database.pool).all() == [*retired, Gap("8", 2, 3, 3, "retired", detail)]


def test_a_number_that_another_reading_has_or_that_nobody_can_trust_is_still_looked_for(
    run: Dlq, letters: DeadLetters, database: Database, outbox: Path
) -> None:
    letters.add([a_reading(1)], "mismatch", "")
    letters.add([a_reading(2)], "corrupt", "")

    assert run("drop", "--all", "--yes")[:2] == (0, "3 dropped\n")

    assert Gaps(database.pool).all() == []


def test_the_database_knows_before_a_letter_goes(
    run: Dlq, letters: DeadLetters, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MYSQL_HOST", "127.0.0.1")
    monkeypatch.setenv("MYSQL_PORT", "1")
    letters.add([a_reading(1)], "bad_row", "hot")
    letters.add_to_ring([(b"{}", "event: event is neither RX nor EST")])

    code, _, err = run("drop", "--all", "--yes")

    assert code == 2
    assert "dead letters stay until the database can record that nobody should look for them" in err
    assert "check that it runs, and MYSQL_HOST and MYSQL_PORT" in err
    assert len(letters.letters(9)) == 2
    assert run("drop", "server:2", "--yes")[:2] == (0, "1 dropped\n"), "it has no number"


def test_a_drop_of_many_lets_the_station_in_between(
    run: Dlq, letters: DeadLetters, monkeypatch: pytest.MonkeyPatch
) -> None:
    letters.add([a_reading(number) for number in range(5)], "mismatch", "")
    at_once: list[int] = []
    drop = Letters.drop

    def counted(self: Letters, dropped: Sequence[DeadLetter]) -> list[DeadLetter]:
        at_once.append(len(dropped))
        return drop(self, dropped)

    monkeypatch.setattr(Letters, "drop", counted)
    monkeypatch.setattr(dlq_actions, "PAGE", 2)
    code, out, _ = run("drop", "--all", "--yes")

    assert (code, out, at_once) == (0, "5 dropped\n", [2, 2, 1])
    assert letters.letters(9) == []


def test_a_dropped_payload_forges_no_line_of_the_log(run: Dlq, letters: DeadLetters) -> None:
    letters.add_to_ring([(b"{\n00:00:00 ERROR server: all is lost\xff", "json: payload is not JSON")])

    _, _, err = run("drop", "--all", "--yes")

    (told,) = [line for line in err.splitlines() if "all is lost" in line]
    assert "dead letter dropped" in told
    assert "{\\n00:00:00" in told


def test_drop_with_nobody_to_ask_drops_nothing(run: Dlq, letters: DeadLetters, monkeypatch: pytest.MonkeyPatch) -> None:
    letters.add([a_reading(1)], "mismatch", "")
    monkeypatch.setattr("sys.stdin.isatty", lambda: False)

    code, _, err = run("drop", "server:1")

    assert code == 2
    assert "--yes" in err
    assert letters.counts()["mismatch"] == 1


def test_a_server_that_adds_letters_meanwhile_loses_nothing(run: Dlq, letters: DeadLetters, database: Database) -> None:
    letters.add([a_reading(counter) for counter in range(100)], "bad_row", "")
    faults: list[Exception] = []

    def add_letters() -> None:
        try:
            for first in range(100, 200, 5):  # few enough that who waits for the file gets it, however slow the disk
                letters.add([a_reading(counter) for counter in range(first, first + 5)], "bad_row", "")
        except Exception as error:
            faults.append(error)

    server = threading.Thread(target=add_letters)
    server.start()
    codes = [run("replay", "--all")[0] for _ in range(5)]
    server.join()
    codes.append(run("replay", "--all")[0])

    assert (set(codes), faults) == ({0}, [])
    assert sorted(who.counter for who in database.identities()) == list(range(200))
    assert letters.counts()["bad_row"] == 0


@pytest.mark.skipif(not AS_ROOT, reason="only root can become somebody else, who may only read")
def test_who_may_only_read_sees_everything_and_changes_nothing(
    run: Dlq, data_dir: Path, outbox: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with contextlib.closing(DeadLetters(data_dir / "dead_letters.db", 4)) as letters:
        letters.add([a_reading(1)], "mismatch", "")
    with tempfile.TemporaryDirectory(dir="/tmp") as home:  # pytest's own folders are closed to others
        folder = Path(home) / "data"
        shutil.copytree(data_dir, folder)
        for path in (Path(home), folder):
            path.chmod(0o755)
        before = sorted(folder.iterdir())
        monkeypatch.chdir(home)
        monkeypatch.setenv("AOII_DATA_DIR", str(folder))
        os.seteuid(NOBODY)
        try:
            seen = run("list")
            dropped = run("drop", "--all", "--yes")
        finally:
            os.seteuid(0)
        after = sorted(folder.iterdir())
        monkeypatch.chdir(data_dir)

    assert len(listed(seen[1])) == 2, seen
    assert dropped[0] == 2
    assert "as the user of the server" in dropped[2]
    assert after == before, "a reader leaves no file behind"


def test_a_damaged_file_is_left_to_its_station(run: Dlq, data_dir: Path, outbox: Path) -> None:
    damaged = b"not a database at all" * 500
    (data_dir / "dead_letters.db").write_bytes(damaged)

    code, out, err = run("list")

    assert code == 0
    assert "salvages what it can when it starts next" in err
    assert [row[0] for row in listed(out)] == ["gateway"]
    assert (data_dir / "dead_letters.db").read_bytes() == damaged
