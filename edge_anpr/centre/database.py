"""Opens the centre's database, brings its tables up to date, and says in words what is wrong with it."""

from __future__ import annotations

import logging
import os
import sqlite3
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar

from sqlalchemy import Connection, Engine, Table, create_engine, event
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.engine import URL, make_url
from sqlalchemy.exc import ArgumentError, DBAPIError, InterfaceError, SQLAlchemyError

from edge_anpr.centre import upgrading
from edge_anpr.errors import Unusable

BUSY_S = 10.0  # so long the database may take to answer
LOCK_S = 5.0  # of that, in PostgreSQL, waiting for another centre
TRIES = 5
_PAUSE_S = 0.02

Insert = Callable[[Table], sqlite.Insert] | Callable[[Table], postgresql.Insert]

_T = TypeVar("_T")

logging.getLogger("sqlalchemy.pool").setLevel(logging.CRITICAL)  # it logs with tracebacks what StoreDown says in a line


class StoreDown(Exception):
    """The database did not take or give something. Nothing of the transaction is kept; the same call may help later."""


class Database:
    """An open database. Threads may share it.

    With ``make`` a SQLite file that is not there is made, and older tables are brought up to date; without, both are
    Unusable, because who only looks changes nothing.
    """

    def __init__(self, url: str, *, make: bool) -> None:
        self.url = _understood(url)
        self.is_sqlite = self.url.get_backend_name() == "sqlite"
        # An INSERT that knows ON CONFLICT, which both databases spell alike and SQLAlchemy does not.
        self.insert: Insert = sqlite.insert if self.is_sqlite else postgresql.insert
        self._name = f"database {self.url.render_as_string(hide_password=True)}"
        if self.is_sqlite:
            self._find_file(make=make)
        self.engine = _engine(self.url)
        self._writer = self.engine.execution_options(writes=True)
        try:
            with self.engine.connect() as connection:
                found = upgrading.complaint(connection)
            if found is not None and not make:
                raise Unusable(f"{self._name}: {found}")  # noqa: TRY301 - beside what was found
            if found is not None:
                with self._writer.begin() as connection:
                    upgrading.upgrade(connection)
        except BaseException as error:
            self.engine.dispose()
            if isinstance(error, upgrading.Foreign):
                raise Unusable(f"{self._name}: {error}") from None
            if isinstance(error, SQLAlchemyError | sqlite3.Error | OSError):
                # From None: the driver's own words may quote what it was to write, or the password.
                raise Unusable(f"{self._name}: {reason(error)}") from None
            raise

    def write(self, work: Callable[[Connection], _T]) -> _T:
        """One transaction, on disk when this returns. ``work`` may be called again when another centre was in the way.

        Raises StoreDown.
        """
        lost = False
        for turn in range(TRIES):
            try:
                with self._writer.begin() as connection:
                    return work(connection)
            except (SQLAlchemyError, OSError) as error:
                if turn + 1 < TRIES and _another_was_in_the_way(error):
                    time.sleep(_PAUSE_S * (turn + 1))
                elif not lost and self._has_lost_the_server(error):
                    lost = True  # the server may be back; what was taken before its answer was lost is a repeat now
                else:
                    raise StoreDown(f"{self._name}: {reason(error)}") from None
        raise AssertionError("unreachable")

    @contextmanager
    def read(self) -> Iterator[Connection]:
        """One look at the database as it is now. Raises StoreDown."""
        try:
            with self.engine.connect() as connection, connection.begin():
                yield connection
        except (SQLAlchemyError, OSError) as error:
            self._has_lost_the_server(error)
            raise StoreDown(f"{self._name}: {reason(error)}") from None

    def shrink_log(self) -> None:
        """SQLite: what was deleted or overwritten is in the write-ahead log until it is cut. Raises StoreDown."""
        if not self.is_sqlite:
            return
        try:
            with self.engine.connect() as connection:
                raw = connection.connection.dbapi_connection
                assert raw is not None
                raw.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()
        except (SQLAlchemyError, sqlite3.Error) as error:
            raise StoreDown(f"{self._name}: {reason(error)}") from None

    def close(self) -> None:
        """Let go of all connections."""
        self.engine.dispose()

    def _has_lost_the_server(self, error: BaseException) -> bool:
        # pg8000 lets the socket's own errors through, and then SQLAlchemy does not know that the connection is dead.
        cause = error.orig if isinstance(error, DBAPIError) else error
        lost = isinstance(error, InterfaceError) or isinstance(cause, OSError) or _sqlstate(cause) in _ENDED
        if lost:
            self.engine.dispose()
        return lost and not self.is_sqlite

    def _find_file(self, *, make: bool) -> None:
        assert self.url.database is not None
        path = Path(self.url.database)
        if not make:
            if not path.exists():
                raise Unusable(f"{self._name}: is not there; name the one of `edge-anpr centre serve`")
            return
        try:
            # SQLite would make the file readable for everybody, and gives the log the file's own mode.
            os.close(os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600))
        except OSError as error:
            raise Unusable(
                f"{self._name}: cannot be opened for writing: {error.strerror}; mend that path, or name another one"
            ) from error


