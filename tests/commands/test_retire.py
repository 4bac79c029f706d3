"""`aoii retire`: a floor first, then rows; what comes late is not stored."""

import io
import os
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from aoii.broker.messages import Identity, Reading
from aoii.commands import main
from aoii.server import retirement
from aoii.server.db import Database
from aoii.server.gaps import Gap, Gaps
from aoii.server.retirement import Floors
from aoii.settings import Database as DatabaseSettings
from server.samples import BASE, a_reading, run_sql

Retire = Callable[..., tuple[int, str, str]]


@pytest.fixture
def retire(stored: Database, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Retire:
    """Runs `aoii retire`; its exit code and what it printed."""
    monkeypatch.setattr(retirement, "DELETED_ROWS", 2)

    def run(*arguments: str) -> tuple[int, str, str]:
        capsys.readouterr()
        code = main.main(["retire", *arguments])
        printed = capsys.readouterr()
        return code, printed.out, printed.err

    return run


def numbers(database: Database, node: str = "7", epoch: int = 1) -> list[int]:
    return sorted(who.counter for who in database.identities() if (who.node, who.epoch) == (node, epoch))


def of_epoch(epoch: int, number: int) -> Reading:
    return replace(BASE, identity=Identity("7", epoch, number))


def test_numbers_below_one_are_retired_and_rows_stay(retire: Retire, stored: Database) -> None:
    stored.insert_readings([a_reading(number) for number in (1, 2, 4, 5, 6)])
    Gaps(stored.pool).record([Gap("7", 1, 3, 3, "lost")])

    code, out, _ = retire("--node", "7", "--before", "5", "--yes")

    assert code == 0
    assert out.splitlines()[0] == "node 7, epoch 1: numbers up to 4 will be retired (3 stored, 1 lost); rows stay"
    assert Floors(stored.pool).all() == {("7", 1): 4}
    assert numbers(stored) == [1, 2, 4, 5, 6]


def test_rows_are_deleted_in_pages_and_do_not_come_back(retire: Retire, stored: Database) -> None:
    stored.insert_readings([*map(a_reading, range(1, 9)), a_reading(1, node="8")])

    code, out, _ = retire("--node", "7", "--before", "8", "--delete", "--yes")

    assert code == 0
    assert "(7 stored); 7 rows will be deleted" in out
    assert out.endswith("7 rows deleted\n")
    assert numbers(stored) == [8]
    assert numbers(stored, "8") == [1]
    assert stored.insert_readings([a_reading(3), a_reading(9)]) == ["retired", "stored"]


def test_the_floor_is_there_before_the_first_row_goes(
    retire: Retire, stored: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    stored.insert_readings([a_reading(number) for number in range(1, 6)])
    seen: list[dict[tuple[str, int], int]] = []
    delete_page = retirement._delete_page

    def watched(*arguments: object) -> int:
        seen.append(Floors(stored.pool).all())
        if len(seen) == 2:
            raise KeyboardInterrupt
        return delete_page(*arguments)  # type: ignore[arg-type]  # as it was called

    monkeypatch.setattr(retirement, "_delete_page", watched)

    assert retire("--node", "7", "--all", "--delete", "--yes")[0] == 130

    assert seen == [{("7", 1): 5}] * 2
    assert numbers(stored) == [3, 4, 5]
    monkeypatch.setattr(retirement, "_delete_page", delete_page)
    _, out, _ = retire("--node", "7", "--all", "--delete", "--yes")
    assert "numbers up to 5 are retired already; 3 rows will be deleted" in out
    assert numbers(stored) == []


def test_all_that_is_known_is_retired_in_every_epoch_or_in_one(retire: Retire, stored: Database) -> None:
    stored.insert_readings([of_epoch(1, 3), of_epoch(2, 1), a_reading(4, node="8")])
    Gaps(stored.pool).record([Gap("7", 2, 5, 6, "lost")])

    assert retire("--node", "7", "--epoch", "1", "--all", "--yes")[0] == 0
    assert Floors(stored.pool).all() == {("7", 1): 3}

    assert retire("--node", "7", "--all", "--yes")[0] == 0
    assert Floors(stored.pool).all() == {("7", 1): 3, ("7", 2): 6}
    assert retire("--node", "7", "--all", "--yes")[1] == "nothing to retire\n"


def test_retention_is_by_time_for_all_nodes(retire: Retire, stored: Database) -> None:
    def aged(number: int, days: float, node: str = "7") -> Reading:
        at = datetime.now(UTC) - timedelta(days=days)
        return a_reading(number, node, event_unix_ms=int(at.timestamp() * 1000))

    stored.insert_readings([aged(1, 40), aged(2, 31), aged(4, 29), aged(5, 35)])
    stored.insert_readings([aged(1, 50, "8"), aged(2, 45, "8"), aged(1, 1, "9")])

    code, _, _ = retire("--older-than", "30", "--delete", "--yes")

    assert code == 0
    assert Floors(stored.pool).all() == {("7", 1): 2, ("8", 1): 2}  # number 3 may still be on its way
    assert (numbers(stored), numbers(stored, "8"), numbers(stored, "9")) == ([4, 5], [], [1])
    assert retire("--older-than", "30", "--delete", "--yes")[1] == "nothing to retire\n"


def test_it_asks_first(retire: Retire, stored: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    stored.insert_reading(a_reading(1))
    asked: list[str] = []

    class Terminal(io.StringIO):
        def isatty(self) -> bool:
            return True

    def answer(question: str) -> str:
        asked.append(question)
        return "n"

    monkeypatch.setattr("sys.stdin", Terminal())
    monkeypatch.setattr("builtins.input", answer)

    code, out, _ = retire("--node", "7", "--all", "--delete")

    assert (code, out.splitlines()[-1]) == (1, "nothing retired")
    assert "Deleted rows cannot be brought back, and a floor never falls" in asked[0]
    assert Floors(stored.pool).all() == {}
    monkeypatch.setattr("sys.stdin", io.StringIO("y\n"))
    code, _, err = retire("--node", "7", "--all")
    assert code == 2
    assert "add --yes if you are sure" in err
    assert Floors(stored.pool).all() == {}


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("--node", "7", "--epoch", "1", "--before", "5"), "is 3; --before 4 retires all numbers up to it"),
        (("--node", "7", "--before", "2"), "has numbers in the epochs 1, 2; say which one with --epoch"),
        (("--node", "9", "--all"), "nothing is known of node '9'"),
        (("--node", "7", "--epoch", "4", "--all"), "nothing is known of node '7' in epoch 4"),
        (("--all",), "add --node"),
        (("--before", "3"), "add --node"),
        (("--epoch", "1", "--older-than", "3"), "add --node"),
    ],
)
def test_what_is_not_clear_is_refused(retire: Retire, stored: Database, arguments: tuple[str, ...], said: str) -> None:
    stored.insert_readings([of_epoch(1, 3), of_epoch(2, 1)])

    code, _, err = retire(*arguments, "--yes")

    assert code == 2
    assert said in err
    assert Floors(stored.pool).all() == {}


