"""`aoii ledger`: a line for each node and epoch, whether it balances, and the exit code."""

import csv
import json
from collections.abc import Callable
from pathlib import Path

import pytest

from aoii.commands import main
from aoii.server.db import Database
from aoii.server.dead_letters.store import DeadLetters
from aoii.server.gaps import Gap, Gaps
from aoii.server.ledger import PARTS
from aoii.settings import Database as DatabaseSettings
from server.samples import a_reading, run_sql

Ledger = Callable[..., tuple[int, str, str]]


@pytest.fixture
def ledger(stored: Database, capsys: pytest.CaptureFixture[str]) -> Ledger:
    """Runs `aoii ledger`; its exit code and what it printed."""

    def run(*arguments: str) -> tuple[int, str, str]:
        capsys.readouterr()
        code = main.main(["ledger", *arguments])
        printed = capsys.readouterr()
        return code, printed.out, printed.err

    return run


def letter(data_dir: Path, *numbers: int) -> None:
    letters = DeadLetters(data_dir / "dead_letters.db", 4)
    letters.add([a_reading(number) for number in numbers], "bad_row", "")
    letters.close()


def test_each_node_and_epoch_is_a_line_with_its_parts(ledger: Ledger, stored: Database, data_dir: Path) -> None:
    stored.insert_readings([*map(a_reading, (1, 2, 5, 1000)), a_reading(1, node="8")])
    Gaps(stored.pool).record([Gap("7", 1, 3, 3, "void"), Gap("7", 1, 6, 9, "lost"), Gap("7", 1, 10, 10, "unknown")])
    letter(data_dir, 4, 5)

    code, out, err = ledger()

    assert (code, err) == (0, "")
    lines = [line.split("  ") for line in out.splitlines()]
    cells = [[cell.strip() for cell in line if cell.strip()] for line in lines]
    assert cells[:4] == [
        ["NODE", "EPOCH", "NUMBERS", *(part.replace("_", " ").upper() for part in PARTS)],
        ["7", "1", "1-1,000", "4", "1", "1", "989", "-", "1", "4", "-"],
        ["8", "1", "1-1", "1", "-", "-", "-", "-", "-", "-", "-"],
        ["all", "1,001", "5", "1", "1", "989", "-", "1", "4", "-"],
    ]
    assert out.splitlines()[4] == "balanced: every number is in one part; 989 waiting, 1 unknown, 4 lost"


def test_a_healthy_ledger_says_so(ledger: Ledger, stored: Database, data_dir: Path) -> None:
    stored.insert_readings([a_reading(1), a_reading(2)])
    letter(data_dir)

    code, out, _ = ledger()

    assert code == 0
    assert out.splitlines()[1:] == [
        "7     1          1-2       2             -     -        -     -        -     -        -",
        "balanced: every number is accounted for",
    ]


def test_what_is_open_is_left_to_do(ledger: Ledger, stored: Database) -> None:
    stored.insert_reading(a_reading(2))
    Gaps(stored.pool).record([Gap("7", 1, 1, 1, "open")])

    code, out, _ = ledger()

    assert code == 1
    assert "balanced: every number is in one part; 1 open" in out


def test_what_does_not_balance_is_named(ledger: Ledger, stored: Database, place: DatabaseSettings) -> None:
    stored.insert_readings([a_reading(9), a_reading(1, node="8")])
    Gaps(stored.pool).record([Gap("7", 1, 1, 2, "lost"), Gap("7", 1, 5, 6, "lost")])
    run_sql(place, "UPDATE gaps SET last = 5 WHERE first = 1")

    code, out, _ = ledger()

    assert code == 1
    assert [line.endswith("NOT BALANCED") for line in out.splitlines()[1:3]] == [True, False]
    assert "NOT balanced: node 7, epoch 1. Numbers are in two parts or in none" in out


def test_days_are_lines(ledger: Ledger, stored: Database, data_dir: Path) -> None:
    day_ms, start_ms = 86_400_000, 1_451_606_400_000  # 2016-01-01
    stored.insert_readings([a_reading(number, event_unix_ms=start_ms + (number // 3) * day_ms) for number in (1, 2, 5)])
    letter(data_dir, 6)

    code, out, _ = ledger("--node", "7", "--days", "--json")

    rows = [json.loads(line) for line in out.splitlines()]
    assert code == 0
    assert [(row["day"], row["first"], row["last"], row["stored"], row["waiting"]) for row in rows] == [
        ("2016-01-01", 1, 2, 2, 0), ("2016-01-02", 3, 5, 1, 2), (None, 6, 6, 0, 0)
    ]  # fmt: skip
    assert rows[2]["dead_letters"] == 1
    _, table, _ = ledger("--days")
    assert [line.split()[2] for line in table.splitlines()[1:4]] == ["2016-01-01", "2016-01-02", "later"]


def test_it_is_made_for_programs(ledger: Ledger, stored: Database, data_dir: Path) -> None:
    stored.insert_readings([a_reading(1), a_reading(3)])
    letter(data_dir)

    _, as_json, said = ledger("--json")
    _, as_csv, _ = ledger("--csv")

    one = json.loads(as_json)
    assert (one["node"], one["epoch"], one["stored"], one["waiting"], one["is_balanced"]) == ("7", 1, 2, 1, True)
    (row,) = csv.DictReader(as_csv.splitlines())
    assert {name: str(value) for name, value in one.items() if value is not None} | {"day": ""} == row
    assert "balanced" in said


def test_an_empty_database_says_so(ledger: Ledger) -> None:
    code, out, _ = ledger()

    assert code == 0
    assert out == "the ledger is empty: the database has no reading with a node and a number\n"


def test_an_unknown_node_is_an_error(ledger: Ledger, stored: Database) -> None:
    stored.insert_reading(a_reading(1))

    code, out, err = ledger("--node", "9")

    assert (code, out) == (2, "")
    assert "nothing is known of node '9'; `aoii ledger` lists the nodes" in err


def test_without_the_file_of_dead_letters_it_says_what_they_count_as(ledger: Ledger, stored: Database) -> None:
    stored.insert_reading(a_reading(2))

    code, out, err = ledger()

    assert code == 0
    assert "1 waiting" in out
    assert "without dead letters, which count as waiting" in err


def test_without_a_database_it_says_what_to_do(
    data_dir: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("AOII_DATA_DIR", str(data_dir))

    assert main.main(["ledger"]) == 2

    assert "start `aoii server`, which makes the file" in capsys.readouterr().err
