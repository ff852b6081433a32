"""Takes a batch of hits' messages: each once, each hit as its highest phase says, whatever came first or twice."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from functools import cache
from typing import Any

from sqlalchemy import BindParameter, ColumnElement, Connection, bindparam, case, delete, select, tuple_

from edge_anpr.centre import poison, tables
from edge_anpr.centre.arrival import RANK, Arrived, Laid, Taken, Unfit, laid
from edge_anpr.centre.database import Database, Insert

Place = tuple[str, str, str]


def take(database: Database, connection: Connection, batch: Sequence[Arrived], now: datetime) -> list[Taken]:
    """Keep what arrived ``now``, within the caller's transaction, and say of each message what became of it."""
    laid_out = [_laid(arrived, now) for arrived in batch]
    places: dict[Place, Laid] = {}  # the first message of the batch that names a place has it
    for message in laid_out:
        if isinstance(message, Laid):
            places.setdefault(message.place, message)
    new, held = _keep(_statements(database.insert), connection, places, now) if places else (set(), {})
    taken: list[Taken] = []
    for arrived, message in zip(batch, laid_out, strict=True):
        if isinstance(message, Unfit):
            poison.keep(database, connection, arrived.unit, str(message), arrived.raw, arrived.digest, now)
            taken.append(Taken.UNFIT)
        elif message.place in new and places[message.place] is message:
            taken.append(Taken.STORED)
        elif held.get(message.place, places[message.place].sha256) == message.sha256:
            taken.append(Taken.REPEAT)
        else:
            reason = "another message of the same hit and phase is there already"
            poison.keep(database, connection, arrived.unit, reason, arrived.raw, arrived.digest, now)
            taken.append(Taken.DIFFERS)
    return taken


def _keep(
    said: _Statements, connection: Connection, places: Mapping[Place, Laid], now: datetime
) -> tuple[set[Place], dict[Place, str]]:
    """The places that were free until now, and the digests of what was in the others."""
    _hold_units(said, connection, {unit for unit, _, _ in places}, now)
    new = _put_reports(said, connection, places, now)
    held = _held(said, connection, places.keys() - new)
    if new:
        fresh = [message for place, message in places.items() if place in new]
        connection.execute(said.put_hits, [message.hit for message in _highest(fresh)])
        _put_evidence(said, connection, fresh)
        _count_boots(said, connection, fresh, now)
    return new, held


def _laid(arrived: Arrived, now: datetime) -> Laid | Unfit:
    try:
        return laid(arrived, now)
    except Unfit as unfit:
        return unfit


class _Statements:
    """What is said to the database, built once: to build it costs as much as to run it.

    What each INSERT returns is of no use but that SQLAlchemy then sends all rows in one statement: with PostgreSQL, one
    round trip instead of twenty.
    """

    def __init__(self, insert: Insert) -> None:
        unit, report, hit, evidence, boot = (
            table.c for table in (tables.unit, tables.report, tables.hit, tables.evidence, tables.boot)
        )
        names: BindParameter[Any] = bindparam("names", expanding=True)
        # SQLite has one writer anyway, and SQLAlchemy leaves the FOR UPDATE out there.
        self.hold_units = select(unit.name).where(unit.name.in_(names)).order_by(unit.name)
        self.hold_units = self.hold_units.with_for_update(key_share=True)
        self.put_units = insert(tables.unit).on_conflict_do_nothing(index_elements=["name"])

        put = insert(tables.report).on_conflict_do_nothing(index_elements=["unit", "hit_id", "phase"])
        self.put_reports = put.returning(report.unit, report.hit_id, report.phase)
        keys: BindParameter[Any] = bindparam("keys", expanding=True)
        self.held = select(report.unit, report.hit_id, report.phase, report.sha256).where(
            tuple_(report.unit, report.hit_id, report.phase).in_(keys)
        )

        put = insert(tables.hit)
        kept = ("unit", "hit_id", "received_at")  # the retention counts from when it was first known
        self.put_hits = put.on_conflict_do_update(
            index_elements=["unit", "hit_id"],
            set_={column.name: put.excluded[column.name] for column in tables.hit.columns if column.name not in kept},
            where=_rank(put.excluded.phase) > _rank(hit.phase),
        ).returning(hit.hit_id)
        self.withdrawn = select(hit.unit, hit.hit_id).where(
            tuple_(hit.unit, hit.hit_id).in_(keys), hit.phase == "withdrawn"
        )
        self.drop_evidence = delete(tables.evidence).where(tuple_(evidence.unit, evidence.hit_id).in_(keys))
        put = insert(tables.evidence)
        self.put_evidence = put.on_conflict_do_update(
            index_elements=["unit", "hit_id"],
            set_={name: put.excluded[name] for name in ("phase", "received_at", "sha256", "jpeg")},
            where=_rank(put.excluded.phase) > _rank(evidence.phase),
        ).returning(evidence.hit_id)

        put = insert(tables.boot)
        self.count_boots = put.on_conflict_do_update(
            index_elements=["unit", "boot_id"],
            set_={
                "reports": boot.reports + put.excluded.reports,
                "max_seq": case((put.excluded.max_seq > boot.max_seq, put.excluded.max_seq), else_=boot.max_seq),
                "last_at": put.excluded.last_at,
            },
        ).returning(boot.boot_id)