def _understood(url: str) -> URL:
    advice = "takes sqlite:///records.db, or postgresql+pg8000://user:password@host/database"
    try:
        made = make_url(url)
    except ArgumentError:
        raise Unusable(f"--db {advice}") from None  # what was typed may hold a password
    if made.drivername == "postgresql":
        made = made.set(drivername="postgresql+pg8000")
    if made.drivername not in ("sqlite", "postgresql+pg8000"):
        raise Unusable(f"--db {made.drivername}: is not supported; it {advice}")
    if made.drivername == "sqlite" and made.database in (None, "", ":memory:"):
        raise Unusable(f"--db {url}: names no file; it {advice}")
    return made


def _engine(url: URL) -> Engine:
    if url.get_backend_name() == "sqlite":
        engine = create_engine(url, hide_parameters=True, connect_args={"timeout": BUSY_S, "isolation_level": None})
        event.listen(engine, "connect", _prepare_sqlite)
        event.listen(engine, "begin", _begin_sqlite)
        return engine
    engine = create_engine(url, hide_parameters=True, pool_pre_ping=True, connect_args={"timeout": BUSY_S})
    event.listen(engine, "connect", _prepare_postgresql)
    return engine


def _prepare_sqlite(raw: Any, _record: object) -> None:
    # When two centres do this at once on a new file, one is told "locked" at once, whatever the timeout.
    deadline = time.monotonic() + BUSY_S
    while True:
        try:
            raw.execute("PRAGMA journal_mode = WAL").fetchone()
        except sqlite3.OperationalError as error:
            if _sqlite_code(error) != sqlite3.SQLITE_BUSY or time.monotonic() > deadline:
                raise
            time.sleep(_PAUSE_S)
        else:
            break
    raw.execute("PRAGMA synchronous = FULL")
    raw.execute("PRAGMA secure_delete = ON")


def _begin_sqlite(connection: Connection) -> None:
    # Python's own BEGIN comes late and takes no lock: two writers that have both read would then refuse each other.
    writes = connection.get_execution_options().get("writes")
    connection.exec_driver_sql("BEGIN IMMEDIATE" if writes else "BEGIN")


def _prepare_postgresql(raw: Any, _record: object) -> None:
    cursor = raw.cursor()
    # A receipt says that a hit is on disk: a server that is set up to answer earlier does not do so to us.
    cursor.execute(
        "SELECT set_config('synchronous_commit', 'on', false) WHERE current_setting('synchronous_commit') = 'off'"
    )
    # In another zone a moment of 1900 or 9999, which any unit may tell, is one that the driver cannot read.
    cursor.execute("SET TIME ZONE 'UTC'")
    cursor.execute(f"SET lock_timeout = {int(LOCK_S * 1000)}")
    cursor.close()
    raw.commit()


_SQLITE = {
    sqlite3.SQLITE_NOTADB: "it is no SQLite file; name another one",
    sqlite3.SQLITE_CORRUPT: "it is damaged; stop the centre, and restore a copy, or move it away and a new one is made",
    sqlite3.SQLITE_READONLY: "it or its disk is read-only; mount it writable, check the owner of the folder",
    sqlite3.SQLITE_CANTOPEN: "it cannot be opened; check the owner of its folder",
    sqlite3.SQLITE_BUSY: "another program holds it locked; end that program",
    sqlite3.SQLITE_FULL: "the disk is full; free some space",
    sqlite3.SQLITE_IOERR: "the disk fails; check dmesg",
}
_POSTGRESQL = {
    "28P01": "the password is wrong",
    "28000": "the server does not let this user in; check pg_hba.conf",
    "3D000": "there is no such database; make it with createdb",
    "42501": "this user may not make or write tables there; GRANT it, or let it own the database",
    "53100": "the server's disk is full; free some space",
    "53300": "the server has no connection left; raise max_connections",
    "55P03": "somebody holds a table locked; end that",
    "57P01": "the server ended the connection; it is stopping",
    "57P02": "the server ended the connection; it crashed",
    "57P03": "the server is starting or stopping",
    "25006": "the server is read-only; is it a standby?",
}


_ENDED = ("57P01", "57P02", "57P03")


def reason(error: BaseException) -> str:
    """What is wrong, without a word of what was to be written."""
    cause = error.orig if isinstance(error, DBAPIError) else error
    if isinstance(cause, sqlite3.Error):
        name = getattr(cause, "sqlite_errorname", type(cause).__name__)
        return _SQLITE.get(_sqlite_code(cause), f"{name}")
    if (state := _sqlstate(cause)) is not None:
        return _POSTGRESQL.get(state, f"PostgreSQL says {state}")
    if isinstance(cause, OSError):
        return f"does not answer: {cause.strerror or type(cause).__name__}"
    if isinstance(error, InterfaceError):  # pg8000's word for a server that is not there, or not any more
        return "does not answer; check its host and port, and that it runs"
    return f"fails with {type(cause).__name__}"


def _another_was_in_the_way(error: BaseException) -> bool:
    cause = error.orig if isinstance(error, DBAPIError) else None
    return _sqlstate(cause) in ("40001", "40P01")  # a deadlock's victim, or a change that another made at once


def _sqlstate(error: BaseException | None) -> str | None:
    # pg8000 says goodbye to a server that refuses it, and when that fails, its error hides the server's own.
    for _ in range(4):
        told = error.args[0] if error is not None and error.args else None
        if isinstance(told, dict):  # the shape of pg8000's errors
            return str(told.get("C"))
        error = None if error is None else error.__context__
    return None


def _sqlite_code(error: sqlite3.Error) -> int:
    return int(getattr(error, "sqlite_errorcode", 0)) & 0xFF  # the primary code, without its shade
