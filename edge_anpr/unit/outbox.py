"""The hatch between the recogniser and the publisher: one SQLite file in which hits wait.

The recogniser appends, the publisher deletes; both may be killed at any moment. WAL with ``synchronous=FULL``
costs 2.6 ms a hit and survives a pulled plug (``NORMAL`` does not). What was delivered is overwritten with
zeros, and the log is cut when nothing waits any more, so that a stolen card holds no old hit (as far as its
wear levelling allows).
"""

from __future__ import annotations

import fcntl
import os
import sqlite3
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from edge_anpr.errors import Unusable

SCHEMA_VERSION = 1
_BUSY_S = 5.0

# The tally is kept by triggers: a SUM over the waiting rows would read the whole file at each append.
_SCHEMA = (
    """CREATE TABLE hit (id INTEGER PRIMARY KEY AUTOINCREMENT, hit_id TEXT NOT NULL, phase TEXT NOT NULL,
                         payload BLOB NOT NULL)""",
    "CREATE TABLE state (kind TEXT PRIMARY KEY, put_unix_s REAL NOT NULL, payload BLOB NOT NULL)",
    """CREATE TABLE tally (one INTEGER PRIMARY KEY CHECK (one = 1), hits INTEGER NOT NULL,
                           bytes INTEGER NOT NULL)""",
    "INSERT INTO tally VALUES (1, 0, 0)",
    """CREATE TRIGGER hit_in AFTER INSERT ON hit BEGIN
         UPDATE tally SET hits = hits + 1, bytes = bytes + length(new.payload); END""",
    """CREATE TRIGGER hit_out AFTER DELETE ON hit BEGIN
         UPDATE tally SET hits = hits - 1, bytes = bytes - length(old.payload); END""",
    f"PRAGMA user_version = {SCHEMA_VERSION}",
)


class OutboxFull(Exception):
    """The outbox refused a hit; ``hits`` and ``bytes`` wait in it (0 when the disk itself is full)."""

    def __init__(self, text: str, hits: int = 0, size_bytes: int = 0) -> None:
        self.hits, self.bytes = hits, size_bytes
        super().__init__(text)


class OutboxError(Exception):
    """The file failed in use; ending the process and opening it anew helps, or tells what to mend."""


@dataclass(frozen=True, slots=True)
class Row:
    """One message that waits. ``rowid`` counts up and is never used again."""

    rowid: int
    hit_id: str
    phase: str
    payload: bytes = field(repr=False)
    age_s: float | None = None


@dataclass(frozen=True, slots=True)
class Depth:
    """How much waits."""

    hits: int
    bytes: int
    oldest_s: float = 0.0


class Outbox:
    """An open outbox at ``path``; at most ``max_bytes`` of payload may wait.

    Threads of one process may share it. ``owner`` names a direction that one process alone may serve (two recognisers
    would double every hit). Opening raises Unusable, everything else OutboxError.
    """

    def __init__(self, path: Path, max_bytes: int, owner: str | None = None) -> None:
        self._path, self._max_bytes = path, max_bytes
        self._lock = threading.Lock()
        try:
            path.parent.mkdir(mode=0o770, parents=True, exist_ok=True)
            # SQLite would make the file readable for everybody, and gives the log the file's own mode.
            os.close(os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o660))
            self._owned = None if owner is None else _own(path, owner)
            self._db = _open(path)
        except OSError as error:
            raise Unusable(
                f"outbox {path} cannot be opened for writing: {error.strerror}; mend that path, or name "
                "another one under delivery.outbox"
            ) from error
        except sqlite3.Error as error:
            raise Unusable(f"outbox {path} cannot be used: {_reason(error)}") from error

    def append(self, hit_id: str, phase: str, payload: bytes) -> None:
        """Put a message on disk; when this returns, it survives a pulled plug.

        Raises OutboxFull when it would not fit, or when the disk is full. Never drops what waits.
        """
        with self._errors(), self._transaction():
            depth = self._depth()
            if depth.bytes + len(payload) > self._max_bytes:
                raise OutboxFull(
                    f"outbox {self._path} is full: {depth.hits} messages, {depth.bytes} bytes wait",
                    depth.hits,
                    depth.bytes,
                )
            self._db.execute("INSERT INTO hit (hit_id, phase, payload) VALUES (?, ?, ?)", (hit_id, phase, payload))

    def put_state(self, kind: str, payload: bytes) -> None:
        """Replace the latest ``birth`` or ``health`` of the recogniser. Raises OutboxFull on a full disk."""
        with self._errors(), self._lock:
            # Worth nothing after a power cut, so it does not wait for the card; an append syncs it along.
            self._db.execute("PRAGMA synchronous = NORMAL")
            try:
                self._db.execute(
                    "INSERT INTO state VALUES (?, ?, ?) ON CONFLICT (kind) DO UPDATE SET "
                    "put_unix_s = excluded.put_unix_s, payload = excluded.payload",
                    (kind, time.time(), payload),
                )
            finally:
                self._db.execute("PRAGMA synchronous = FULL")

    def waiting(self, after: int, limit: int) -> list[Row]:
        """The oldest ``limit`` messages whose rowid is above ``after``, oldest first."""
        with self._errors(), self._lock:
            rows = self._db.execute(
                "SELECT id, hit_id, phase, payload FROM hit WHERE id > ? ORDER BY id LIMIT ?", (after, limit)
            ).fetchall()
        return [Row(*row) for row in rows]

    def young(self, within_s: float, after: int, limit: int) -> list[Row]:
        """Shim."""
        return []

    def expire(self, max_s: float) -> int:
        """Shim."""
        return 0

    @property
    def max_bytes(self) -> int:
        """How much may wait."""
        return self._max_bytes

    def delete(self, rowids: Sequence[int]) -> None:
        """Remove delivered messages for good."""
        with self._errors():
            with self._transaction():
                self._db.executemany("DELETE FROM hit WHERE id = ?", [(rowid,) for rowid in rowids])
                empty = self._depth().hits == 0
            if empty:
                with self._lock:  # the log still shows what was just deleted
                    self._db.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()

    def state(self, kind: str) -> bytes | None:
        """What the recogniser last put under ``kind``, or None."""
        with self._errors(), self._lock:
            row = self._db.execute("SELECT payload FROM state WHERE kind = ?", (kind,)).fetchone()
        return bytes(row[0]) if row else None

    def state_age_s(self, kind: str) -> float | None:
        """Seconds since ``kind`` was put, by the wall clock, or None when it never was."""
        with self._errors(), self._lock:
            row = self._db.execute("SELECT put_unix_s FROM state WHERE kind = ?", (kind,)).fetchone()
        return max(0.0, time.time() - float(row[0])) if row else None

    def depth(self) -> Depth:
        """How much waits, without counting it."""
        with self._errors(), self._lock:
            return self._depth()

    def version(self) -> int:
        """A number that changes whenever another process has changed the file; costs microseconds."""
        with self._errors(), self._lock:
            return int(self._db.execute("PRAGMA data_version").fetchone()[0])

    def close(self) -> None:
        """Close the file; the last one to do so leaves no log beside it."""
        with self._lock:
            self._db.close()
            if self._owned is not None:
                os.close(self._owned)
                self._owned = None

    def _depth(self) -> Depth:
        return Depth(*self._db.execute("SELECT hits, bytes FROM tally").fetchone())

    @contextmanager
    def _transaction(self) -> Iterator[None]:
        with self._lock:
            self._db.execute("BEGIN IMMEDIATE")
            try:
                yield
                self._db.execute("COMMIT")
            except BaseException:
                if self._db.in_transaction:  # SQLite itself rolls back on a full disk
                    self._db.execute("ROLLBACK")
                raise

    @contextmanager
    def _errors(self) -> Iterator[None]:
        try:
            yield
        except sqlite3.Error as error:
            if _code(error) == sqlite3.SQLITE_FULL:
                raise OutboxFull(f"the disk of outbox {self._path} is full; free some space") from error
            raise OutboxError(f"outbox {self._path}: {_reason(error)}") from error


