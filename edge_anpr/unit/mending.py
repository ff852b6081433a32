"""An outbox that is damaged is set aside, and what can still be read of it is carried into a new one.

Every step can be cut short by a pulled plug: nothing is moved before the new file is whole and on the disk under its
own name, ``.mended-N``, and whoever finds that name goes on where the other one stopped.
"""

from __future__ import annotations

import logging
import os
import sqlite3
from collections.abc import Iterator
from contextlib import closing, suppress
from dataclasses import dataclass
from pathlib import Path

from edge_anpr.errors import Unusable
from edge_anpr.unit import outbox_file
from edge_anpr.unit.outbox_file import COLUMNS, Place, Stored, checksum, sync
from edge_anpr.unit.salvage import Remains

KEPT = 3
_MARGIN_BYTES = 1_000_000
_CHUNK = 1 << 20

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Mended:
    """What became of a damaged outbox: where it lies now, how many messages were carried over, how many were lost.

    ``lost`` is None when the file did not say any more how many there were. Those that did not fit on the disk count as
    lost here, and are in the file at ``path``.
    """

    path: Path
    rescued: int
    lost: int | None


def mend(file: Path, shown: Path, place: Place) -> None:
    """Look at the outbox before it is opened, and mend it if it is damaged. Only who has the place alone may do so.

    Raises Unusable for a file of which nothing shows that it ever was an outbox, or when the disk has no room for a new
    one.
    """
    _finish(file)
    if not _is_damaged(file, shown, place):
        if place.is_damaged:
            _log.warning("outbox %s was told to be damaged, and nothing is wrong with it", shown)
            place.mended()
        return
    outbox_file.create(file)  # in case only its log is left
    with closing(Remains(file, _beside(file, "-wal"))) as remains:
        if not (place.is_known or remains.is_outbox):
            raise Unusable(
                f"outbox {shown} is damaged, or no SQLite file, and nothing shows that it was an outbox; move it away, "
                "and a new one is made"
            )
        number = max(_numbers(file), default=0) + 1
        try:
            rescued, lost = _carry(remains, _beside(file, ".mending"), number)
        except (sqlite3.Error, OSError) as error:
            words = outbox_file.reason(error) if isinstance(error, sqlite3.Error) else error.strerror
            raise Unusable(f"outbox {shown} is damaged and cannot be mended: {words}") from error
    _beside(file, ".mending").rename(_beside(file, f".mended-{number}"))
    sync(file.parent)
    _finish(file)
    place.mended()
    _log.error(
        "outbox %s was damaged: it lies beside it as %s; %d messages were carried over, %s lost",
        shown, _aside(file, number).name, rescued, "nobody knows how many" if lost is None else lost,
    )  # fmt: skip


def told(db: sqlite3.Connection, file: Path) -> Mended | None:
    """What the file says of the damaged one before it, as long as that lies beside it."""
    row = db.execute("SELECT number, rescued, lost FROM aside ORDER BY number DESC LIMIT 1").fetchone()
    return Mended(_aside(file, row[0]), row[1], row[2]) if row and _aside(file, row[0]).exists() else None


