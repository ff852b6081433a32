"""From a table of plates to a list: CSV with a header line, every bad row named with its reason."""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from edge_anpr.plates.text import canonical
from edge_anpr.watch.watchlist import MAX_ENTRIES, Entries, Header, ListRefused, Watchlist, entries, zulu

MAX_BYTES = 64 * 1024 * 1024
COLUMNS = ("plate", "country", "reason", "not_after", "priority")
MAX_FIELD = 100


@dataclass(frozen=True, slots=True)
class BadRow:
    """A row that cannot be taken; ``line`` counts from 1. The text names the column, and never the plate."""

    line: int
    text: str


def from_csv(text: str, header: Header) -> tuple[Watchlist | None, list[BadRow]]:
    """The list of a CSV's rows, or None and every row that is wrong; rows that say the same twice are wrong too.

    ``not_after`` is a time with its zone, or a day (UTC, to its end). ``priority`` may be empty: 1.
    """
    reader = csv.reader(io.StringIO(text.removeprefix("\ufeff"), newline=""))
    try:
        named = next(reader, [])
        if tuple(name.strip().lower() for name in named) != COLUMNS:
            return None, [BadRow(1, f"the first line must be: {','.join(COLUMNS)}")]
        rows = [(reader.line_num, row) for row in reader if any(field.strip() for field in row)]
    except csv.Error as error:
        return None, [BadRow(reader.line_num, f"is no CSV: {error}")]
    good, bad = _sorted(rows)
    if not bad and len(rows) > MAX_ENTRIES:
        bad.append(BadRow(rows[MAX_ENTRIES][0], f"a list has at most {MAX_ENTRIES} plates"))
    if bad:
        return None, bad
    listed = tuple(
        Entries(tuple(plates), country, reason, not_after, priority)
        for (country, reason, not_after, priority), plates in good.items()
    )
    return Watchlist(header, listed), []


_Shared = tuple[str, str, datetime, int]


def _sorted(rows: Sequence[tuple[int, list[str]]]) -> tuple[dict[_Shared, list[str]], list[BadRow]]:
    good: dict[_Shared, list[str]] = {}
    first: dict[tuple[str, _Shared], int] = {}
    bad: list[BadRow] = []
    judged: dict[tuple[str, ...], _Shared] = {}
    for line, row in rows:
        try:
            plate, shared = _row(row, judged)
        except ValueError as error:
            bad.append(BadRow(line, str(error)))
            continue
        before = first.setdefault((plate, shared), line)
        if before != line:
            bad.append(BadRow(line, f"says the same as line {before}"))
        good.setdefault(shared, []).append(plate)
    return good, bad


def _row(row: list[str], judged: dict[tuple[str, ...], _Shared]) -> tuple[str, _Shared]:
    if len(row) != len(COLUMNS):
        raise ValueError(f"has {len(row)} columns instead of {len(COLUMNS)}")
    if any(len(field) > MAX_FIELD for field in row):
        raise ValueError(f"holds a field of more than {MAX_FIELD} characters")
    plate, *rest = (field.strip() for field in row)
    try:
        written = canonical(plate)
    except ValueError as error:
        raise ValueError(f"plate: {error}") from None
    same = tuple(rest)
    if same not in judged:
        judged[same] = _shared(*rest)
    return written, judged[same]


def _shared(country: str, reason: str, not_after: str, priority: str) -> _Shared:
    if priority and not (priority.isascii() and priority.isdigit()):
        raise ValueError("priority: must be a whole number from 0, or empty for 1")
    values = {
        "plates": [],
        "country": country.upper(),
        "reason": reason,
        "not_after": _end(not_after),
        "priority": int(priority or 1),
    }
    try:
        told = entries(values, "")
    except ListRefused as error:
        raise ValueError(str(error).removeprefix(".")) from None
    return told.country, told.reason, told.not_after, told.priority


def _end(text: str) -> str:
    try:
        return zulu(moment(text, end=True))
    except ValueError as error:
        raise ValueError(f"not_after: {error}") from None


def moment(text: str, *, end: bool) -> datetime:
    """UTC of a time with its zone, or of a day: its ``end`` or its beginning. Raises ValueError, with advice."""
    try:
        told = datetime.fromisoformat(text)
        if len(text) == len("2026-12-31"):
            return told.replace(tzinfo=UTC) + timedelta(days=int(end), seconds=-int(end))
        if told.tzinfo is None:
            raise ValueError  # noqa: TRY301
        return told.astimezone(UTC)
    except (ValueError, OverflowError):
        raise ValueError("must be a day like 2026-12-31, or a time like 2026-12-31T12:00:00Z") from None
