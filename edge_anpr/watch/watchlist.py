"""The list of plates to report: schema ``anpr.list/1``, read with hard limits, every mistake refused."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from edge_anpr.errors import Unusable
from edge_anpr.plates.text import LONGEST, SHORTEST, canonical
from edge_anpr.watch import strict

SCHEMA = "anpr.list/1"
MAX_BYTES = 12 * 1024 * 1024
MAX_ENTRIES = 200_000
MAX_UNITS = 10_000
_PLATE = re.compile(f"[A-Z0-9]{{{SHORTEST},{LONGEST}}}")
_COUNTRY = re.compile(r"[A-Z]{1,3}")
_REASON = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,39}")


@dataclass(frozen=True, slots=True)
class Entries:
    """Plates that share why they are listed, until when (UTC), and how urgent it is (1 first)."""

    plates: tuple[str, ...] = field(repr=False)
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
class Header:
    """All of a list but its plates. Valid from ``valid_from`` to ``valid_until`` (UTC), within the mandate."""

    list_id: str
    version: int
    valid_from: datetime
    valid_until: datetime
    units: tuple[str, ...]
    mandate: Mandate

    @property
    def ends(self) -> datetime:
        """When it stops being valid: its own end, or the mandate's."""
        return min(self.valid_until, self.mandate.not_after)

    def why_not(self, unit: str, now: datetime) -> str | None:
        """What forbids this unit to use it now (UTC), like ``is not for unit pole-07``; None when nothing does."""
        if unit not in self.units and "*" not in self.units:
            return f"is not for unit {unit}"
        if now < self.valid_from:
            return f"is valid from {self.valid_from:%Y-%m-%d %H:%M} UTC only"
        if now > self.valid_until:
            return f"was valid until {self.valid_until:%Y-%m-%d %H:%M} UTC"
        if now > self.mandate.not_after:
            return f"rests on a mandate that ended {self.mandate.not_after:%Y-%m-%d %H:%M} UTC"
        return None


@dataclass(frozen=True, slots=True)
class Watchlist:
    """A list as it was read."""

    header: Header
    entries: tuple[Entries, ...] = field(repr=False)

    def __len__(self) -> int:
        """How many plates are listed."""
        return sum(len(item.plates) for item in self.entries)

    def plates(self) -> Iterator[tuple[str, str]]:
        """Every plate with its country, in the list's order."""
        for item in self.entries:
            for plate in item.plates:
                yield plate, item.country


class ListRefused(Unusable):
    """A list that must not be used; the text says why, and never holds a plate."""


def parse(payload: bytes) -> Watchlist:
    """The list in these bytes. Raises ListRefused, whose text holds nothing of the list but its own header."""
    if len(payload) > MAX_BYTES:
        raise ListRefused(f"is larger than {MAX_BYTES} bytes")
    try:
        body = strict.loads(payload)
    except strict.NotStrict as error:
        raise ListRefused(str(error)) from None
    return _list(body)


def header(raw: dict[str, Any]) -> Header:
    """The header that ``as_header`` wrote. Raises ListRefused."""
    mandate = _keys(raw["mandate"], "mandate", ("regime", "reference", "authority", "not_after"))
    units = raw["units"]
    if not isinstance(units, list) or not 1 <= len(units) <= MAX_UNITS:
        raise ListRefused(f"units: must be a list of 1 to {MAX_UNITS} unit ids, or of '*'")
    return Header(
        list_id=_text(raw["list_id"], "list_id"),
        version=_whole(raw["version"], "version"),
        valid_from=_time(raw["valid_from"], "valid_from"),
        valid_until=_time(raw["valid_until"], "valid_until"),
        units=tuple(_text(unit, "units") for unit in units),
        mandate=Mandate(
            regime=_text(mandate["regime"], "mandate.regime"),
            reference=_text(mandate["reference"], "mandate.reference"),
            authority=_text(mandate["authority"], "mandate.authority"),
            not_after=_time(mandate["not_after"], "mandate.not_after"),
        ),
    )


def as_header(told: Header) -> dict[str, Any]:
    """A header as JSON values."""
    return {
        "list_id": told.list_id,
        "version": told.version,
        "valid_from": zulu(told.valid_from),
        "valid_until": zulu(told.valid_until),
        "units": list(told.units),
        "mandate": {
            "regime": told.mandate.regime,
            "reference": told.mandate.reference,
            "authority": told.mandate.authority,
            "not_after": zulu(told.mandate.not_after),
        },
    }


