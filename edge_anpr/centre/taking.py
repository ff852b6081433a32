"""Takes a batch of hits' messages: each once, each hit as its highest phase says, whatever came first or twice."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime

from sqlalchemy import ColumnElement, Connection, case, delete, select, tuple_

from edge_anpr.centre import poison, tables
from edge_anpr.centre.arrival import RANK, Arrived, Laid, Taken, Unfit, laid
from edge_anpr.centre.database import Database

Place = tuple[str, str, str]


def take(database: Database, connection: Connection, batch: Sequence[Arrived], now: datetime) -> list[Taken]:
    """Keep what arrived ``now``, within the caller's transaction, and say of each message what became of it."""
    laid_out = [_laid(arrived, now) for arrived in batch]
    places: dict[Place, Laid] = {}  # the first message of the batch that names a place has it
    for message in laid_out:
        if isinstance(message, Laid):
            places.setdefault(message.place, message)
    _hold_units(database, connection, {unit for unit, _, _ in places}, now)
    new = _put_reports(database, connection, places, now)
    held = {place: places[place].sha256 for place in new} | _held(connection, places.keys() - new)
    fresh = [message for place, message in places.items() if place in new]
    _put_hits(database, connection, fresh)
    _put_evidence(database, connection, fresh)
    _count_boots(database, connection, fresh, now)
    taken: list[Taken] = []
    for arrived, message in zip(batch, laid_out, strict=True):
        if isinstance(message, Unfit):
            poison.keep(database, connection, arrived.unit, str(message), arrived.raw, arrived.digest, now)
            taken.append(Taken.UNFIT)
        elif message.place in new and places[message.place] is message:
            taken.append(Taken.STORED)
        elif held.get(message.place, message.sha256) == message.sha256:
            taken.append(Taken.REPEAT)
        else:
            reason = "another message of the same hit and phase is there already"
            poison.keep(database, connection, arrived.unit, reason, arrived.raw, arrived.digest, now)
            taken.append(Taken.DIFFERS)
    return taken


def _laid(arrived: Arrived, now: datetime) -> Laid | Unfit:
    try:
        return laid(arrived, now)
    except Unfit as unfit:
        return unfit


def _hold_units(database: Database, connection: Connection, names: set[str], now: datetime) -> None:
    """Make them known, and keep other centres off them until the end, so that none waits for one that waits."""
    if not names:
        return
    there = database.insert(tables.unit).on_conflict_do_nothing(index_elements=["name"])
    connection.execute(there, [{"name": name, "first_seen": now} for name in sorted(names)])
    name = tables.unit.c.name
    # SQLite has one writer anyway, and SQLAlchemy leaves the FOR UPDATE out there.
    connection.execute(select(name).where(name.in_(names)).order_by(name).with_for_update(key_share=True)).all()


def _put_reports(database: Database, connection: Connection, places: Mapping[Place, Laid], now: datetime) -> set[Place]:
    if not places:
        return set()
    rows = [
        {name: message.hit[name] for name in ("unit", "hit_id", "phase", "boot_id", "seq", "late")}
        | {"sha256": message.sha256, "received_at": now}
        for message in places.values()
    ]
    report = tables.report.c
    put = database.insert(tables.report).on_conflict_do_nothing(index_elements=["unit", "hit_id", "phase"])
    new = connection.execute(put.returning(report.unit, report.hit_id, report.phase), rows)
    return {(unit, hit_id, phase) for unit, hit_id, phase in new.tuples()}


def _held(connection: Connection, places: set[Place]) -> dict[Place, str]:
    if not places:
        return {}
    report = tables.report.c
    key = tuple_(report.unit, report.hit_id, report.phase)
    rows = connection.execute(
        select(report.unit, report.hit_id, report.phase, report.sha256).where(key.in_(sorted(places)))
    )
    return {(unit, hit_id, phase): sha256 for unit, hit_id, phase, sha256 in rows.tuples()}


def _put_hits(database: Database, connection: Connection, fresh: Sequence[Laid]) -> None:
    if not fresh:
        return
    put = database.insert(tables.hit)
    kept = ("unit", "hit_id", "received_at")  # the retention counts from when it was first known
    given = {column.name: put.excluded[column.name] for column in tables.hit.columns if column.name not in kept}
    upsert = put.on_conflict_do_update(
        index_elements=["unit", "hit_id"], set_=given, where=_rank(put.excluded.phase) > _rank(tables.hit.c.phase)
    )
    connection.execute(upsert, [message.hit for message in _ranked(fresh)])


def _put_evidence(database: Database, connection: Connection, fresh: Sequence[Laid]) -> None:
    hit, evidence = tables.hit.c, tables.evidence.c
    keys = {message.place[:2] for message in fresh}
    if not keys:
        return
    back = connection.execute(
        select(hit.unit, hit.hit_id).where(tuple_(hit.unit, hit.hit_id).in_(sorted(keys)), hit.phase == "withdrawn")
    )
    withdrawn = set(back.tuples())
    if withdrawn:
        connection.execute(delete(tables.evidence).where(tuple_(evidence.unit, evidence.hit_id).in_(sorted(withdrawn))))
    rows = [
        {name: message.hit[name] for name in ("unit", "hit_id", "phase", "received_at")}
        | {"sha256": message.jpeg_sha256, "jpeg": message.jpeg}
        for message in _ranked(fresh)
        if message.jpeg is not None and message.place[:2] not in withdrawn
    ]
    if not rows:
        return
    put = database.insert(tables.evidence)
    given = {name: put.excluded[name] for name in ("phase", "received_at", "sha256", "jpeg")}
    connection.execute(
        put.on_conflict_do_update(
            index_elements=["unit", "hit_id"], set_=given, where=_rank(put.excluded.phase) > _rank(evidence.phase)
        ),
        rows,
    )


def _count_boots(database: Database, connection: Connection, fresh: Sequence[Laid], now: datetime) -> None:
    numbers: dict[tuple[str, str], list[int]] = {}
    for message in fresh:
        numbers.setdefault((message.hit["unit"], message.hit["boot_id"]), []).append(message.hit["seq"])
    if not numbers:
        return
    put, boot = database.insert(tables.boot), tables.boot.c
    given = {
        "reports": boot.reports + put.excluded.reports,
        "max_seq": case((put.excluded.max_seq > boot.max_seq, put.excluded.max_seq), else_=boot.max_seq),
        "last_at": now,
    }
    connection.execute(
        put.on_conflict_do_update(index_elements=["unit", "boot_id"], set_=given),
        [
            {"unit": unit, "boot_id": boot_id, "reports": len(seqs), "max_seq": max(seqs), "last_at": now}
            for (unit, boot_id), seqs in sorted(numbers.items())
        ],
    )


def _rank(phase: ColumnElement[str]) -> ColumnElement[int]:
    return case(RANK, value=phase)


def _ranked(messages: Sequence[Laid]) -> list[Laid]:
    return sorted(messages, key=lambda message: RANK[message.hit["phase"]])
