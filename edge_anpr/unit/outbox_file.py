"""The outbox's file: its rows and their schema, how an older one becomes it, how it is opened, and who has it open.

A write that was synced survives a power cut even if the card leaves the very sector broken that it was writing:
``psow=0`` fills up each commit to the end of its sector, so that no later one touches it (16 % more log, no time).
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import sqlite3
import time
from contextlib import suppress
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from urllib.parse import quote

from edge_anpr.errors import Unusable

SCHEMA_VERSION = 2
SECTOR_BYTES = 4096
BUSY_S = 5.0
# Whoever mends may have to carry over 200 MB on a slow card; whoever has to end for it looks every second.
MENDING_S = 120.0
ENDING_S = 10.0
COLUMNS = "id, hit_id, phase, payload, boot, boottime_s, powered_s, checksum"
_POWERSAFE = "psow=0"
_OURS = b"edge-anpr outbox\n"

# What leads from each version to the next. The tally is kept by triggers: a SUM over the waiting rows would read the
# whole file at each append.
_STEPS = (
    (
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
    ),
    (
        # Rows that are there count as appended when the clock begins, before this boot.
        "ALTER TABLE hit ADD COLUMN boot TEXT NOT NULL DEFAULT ''",
        "ALTER TABLE hit ADD COLUMN boottime_s REAL NOT NULL DEFAULT 0",
        "ALTER TABLE hit ADD COLUMN powered_s REAL NOT NULL DEFAULT 0",
        "ALTER TABLE hit ADD COLUMN checksum BLOB",
        "ALTER TABLE state RENAME COLUMN put_unix_s TO boottime_s",
        "ALTER TABLE state ADD COLUMN boot TEXT NOT NULL DEFAULT ''",
        """CREATE TABLE clock (one INTEGER PRIMARY KEY CHECK (one = 1), boot TEXT NOT NULL, boottime_s REAL NOT NULL,
                               powered_s REAL NOT NULL, checksum BLOB NOT NULL)""",
        """CREATE TABLE aside (number INTEGER PRIMARY KEY, rescued INTEGER NOT NULL, lost INTEGER,
                               powered_s REAL NOT NULL)""",
    ),
)


@dataclass(frozen=True)
class Stored:
    """A row of the table ``hit`` as it was read. Rows of version 1 have no checksum, and no age of their own."""

    rowid: int
    hit_id: str
    phase: str
    payload: bytes = field(repr=False)
    boot: str
    boottime_s: float
    powered_s: float
    checksum: bytes | None

    @cached_property
    def digest(self) -> bytes:
        """SHA-256 of the payload."""
        return hashlib.sha256(self.payload).digest()

    @property
    def is_whole(self) -> bool:
        """Whether it is what was appended: a bit that changes on the card is not seen by SQLite itself."""
        kinds = (str, str, bytes, str, float, float)
        values = (self.hit_id, self.phase, self.payload, self.boot, self.boottime_s, self.powered_s)
        if not all(map(isinstance, values, kinds)):
            return False
        known = self.checksum
        return known is None or known == checksum(*values[:2], self.digest, *values[3:])


class Place:
    """The outbox's place on the disk: each process that has it open shares a lock, who mends it has it alone."""

    def __init__(self, file: Path) -> None:
        self._flag = file.with_name(f"{file.name}.damaged")
        self._lock = make(file.with_name(f"{file.name}.open"), os.O_RDWR)

    def alone(self, wait_s: float = 0.0) -> bool:
        """Take the place alone, if nobody else has it within ``wait_s``."""
        return self._take(fcntl.LOCK_EX, wait_s)

    def share(self, wait_s: float = 0.0) -> bool:
        """Have it as one of several, if nobody mends it after ``wait_s``."""
        return self._take(fcntl.LOCK_SH, wait_s)

    def leave(self) -> None:
        """Give it up, as the kernel does when the process ends."""
        os.close(self._lock)

    @property
    def is_known(self) -> bool:
        """Whether an outbox was opened here before, so that what lies here now was one."""
        return os.pread(self._lock, len(_OURS), 0) == _OURS

    def know(self) -> None:
        """Keep in mind that here is an outbox."""
        if not self.is_known:
            os.pwrite(self._lock, _OURS, 0)
            os.fsync(self._lock)

    @property
    def is_damaged(self) -> bool:
        """Whether somebody found damage; costs a microsecond."""
        return self._flag.exists()

    def damage(self) -> None:
        """Say to everybody who has it open that it is damaged. Raises OSError on a disk that takes nothing."""
        os.close(make(self._flag, os.O_WRONLY))
        sync(self._flag.parent)

    def mended(self) -> None:
        """Take that back."""
        self._flag.unlink(missing_ok=True)
        sync(self._flag.parent)

    def _take(self, kind: int, wait_s: float) -> bool:
        deadline = time.monotonic() + wait_s
        while True:
            try:
                fcntl.flock(self._lock, kind | fcntl.LOCK_NB)
            except BlockingIOError:
                if time.monotonic() >= deadline:
                    return False
                time.sleep(0.02)
            else:
                return True