def payload(watchlist: Watchlist) -> bytes:
    """A list as the bytes that are signed, which ``parse`` reads. Raises ListRefused when it breaks a limit."""
    items = [
        {
            "country": item.country,
            "reason": item.reason,
            "not_after": zulu(item.not_after),
            "priority": item.priority,
            "plates": item.plates,
        }
        for item in watchlist.entries
    ]
    body = {"schema": SCHEMA, **as_header(watchlist.header), "entries": items}
    written = json.dumps(body, ensure_ascii=False, separators=(",", ":")).encode()
    parse(written)
    return written


def zulu(moment: datetime) -> str:
    """``2026-05-01T00:00:00Z``."""
    return moment.astimezone(UTC).replace(tzinfo=None).isoformat(timespec="seconds") + "Z"


def _list(body: object) -> Watchlist:
    values = _keys(
        body, "the list",
        ("schema", "list_id", "version", "valid_from", "valid_until", "units", "mandate", "entries"),
    )  # fmt: skip
    if values["schema"] != SCHEMA:
        raise ListRefused(f"schema: must be {SCHEMA}")
    items = values["entries"]
    if not isinstance(items, list) or len(items) > MAX_ENTRIES:
        raise ListRefused(f"entries: must be a list of at most {MAX_ENTRIES}")
    found = header(values)
    watchlist = Watchlist(found, tuple(entries(item, f"entries[{index}]") for index, item in enumerate(items)))
    if len(watchlist) > MAX_ENTRIES:
        raise ListRefused(f"entries: hold {len(watchlist)} plates; a list has at most {MAX_ENTRIES}")
    return watchlist


def entries(item: object, where: str) -> Entries:
    """One object of a list's ``entries``; ``where`` names it in what is said of it. Raises ListRefused."""
    several = isinstance(item, dict) and "plates" in item
    values = _keys(item, where, ("plates" if several else "plate", "country", "reason", "not_after", "priority"))
    plates = values["plates"] if several else [values["plate"]]
    if not isinstance(plates, list):
        raise ListRefused(f"{where}.plates: must be a list of plates")
    return Entries(
        plates=tuple(_plate(plate, where) for plate in plates),
        country=_code(values["country"], f"{where}.country", _COUNTRY, "1 to 3 letters A-Z, like NL"),
        reason=_code(values["reason"], f"{where}.reason", _REASON, "a code of up to 40 letters, digits, . _ -"),
        not_after=_time(values["not_after"], f"{where}.not_after"),
        priority=_whole(values["priority"], f"{where}.priority"),
    )


def _plate(value: object, where: str) -> str:
    if isinstance(value, str) and _PLATE.fullmatch(value):
        return value
    try:
        return canonical(_text(value, f"{where}.plate"))
    except ValueError as error:
        raise ListRefused(f"{where}.plate: {error}") from None


def _keys(value: object, where: str, names: tuple[str, ...]) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise ListRefused(f"{where}: must be an object")
    missing = [name for name in names if name not in value]
    if missing:
        raise ListRefused(f"{where}: {', '.join(missing)} missing")
    if len(value) > len(names):
        raise ListRefused(f"{where}: holds an unknown key; known are {', '.join(names)}")
    return value


def _text(value: object, where: str) -> str:
    if not isinstance(value, str) or not 1 <= len(value) <= 200 or not value.isprintable():
        raise ListRefused(f"{where}: must be text of 1 to 200 printable characters")
    return value


def _code(value: object, where: str, form: re.Pattern[str], words: str) -> str:
    if not isinstance(value, str) or not form.fullmatch(value):
        raise ListRefused(f"{where}: must be {words}")
    return value


def _whole(value: object, where: str) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or not 0 <= value < 2**53:
        raise ListRefused(f"{where}: must be a whole number from 0")
    return value


def _time(value: object, where: str) -> datetime:
    text = _text(value, where)
    try:
        time = datetime.fromisoformat(text)
        utc = time.astimezone(UTC)
    except (ValueError, OverflowError):
        raise ListRefused(f"{where}: must be a time like 2026-05-01T00:00:00Z") from None
    if time.tzinfo is None:
        raise ListRefused(f"{where}: needs its time zone; write Z at the end")
    return utc
