"""What the records say: the units as they stand, the newest hits, a hit by the beginning of its id, and the counts."""

from __future__ import annotations

import json
from collections.abc import Generator
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from sqlalchemy import func, select

from edge_anpr.centre import tables
from edge_anpr.centre.database import Database, StoreDown

__all__ = ["Records", "StoreDown"]


@dataclass(frozen=True, slots=True)
class AlarmRecord:
    """An alarm that stands; ``raised_by`` unit or centre."""

    code: str
    raised_by: str
    since: datetime
    text: str


@dataclass(frozen=True, slots=True)
class UnitRecord:
    """A unit as it stands in the records; what it says of itself as it came, to be trusted in nothing."""

    name: str
    last_seen: datetime | None
    status: dict[str, Any]
    birth: dict[str, Any]
    health: dict[str, Any]
    list_id: str | None
    list_version: int | None
    list_since: datetime | None
    missing: int
    alarms: tuple[AlarmRecord, ...] = ()


@dataclass(frozen=True, slots=True)
class HitRecord:
    """A hit as an operator sees it."""

    unit: str
    hit_id: str
    captured_at: datetime
    received_at: datetime
    phase: str
    read: str | None = field(repr=False)
    listed: str = field(repr=False)
    match_class: str
    probability: float | None
    reason: str
    country: str | None
    late: bool
    verdict: str | None


@dataclass(frozen=True, slots=True)
class Counted:
    """What of a hit is counted in a report: no plate, no entry."""

    unit: str
    list_id: str
    match_class: str
    month: str
    phase: str
    late: bool
    delivery_s: float | None
    verdict: str | None


@dataclass(frozen=True, slots=True)
class Deleted:
    """How much of a kind was deleted, and from which days of arrival."""

    kind: str
    cause: str
    number: int
    from_day: str
    to_day: str


class Records:
    """The records at ``url``, to look at. Raises Unusable when they are not there; every look may raise StoreDown."""

    def __init__(self, url: str) -> None:
        self.database = Database(url, make=False)

    def units(self) -> list[UnitRecord]:
        """All units, by name, with the alarms that stand."""
        unit, alarm = tables.unit.c, tables.alarm.c
        with self.database.read() as connection:
            standing = connection.execute(select(tables.alarm).where(alarm.ended.is_(None)).order_by(alarm.id)).all()
            rows = connection.execute(select(tables.unit).order_by(unit.name)).all()
        alarms: dict[str, list[AlarmRecord]] = {}
        for row in standing:
            alarms.setdefault(row.unit, []).append(AlarmRecord(row.code, row.raised_by, row.since, row.text))
        return [
            UnitRecord(
                row.name, row.last_seen, _object(row.status), _object(row.birth), _object(row.health),
                row.list_id, row.list_version, row.list_since, row.missing, tuple(alarms.get(row.name, ())),
            )
            for row in rows
        ]  # fmt: skip

    def newest(self, limit: int) -> list[HitRecord]:
        """The hits that arrived last, the newest first."""
        hit = tables.hit.c
        return self._hits(_select_hits().order_by(hit.received_at.desc(), hit.hit_id).limit(limit))

    def beginning_with(self, start: str, limit: int = 5) -> list[HitRecord]:
        """The hits whose id begins so."""
        hit = tables.hit.c
        end = start + "g"  # after every hexadecimal digit
        return self._hits(_select_hits().where(hit.hit_id >= start, hit.hit_id < end).order_by(hit.hit_id).limit(limit))

    def totals(self, since: datetime) -> tuple[int, int]:
        """How many hits arrived since, and how many messages are kept aside."""
        with self.database.read() as connection:
            hits = connection.execute(
                select(func.count()).select_from(tables.hit).where(tables.hit.c.received_at >= since)
            ).scalar_one()
            aside = connection.execute(select(func.count()).select_from(tables.poison)).scalar_one()
        return int(hits), int(aside)

    def last_judged(self) -> datetime | None:
        """When a centre last looked after the units."""
        with self.database.read() as connection:
            found: datetime | None = connection.execute(select(func.max(tables.beat.c.at))).scalar()
        return found

    def counted(self, since: datetime | None, until: datetime | None) -> Generator[Counted]:
        """Every hit that arrived in this time, as far as it is counted; close it if you stop before the end."""
        hit = tables.hit.c
        query = select(
            hit.unit, hit.list_id, hit["class"], hit.received_at, hit.captured_at, hit.clock_sync, hit.phase, hit.late,
            _last_word(),
        )  # fmt: skip
        if since is not None:
            query = query.where(hit.received_at >= since)
        if until is not None:
            query = query.where(hit.received_at < until)
        with self.database.read() as connection:
            rows = connection.execution_options(yield_per=5000).execute(query)
            for unit, list_id, match_class, received_at, captured_at, clock_sync, phase, late, verdict in rows:
                delivery_s = (received_at - captured_at).total_seconds()
                known = clock_sync and delivery_s >= 0
                yield Counted(
                    unit, list_id, match_class, f"{received_at:%Y-%m}", phase, late,
                    delivery_s if known else None, verdict,
                )  # fmt: skip

    def deleted(self) -> list[Deleted]:
        """What was deleted, in all."""
        row = tables.deletion.c
        query = select(
            row.kind, row.cause, func.sum(row.number), func.min(row.from_day), func.max(row.to_day)
        ).group_by(row.kind, row.cause).order_by(row.kind, row.cause)  # fmt: skip
        with self.database.read() as connection:
            return [
                Deleted(kind, cause, int(number), from_day, to_day)
                for kind, cause, number, from_day, to_day in connection.execute(query)
            ]

    def close(self) -> None:
        """Let go of the database."""
        self.database.close()

    def _hits(self, query: Any) -> list[HitRecord]:
        with self.database.read() as connection:
            return [HitRecord(*row) for row in connection.execute(query)]


def _select_hits() -> Any:
    """The columns of HitRecord."""
    hit = tables.hit.c
    return select(
        hit.unit, hit.hit_id, hit.captured_at, hit.received_at, hit.phase, hit.read, hit.listed, hit["class"],
        hit.probability, hit.reason, hit.country, hit.late, _last_word(),
    )  # fmt: skip


def _last_word() -> Any:
    """What an operator said last of the hit in hand."""
    feedback, hit = tables.feedback.c, tables.hit.c
    of_hit = select(feedback.verdict).where(feedback.unit == hit.unit, feedback.hit_id == hit.hit_id)
    return of_hit.order_by(feedback.id.desc()).limit(1).correlate(tables.hit).scalar_subquery()


def _object(raw: str | None) -> dict[str, Any]:
    try:
        found = json.loads(raw) if raw else None
    except RecursionError:  # nested as deep as whoever wrote it could just read
        found = None
    return found if isinstance(found, dict) else {}