def test_a_database_that_is_away_is_said(retire: Retire, monkeypatch: pytest.MonkeyPatch) -> None:
    name, value = ("MYSQL_PORT", "1") if "MYSQL_HOST" in os.environ else ("AOII_DATA_DIR", "/nonexistent")
    monkeypatch.setenv(name, value)

    code, _, err = retire("--node", "7", "--all", "--yes")

    assert code == 2
    assert "aoii retire: database" in err


@pytest.mark.parametrize("place", ["mariadb"], indirect=True)
def test_a_user_who_may_not_delete_is_told_who_may(
    retire: Retire, stored: Database, place: DatabaseSettings, monkeypatch: pytest.MonkeyPatch
) -> None:
    stored.insert_reading(a_reading(1))
    user = f"no_delete_{place.name}"[:32]
    run_sql(
        place,
        f"CREATE USER '{user}'@'%'",
        f"GRANT SELECT, INSERT, UPDATE ON {place.name}.* TO '{user}'@'%'",
    )
    monkeypatch.setenv("MYSQL_USER", user)

    code, out, err = retire("--node", "7", "--all", "--delete", "--yes")

    assert code == 2
    assert "as a user who may delete readings, such as aoii_admin; the floor stays" in err
    assert "rows deleted" not in out
    assert Floors(stored.pool).all() == {("7", 1): 1}
    assert numbers(stored) == [1]
