"""Alarms of units: which stand, since when, and when they ended; raised by the unit itself, or by the centre."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from sqlalchemy import Connection, select, text, update

from edge_anpr.centre import tables
from edge_anpr.centre.arrival import storable
from edge_anpr.centre.database import Database

MAX_ALARMS, MAX_CODE, MAX_TEXT = 32, 40, 300


@dataclass(frozen=True, slots=True)
class Standing:
    """An alarm that stands."""

    since: datetime
    text: str


def told(payload: Mapping[str, Any], now: datetime) -> dict[str, Standing]:
    """What a unit's ``anpr.alarm/1`` says, by code; what is not as it should be is left out."""
    active = payload.get("active")
    found: dict[str, Standing] = {}
    for item in active[:MAX_ALARMS] if isinstance(active, list) else ():
        if isinstance(item, dict) and isinstance(item.get("code"), str):
            code, text_ = storable(item["code"][:MAX_CODE]), item.get("text")
            found[code] = Standing(
                _moment(item.get("since")) or now, storable(text_[:MAX_TEXT]) if isinstance(text_, str) else ""
            )
    return found


def put(
    database: Database,
    connection: Connection,
    raised_by: str,
    alarms: Mapping[str, Mapping[str, Standing]],
    undecided: Mapping[str, Collection[str]],
    now: datetime,
) -> None:
    """Let exactly these stand of the units named (by code), and leave those as they are that are undecided."""
    alarm = tables.alarm.c
    rows = connection.execute(
        select(alarm.id, alarm.unit, alarm.code, alarm.text).where(alarm.raised_by == raised_by, alarm.ended.is_(None))
    ).all()
    before = {(row.unit, row.code): row for row in rows if row.unit in alarms}
    over = [
        row.id
        for (unit, code), row in before.items()
        if code not in alarms[unit] and code not in undecided.get(unit, ())
    ]
    if over:
        connection.execute(update(tables.alarm).where(alarm.id.in_(sorted(over))).values(ended=now))
    new = [
        {"unit": unit, "code": code, "raised_by": raised_by, "since": standing.since, "text": standing.text}
        for unit, of_unit in sorted(alarms.items())
        for code, standing in sorted(of_unit.items())
        if (unit, code) not in before or before[unit, code].text != standing.text
    ]
    if new:
        insert = database.insert(tables.alarm)
        upsert = insert.on_conflict_do_update(
            index_elements=["unit", "raised_by", "code"],
            index_where=text("ended IS NULL"),
            set_={"text": insert.excluded.text},
        )
        connection.execute(upsert, new)


def _moment(value: object) -> datetime | None:
    try:
        moment = datetime.fromisoformat(value) if isinstance(value, str) else None
        return None if moment is None or moment.tzinfo is None else moment.astimezone(UTC)
    except (ValueError, OverflowError):
        return None
