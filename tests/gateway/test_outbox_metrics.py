"""The outbox as metrics: damage is counted and logged."""

import contextlib
import sqlite3
from pathlib import Path

import pytest

from aoii.broker.messages import Identity
from aoii.gateway.drivers.outbox_file import OutboxFile
from aoii.gateway.outbox_metrics import OutboxMetrics
from aoii.runtime import metrics
from aoii.settings import Settings
from gateway.station import (
    Counts,
    Listener,
    OwnNode,
    running,
    wait_connected,
)
from servers import until


def test_damaged_states_are_counted_and_the_gateway_starts_and_goes_on(
    values: Settings, caplog: pytest.LogCaptureFixture, far: int, listener: Listener
) -> None:
    with running(values) as gateway:
        wait_connected(gateway)
        OwnNode(far).send(1, 1)
        listener.next()
    with contextlib.closing(sqlite3.connect(values.gateway.outbox_path)) as connection:
        connection.execute("UPDATE nodes SET state = 7")
        connection.commit()
    counts = Counts()

    with running(values) as gateway:
        wait_connected(gateway)
        OwnNode(far).send(2, 2, 2300)
        until(lambda: counts.since("outbox_states_lost") == {"": 1})
        found = {message["counter"] for message in listener.readings(2)}

    assert found == {1, 2}
    assert [record.levelname for record in caplog.records if "states of nodes" in record.message] == ["WARNING"]


def test_a_file_that_was_damaged_is_counted_by_outcome_and_logged_once(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    path = tmp_path / "outbox.db"
    with contextlib.closing(OutboxFile(path, 1 << 24)) as file:
        for counter in range(3):
            file.submit(lambda tx, c=counter: tx.insert(Identity("7", 1, c), "d", 1, b"x", 0)).result()  # type: ignore[misc]
    with contextlib.closing(sqlite3.connect(path)) as connection:
        connection.execute("UPDATE events SET payload = 'other' WHERE counter = 1")
        connection.execute("DELETE FROM meta")
        connection.commit()
    counts = Counts()

    with contextlib.closing(OutboxFile(path, 1 << 24)) as file:
        reported = OutboxMetrics(file, tmp_path)
        reported.update()
        reported.update()

    assert counts.since("outbox_damaged") == {"salvaged": 2, "corrupt": 1}
    records = [vars(record) for record in caplog.records if "was damaged" in record.message]
    assert [(record["salvaged"], record["corrupt"], record["lost"]) for record in records] == [(2, 1, 0)]
    assert metrics.value(metrics.OUTBOX_EVENTS) == 2


def test_kept_readings_are_measured_and_what_cannot_be_kept_is_counted_and_logged_once(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO")
    who = [Identity("7", 1, counter) for counter in range(5)]
    counts = Counts()
    with contextlib.closing(OutboxFile(tmp_path / "outbox.db", 1 << 24, keep_bytes=1 << 20)) as file:
        reported = OutboxMetrics(file, tmp_path)
        for one in who:
            file.submit(lambda tx, one=one: tx.insert(one, "d", 1, b"x", 1000)).result()  # type: ignore[misc]
        file.submit(lambda tx: tx.delete(who[:2])).result()
        until(lambda: file.kept.oldest_ms == 1000)
        reported.update()
        assert metrics.value(metrics.KEPT_READINGS) == 2
        assert 0 < metrics.value(metrics.KEPT_BYTES) < metrics.value(metrics.KEPT_LIMIT_BYTES) == 1 << 20
        assert metrics.value(metrics.KEPT_OLDEST_S) > 1_000_000_000
        assert metrics.value(metrics.KEPT_HAS_FORGOTTEN) == 0
        with contextlib.closing(sqlite3.connect(tmp_path / "kept.db")) as other:
            other.execute("CREATE TRIGGER refuse BEFORE INSERT ON kept BEGIN SELECT RAISE(ABORT, 'no more'); END")
        for one in who[2:4]:
            file.submit(lambda tx, one=one: tx.delete([one])).result()  # type: ignore[misc]
        until(lambda: file.kept.failures == 2)
        reported.update()
        reported.update()
        with contextlib.closing(sqlite3.connect(tmp_path / "kept.db")) as other:
            other.execute("DROP TRIGGER refuse")
        file.submit(lambda tx: tx.delete(who[4:])).result()
        reported.update()

    assert counts.since("kept_failures") == {"": 2}
    assert metrics.value(metrics.KEPT_READINGS) == 3
    events = [vars(record).get("event") for record in caplog.records]
    assert [event for event in events if str(event).startswith("kept")] == ["kept_failed", "kept_works"]


def test_that_kept_readings_have_made_room_is_served_also_after_a_restart(tmp_path: Path) -> None:
    who = Identity("7", 1, 1)
    with contextlib.closing(OutboxFile(tmp_path / "outbox.db", 1 << 24, keep_bytes=1 << 20)) as file:
        file.submit(lambda tx: tx.insert(who, "d", 1, b"x", 1000)).result()
        file.submit(lambda tx: tx.delete([who])).result()
        until(lambda: file.kept.oldest_ms == 1000)
        assert file.kept.give_room()
    with contextlib.closing(OutboxFile(tmp_path / "outbox.db", 1 << 24, keep_bytes=1 << 20)) as file:
        OutboxMetrics(file, tmp_path).update()

    assert metrics.value(metrics.KEPT_HAS_FORGOTTEN) == 1
    assert metrics.value(metrics.KEPT_OLDEST_S) == 0


def test_that_nothing_is_kept_is_said_at_the_start(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("INFO")
    with contextlib.closing(OutboxFile(tmp_path / "outbox.db", 1 << 24)) as file:
        OutboxMetrics(file, tmp_path).update()

    assert "KEEP_MB is 0" in caplog.text
    assert metrics.value(metrics.KEPT_LIMIT_BYTES) == 0
