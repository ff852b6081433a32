"""The centre's records: takes each message of a hit once, keeps what units say of themselves, and forgets in time.

It knows neither MQTT nor keys: the receiver opens and validates, the store keeps. A call has its result on disk when
it returns, and raises StoreDown when it has not; then nothing of it was kept, and the same call may help later.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

from sqlalchemy import Connection, and_, case, func, select

from edge_anpr.centre import poison, standing, tables
from edge_anpr.centre.arrival import Arrived, Said, Taken, storable
from edge_anpr.centre.database import Database, StoreDown
from edge_anpr.centre.fleet import Verdict, interval_s
from edge_anpr.centre.retention import Forgotten, forget
from edge_anpr.centre.taking import take

__all__ = ["Arrived", "Said", "Store", "StoreDown", "Taken"]

VERDICTS = ("confirmed", "misread", "stale")
KINDS = ("birth", "status", "health", "alarm", "stats")
MAX_STATE = 64_000  # characters of JSON
MAX_NOTE = 500
MAX_GAP = 10**9  # of one start; a unit may give its messages any number, and a sum must not overflow for all of them


def _now() -> datetime:
    return datetime.now(UTC)


class Store:
    """Opens the records at ``url``, and makes them in a new database. Several centres may share one.

    Raises Unusable, saying what to do. ``now`` is the centre's clock.
    """

    def __init__(self, url: str, now: Callable[[], datetime] = _now) -> None:
        self._now = now
        self.database = Database(url, make=True)

    def take(self, batch: Sequence[Arrived]) -> list[Taken]:
        """Keep these messages in one transaction, and say of each what became of it. Raises StoreDown."""
        now = self._now()
        return self.database.write(lambda connection: take(self.database, connection, batch, now)) if batch else []

    def set_aside(self, unit: str, reason: str, payload: bytes, digest: str) -> None:
        """Keep a message that is no hit, as it came; the same one twice is one. Raises StoreDown.

        Beyond a unit's share of rows or bytes its oldest go, and are counted among what was deleted.
        """
        now = self._now()
        self.database.write(
            lambda connection: poison.keep(self.database, connection, unit, reason, payload, digest, now)
        )

    def state(self, unit: str, kind: str, payload: Mapping[str, Any], *, retained: bool = False) -> None:
        """Keep the latest birth, status, health, alarm or stats of one unit. Raises StoreDown."""
        self.states([Said(unit, kind, payload, retained)])

    def states(self, batch: Sequence[Said]) -> None:
        """The same of many, in one transaction: after a cut all units speak at once. Raises StoreDown."""
        now = self._now()
        units: dict[str, dict[str, Any]] = {}
        alarms: dict[str, dict[str, standing.Standing]] = {}
        for said in batch:
            columns = units.setdefault(said.unit, {"name": said.unit, "first_seen": now})
            columns |= _columns(said, now)
            if said.kind == "alarm":
                alarms[said.unit] = standing.told(said.payload, now)
        if not units:
            return

        def work(connection: Connection) -> None:
            for name in sorted(units):  # in this order, so that two centres never wait for each other
                self._put_unit(connection, units[name])
            standing.put(self.database, connection, "unit", alarms, {}, now)

        self.database.write(work)

    def judged(self, centre: str, verdicts: Sequence[Verdict]) -> None:
        """Keep what ``centre`` (its name among others) found of the units: alarms, missing messages. Raises StoreDown.

        To be called every few seconds, also with nothing: it says that somebody looks.
        """
        now = self._now()
        alarms = {
            verdict.unit: {alarm.code: standing.Standing(now, alarm.text) for alarm in verdict.alarms}
            for verdict in verdicts
        }
        undecided = {verdict.unit: verdict.undecided for verdict in verdicts}
        missing = {verdict.unit: verdict.missing for verdict in verdicts if verdict.missing is not None}

        def work(connection: Connection) -> None:
            beat = self.database.insert(tables.beat).values(centre=centre, at=now)
            connection.execute(beat.on_conflict_do_update(index_elements=["centre"], set_={"at": now}))
            before = dict(connection.execute(select(tables.unit.c.name, tables.unit.c.missing)).all())
            for name in sorted(missing):
                if name in before and before[name] != missing[name]:
                    changed = tables.unit.update().where(tables.unit.c.name == name)
                    connection.execute(changed.values(missing=missing[name]))
            standing.put(self.database, connection, "centre", alarms, undecided, now)

        self.database.write(work)

    def roster(self) -> dict[str, float | None]:
        """All units ever heard of, with the interval of their health in seconds, if they said it. Raises StoreDown."""
        with self.database.read() as connection:
            rows = connection.execute(select(tables.unit.c.name, tables.unit.c.interval_s)).all()
        return dict(rows)

    def gaps(self) -> dict[str, int]:
        """Messages of each unit that have a number below one that came, and did not come (yet). Raises StoreDown."""
        gap = tables.boot.c.max_seq - tables.boot.c.reports
        gap = func.sum(case((gap > MAX_GAP, MAX_GAP), else_=gap))
        with self.database.read() as connection:
            rows = connection.execute(select(tables.boot.c.unit, gap).group_by(tables.boot.c.unit)).all()
        return {unit: max(int(missing), 0) for unit, missing in rows}

    def feedback(self, unit: str, hit_id: str, verdict: str, note: str, by: str) -> None:
        """Keep what the operator found of a hit; the last word counts. Raises StoreDown."""
        assert verdict in VERDICTS
        row = {
            "unit": unit,
            "hit_id": hit_id,
            "verdict": verdict,
            "note": storable(note[:MAX_NOTE]),
            "at": self._now(),
            "by": storable(by),
        }
        self.database.write(lambda connection: connection.execute(tables.feedback.insert(), row))

    def forget(self, keep_days: float, evidence_days: float) -> Forgotten:
        """Delete what came more than so many days ago, by the centre's clock, and record it. Raises StoreDown."""
        return forget(self.database, self._now(), keep_days, evidence_days)

    def close(self) -> None:
        """Let go of the database."""
        self.database.close()

    def _put_unit(self, connection: Connection, columns: dict[str, Any]) -> None:
        put, unit = self.database.insert(tables.unit).values(columns), tables.unit.c
        given: dict[str, Any] = {name: put.excluded[name] for name in columns if name not in ("name", "first_seen")}
        if "list_since" in given:
            same = and_(
                unit.list_id.is_not_distinct_from(put.excluded.list_id),
                unit.list_version.is_not_distinct_from(put.excluded.list_version),
                unit.list_since.is_not(None),
            )
            given["list_since"] = case((same, unit.list_since), else_=put.excluded.list_since)
        if given:
            connection.execute(put.on_conflict_do_update(index_elements=["name"], set_=given))
        else:
            connection.execute(put.on_conflict_do_nothing(index_elements=["name"]))


def _columns(said: Said, now: datetime) -> dict[str, Any]:
    """The columns of ``unit`` that a message sets."""
    columns: dict[str, Any] = {"last_seen": now} if said.shows_life else {}
    if said.kind not in KINDS:
        return columns
    try:
        told = json.dumps(said.payload, separators=(",", ":"))
    except RecursionError:  # nested as deep as could just be read
        told = "{}"
    columns[said.kind] = told if len(told) <= MAX_STATE else "{}"
    if said.kind == "health":
        columns["interval_s"] = interval_s(said.payload)
    elif said.kind == "birth":
        listed = said.payload.get("list")
        listed = listed if isinstance(listed, dict) else {}
        list_id, version = listed.get("list_id"), listed.get("version")
        if isinstance(version, bool) or not isinstance(version, int) or abs(version) >= 2**63:
            version = None  # PostgreSQL takes no bool for a number
        columns["list_id"] = storable(list_id[:200]) if isinstance(list_id, str) else None
        columns["list_version"] = version
        columns["list_since"] = now
    return columns
