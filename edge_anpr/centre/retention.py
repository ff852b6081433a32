"""Deletes hits, pictures and poison when their time is up, by the centre's clock: the unit's may be wrong.

What stays of a hit is that a message was taken: unit, random ids, digest, time. That is needed as long as a unit may
send it again (28 days in its outbox, unless told otherwise), or a deleted hit would come back.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta

from sqlalchemy import ColumnElement, Connection, Table, delete, select, text, tuple_

from edge_anpr.centre import tables
from edge_anpr.centre.database import Database
from edge_anpr.centre.deletions import Cause, Kind, delete_and_record

REMEMBER_DAYS = 35.0  # so long at least a message's digest stays
CHUNK = 1000  # rows of one transaction, so that hits need not wait long
_TURNS = 0x616E7073  # two centres that forget at once in PostgreSQL take turns by this lock


@dataclass(frozen=True, slots=True)
class Forgotten:
    """How much was deleted."""

    hits: int
    evidence: int
    poison: int


def forget(database: Database, now: datetime, keep_days: float, evidence_days: float) -> Forgotten:
    """Delete what arrived more than so many days before ``now``; pictures go with their hit at the latest.

    Raises StoreDown; what was deleted until then is deleted and recorded.
    """
    keep = now - timedelta(days=keep_days)
    pictures = now - timedelta(days=min(evidence_days, keep_days))
    remember = now - timedelta(days=max(REMEMBER_DAYS, keep_days))
    evidence = _by_chunks(database, lambda connection: _evidence(database, connection, pictures, now))
    hits, late_evidence = 0, 0
    while True:
        hits_now, evidence_now = database.write(lambda connection: _hits(database, connection, keep, now))
        hits, late_evidence = hits + hits_now, late_evidence + evidence_now
        if hits_now < CHUNK:
            break
    poison = _by_chunks(database, lambda connection: _poison(database, connection, keep, now))
    _by_chunks(database, lambda connection: _plain(connection, tables.report, tables.report.c.received_at < remember))

    def small(connection: Connection) -> None:
        connection.execute(delete(tables.boot).where(tables.boot.c.last_at < remember))
        connection.execute(delete(tables.alarm).where(tables.alarm.c.ended < keep))
        connection.execute(delete(tables.beat).where(tables.beat.c.at < keep))

    database.write(small)
    database.shrink_log()
    return Forgotten(hits, evidence + late_evidence, poison)


def _by_chunks(database: Database, work: Callable[[Connection], int]) -> int:
    total = 0
    while True:
        gone = database.write(work)
        total += gone
        if gone < CHUNK:
            return total


def _evidence(database: Database, connection: Connection, before: datetime, now: datetime) -> int:
    _turn(connection)
    evidence = tables.evidence.c
    which = _oldest(connection, tables.evidence, evidence.received_at < before)
    return delete_and_record(database, connection, tables.evidence, which, Kind.EVIDENCE, Cause.TIME, now)


def _hits(database: Database, connection: Connection, before: datetime, now: datetime) -> tuple[int, int]:
    _turn(connection)
    hit = tables.hit.c
    chosen = select(hit.unit, hit.hit_id).where(hit.received_at < before).order_by(hit.received_at).limit(CHUNK)
    keys = [tuple(row) for row in connection.execute(chosen)]
    if not keys:
        return 0, 0
    evidence, feedback = tables.evidence, tables.feedback
    pictures = delete_and_record(database, connection, evidence, _among(evidence, keys), Kind.EVIDENCE, Cause.TIME, now)
    connection.execute(delete(feedback).where(_among(feedback, keys)))
    hits = delete_and_record(database, connection, tables.hit, _among(tables.hit, keys), Kind.HITS, Cause.TIME, now)
    return hits, pictures


def _poison(database: Database, connection: Connection, before: datetime, now: datetime) -> int:
    _turn(connection)
    poison = tables.poison.c
    oldest = select(poison.id).where(poison.received_at < before).order_by(poison.id).limit(CHUNK)
    which = poison.id.in_(oldest)
    return delete_and_record(database, connection, tables.poison, which, Kind.POISON, Cause.TIME, now)


def _plain(connection: Connection, table: Table, which: ColumnElement[bool]) -> int:
    oldest = select(table.c.id).where(which).order_by(table.c.id).limit(CHUNK)
    return connection.execute(delete(table).where(table.c.id.in_(oldest))).rowcount


def _oldest(connection: Connection, table: Table, which: ColumnElement[bool]) -> ColumnElement[bool]:
    chosen = select(table.c.unit, table.c.hit_id).where(which).order_by(table.c.received_at).limit(CHUNK)
    return _among(table, [tuple(row) for row in connection.execute(chosen)])


def _among(table: Table, keys: list[tuple[str, str]]) -> ColumnElement[bool]:
    return tuple_(table.c.unit, table.c.hit_id).in_(keys)


def _turn(connection: Connection) -> None:
    if connection.dialect.name == "postgresql":
        connection.execute(text("SELECT pg_advisory_xact_lock(:turns)"), {"turns": _TURNS})
