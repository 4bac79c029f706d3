"""Rows of the outbox file: used as they were written, or not at all."""

import contextlib
import sqlite3

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aoii.gateway.drivers import outbox_rows
from aoii.gateway.drivers.outbox_rows import EventRow, StateRow, decode_event, decode_state

CONTENT = ("attic/ttyUSB0", 3, 7, "0123456789abcdef", 1, b"payload", 1_700_000_000_000)
EVENT = (9, b"attic/ttyUSB0", 3, 7, b"0123456789abcdef", 1, b"payload", 1_700_000_000_000)

values = st.none() | st.integers() | st.floats() | st.binary(max_size=20) | st.text(max_size=20)


def test_a_row_is_decoded_as_it_was_written() -> None:
    checksum = outbox_rows.event_checksum(*CONTENT)

    assert decode_event((*EVENT, checksum)) == EventRow(9, *CONTENT, checksum)
    assert decode_state((1, b"7", b"state", outbox_rows.state_checksum("7", b"state"))) == StateRow("7", b"state")


@pytest.mark.parametrize("column", range(1, 8))
def test_one_flipped_bit_in_any_column_fails_the_checksum(column: int) -> None:
    row: list[object] = [*EVENT, outbox_rows.event_checksum(*CONTENT)]
    was = row[column]

    row[column] = was ^ 1 if isinstance(was, int) else bytes([was[0] ^ 1]) + was[1:] if isinstance(was, bytes) else None

    assert decode_event(tuple(row)) is None


@given(st.lists(values, max_size=10).map(tuple))
def test_any_other_row_is_none(row: tuple[object, ...]) -> None:
    assert decode_event(row) is None
    assert decode_state(row) is None


def test_the_files_own_numbers_are_read_back_and_a_damaged_one_is_left_out() -> None:
    with contextlib.closing(sqlite3.connect(":memory:", isolation_level=None)) as connection:
        connection.text_factory = bytes
        outbox_rows.create_tables(connection)
        outbox_rows.set_meta(connection, "total_tx", 5)

        assert outbox_rows.get_meta(connection, "total_tx") == 5
        assert set(outbox_rows.sound_meta(connection)) == outbox_rows.META
        connection.execute("UPDATE meta SET value = 6 WHERE name = 'total_tx'")
        assert set(outbox_rows.sound_meta(connection)) == {"old_epoch"}


def test_epochs_of_old_nodes_are_never_those_of_our_own_and_exact_in_json() -> None:
    assert all(1 << 16 <= outbox_rows.draw_epoch() < 1 << 53 for _ in range(100))
