"""Statements that are compiled once and handed to the driver as text: SQLAlchemy's builder without its executor.

What a step asks of the ledger is always the same few statements. SQLAlchemy's executor spends more on each (its cache
key, an execution context, a result with its metadata) than the database does.
"""

from __future__ import annotations

from collections import namedtuple
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection
from sqlalchemy.exc import DBAPIError


@dataclass(frozen=True, slots=True)
class _Text:
    """A statement as one database takes it: by place in the order of `places`, or by name."""

    sql: str
    fixed: Mapping[str, Any]
    places: Sequence[str] | None

    def parameters(self, given: Mapping[str, Any]) -> Any:
        if self.places is None:
            return {**self.fixed, **given}
        fixed = self.fixed
        return [given[name] if name in given else fixed[name] for name in self.places]


class Prepared:
    """One statement, for every database. `columns` are what an INSERT writes, `answers` what comes back of each row.

    Used inside of a transaction or a read of SQLAlchemy's, whose errors it raises.
    """

    def __init__(self, statement: Any, *, columns: Sequence[str] | None = None, answers: Sequence[str] = ()) -> None:
        self._statement = statement
        self._columns = columns
        row: Any = namedtuple("Row", answers)  # type: ignore[misc]  # noqa: PYI024 - both want its columns in the code, and they are data
        self._row = row._make
        self._texts: dict[str, _Text] = {}

    def run(self, connection: Connection, given: Mapping[str, Any]) -> int:
        """Run it, and give how many rows it wrote."""
        count: int = self._execute(connection, given).rowcount
        return count

    def rows(self, connection: Connection, given: Mapping[str, Any]) -> list[Any]:
        """Run it, and give its rows, with their columns by name."""
        return list(map(self._row, self._execute(connection, given).fetchall()))

    def one(self, connection: Connection, given: Mapping[str, Any]) -> Any:
        """Run it, and give its only row, or None."""
        rows = self._execute(connection, given).fetchall()
        return self._row(rows[0]) if rows else None

    def _execute(self, connection: Connection, given: Mapping[str, Any]) -> Any:
        dialect: Any = connection.dialect
        text = self._texts.get(dialect.name) or self._compile(dialect)
        raw: Any = connection.connection.driver_connection
        try:
            return raw.execute(text.sql, text.parameters(given))
        except dialect.loaded_dbapi.Error as fault:
            raise told(connection, text.sql, fault) from fault

    def _compile(self, dialect: Any) -> _Text:
        compiled = self._statement.compile(dialect=dialect, column_keys=self._columns)
        text = _Text(str(compiled), dict(compiled.params), compiled.positiontup)
        self._texts[dialect.name] = text
        return text


def told(connection: Connection, sql: str, fault: Any) -> Any:
    """Give a driver's error as SQLAlchemy does, who also lets a connection go that is broken."""
    dialect: Any = connection.dialect
    gone = dialect.is_disconnect(fault, connection.connection, None)
    error = DBAPIError.instance(
        sql,
        None,
        fault,
        dialect.loaded_dbapi.Error,
        hide_parameters=True,
        connection_invalidated=gone,
        dialect=dialect,
    )
    if gone:
        connection.invalidate(fault)
    return error