_statements = cache(_Statements)


def _hold_units(said: _Statements, connection: Connection, names: set[str], now: datetime) -> None:
    """Make them known, and keep other centres off them until the end, so that none waits for one that waits."""
    known = set(connection.execute(said.hold_units, {"names": sorted(names)}).scalars())
    if known != names:
        connection.execute(said.put_units, [{"name": name, "first_seen": now} for name in sorted(names - known)])
        connection.execute(said.hold_units, {"names": sorted(names)}).all()


def _put_reports(said: _Statements, connection: Connection, places: Mapping[Place, Laid], now: datetime) -> set[Place]:
    rows = [
        {name: message.hit[name] for name in ("unit", "hit_id", "phase", "boot_id", "seq", "late")}
        | {"sha256": message.sha256, "received_at": now}
        for message in places.values()
    ]
    return {(unit, hit_id, phase) for unit, hit_id, phase in connection.execute(said.put_reports, rows)}


def _held(said: _Statements, connection: Connection, places: set[Place]) -> dict[Place, str]:
    if not places:
        return {}
    rows = connection.execute(said.held, {"keys": sorted(places)})
    return {(unit, hit_id, phase): sha256 for unit, hit_id, phase, sha256 in rows}


def _put_evidence(said: _Statements, connection: Connection, fresh: Sequence[Laid]) -> None:
    keys = {"keys": sorted({message.place[:2] for message in fresh})}
    withdrawn = {(unit, hit_id) for unit, hit_id in connection.execute(said.withdrawn, keys)}
    if withdrawn:
        connection.execute(said.drop_evidence, {"keys": sorted(withdrawn)})
    rows = [
        {name: message.hit[name] for name in ("unit", "hit_id", "phase", "received_at")}
        | {"sha256": message.jpeg_sha256, "jpeg": message.jpeg}
        for message in _highest([message for message in fresh if message.jpeg is not None])
        if message.place[:2] not in withdrawn
    ]
    if rows:
        connection.execute(said.put_evidence, rows)


def _count_boots(said: _Statements, connection: Connection, fresh: Sequence[Laid], now: datetime) -> None:
    numbers: dict[tuple[str, str], list[int]] = {}
    for message in fresh:
        numbers.setdefault((message.hit["unit"], message.hit["boot_id"]), []).append(message.hit["seq"])
    rows = [
        {"unit": unit, "boot_id": boot_id, "reports": len(seqs), "max_seq": max(seqs), "last_at": now}
        for (unit, boot_id), seqs in sorted(numbers.items())
    ]
    connection.execute(said.count_boots, rows)


def _rank(phase: ColumnElement[str]) -> ColumnElement[int]:
    return case(RANK, value=phase)


def _highest(messages: Sequence[Laid]) -> list[Laid]:
    """Of each hit the message that counts: one statement can put a row once only."""
    of_hit: dict[tuple[str, str], Laid] = {}
    for message in sorted(messages, key=lambda message: RANK[message.hit["phase"]]):
        of_hit[message.place[:2]] = message
    return list(of_hit.values())
