"""The ingest thread between an inbox, a database and dead letters, with a client that remembers what it was told."""

from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest

from aoii.broker.client import Client, Message
from aoii.broker.messages import DeliveryStatus, Identity, Reading, decode_commit_ack, encode_reading
from aoii.core.errors import UnavailableError
from aoii.runtime import metrics
from aoii.runtime.clock import Clock
from aoii.server.db import Database, open_database
from aoii.server.dead_letters.store import DeadLetters
from aoii.server.inbox import Inbox
from aoii.server.ingest_worker import IngestWorker
from server.samples import a_reading, sqlite_at
from servers import until


class RememberingClient(Client):
    """Says yes to everything and remembers it."""

    packet_limit_bytes = None

    def __init__(self) -> None:
        self.acknowledged: list[int] = []
        self.told: list[tuple[int, str]] = []

    def acknowledge(self, message: Message) -> bool:
        self.acknowledged.append(message.mid)
        return True

    def publish(self, topic: str, payload: bytes, qos: int, token: object = None, *, keep: bool = False) -> bool:
        assert (topic, qos) == ("aoii/ack/gateway", 1)
        self.told += [(item.identity.counter, item.status) for item in decode_commit_ack(payload)]
        return True


class RefusingLetters(DeadLetters):
    """Takes nothing until `has_opened`."""

    has_opened = False
    refusals = 0

    def add(self, readings: Sequence[Reading], reason: DeliveryStatus, detail: str) -> None:
        if not self.has_opened:
            raise UnavailableError("full")
        super().add(readings, reason, detail)

    def add_malformed_readings(self, payloads: Sequence[tuple[Identity, bytes, str]]) -> None:
        if not self.has_opened:
            self.refusals += 1
            raise UnavailableError("full")
        super().add_malformed_readings(payloads)


@pytest.fixture
def database(tmp_path: Path) -> Iterator[Database]:
    database = open_database(sqlite_at(tmp_path / "aoii.db"), migrate=True)
    yield database
    database.close()


@pytest.fixture
def letters(tmp_path: Path) -> Iterator[RefusingLetters]:
    letters = RefusingLetters(tmp_path / "dead_letters.db", 1)
    yield letters
    letters.close()


class Bench:
    """An ingest thread on its own."""

    def __init__(self, database: Database, letters: DeadLetters) -> None:
        self.client = RememberingClient()
        self.inbox = Inbox()
        self.ingest = IngestWorker(
            database, letters, self.client, self.inbox, max_retries=0, base_delay_s=0.01, clock=Clock()
        )

    def start(self) -> None:
        self.ingest.watch.start()
        assert self.ingest.watch.wait_answer(10)
        self.ingest.thread.start()

    def put(self, *payloads: bytes, qos: int = 1) -> None:
        for number, payload in enumerate(payloads):
            self.inbox.put(Message("aoii/readings", payload, qos, number, 1))

    def stop(self) -> None:
        assert self.ingest.stop(10)
        self.ingest.watch.stop()


def test_messages_are_acknowledged_in_order_and_only_up_to_the_first_that_is_not_durable(
    database: Database, letters: RefusingLetters, caplog: pytest.LogCaptureFixture
) -> None:
    database.insert_reading(a_reading(3))
    bench = Bench(database, letters)
    bench.put(*(encode_reading(a_reading(n, actual_t=30.0 if n == 3 else 21.5), 1) for n in range(1, 6)))

    bench.start()
    until(lambda: len(bench.client.told) == 4)
    until(lambda: database.stats().total == 5)
    held = list(bench.client.acknowledged)
    letters.has_opened = True
    until(lambda: len(bench.client.acknowledged) == 5)
    bench.stop()

    assert held == [0, 1]
    assert bench.client.acknowledged == [0, 1, 2, 3, 4]
    assert sorted(bench.client.told) == [(1, "stored"), (2, "stored"), (3, "parked"), (4, "stored"), (5, "stored")]
    refusals = [record for record in caplog.records if record.message.startswith("dead letters unavailable")]
    assert len(refusals) == 1


def test_a_server_whose_dead_letters_refuse_below_their_cap_is_not_ready(
    database: Database, letters: RefusingLetters
) -> None:
    database.insert_reading(a_reading(1))
    bench = Bench(database, letters)
    bench.put(encode_reading(a_reading(1, actual_t=30.0), 1))

    bench.start()
    until(lambda: not bench.ingest.health.can_add)
    letters.has_opened = True
    until(lambda: bench.client.acknowledged)

    assert bench.ingest.health.can_add
    bench.stop()


