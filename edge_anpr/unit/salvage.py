"""What can still be read of a damaged outbox, page by page, where SQLite would give up.

Reads the file format itself (https://sqlite.org/fileformat2.html): every leaf of every table, in the newest version
that the write-ahead log has of it. A row counts as read when the checksum that was stored with it is right, so nothing
is invented; rows of version 1 had none, and count when their record is whole.
"""

from __future__ import annotations

import os
import struct
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from edge_anpr.unit.outbox_file import Stored, checksum

_LEAF = 0x0D
_USUAL_PAGE = 4096
_LARGEST_ROW = 64 * 1024 * 1024
_WAL_HEADER, _FRAME_HEADER = 32, 24
_WAL_MAGIC = {0x377F0682: "<", 0x377F0683: ">"}
_MARKS = (b"TABLE hit (id INTEGER PRIMARY KEY AUTOINCREMENT, hit_id TEXT", b"TRIGGER hit_out AFTER DELETE ON hit BEGIN")


class Remains:
    """What there is in ``file`` and in the log ``wal`` beside it; either may be missing or nonsense.

    ``counted``: how many hits waited, as the file itself says; None when that is lost. ``sequence``: the highest rowid
    ever given. ``powered_s``: its clock. ``is_outbox``: whether anything shows that it ever was one.
    """

    def __init__(self, file: Path, wal: Path) -> None:
        self._pages = _Pages(file, wal)
        self._cells: dict[int, list[tuple[int, int]]] = {}
        self.counted: int | None = None
        self.sequence, self.powered_s = 0, 0.0
        self.is_outbox = False
        for number in self._pages.numbers():
            page = self._pages.page(number)
            self.is_outbox = self.is_outbox or any(mark in page for mark in _MARKS)
            for at in _cells(page, number):
                try:
                    self._note(page, number, at)
                except (ValueError, IndexError, struct.error):
                    continue
        self.is_outbox = self.is_outbox or bool(self._cells)

    def close(self) -> None:
        """Let go of both files."""
        self._pages.close()

    def hits(self) -> Iterator[Stored]:
        """Every hit that is whole, in the order in which they were appended."""
        for rowid in sorted(self._cells):
            for number, at in self._cells[rowid]:  # more than one: a page that was being split
                hit = self._hit(number, at)
                if hit is not None:
                    yield hit
                    break

    def _note(self, page: bytes, number: int, at: int) -> None:
        size, at_rowid = _varint(page, at)
        rowid, body = _varint(page, at_rowid)
        kinds, _ = _header(page[body : body + 100])
        if kinds[0] == 0 and len(kinds) in {4, 8} and _is_text(kinds[1]) and _is_text(kinds[2]) and _is_blob(kinds[3]):
            self._cells.setdefault(rowid, []).append((number, at))
        elif size < 100:
            match _record(page[body : body + size]):
                case [None, int(hits), int()]:
                    self.counted = hits
                case [None, str(boot), float() | int() as boottime_s, float() | int() as powered_s, bytes(known)]:
                    if known == checksum(boot, float(boottime_s), float(powered_s)):
                        self.powered_s = float(powered_s)
                case ["hit", int(sequence)]:
                    self.sequence = sequence

    def _hit(self, number: int, at: int) -> Stored | None:
        try:
            rowid, record = self._pages.cell(number, at)
            _, hit_id, phase, payload, *rest = _record(record)
            boot, boottime_s, powered_s, known = rest or ("", 0.0, 0.0, None)
            stored = Stored(rowid, hit_id, phase, payload, boot, float(boottime_s), float(powered_s), known)
        except (ValueError, IndexError, TypeError, struct.error):
            return None
        return stored if stored.is_whole else None