def erase(file: Path, number: int) -> None:
    """Overwrite and remove a file that was set aside."""
    for path in (_beside(_aside(file, number), "-wal"), _aside(file, number)):
        with suppress(FileNotFoundError):
            with path.open("r+b") as old:
                for _ in range(-(-path.stat().st_size // _CHUNK)):
                    old.write(bytes(_CHUNK))
                old.flush()
                os.fsync(old.fileno())
            path.unlink()


def _is_damaged(file: Path, shown: Path, place: Place) -> bool:
    log = _beside(file, "-wal")
    if _size(file) == 0:  # SQLite would take it for a new one, and throw the log away
        return _size(log) > 0 or (place.is_known and file.exists())
    unclean = _size(log) > 0
    if unclean or place.is_damaged:
        _read_ahead(file)
    db = None
    try:
        db = outbox_file.connect(file)
        outbox_file.refuse_strangers(db, shown)
        if (unclean or place.is_damaged) and not _adds_up(db):
            return True
        _probe(db)
        return place.is_damaged and not _is_right(db)
    except sqlite3.Error as error:
        if outbox_file.is_damage(error) or outbox_file.code(error) == sqlite3.SQLITE_ERROR:  # such as: no such table
            return True
        raise
    finally:
        if db is not None:
            with suppress(sqlite3.Error):
                db.close()


def _adds_up(db: sqlite3.Connection) -> bool:
    if db.execute("PRAGMA quick_check(1)").fetchone() != ("ok",):
        return False
    if outbox_file.identity(db)[0] == 0:
        return True
    counted = db.execute("SELECT count(*), coalesce(sum(length(payload)), 0) FROM hit").fetchone()
    return bool(db.execute("SELECT hits, bytes FROM tally").fetchone() == counted)


def _probe(db: sqlite3.Connection) -> None:
    """Touch the pages that the next append and the next read need; raises sqlite3.Error."""
    if outbox_file.identity(db)[0] == 0:
        return
    db.execute("BEGIN IMMEDIATE")
    try:
        db.execute("INSERT INTO hit (hit_id, phase, payload) VALUES ('', '', zeroblob(10000))")
        for order in ("ASC", "DESC"):
            db.execute(f"SELECT * FROM hit ORDER BY id {order} LIMIT 2").fetchall()  # noqa: S608
        db.execute("SELECT * FROM tally, state").fetchall()
    finally:
        if db.in_transaction:  # SQLite itself may have rolled back
            db.execute("ROLLBACK")


def _is_right(db: sqlite3.Connection) -> bool:
    """What SQLite does not look at: every row's checksum."""
    return outbox_file.identity(db)[0] < 2 or all(
        Stored(*row).is_whole
        for row in db.execute(f"SELECT {COLUMNS} FROM hit")  # noqa: S608
    )


def _carry(remains: Remains, new: Path, number: int) -> tuple[int, int | None]:
    """Make the new file at ``new``, with all that fits; how many messages it has, and how many are lost."""
    new.unlink(missing_ok=True)
    outbox_file.create(new)
    room = os.statvfs(new.parent).f_bavail * os.statvfs(new.parent).f_frsize - _MARGIN_BYTES

    def fitting() -> Iterator[tuple[object, ...]]:
        nonlocal room
        for hit in remains.hits():
            room -= len(hit.payload) + 2 * outbox_file.SECTOR_BYTES
            if room < 0:
                return
            yield (
                hit.rowid, hit.hit_id, hit.phase, hit.payload, hit.boot, hit.boottime_s, hit.powered_s, hit.checksum,
            )  # fmt: skip

    with closing(outbox_file.connect(new)) as db:
        db.execute("PRAGMA journal_mode = OFF")  # a file that is thrown away when this fails
        db.execute("BEGIN")
        outbox_file.lay(db)
        db.executemany(f"INSERT INTO hit ({COLUMNS}) VALUES (?, ?, ?, ?, ?, ?, ?, ?)", fitting())  # noqa: S608
        rescued, newest_s, highest = db.execute(
            "SELECT count(*), coalesce(max(powered_s), 0), coalesce(max(id), 0) FROM hit"
        ).fetchone()
        powered_s = max(remains.powered_s, newest_s)
        db.execute("DELETE FROM sqlite_sequence")
        db.execute("INSERT INTO sqlite_sequence VALUES ('hit', ?)", (max(remains.sequence, highest),))
        db.execute("INSERT INTO clock VALUES (1, '', 0, ?, ?)", (powered_s, checksum("", 0.0, powered_s)))
        lost = None if remains.counted is None else max(remains.counted - rescued, 0)
        for old in _numbers(new.with_name(new.name.removesuffix(".mending"))):
            db.execute("INSERT INTO aside VALUES (?, 0, NULL, ?)", (old, powered_s))
        db.execute("INSERT INTO aside VALUES (?, ?, ?, ?)", (number, rescued, lost, powered_s))
        db.execute("COMMIT")
    with new.open("rb") as file:
        os.fsync(file.fileno())
    sync(new.parent)
    return rescued, lost


def _finish(file: Path) -> None:
    """Put a new file that is whole in the place of the damaged one, each step on the disk before the next."""
    _beside(file, ".mending").unlink(missing_ok=True)
    for number in _numbers(file, ".mended-"):
        _replace(file, number)
    for number in sorted(_numbers(file))[:-KEPT]:
        erase(file, number)


def _replace(file: Path, number: int) -> None:
    whole = _beside(file, f".mended-{number}")
    # The log first: beside the new file it would be taken for that one's.
    for old, new in (
        (_beside(file, "-wal"), _beside(_aside(file, number), "-wal")),
        (_beside(file, "-shm"), None),
        (file, _aside(file, number)),
        (whole, file),
    ):
        if old.exists():
            old.unlink() if new is None else old.rename(new)
            sync(file.parent)


def _numbers(file: Path, ending: str = ".damaged-") -> list[int]:
    start = file.name + ending
    names = (path.name.removeprefix(start) for path in file.parent.iterdir() if path.name.startswith(start))
    return [int(name) for name in names if name.isascii() and name.isdigit()]


def _aside(file: Path, number: int) -> Path:
    return _beside(file, f".damaged-{number}")


def _beside(file: Path, ending: str) -> Path:
    return file.with_name(file.name + ending)


def _size(path: Path) -> int:
    try:
        return path.stat().st_size
    except FileNotFoundError:
        return 0


def _read_ahead(file: Path) -> None:
    """In order, because SQLite checks pages in another one: 209 MB from the disk take 0.7 s here instead of 4.7 s."""
    with suppress(OSError), file.open("rb", buffering=0) as whole:  # a bad place is found again, by SQLite
        while whole.read(_CHUNK):
            pass