def _own(path: Path, owner: str) -> int:
    """Take the place of ``owner`` at this outbox; the kernel gives it back when the process ends, however it does."""
    place = os.open(path.with_name(f"{path.name}.{owner}"), os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o660)
    try:
        fcntl.flock(place, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(place)
        raise Unusable(
            f"outbox {path} has a {owner} already; end that process, or give this unit another delivery.outbox"
        ) from None
    return place


def _open(path: Path) -> sqlite3.Connection:
    db = sqlite3.connect(path, timeout=_BUSY_S, isolation_level=None, check_same_thread=False)
    try:
        version, tables = _identity(db)
        if version > SCHEMA_VERSION or (version == 0 and tables):
            author = "a newer edge-anpr" if version else "another program"
            raise Unusable(  # noqa: TRY301 - beside what was read
                f"outbox {path} was written by {author}; name another file under delivery.outbox"
            )
        _write_ahead(db)
        db.execute("PRAGMA synchronous = FULL")
        db.execute("PRAGMA secure_delete = ON")
        db.execute("BEGIN IMMEDIATE")
        if _identity(db) == (0, 0):  # the other process may have been quicker
            for statement in _SCHEMA:
                db.execute(statement)
        db.execute("COMMIT")
    except BaseException:
        db.close()
        raise
    return db


def _identity(db: sqlite3.Connection) -> tuple[int, int]:
    # In this order: the other process may commit its new schema between the two, and is no stranger for it.
    tables = db.execute("SELECT count(*) FROM sqlite_master").fetchone()[0]
    return int(db.execute("PRAGMA user_version").fetchone()[0]), int(tables)


def _write_ahead(db: sqlite3.Connection) -> None:
    # When two processes do this at once on a new file, one is told "locked" at once, whatever the timeout.
    deadline = time.monotonic() + _BUSY_S
    while True:
        try:
            db.execute("PRAGMA journal_mode = WAL").fetchone()
        except sqlite3.OperationalError as error:
            if _code(error) != sqlite3.SQLITE_BUSY or time.monotonic() > deadline:
                raise
            time.sleep(0.02)
        else:
            return


_ADVICE = {
    sqlite3.SQLITE_NOTADB: "it is no SQLite file; move it away, and a new one is made",
    sqlite3.SQLITE_CORRUPT: "it is damaged; move it away, and a new one is made",
    sqlite3.SQLITE_READONLY: "it or its disk is read-only; mount it writable, check the owner of the folder",
    sqlite3.SQLITE_CANTOPEN: "it cannot be opened; check the owner of its folder",
    sqlite3.SQLITE_BUSY: "another program holds it locked; end that program",
    sqlite3.SQLITE_FULL: "the disk is full; free some space",
    sqlite3.SQLITE_IOERR: "the disk fails; check dmesg, and replace the card",
}


def _code(error: sqlite3.Error) -> int:
    return int(getattr(error, "sqlite_errorcode", 0)) & 0xFF  # the primary code, without its shade


def _reason(error: sqlite3.Error) -> str:
    # Its own words could quote what was to be written.
    name = getattr(error, "sqlite_errorname", type(error).__name__)
    return _ADVICE.get(_code(error), f"{name}; move it away, and a new one is made")
