"""Deletes rows, and records how many of which unit and from which days: never of whom."""

from __future__ import annotations

from datetime import datetime
from enum import StrEnum

from sqlalchemy import ColumnElement, Connection, Table, case

from edge_anpr.centre import tables
from edge_anpr.centre.database import Database


class Kind(StrEnum):
    """What was deleted."""

    HITS = "hits"
    EVIDENCE = "evidence"
    POISON = "poison"


class Cause(StrEnum):
    """Why: its time was up, or newer poison needed the room."""

    TIME = "time"
    ROOM = "room"


def delete_and_record(
    database: Database,
    connection: Connection,
    table: Table,
    which: ColumnElement[bool],
    kind: Kind,
    cause: Cause,
    now: datetime,
) -> int:
    """Delete the rows for which ``which`` holds; their number."""
    gone = connection.execute(table.delete().where(which).returning(table.c.unit, table.c.received_at)).all()
    days: dict[str, list[str]] = {}
    for unit, received_at in gone:
        days.setdefault(unit, []).append(f"{received_at:%Y-%m-%d}")
    if not days:
        return 0
    put, before = database.insert(tables.deletion), tables.deletion.c
    new = put.excluded
    given = {
        "number": before.number + new.number,
        "from_day": case((new.from_day < before.from_day, new.from_day), else_=before.from_day),
        "to_day": case((new.to_day > before.to_day, new.to_day), else_=before.to_day),
    }
    connection.execute(
        put.on_conflict_do_update(index_elements=["day", "unit", "kind", "cause"], set_=given),
        [
            {
                "day": f"{now:%Y-%m-%d}", "unit": unit, "kind": kind, "cause": cause,
                "number": len(of_unit), "from_day": min(of_unit), "to_day": max(of_unit),
            }
            for unit, of_unit in sorted(days.items())
        ],
    )  # fmt: skip
    return len(gone)
