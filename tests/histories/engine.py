"""An engine for the imitated database: SQLAlchemy makes the statements, and SQLite gets them without further ado.

SQLAlchemy's own connection takes ten times as long as SQLite for the small statements of a history. A statement that
comes a second time is one that stays, so it is compiled once; any other goes through SQLAlchemy's connection.
"""

import sqlite3
import weakref
from collections import namedtuple
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, Self

import sqlalchemy as sa

Row = Any
"""A tuple with the names of its columns, as `sqlalchemy.Row`."""


class Engine:
    """Takes the place of `sqlalchemy.Engine`: one connection, which no transaction closes.

    Args:
        file: The database.
        begin: Called at the beginning of each transaction; may raise an error of SQLite.
        check: Called with each statement that SQLAlchemy does not make, and its parameters; may raise one, too.
    """

    def __init__(
        self,
        file: sqlite3.Connection,
        begin: Callable[[], None],
        check: Callable[[str, Any], None] = lambda *_: None,
    ) -> None:
        self.file = file
        self.begin = begin
        self.check = check
        slow = sa.create_engine("sqlite://", creator=lambda: file, poolclass=sa.pool.StaticPool)
        self.slow = slow.connect()  # never closed: that would roll back
        self.dialect = slow.dialect
        self.prepared = _PreparedStatements(self.dialect)
        self._connection = Connection(self)

    def connect(self) -> "Connection":
        return self._connection

    def dispose(self) -> None:
        pass


class Connection:
    """Takes the place of `sqlalchemy.Connection`, as far as the server's audit and ingest use it."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._file = engine.file
        self.dialect = engine.dialect

    def execution_options(self, **_: object) -> Self:
        return self

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._file.rollback()

    @contextmanager
    def begin(self) -> Iterator[None]:
        with _translated("BEGIN"):
            self._engine.begin()
            self._file.execute("BEGIN")
        yield
        with _translated("COMMIT"):
            self._file.commit()

    def rollback(self) -> None:
        self._file.rollback()

    def exec_driver_sql(self, sql: str, parameters: Any = ()) -> "Result":
        act = self._file.executemany if isinstance(parameters, list) else self._file.execute
        with _translated(sql):
            self._engine.check(sql, parameters)
            return Result(act(sql, parameters))

    def execute(self, statement: Any, parameters: Any = None) -> Any:
        prepared = self._engine.prepared.find(statement, parameters)
        if prepared is not None:
            with _translated(prepared.sql):
                return prepared.execute(self._file, parameters)
        return self._engine.slow.execute(statement, parameters)


class Result:
    """Takes the place of `sqlalchemy.CursorResult`."""

    def __init__(self, cursor: sqlite3.Cursor, made: Callable[[Sequence[Any]], Row] = tuple) -> None:
        self._cursor = cursor
        self._made = made

    @property
    def rowcount(self) -> int:
        return self._cursor.rowcount

    def __iter__(self) -> Iterator[Row]:
        return map(self._made, self._cursor.fetchall())

    def all(self) -> list[Row]:
        return list(self)

    def first(self) -> Row | None:
        row = self._cursor.fetchone()
        return None if row is None else self._made(row)

    def one(self) -> Row:
        row = self.first()
        assert row is not None
        return row

    def scalar(self) -> Any:
        row = self.first()
        return None if row is None else row[0]


class _Prepared:
    """A statement that was compiled: its text, the order of its parameters, and what its rows become.

    Args:
        compiled: The statement.
        dialect: SQLite's.
        parameters: The values of its first use, or a list of them. A list among the values has the same length always.
    """

    def __init__(self, compiled: Any, dialect: Any, parameters: Any) -> None:
        self.sql, names, processors = str(compiled), compiled.positiontup, compiled._bind_processors
        self._defaults = compiled.construct_params(_check=False)
        self._lists: dict[str, list[str]] = {}  # by parameter, the names of its members
        if compiled.post_compile_params:
            made = compiled._process_parameters_for_postcompile(compiled.construct_params(parameters))
            self.sql, names, self._lists = made.statement, made.positiontup, made.parameter_expansion
            processors = {**processors, **made.processors}
        self._order = [(name, processors.get(name)) for name in names]
        columns = compiled._result_columns
        convert = [one.type._cached_result_processor(dialect, None) for one in columns]
        self._made: Callable[[Sequence[Any]], Row] = tuple
        if columns:
            base = namedtuple("Row", [one.keyname for one in columns])  # type: ignore[misc]
            row = type("Row", (base,), {"__slots__": (), "_mapping": property(lambda self: self._asdict())})
            if any(convert):
                self._made = lambda values: row(
                    *(value if act is None else act(value) for act, value in zip(convert, values, strict=True))
                )
            else:
                self._made = row._make  # type: ignore[attr-defined]

    def execute(self, file: sqlite3.Connection, parameters: Any) -> Result:
        if isinstance(parameters, list):
            return Result(file.executemany(self.sql, [self._values(one) for one in parameters]))
        return Result(file.execute(self.sql, self._values(parameters)), self._made)

    def _values(self, parameters: Mapping[str, Any] | None) -> list[Any]:
        values = self._defaults if parameters is None else {**self._defaults, **parameters}
        for name, members in self._lists.items():
            values.update(zip(members, values[name], strict=True))
        return [values[name] if act is None else act(values[name]) for name, act in self._order]


class _PreparedStatements:
    """The statements that stay, prepared: one that has lists among its values, for each length of these."""

    def __init__(self, dialect: Any) -> None:
        self._dialect = dialect
        self._seen: weakref.WeakSet[Any] = weakref.WeakSet()
        self._prepared: weakref.WeakKeyDictionary[Any, dict[tuple[int, ...], _Prepared]] = weakref.WeakKeyDictionary()

    def find(self, statement: Any, parameters: Any) -> _Prepared | None:
        """It, prepared; None if it comes for the first time, or a list among its values is empty."""
        of_lengths = self._prepared.get(statement)
        if of_lengths is None:
            if statement not in self._seen:
                self._seen.add(statement)
                return None
            of_lengths = self._prepared[statement] = {}
        lengths: tuple[int, ...] = ()
        if isinstance(parameters, dict):
            lengths = tuple(len(value) for value in parameters.values() if isinstance(value, list))
            if 0 in lengths:
                return None
        if lengths not in of_lengths:
            keys = list(parameters[0]) if isinstance(parameters, list) else None
            compiled = statement.compile(dialect=self._dialect, column_keys=keys)
            if compiled.post_compile_params and not lengths:
                return None  # its lists belong to the statement itself, which does not stay then
            of_lengths[lengths] = _Prepared(compiled, self._dialect, parameters)
        return of_lengths[lengths]


@contextmanager
def _translated(sql: str) -> Iterator[None]:
    try:
        yield
    except sqlite3.Error as error:
        raise sa.exc.DBAPIError.instance(sql, None, error, sqlite3.Error) from error
