"""The rows as values: they and the tables name the same columns."""

from dataclasses import fields

import pytest
import sqlalchemy as sa

from aoii.server.rows import EdgeLogRow, ReadingRow
from aoii.server.tables import EDGE_LOG, READING_COLUMNS


@pytest.mark.parametrize(("row", "columns"), [(ReadingRow, READING_COLUMNS), (EdgeLogRow, list(EDGE_LOG.c))])
def test_a_row_has_a_field_for_each_column(row: type, columns: list[sa.Column[object]]) -> None:
    assert sorted(field.name for field in fields(row)) == sorted(column.name for column in columns)
