"""The engine of the imitated database answers as SQLAlchemy's own does."""

import contextlib
from datetime import datetime

import pytest
import sqlalchemy as sa
from sqlalchemy.exc import IntegrityError, OperationalError

from aoii.server.upsert import upsert
from histories.disks import new_file
from histories.engine import Engine

AT = datetime(2026, 1, 2, 3, 4, 5, 678901)  # noqa: DTZ001 - as the tables have them
TABLE = sa.Table(
    "ways",
    sa.MetaData(),
    sa.Column("name", sa.String, primary_key=True),
    sa.Column("length", sa.Integer),
    sa.Column("is_open", sa.Boolean),
    sa.Column("seen_at", sa.DateTime),
)
ROWS = [{"name": name, "length": length, "is_open": length > 1, "seen_at": AT} for name, length in (("a", 1), ("b", 2))]
BY_LENGTH = sa.select(TABLE).where(TABLE.c.length >= sa.bindparam("least")).order_by(TABLE.c.name)
BY_NAME = sa.select(TABLE).where(TABLE.c.name.in_(sa.bindparam("names", expanding=True)))


@pytest.fixture
def engine() -> Engine:
    file = new_file()
    file.execute("CREATE TABLE ways (name TEXT PRIMARY KEY, length INTEGER, is_open BOOLEAN, seen_at DATETIME)")
    engine = Engine(file, lambda: None)
    with engine.connect() as connection, connection.begin():
        upsert(connection, TABLE, ROWS)  # type: ignore[arg-type]  # it takes the place of one
    return engine


def test_a_statement_answers_the_same_however_often_it_comes(engine: Engine) -> None:
    for _ in range(3):
        with engine.connect() as connection, connection.begin():
            rows = connection.execute(BY_LENGTH, {"least": 2}).all()

            assert [dict(row._mapping) for row in rows] == ROWS[1:]
            assert (rows[0].name, rows[0].length, rows[0].is_open, rows[0].seen_at) == ("b", 2, True, AT)
            assert connection.execute(BY_LENGTH, {"least": 3}).first() is None
            assert connection.execute(BY_LENGTH, {"least": 1}).scalar() == "a"


def test_a_list_of_values_may_have_another_length_each_time(engine: Engine) -> None:
    for names in (["a"], ["a", "b"], ["b"], []):
        with engine.connect() as connection, connection.begin():
            assert [row.name for row in connection.execute(BY_NAME, {"names": names})] == names


def test_what_is_rolled_back_is_not_there(engine: Engine) -> None:
    for _ in range(3):
        with engine.connect() as connection, connection.begin():
            upsert(connection, TABLE, [ROWS[0] | {"length": 7}])  # type: ignore[arg-type]
            connection.rollback()
        with contextlib.suppress(ZeroDivisionError), engine.connect() as connection, connection.begin():
            connection.execute(sa.delete(TABLE))
            raise ZeroDivisionError
        with engine.connect() as connection, connection.begin():
            assert [row.length for row in connection.execute(BY_LENGTH, {"least": 0})] == [1, 2]


def test_what_sqlite_refuses_is_an_error_of_sqlalchemy(engine: Engine) -> None:
    with pytest.raises(IntegrityError), engine.connect() as connection, connection.begin():
        connection.exec_driver_sql("INSERT INTO ways (name) VALUES (?)", [("a",)])
    with pytest.raises(OperationalError), engine.connect() as connection, connection.begin():
        connection.exec_driver_sql("SELECT nothing FROM nowhere")