class _Pages:
    """The pages of a database, the log's version of a page before the file's own."""

    def __init__(self, file: Path, wal: Path) -> None:
        self._file, self._wal = _open(file), _open(wal)
        header = _read(self._wal, _WAL_HEADER, 0)
        size = struct.unpack_from(">I", header, 8)[0] if len(header) == _WAL_HEADER else 0
        own = _read(self._file, 100, 0)
        if own.startswith(b"SQLite format 3\0"):
            size = struct.unpack_from(">H", own, 16)[0]
        self._size = size if size in {1 << power for power in range(9, 17)} else _USUAL_PAGE
        self._newest = dict(self._committed(header))
        self._count = -(-os.fstat(self._file).st_size // self._size) if self._file is not None else 0

    def close(self) -> None:
        for descriptor in (self._file, self._wal):
            if descriptor is not None:
                os.close(descriptor)

    def numbers(self) -> Iterator[int]:
        yield from range(1, self._count + 1)
        yield from sorted(number for number in self._newest if number > self._count)

    def page(self, number: int) -> bytes:
        """Empty or short where the disk gives nothing."""
        if number in self._newest:
            return _read(self._wal, self._size, self._newest[number])
        return _read(self._file, self._size, (number - 1) * self._size)

    def cell(self, number: int, at: int) -> tuple[int, bytes]:
        """Rowid and whole record of the cell of a leaf, from all pages that it takes."""
        page, usable = self.page(number), self._size
        size, at = _varint(page, at)
        rowid, at = _varint(page, at)
        if size > _LARGEST_ROW:
            raise ValueError
        local = size
        if size > usable - 35:
            least = (usable - 12) * 32 // 255 - 23
            local = least + (size - least) % (usable - 4)
            local = local if local <= usable - 35 else least
        pieces, missing = [page[at : at + local]], size - local
        following = struct.unpack_from(">I", page, at + local)[0] if missing else 0
        while missing > 0:
            page = self.page(following) if following else b""
            pieces.append(page[4 : 4 + min(missing, usable - 4)])
            missing -= usable - 4
            following = struct.unpack_from(">I", page)[0]
        record = b"".join(pieces)
        if len(record) != size:
            raise ValueError
        return rowid, record

    def _committed(self, header: bytes) -> Iterator[tuple[int, int]]:
        """Page number and place in the log of every frame that SQLite itself would take, oldest first."""
        order = _WAL_MAGIC.get(struct.unpack_from(">I", header)[0]) if len(header) == _WAL_HEADER else None
        if order is None:
            return
        sums = _checksum(header[:24], (0, 0), order)
        if sums != struct.unpack_from(">2I", header, 24) or struct.unpack_from(">I", header, 8)[0] != self._size:
            return
        at, pending = _WAL_HEADER, []
        while len(frame := _read(self._wal, _FRAME_HEADER + self._size, at)) == _FRAME_HEADER + self._size:
            number, commit = struct.unpack_from(">2I", frame)
            sums = _checksum(frame[_FRAME_HEADER:], _checksum(frame[:8], sums, order), order)
            if frame[8:16] != header[16:24] or sums != struct.unpack_from(">2I", frame, 16):
                return
            pending.append((number, at + _FRAME_HEADER))
            if commit:
                yield from pending
                pending.clear()
            at += len(frame)


def _open(path: Path) -> int | None:
    try:
        return os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except FileNotFoundError:
        return None


def _read(descriptor: int | None, size: int, at: int) -> bytes:
    if descriptor is None:
        return b""
    try:
        return os.pread(descriptor, size, at)
    except OSError:  # a bad place on the card costs what was there
        return b""


def _checksum(data: bytes, sums: tuple[int, int], order: str) -> tuple[int, int]:
    one, two = sums
    words = struct.unpack(f"{order}{len(data) // 4}I", data)
    for first, second in zip(words[::2], words[1::2], strict=True):
        one = (one + first + two) & 0xFFFFFFFF
        two = (two + second + one) & 0xFFFFFFFF
    return one, two


def _cells(page: bytes, number: int) -> tuple[int, ...]:
    """Where the cells of a table's leaf begin; none for any other page."""
    at = 100 if number == 1 else 0
    if len(page) < at + 8 or page[at] != _LEAF:
        return ()
    count = struct.unpack_from(">H", page, at + 3)[0]
    if at + 8 + 2 * count > len(page):
        return ()
    return struct.unpack_from(f">{count}H", page, at + 8)


def _varint(raw: bytes, at: int) -> tuple[int, int]:
    value = 0
    for place in range(at, at + 8):
        value = value << 7 | raw[place] & 0x7F
        if raw[place] < 0x80:
            return value, place + 1
    return value << 8 | raw[at + 8], at + 9


def _header(record: bytes) -> tuple[list[int], int]:
    """The kinds of a record's values, and where the first value stands."""
    size, at = _varint(record, 0)
    kinds = []
    while at < size:
        kind, at = _varint(record, at)
        kinds.append(kind)
    if at != size or not kinds:
        raise ValueError
    return kinds, size


def _is_text(kind: int) -> bool:
    return kind >= 13 and kind % 2 == 1


def _is_blob(kind: int) -> bool:
    return kind >= 12 and kind % 2 == 0


def _record(raw: bytes) -> list[Any]:
    kinds, at = _header(raw)
    values: list[Any] = []
    for kind in kinds:
        size = (kind - 12) // 2 if kind >= 12 else (0, 1, 2, 3, 4, 6, 8, 8, 0, 0)[kind]
        piece = raw[at : at + size]
        if len(piece) != size:
            raise ValueError
        at += size
        if kind >= 12:
            values.append(piece.decode() if _is_text(kind) else piece)
        elif kind == 7:
            values.append(struct.unpack(">d", piece)[0])
        else:
            values.append(None if kind == 0 else kind - 8 if kind >= 8 else int.from_bytes(piece, "big", signed=True))
    if at != len(raw):
        raise ValueError
    return values
