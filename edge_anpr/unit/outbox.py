"""The hatch between the recogniser and the publisher: one SQLite file in which hits wait.

The recogniser appends, the publisher deletes; both may be killed at any moment. WAL with ``synchronous=FULL``
costs 2.6 ms a hit on a slow disk and survives a pulled plug (``NORMAL`` does not: ``tests/torture/powercut.py``). What
was delivered is overwritten with zeros, and the log is cut when nothing waits any more, so that a stolen card holds no
old hit (as far as its wear levelling allows). Each row has a checksum, so that nothing torn is delivered.

No age depends on the wall clock. That of a row in this boot is exact. For the cap by age the outbox has a clock of its
own, which stands while the unit is switched off: each reboot may cost it ten minutes, and no setting of a clock moves
it. A damaged file is mended when it is opened (``mending.py``), which takes every process that has it open to end.
"""

from __future__ import annotations

import errno
import hashlib
import os
import sqlite3
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from itertools import takewhile
from pathlib import Path

from edge_anpr.errors import Unusable
from edge_anpr.unit import outbox_file
from edge_anpr.unit.clock import Uptime, uptime
from edge_anpr.unit.mending import Mended, erase, mend, told
from edge_anpr.unit.outbox_file import COLUMNS, Place, Stored, checksum

_SYNCHRONOUS = "FULL"
# So often the outbox's own clock is put down; as much of it a reboot may cost, or add.
TOUCH_S = 600.0
# The largest hit, sealed.
USUAL_BYTES = 32 * 1024 + 100
_AT_ONCE = 1000


class OutboxFull(Exception):
    """The outbox refused a hit: so many wait, or the disk takes nothing now (``hits`` and ``bytes`` are 0 then).

    What waits is untouched, and the same may be tried again later.
    """

    def __init__(self, text: str, hits: int = 0, size_bytes: int = 0) -> None:
        self.hits, self.bytes = hits, size_bytes
        super().__init__(text)


class OutboxError(Exception):
    """The file failed in use; ending the process and opening it anew helps, or tells what to mend."""


@dataclass(frozen=True, slots=True)
class Row:
    """One message that waits. ``rowid`` counts up and is never used again.

    ``age_s``: how long it has waited, None when it was put here before this boot. ``digest``: SHA-256 of the payload.
    """

    rowid: int
    hit_id: str
    phase: str
    payload: bytes = field(repr=False)
    age_s: float | None
    digest: str


@dataclass(frozen=True, slots=True)
class Depth:
    """How much waits, and for how long the oldest has, by the outbox's own clock."""

    hits: int
    bytes: int
    oldest_s: float | None = None


