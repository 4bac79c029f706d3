"""What a request may do in the outbox file: insert, fetch, acknowledge, and quarantine what is damaged."""

import contextlib
import sqlite3
from pathlib import Path

import pytest

from aoii.broker.messages import Committed, payload_digest
from aoii.core.errors import ProtocolError
from aoii.gateway.drivers.outbox_file import OutboxFile
from gateway.drivers.outbox_files import add, counters, filled, opened, who
from servers import until


def test_the_same_reading_again_is_none_and_another_one_under_its_name_is_refused(store: OutboxFile) -> None:
    add(store, 1).result()

    assert add(store, 1).result() is None
    with pytest.raises(ProtocolError) as caught:
        add(store, 1, digest="other").result()
    assert caught.value.reason == "conflict"
    assert counters(store) == [1]


def test_a_sequence_number_is_never_used_twice(store: OutboxFile) -> None:
    add(store, 1).result()
    assert store.submit(lambda transaction: transaction.delete([who(1), who(2)])).result() == [1001]

    again = add(store, 1).result()

    assert again is not None
    assert again.seq == 2


def test_a_row_with_a_flipped_bit_is_quarantined(path: Path) -> None:
    filled(path, 5)
    path.write_bytes(path.read_bytes().replace(b"reading 000003", b"reading 000002"))

    with opened(path) as store:
        assert store.recoveries == []
        assert counters(store) == [1, 2, 4, 5]
        assert store.corrupt_found == 1

    with contextlib.closing(sqlite3.connect(path)) as connection:
        assert connection.execute("SELECT node, epoch, counter FROM corrupt").fetchall() == [("7", 1, 3)]


def test_a_payload_that_became_text_is_still_the_same_payload(path: Path) -> None:
    filled(path, 2)
    with contextlib.closing(sqlite3.connect(path)) as connection:
        connection.execute("UPDATE events SET payload = CAST(payload AS TEXT)")
        connection.commit()

    with opened(path) as store:
        assert counters(store) == [1, 2]
        assert store.corrupt_found == 0


def test_an_acknowledgement_removes_the_payload_that_it_names_and_no_other(path: Path) -> None:
    filled(path, 4)
    acks = [
        Committed(who(1), "stored", payload_digest(b"forged")),
        Committed(who(2), "stored", payload_digest(b"reading 000002" + bytes(400))),
        Committed(who(3), "stored"),  # a server that does not say
        Committed(who(9), "stored", payload_digest(b"forgotten long ago")),
    ]

    with opened(path) as store:
        found = store.submit(lambda transaction: transaction.acknowledge(acks)).result()

        assert found == ([1002, 1003], [who(2), who(3), who(9)], [who(1)])
        assert counters(store) == [1, 4]


def test_a_reading_that_is_named_twice_is_removed_and_kept_once(path: Path) -> None:
    with opened(path, keep_bytes=1 << 20) as store:
        add(store, 1).result()

        found = store.submit(lambda transaction: transaction.acknowledge(2 * [Committed(who(1), "stored")])).result()

        assert found == ([1001], [who(1), who(1)], [])
        assert (store.events, store.kept.readings) == (0, 1)


def test_a_reading_that_is_damaged_here_and_sound_in_the_database_is_quarantined(path: Path) -> None:
    filled(path, 2)
    with contextlib.closing(sqlite3.connect(path)) as connection:
        connection.execute("UPDATE events SET payload = 'another' WHERE counter = 1")
        connection.commit()
    ack = Committed(who(1), "stored", payload_digest(b"reading 000001" + bytes(400)))

    with opened(path) as store:
        found = store.submit(lambda transaction: transaction.acknowledge([ack])).result()

        assert (found.acknowledged, found.mismatched) == ([who(1)], [])
        assert (counters(store), store.corrupt_found) == ([2], 1)


def test_a_row_whose_time_cannot_be_read_is_deleted_all_the_same(path: Path) -> None:
    filled(path, 2)
    with contextlib.closing(sqlite3.connect(path)) as connection:
        connection.execute("UPDATE events SET accepted_ms = 'x' WHERE counter = 1")
        connection.commit()

    with opened(path) as store:
        assert store.submit(lambda transaction: transaction.delete([who(1), who(2)])).result() == [1002]
        until(lambda: store.events == 0)
