"""The ledger on the page: counted once for all, and no reason to call the database away."""

import threading
from collections.abc import Iterator

import pytest

from aoii.core.errors import UnavailableError
from aoii.server.db import Database
from aoii.server.dead_letters.store import DeadLetters
from aoii.server.ledger import Account
from aoii.server.ledger_facts import read_accounts
from aoii.settings import Settings
from aoii.web import ledger_reader
from aoii.web.ledger_reader import LedgerReader
from aoii.web.source import Source
from server.samples import a_reading, run_sql
from servers import until
from web.conftest import Load


@pytest.fixture
def settings(load: Load) -> Settings:
    return load()


@pytest.fixture
def source(settings: Settings) -> Iterator[Source]:
    source = Source(settings.database)
    yield source
    source.stop()
    source.close()


@pytest.fixture
def reader(source: Source, settings: Settings) -> LedgerReader:
    return LedgerReader(source, settings.server.dead_letter_path)


def parts(account: Account) -> tuple[int, int, int]:
    return account.stored, account.dead_letters, account.waiting


def test_a_count_is_kept_for_a_while(reader: LedgerReader, database: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    database.insert_reading(a_reading(1))
    first = reader.read()
    database.insert_reading(a_reading(2))

    assert reader.read() is first

    monkeypatch.setattr(ledger_reader, "MAX_AGE_S", 0)
    monkeypatch.setattr(ledger_reader, "AGE_SHARE", 0)
    assert [account.stored for account in reader.read().accounts] == [2]


def test_a_long_count_is_kept_for_longer(
    reader: LedgerReader, database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ledger_reader, "MAX_AGE_S", 0)
    monkeypatch.setattr(ledger_reader, "AGE_SHARE", 1e9)

    assert reader.read() is reader.read()


def test_dead_letters_are_counted_where_they_can_be_read(
    reader: LedgerReader, database: Database, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ledger_reader, "MAX_AGE_S", 0)
    monkeypatch.setattr(ledger_reader, "AGE_SHARE", 0)
    database.insert_reading(a_reading(2))

    unseen = reader.read()
    letters = DeadLetters(settings.server.dead_letter_path, 4)
    letters.add([a_reading(1)], "bad_row", "")
    letters.close()
    seen = reader.read()

    assert (unseen.has_letters, parts(unseen.accounts[0])) == (False, (1, 0, 1))
    assert (seen.has_letters, parts(seen.accounts[0])) == (True, (1, 1, 0))


def test_while_a_count_is_under_way_nobody_begins_another(
    reader: LedgerReader, database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    database.insert_reading(a_reading(1))
    may_end, counts = threading.Event(), []

    def slow(*arguments: object) -> list[Account]:
        counts.append(arguments)
        may_end.wait(60)
        return read_accounts(*arguments)  # type: ignore[arg-type]  # as it was called

    monkeypatch.setattr(ledger_reader, "read_accounts", slow)
    monkeypatch.setattr(ledger_reader, "MAX_AGE_S", 0)
    monkeypatch.setattr(ledger_reader, "AGE_SHARE", 0)
    first = threading.Thread(target=reader.read)
    first.start()
    until(lambda: bool(counts))

    with pytest.raises(UnavailableError, match="counted for the first time"):
        reader.read()
    may_end.set()
    first.join()
    may_end.clear()
    before = reader._last
    second = threading.Thread(target=reader.read)
    second.start()
    until(lambda: len(counts) == 2)

    assert reader.read() is before
    may_end.set()
    second.join()
    assert len(counts) == 2


def test_tables_without_a_ledger_do_not_make_the_database_away(
    reader: LedgerReader, source: Source, database: Database, settings: Settings
) -> None:
    source.query_in_this_thread(Database.ping)
    run_sql(settings.database, "DROP TABLE gaps")

    with pytest.raises(UnavailableError, match="brings the tables up to date"):
        reader.read()

    assert source.away is None