def own(file: Path, owner: str) -> int:
    """Take the place of ``owner`` at this outbox; the kernel gives it back when the process ends, however it does."""
    place = make(file.with_name(f"{file.name}.{owner}"), os.O_RDWR)
    try:
        fcntl.flock(place, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(place)
        raise Unusable(
            f"outbox {file} has a {owner} already; end that process, or give this unit another delivery.outbox"
        ) from None
    return place


def make(file: Path, flags: int) -> int:
    """Open a file, made if it is not there, that both processes may write: users of one group, whatever their umask."""
    descriptor = os.open(file, flags | os.O_CREAT | os.O_CLOEXEC, 0o660)
    with suppress(PermissionError):  # it is the other's, who has done it
        os.fchmod(descriptor, 0o660)
    return descriptor


def create(file: Path) -> None:
    """Make an empty file, if there is none, that nobody else can read: the log gets its mode."""
    # If it is there it is not opened: closing it would drop the locks that SQLite has on it in this process.
    with suppress(FileExistsError):
        os.close(make(file, os.O_RDWR | os.O_EXCL))


def make_folder(folder: Path) -> None:
    """Make a folder and those above it, so that they are there after a power cut."""
    if folder.is_dir():
        return
    make_folder(folder.parent)
    folder.mkdir(mode=0o770, exist_ok=True)
    sync(folder.parent)


def sync(folder: Path) -> None:
    """Make what was created, renamed and removed in a folder last."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def open_file(file: Path, shown: Path, synchronous: str) -> sqlite3.Connection:
    """Open the file, bring it to this version, and make sure that it is found after a power cut.

    Raises Unusable for what somebody else wrote, sqlite3.Error for the rest.
    """
    db = connect(file)
    try:
        refuse_strangers(db, shown)
        settle(db, synchronous)
        _write_ahead(db)
        db.execute("BEGIN IMMEDIATE")
        lay(db)
        db.execute("COMMIT")
        sync(file.parent)  # the file and its log
    except BaseException:
        db.close()
        raise
    return db


def connect(file: Path) -> sqlite3.Connection:
    """A connection without any settings that reach the file."""
    uri = f"file:{quote(os.fsencode(file))}?{_POWERSAFE}"
    db = sqlite3.connect(uri, timeout=BUSY_S, isolation_level=None, check_same_thread=False, uri=True)
    db.text_factory = lambda raw: raw.decode("utf-8", "replace")  # a text that changed is found by its checksum
    db.execute("PRAGMA cell_size_check = ON")  # damage is found early
    db.execute("PRAGMA temp_store = MEMORY")  # no plate in a temporary file, and none needed on a full disk
    return db


def checksum(*values: str | float | bytes) -> bytes:
    """What is stored beside values, so that a change of any is found."""
    return hashlib.sha256(repr(values).encode()).digest()


def settle(db: sqlite3.Connection, synchronous: str) -> None:
    """What every connection is set to that writes."""
    db.execute(f"PRAGMA synchronous = {synchronous}")
    db.execute("PRAGMA secure_delete = ON")


def lay(db: sqlite3.Connection) -> None:
    """Bring the schema from the version that it has (0: an empty file) to this one, inside a transaction."""
    for version in range(identity(db)[0], SCHEMA_VERSION):
        for statement in _STEPS[version]:
            db.execute(statement)
        db.execute(f"PRAGMA user_version = {version + 1}")


def refuse_strangers(db: sqlite3.Connection, shown: Path) -> None:
    """Raise Unusable for a file of another program or of a newer version; ``shown`` is its name in the text."""
    version, tables = identity(db)
    if version > SCHEMA_VERSION or (version == 0 and tables):
        author = "a newer edge-anpr" if version else "another program"
        raise Unusable(f"outbox {shown} was written by {author}; name another file under delivery.outbox")


def identity(db: sqlite3.Connection) -> tuple[int, int]:
    """Version and number of tables."""
    # In this order: the other process may commit its new schema between the two, and is no stranger for it.
    tables = db.execute("SELECT count(*) FROM sqlite_master").fetchone()[0]
    return int(db.execute("PRAGMA user_version").fetchone()[0]), int(tables)


def _write_ahead(db: sqlite3.Connection) -> None:
    # When two processes do this at once on a new file, one is told "locked" at once, whatever the timeout.
    deadline = time.monotonic() + BUSY_S
    while True:
        try:
            db.execute("PRAGMA journal_mode = WAL").fetchone()
        except sqlite3.OperationalError as error:
            if code(error) != sqlite3.SQLITE_BUSY or time.monotonic() > deadline:
                raise
            time.sleep(0.02)
        else:
            return


_ADVICE = {
    sqlite3.SQLITE_NOTADB: "it is no SQLite file, and nothing shows that it was an outbox; move it away, and a new one "
    "is made",
    sqlite3.SQLITE_CORRUPT: "it is damaged",
    sqlite3.SQLITE_READONLY: "it or its disk is read-only; mount it writable, check the owner of the folder",
    sqlite3.SQLITE_CANTOPEN: "it cannot be opened; check the owner of its folder",
    sqlite3.SQLITE_BUSY: "another program holds it locked; end that program",
    sqlite3.SQLITE_FULL: "the disk is full; free some space",
    sqlite3.SQLITE_IOERR: "the disk fails or has become read-only; check dmesg, and replace the card",
}
_UNREADABLE = {sqlite3.SQLITE_IOERR_READ, sqlite3.SQLITE_IOERR_SHORT_READ, sqlite3.SQLITE_IOERR_CORRUPTFS}
_REFUSALS = {
    sqlite3.SQLITE_FULL, sqlite3.SQLITE_READONLY, sqlite3.SQLITE_IOERR, sqlite3.SQLITE_CANTOPEN, sqlite3.SQLITE_BUSY,
}  # fmt: skip


def code(error: sqlite3.Error) -> int:
    """SQLite's primary code of an error, without its shade."""
    return int(getattr(error, "sqlite_errorcode", 0)) & 0xFF


def is_damage(error: sqlite3.Error) -> bool:
    """Whether an error says that what is in the file is broken, or cannot be read."""
    broken = code(error) in {sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB}
    return broken or getattr(error, "sqlite_errorcode", 0) in _UNREADABLE


def is_refusal(error: sqlite3.Error) -> bool:
    """Whether an error says that nothing can be written now, and perhaps later."""
    return code(error) in _REFUSALS


def reason(error: sqlite3.Error) -> str:
    """An error in words that say what to do; its own could quote what was to be written."""
    name = getattr(error, "sqlite_errorname", type(error).__name__)
    return _ADVICE.get(code(error), f"{name}; move it away, and a new one is made")
