"""Messages of hits for the tests of the centre's records, and its databases: the same tests for both kinds."""

from __future__ import annotations

import base64
import hashlib
import json
import tempfile
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from functools import cache
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Connection, Table, select

from edge_anpr.centre import tables
from edge_anpr.centre.arrival import Arrived, Said
from edge_anpr.centre.store import Store
from tests import postgresql

UNIT = "town/bridge/pole-07"
BOOT = "ab12ab12ab12ab12"
START = datetime(2026, 5, 1, 12, 0, tzinfo=UTC)
DAY = timedelta(days=1)
NewDb = Callable[[], str]


class Clock:
    """The centre's, set by the test."""

    def __init__(self, now: datetime = START) -> None:
        self.now = now

    def __call__(self) -> datetime:
        return self.now


def hit_id(number: int) -> str:
    return f"{number:032x}"


def body(number: int = 1, phase: str = "final", *, seq: int = 1, **changes: Any) -> dict[str, Any]:
    """A payload of ``anpr.hit/1``; its picture depends on hit and phase alone."""
    jpeg = f"jpeg of hit {number}, {phase}".encode()
    shown = phase != "withdrawn"
    return {
        "schema": "anpr.hit/1",
        "unit": UNIT,
        "hit_id": hit_id(number),
        "phase": phase,
        "seq": seq,
        "boot_id": BOOT,
        "captured_at": "2026-05-01T11:59:58.500Z",
        "clock": {"sync": True, "error_ms": 3},
        "camera": "cam-1",
        "direction": "in",
        "read": "12ABC3" if shown else None,
        "country": "NL" if shown else None,
        "layout": None,
        "char_confidence": [0.99] if shown else [],
        "frames": 5,
        "agree": 4,
        "match": {
            "class": "exact", "probability": 0.97, "listed": "12ABC3", "list_id": "stolen", "list_version": 3,
            "entry": 7, "reason": "stolen", "basis": "2026-17", "expires": "2026-12-01T00:00:00.000Z",
        },
        "verify": "visual",
        "evidence": {"jpeg": base64.b64encode(jpeg).decode(), "sha256": hashlib.sha256(jpeg).hexdigest()}
        if shown else None,
        "model": {"detector": "d", "ocr": "o"},
    } | changes  # fmt: skip


def arrived(payload: dict[str, Any], *, unit: str = UNIT, late: bool = False, age_s: int | None = 0) -> Arrived:
    raw = json.dumps(payload).encode()
    return Arrived(unit, "cam-1", payload, raw, hashlib.sha256(raw).hexdigest(), late, age_s)


def message(number: int = 1, phase: str = "final", *, unit: str = UNIT, late: bool = False, **changes: Any) -> Arrived:
    return arrived(body(number, phase, **changes), unit=unit, late=late)


def said(unit: str = UNIT, kind: str = "health", **payload: Any) -> Said:
    return Said(unit, kind, payload)


def rows(store: Store, table: Table) -> list[dict[str, Any]]:
    with store.database.read() as connection:
        return [dict(row) for row in connection.execute(select(table).order_by(*table.primary_key)).mappings()]


@cache
def _postgresql() -> str:
    url = postgresql.server().database()
    Store(url).close()
    return url


def _emptied(url: str) -> str:
    name = url.split("@/")[1].split("?", maxsplit=1)[0]
    postgresql.server().execute(f"TRUNCATE {', '.join(tables.metadata.tables)} RESTART IDENTITY", name)
    return url


@cache
def _sqlite() -> bytes:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "records.db"
        Store(f"sqlite:///{path}").close()
        return path.read_bytes()


def empty(store: Store) -> None:
    """As it was when it was new."""

    def work(connection: Connection) -> None:
        for table in tables.metadata.tables.values():
            connection.execute(table.delete())

    store.database.write(work)


@pytest.fixture(params=["sqlite", "postgresql"])
def new_db(request: pytest.FixtureRequest, tmp_path: Path) -> NewDb:
    """Makes empty databases, without tables."""
    if request.param == "sqlite":
        return lambda: f"sqlite:///{tmp_path}/records-{len(list(tmp_path.iterdir()))}.db"
    return postgresql.server().database


@pytest.fixture(params=["sqlite", "postgresql"])
def db(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """The URL of an empty database that has its tables; to make them takes 0.2 s, so that is done once."""
    if request.param == "sqlite":
        path = tmp_path / "records.db"
        path.write_bytes(_sqlite())
        return f"sqlite:///{path}"
    return _emptied(_postgresql())


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def store(db: str, clock: Clock) -> Iterator[Store]:
    opened = Store(db, clock)
    yield opened
    opened.close()
