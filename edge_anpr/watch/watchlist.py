"""The list of plates to report: schema ``anpr.list/1``, read with hard limits, every mistake refused."""

from __future__ import annotations

import json
import logging
from dataclasses import dataclass, field
from datetime import UTC, datetime
from hashlib import sha256
from pathlib import Path
from typing import Any

from edge_anpr.datatypes import Unusable
from edge_anpr.plates.text import canonical

SCHEMA = "anpr.list/1"
MAX_BYTES = 64 * 1024 * 1024
MAX_ENTRIES = 200_000

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Entry:
    """One plate somebody answers for: why it is listed, and until when (UTC)."""

    plate: str = field(repr=False)
    country: str
    reason: str
    not_after: datetime
    priority: int


@dataclass(frozen=True, slots=True)
class Mandate:
    """Under which rule, by whom and until when (UTC) plates may be matched at all."""

    regime: str
    reference: str
    authority: str
    not_after: datetime


@dataclass(frozen=True, slots=True)
class Watchlist:
    """A list as it was read; ``digest`` is the sha256 of its bytes."""

    list_id: str
    version: int
    valid_from: datetime
    valid_until: datetime
    units: tuple[str, ...]
    mandate: Mandate
    entries: tuple[Entry, ...] = field(repr=False)
    digest: str


class ListRefused(Unusable):
    """A list that must not be used; the text says why, and never holds a plate."""


def load(path: Path, unit: str, *, allow_unsigned: bool, now: datetime) -> Watchlist:
    """Read the list of this unit from a file. Raises ListRefused."""
    if not allow_unsigned:
        raise ListRefused(
            f"{path}: the list is not signed; unsigned lists are for desks and demos: "
            "set watchlist.allow_unsigned: true if this is one"
        )
    try:
        if path.stat().st_size > MAX_BYTES:
            raise ListRefused(f"{path}: is larger than {MAX_BYTES} bytes")
        raw = path.read_bytes()
    except OSError as error:
        raise ListRefused(f"{path}: cannot be read: {error.strerror}; set watchlist.path") from error
    try:
        watchlist = parse(raw)
    except (ValueError, RecursionError) as error:
        # The parser's own words may quote the file; only ours, which never do, are passed on.
        text = error.args[0] if type(error) is _Flaw else "is not JSON"
        raise ListRefused(f"{path}: {text}") from None
    if not watchlist.valid_from <= now <= min(watchlist.valid_until, watchlist.mandate.not_after):
        raise ListRefused(
            f"{path}: is valid from {watchlist.valid_from:%Y-%m-%d} to {watchlist.valid_until:%Y-%m-%d} and its "
            f"mandate to {watchlist.mandate.not_after:%Y-%m-%d}, and "
            f"here it is {now:%Y-%m-%d %H:%M} UTC; fetch a list that is valid, or set the clock"
        )
    if unit not in watchlist.units and "*" not in watchlist.units:
        raise ListRefused(f"{path}: is not for unit {unit}")
    log.warning(
        "watchlist: UNSIGNED list %s version %d with %d entries is in use: nobody answers for it",
        watchlist.list_id, watchlist.version, len(watchlist.entries),
    )  # fmt: skip
    return watchlist


class _Flaw(ValueError):
    pass


def parse(raw: bytes) -> Watchlist:
    """The list in these bytes. Raises ValueError whose text holds no plate."""
    body = _keys(
        json.loads(raw, object_pairs_hook=_no_duplicates), "the list",
        ("schema", "list_id", "version", "valid_from", "valid_until", "units", "mandate", "entries"),
    )  # fmt: skip
    if body["schema"] != SCHEMA:
        raise _Flaw(f"schema: must be {SCHEMA}")
    mandate = _keys(body["mandate"], "mandate", ("regime", "reference", "authority", "not_after"))
    entries = body["entries"]
    if not isinstance(entries, list) or len(entries) > MAX_ENTRIES:
        raise _Flaw(f"entries: must be a list of at most {MAX_ENTRIES}")
    units = body["units"]
    if not isinstance(units, list) or len(units) > 10_000:
        raise _Flaw("units: must be a list of unit ids, or of '*'")
    return Watchlist(
        list_id=_text(body["list_id"], "list_id"),
        version=_whole(body["version"], "version"),
        valid_from=_time(body["valid_from"], "valid_from"),
        valid_until=_time(body["valid_until"], "valid_until"),
        units=tuple(_text(unit, "units") for unit in units),
        mandate=Mandate(
            regime=_text(mandate["regime"], "mandate.regime"),
            reference=_text(mandate["reference"], "mandate.reference"),
            authority=_text(mandate["authority"], "mandate.authority"),
            not_after=_time(mandate["not_after"], "mandate.not_after"),
        ),
        entries=tuple(_entry(item, f"entries[{index}]") for index, item in enumerate(entries)),
        digest=sha256(raw).hexdigest(),
    )


def _entry(item: object, where: str) -> Entry:
    values = _keys(item, where, ("plate", "country", "reason", "not_after", "priority"))
    try:
        plate = canonical(_text(values["plate"], f"{where}.plate"))
    except _Flaw:
        raise
    except ValueError as error:
        raise _Flaw(f"{where}.plate: {error}") from None
    return Entry(
        plate=plate,
        country=_text(values["country"], f"{where}.country"),
        reason=_text(values["reason"], f"{where}.reason"),
        not_after=_time(values["not_after"], f"{where}.not_after"),
        priority=_whole(values["priority"], f"{where}.priority"),
    )


def _no_duplicates(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    values = dict(pairs)
    if len(values) != len(pairs):
        raise _Flaw("a key stands twice in one object")
    return values


def _keys(value: object, where: str, names: tuple[str, ...]) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise _Flaw(f"{where}: must be an object")
    missing = [name for name in names if name not in value]
    if missing:
        raise _Flaw(f"{where}: {', '.join(missing)} missing")
    if len(value) > len(names):
        raise _Flaw(f"{where}: holds an unknown key; known are {', '.join(names)}")
    return value


def _text(value: object, where: str) -> str:
    if not isinstance(value, str) or not 1 <= len(value) <= 200 or not value.isprintable():
        raise _Flaw(f"{where}: must be text of 1 to 200 printable characters")
    return value


def _whole(value: object, where: str) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or not 0 <= value < 2**53:
        raise _Flaw(f"{where}: must be a whole number from 0")
    return value


def _time(value: object, where: str) -> datetime:
    text = _text(value, where)
    try:
        time = datetime.fromisoformat(text)
        utc = time.astimezone(UTC)
    except (ValueError, OverflowError):
        raise _Flaw(f"{where}: must be a time like 2026-05-01T00:00:00Z") from None
    if time.tzinfo is None:
        raise _Flaw(f"{where}: needs its time zone; write Z at the end")
    return utc