def test_an_outage_that_only_a_probe_noticed_is_over_with_the_next_row_so_the_same_one_is_logged_again(
    database: Database, letters: RefusingLetters, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO")

    def said() -> list[str]:
        events = [vars(one)["event"] for one in caplog.records]
        return [event for event in events if event in ("database_away", "database_back")]

    bench = Bench(database, letters)
    bench.start()
    bench.put(encode_reading(a_reading(1), 1))
    until(lambda: len(bench.client.told) == 1)

    bench.ingest.watch._set_down("no answer")
    bench.put(encode_reading(a_reading(2), 1))
    until(lambda: len(bench.client.told) == 2)
    bench.ingest.watch._set_down("no answer")
    bench.stop()

    assert said() == ["database_away", "database_back", "database_away"]


def test_a_stop_while_a_batch_is_held_acknowledges_nothing_more(database: Database, letters: RefusingLetters) -> None:
    database.insert_reading(a_reading(1))
    bench = Bench(database, letters)
    bench.put(encode_reading(a_reading(1, actual_t=30.0), 1), encode_reading(a_reading(2), 1))

    bench.start()
    until(lambda: database.stats().total == 2)
    bench.stop()

    assert bench.client.acknowledged == []


def test_qos_0_needs_no_acknowledgement_and_is_told_all_the_same(database: Database, letters: RefusingLetters) -> None:
    bench = Bench(database, letters)
    bench.put(encode_reading(a_reading(1), 0), qos=0)

    bench.start()
    until(lambda: bench.client.told == [(1, "stored")])
    bench.stop()

    assert bench.client.acknowledged == []


def test_a_malformed_reading_is_kept_where_nothing_is_dropped_and_its_gateway_is_told(
    database: Database, letters: RefusingLetters
) -> None:
    bench = Bench(database, letters)
    bench.put(b"noise", encode_reading(a_reading(1), 1).replace(b"21.5", b"NaN"), encode_reading(a_reading(2), 1))

    bench.start()
    until(lambda: letters.refusals > 1)
    assert bench.client.acknowledged == [0]
    letters.has_opened = True
    until(lambda: len(bench.client.acknowledged) == 3)
    until(lambda: len(bench.client.told) == 2)
    bench.stop()

    assert sorted(bench.client.told) == [(1, "parked"), (2, "stored")]
    assert [(letter.reason, letter.counter) for letter in letters.letters(9)] == [("malformed", None), ("malformed", 1)]


def test_dead_letters_that_cannot_be_read_are_said_once(
    database: Database, letters: RefusingLetters, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def fail(*_: object) -> None:
        raise UnavailableError("unreadable")

    monkeypatch.setattr(letters, "waiting", fail)
    monkeypatch.setattr(letters, "counts", fail)
    bench = Bench(database, letters)

    bench.start()
    for counter in range(5):
        bench.put(encode_reading(a_reading(counter), 1))
        until(lambda counter=counter: (counter, "stored") in bench.client.told)  # type: ignore[misc]  # lambda's default
    bench.stop()

    refusals = [record for record in caplog.records if record.message.startswith("dead letters unavailable")]
    assert len(refusals) == 1


def test_a_damaged_letter_does_not_stop_the_replay_of_the_others(database: Database, letters: RefusingLetters) -> None:
    letters.has_opened = True
    letters.add([a_reading(1), a_reading(2), a_reading(3, actual_t=30.0)], "database_away", "")
    database.insert_reading(a_reading(3))
    letters._connection.execute("UPDATE letters SET payload = x'ff' WHERE counter = 1")
    bench = Bench(database, letters)

    bench.start()
    until(lambda: not letters.waiting(1))
    bench.stop()

    assert {who.counter for who in database.identities()} == {2, 3}
    left = {letter.counter: (letter.reason, letter.attempts) for letter in letters.letters(10)}
    assert left == {1: ("corrupt", 2), 3: ("mismatch", 2)}


def test_a_damaged_file_of_dead_letters_is_reported_loudly(
    database: Database, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    path = tmp_path / "damaged.db"
    path.write_bytes(b"not a database at all" * 500)
    lost = metrics.value(metrics.DEAD_LETTERS_DAMAGED, outcome="lost")
    damaged = DeadLetters(path, 1)
    bench = Bench(database, damaged)

    bench.start()
    until(lambda: metrics.value(metrics.DEAD_LETTERS_DAMAGED, outcome="lost") == lost + 1)
    bench.stop()
    damaged.close()

    (told,) = [record for record in caplog.records if "file was damaged" in record.message]
    assert told.levelname == "ERROR"
    assert Path(vars(told)["kept_as"]).exists()