class Outbox:
    """An open outbox at ``path``; at most ``max_bytes`` of payload may wait.

    Threads of one process may share it. ``owner`` names a direction that one process alone may serve (two recognisers
    would double every hit). Opening raises Unusable for what a person must mend; everything else, and opening while
    another process has to end first, raises OutboxError.
    """

    def __init__(
        self, path: Path, max_bytes: int, owner: str | None = None, *, now: Callable[[], Uptime] = uptime
    ) -> None:
        self._path, self._max_bytes, self._now = path, max_bytes, now
        self._lock = threading.Lock()
        with ExitStack() as opened:
            try:
                outbox_file.make_folder(path.parent)
                self._file = Path(os.path.realpath(path))
                if self._file.is_dir():
                    raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR))
                if owner is not None:
                    opened.callback(os.close, outbox_file.own(self._file, owner))
                self._place = Place(self._file)
                opened.callback(self._place.leave)
                self._db = self._open()
                opened.callback(self._db.close)
                self._inode = _inode(self._file)
                self._mended = told(self._db, self._file)
                self._offset_s = self._begin_clock()
            except OSError as error:
                raise Unusable(
                    f"outbox {path} cannot be opened for writing: {error.strerror}; mend that path, or name "
                    "another one under delivery.outbox"
                ) from error
            except sqlite3.Error as error:
                if outbox_file.is_damage(error):
                    self._tell_damage()
                    raise self._damaged() from error
                raise Unusable(f"outbox {path} cannot be used: {outbox_file.reason(error)}") from error
            self._opened = opened.pop_all()

    def append(self, hit_id: str, phase: str, payload: bytes) -> None:
        """Put a message on disk; when this returns, it survives a pulled plug.

        Raises OutboxFull when it would not fit, or when the disk takes nothing. Never drops what waits.
        """
        self._look()
        now = self._now()
        age = (now.boot, now.seconds, now.seconds + self._offset_s)
        known = checksum(hit_id, phase, hashlib.sha256(payload).digest(), *age)
        with self._errors(writing=True), self._transaction():
            self._find_room(len(payload))
            self._db.execute(
                f"INSERT INTO hit ({COLUMNS}) VALUES (NULL, ?, ?, ?, ?, ?, ?, ?)",  # noqa: S608
                (hit_id, phase, payload, *age, known),
            )

    def ready(self) -> None:
        """Raise OutboxFull when a hit would be refused now; writes a little to find out."""
        self._look()
        with self._errors(writing=True):
            disk = os.statvfs(self._file.parent)
            if disk.f_bavail * disk.f_frsize < 2 * USUAL_BYTES:
                raise OutboxFull(f"outbox {self._path} takes nothing: the disk is full; free some space")
            with self._transaction():
                self._find_room(USUAL_BYTES)
                self._put_clock()

    def put_state(self, kind: str, payload: bytes) -> None:
        """Replace what the recogniser last put under ``kind``. Raises OutboxFull when the disk takes nothing."""
        self._look()
        now = self._now()
        with self._errors(writing=True), self._lock:
            # Worth nothing after a power cut, so it does not wait for the card; an append syncs it along.
            self._db.execute("PRAGMA synchronous = NORMAL")
            try:
                self._db.execute(
                    "INSERT INTO state (kind, boottime_s, payload, boot) VALUES (?, ?, ?, ?) ON CONFLICT (kind) DO "
                    "UPDATE SET boottime_s = excluded.boottime_s, payload = excluded.payload, boot = excluded.boot",
                    (kind, now.seconds, payload, now.boot),
                )
            finally:
                self._db.execute(f"PRAGMA synchronous = {_SYNCHRONOUS}")

    def waiting(self, after: int, limit: int) -> list[Row]:
        """The oldest ``limit`` messages whose rowid is above ``after``, oldest first."""
        with self._errors(), self._lock:
            return self._rows(after, limit)

    def recent(self, after: int, younger_than_s: float, limit: int) -> list[Row]:
        """The same of those alone that were put here in this boot, less than ``younger_than_s`` ago.

        Costs as much as there are such messages, however many older ones wait.
        """
        now = self._now()
        with self._errors(), self._lock:
            before = None
            for rowid, boot, boottime_s in self._db.execute(
                "SELECT id, boot, boottime_s FROM hit WHERE id > ? ORDER BY id DESC", (after,)
            ):
                if boot != now.boot or now.seconds - boottime_s >= younger_than_s:
                    break
                before = rowid - 1
            return [] if before is None else self._rows(before, limit)

    def delete(self, rowids: Sequence[int]) -> None:
        """Remove delivered messages for good. Raises OutboxFull, and keeps them, when the disk takes nothing."""
        with self._errors(writing=True):
            with self._transaction():
                self._remove(rowids)
                empty = self._depth().hits == 0
            if empty:
                self._cut_log()

    def expire(self, max_s: float) -> int:
        """Remove for good what has waited for ``max_s`` or longer by the outbox's own clock; how many that were.

        At most a thousand at a time, the oldest first. Damaged files that were set aside end so too. Keeps the clock
        going, so it has to be called every some minutes. Raises OutboxFull when the disk takes nothing.
        """
        now = self._now()
        end_s = now.seconds + self._offset_s - max_s
        with self._errors(writing=True):
            if now.seconds - self._put_down_s >= TOUCH_S:
                with self._transaction():
                    self._put_clock()
            with self._lock:
                by_age = self._db.execute(f"SELECT {COLUMNS} FROM hit ORDER BY id LIMIT ?", (_AT_ONCE,))  # noqa: S608
                stored = (self._whole(Stored(*row)) for row in by_age)
                old = [row.rowid for row in takewhile(lambda row: row.powered_s <= end_s, stored)]
                aside = self._db.execute("SELECT number FROM aside WHERE powered_s <= ?", (end_s,)).fetchall()
            if old:
                with self._transaction():
                    self._remove(old)
                self._cut_log()
            for (number,) in aside:
                erase(self._file, number)
                with self._transaction():
                    self._db.execute("DELETE FROM aside WHERE number = ?", (number,))
        return len(old)

    def state(self, kind: str) -> bytes | None:
        """What the recogniser last put under ``kind``, or None."""
        with self._errors(), self._lock:
            row = self._db.execute("SELECT payload FROM state WHERE kind = ?", (kind,)).fetchone()
        return bytes(row[0]) if row else None

    def state_age_s(self, kind: str) -> float | None:
        """Seconds since ``kind`` was put, or None when that was not in this boot."""
        now = self._now()
        with self._errors(), self._lock:
            row = self._db.execute(
                "SELECT boottime_s FROM state WHERE kind = ? AND boot = ?", (kind, now.boot)
            ).fetchone()
        return max(0.0, now.seconds - float(row[0])) if row else None

    def depth(self) -> Depth:
        """How much waits, without counting it."""
        now = self._now()
        with self._errors(), self._lock:
            depth = self._depth()
            row = self._db.execute("SELECT powered_s FROM hit ORDER BY id LIMIT 1").fetchone()
        oldest_s = None if row is None else max(0.0, now.seconds + self._offset_s - row[0])
        return Depth(depth.hits, depth.bytes, oldest_s)

    def version(self) -> int:
        """A number that changes whenever another process has changed the file; costs microseconds.

        Raises OutboxError when the other process has found the file damaged, or somebody has moved it away.
        """
        self._look()
        with self._errors(), self._lock:
            return int(self._db.execute("PRAGMA data_version").fetchone()[0])

    @property
    def mended(self) -> Mended | None:
        """What became of the damaged outbox in whose place this one is, as long as that still lies beside it."""
        return self._mended if self._mended is not None and self._mended.path.exists() else None

    def close(self) -> None:
        """Close the file; the last one to do so leaves no log beside it."""
        with self._lock:
            self._opened.close()

    def _open(self) -> sqlite3.Connection:
        alone = self._place.alone()
        while not alone:
            if not self._place.share(outbox_file.MENDING_S):
                raise OutboxError(f"outbox {self._path} has been mended by another process for too long")
            if not self._place.is_damaged:
                break
            alone = self._place.alone(outbox_file.ENDING_S)
            if not alone:
                raise OutboxError(f"outbox {self._path} is damaged, and another process has it open; it has to end")
        if alone:
            mend(self._file, self._path, self._place)
        outbox_file.create(self._file)
        db = outbox_file.open_file(self._file, self._path, _SYNCHRONOUS)
        self._place.know()
        self._place.share()
        return db

    def _begin_clock(self) -> float:
        """What the outbox's own clock shows more than the seconds of this boot."""
        now = self._now()
        row = self._db.execute("SELECT boot, boottime_s, powered_s, checksum FROM clock").fetchone()
        # A clock that cannot be right shows what the newest row does: nothing may expire by it.
        boot, boottime_s, powered_s = row[:3] if row and row[3] == checksum(*row[:3]) else ("", 0.0, 0.0)
        self._put_down_s = boottime_s
        if boot == now.boot:
            return float(powered_s - boottime_s)
        newest = self._db.execute("SELECT powered_s FROM hit ORDER BY id DESC LIMIT 1").fetchone()
        # All of this boot may have passed since then, or the card comes from a machine that ran until just now. Where
        # there was no clock before, it begins.
        passed_s = min(now.seconds, TOUCH_S) if row else 0.0
        self._offset_s = max(powered_s, newest[0] if newest else 0.0) + passed_s - now.seconds
        self._put_clock()
        return self._offset_s

    def _put_clock(self) -> None:
        now = self._now()
        shown = (now.boot, now.seconds, now.seconds + self._offset_s)
        self._db.execute("REPLACE INTO clock VALUES (1, ?, ?, ?, ?)", (*shown, checksum(*shown)))
        self._put_down_s = now.seconds

    def _find_room(self, size_bytes: int) -> None:
        depth = self._depth()
        if depth.bytes + size_bytes > self._max_bytes:
            raise OutboxFull(
                f"outbox {self._path} is full: {depth.hits} messages, {depth.bytes} bytes wait",
                depth.hits,
                depth.bytes,
            )

    def _depth(self) -> Depth:
        return Depth(*self._db.execute("SELECT hits, bytes FROM tally").fetchone())

    def _rows(self, after: int, limit: int) -> list[Row]:
        now, rows = self._now(), []
        for row in self._db.execute(f"SELECT {COLUMNS} FROM hit WHERE id > ? ORDER BY id LIMIT ?", (after, limit)):  # noqa: S608
            stored = self._whole(Stored(*row))
            age_s = max(0.0, now.seconds - stored.boottime_s) if stored.boot == now.boot else None
            rows.append(Row(stored.rowid, stored.hit_id, stored.phase, stored.payload, age_s, stored.digest.hex()))
        return rows

    def _whole(self, stored: Stored) -> Stored:
        if not stored.is_whole:
            self._tell_damage()
            raise self._damaged()
        return stored

    def _remove(self, rowids: Sequence[int]) -> None:
        self._db.executemany("DELETE FROM hit WHERE id = ?", [(rowid,) for rowid in rowids])

    def _cut_log(self) -> None:
        with self._lock:  # the log still shows what was just deleted
            self._db.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()

    def _look(self) -> None:
        """Go on only with the file that was opened, and as long as nobody has found it damaged."""
        if self._place.is_damaged:
            raise self._damaged()
        try:
            same = _inode(self._file) == self._inode
        except FileNotFoundError:
            same = False
        except OSError:  # what the disk does not say is no reason to end
            return
        if not same:
            raise OutboxError(f"outbox {self._path} was moved away or replaced; starting anew")

    def _tell_damage(self) -> bool:
        try:
            self._place.damage()
        except OSError:  # the whole disk fails
            return False
        return True

    def _damaged(self) -> OutboxError:
        return OutboxError(f"outbox {self._path} is damaged; it is mended when all its processes start anew")

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
    def _errors(self, *, writing: bool = False) -> Iterator[None]:
        try:
            yield
        except sqlite3.Error as error:
            # What cannot be read is damaged if the disk does otherwise work.
            refusal = writing and outbox_file.is_refusal(error)
            if outbox_file.is_damage(error) and (self._tell_damage() or not refusal):
                raise self._damaged() from error
            if refusal:
                raise OutboxFull(f"outbox {self._path} takes nothing: {outbox_file.reason(error)}") from error
            raise OutboxError(f"outbox {self._path}: {outbox_file.reason(error)}") from error
        except OSError as error:
            raise OutboxFull(f"outbox {self._path} takes nothing: {error.strerror}") from error


def _inode(file: Path) -> tuple[int, int]:
    status = file.stat()
    return status.st_dev, status.st_ino
