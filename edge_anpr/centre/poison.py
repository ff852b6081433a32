"""Messages that are no hit, kept aside as they came: bounded for each unit, so that one cannot push out another's."""

from __future__ import annotations

from datetime import datetime

from sqlalchemy import Connection, case, func, select

from edge_anpr.centre import tables
from edge_anpr.centre.arrival import storable
from edge_anpr.centre.database import Database
from edge_anpr.centre.deletions import Cause, Kind, delete_and_record

MAX_MESSAGES = 500  # of each unit
MAX_BYTES = 10_000_000
MAX_ONE = 1_000_000  # kept of one message; its whole size is told beside it
MAX_REASON = 200


def keep(
    database: Database, connection: Connection, unit: str, reason: str, payload: bytes, digest: str, now: datetime
) -> None:
    """Put one in, once, and drop the unit's oldest beyond the caps, which is recorded."""
    poison = tables.poison.c
    row = {
        "received_at": now, "unit": unit, "reason": storable(reason[:MAX_REASON]), "sha256": digest,
        "size": len(payload), "payload": payload[:MAX_ONE],
    }  # fmt: skip
    put = database.insert(tables.poison).on_conflict_do_nothing(index_elements=["unit", "sha256"])
    connection.execute(put, [row])
    held = case((poison.size > MAX_ONE, MAX_ONE), else_=poison.size)
    bytes_from_here = func.sum(held).over(order_by=poison.id.desc())
    place = func.row_number().over(order_by=poison.id.desc())
    ranked = select(poison.id, place.label("place"), bytes_from_here.label("bytes")).where(poison.unit == unit)
    of_unit = ranked.subquery()
    beyond = select(of_unit.c.id).where((of_unit.c.place > MAX_MESSAGES) | (of_unit.c.bytes > MAX_BYTES))
    gone = tables.poison.c.id.in_(beyond)
    delete_and_record(database, connection, tables.poison, gone, Kind.POISON, Cause.ROOM, now)
