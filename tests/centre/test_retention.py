"""Deleted when their time is up by the centre's clock, recorded without a plate, and gone from the file."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path

import pytest

from edge_anpr.centre import retention, tables
from edge_anpr.centre.arrival import Taken
from edge_anpr.centre.retention import Forgotten
from edge_anpr.centre.store import Store
from tests.centre import records
from tests.centre.records import DAY, UNIT, Clock, hit_id, message, rows

store, db, clock = records.store, records.db, records.clock  # the fixtures


def fill(store: Store, clock: Clock, days: int = 10) -> None:
    """One hit a day, of another unit every second day."""
    for day in range(days):
        store.take([message(day, unit=UNIT if day % 2 else "town/bridge/pole-08", seq=day + 1)])
        clock.now += DAY


def test_hits_and_pictures_go_when_their_time_is_up(store: Store, clock: Clock) -> None:
    fill(store, clock)
    assert store.forget(keep_days=5.5, evidence_days=2.5) == Forgotten(hits=5, evidence=8, poison=0)
    assert {row["hit_id"] for row in rows(store, tables.hit)} == {hit_id(day) for day in range(5, 10)}
    assert {row["hit_id"] for row in rows(store, tables.evidence)} == {hit_id(8), hit_id(9)}
    assert store.forget(keep_days=5.5, evidence_days=2.5) == Forgotten(0, 0, 0)


def test_a_deletion_is_recorded_once_a_day_and_names_no_plate(store: Store, clock: Clock) -> None:
    fill(store, clock)
    store.forget(keep_days=5.5, evidence_days=99)
    clock.now += timedelta(hours=1)
    store.forget(keep_days=3.5, evidence_days=99)
    told = [{key: value for key, value in row.items() if key != "id"} for row in rows(store, tables.deletion)]
    day = {"day": "2026-05-11", "cause": "time"}
    other = "town/bridge/pole-08"
    expected = [
        day | {"unit": UNIT, "number": 3, "from_day": "2026-05-02", "to_day": "2026-05-06"},
        day | {"unit": other, "number": 4, "from_day": "2026-05-01", "to_day": "2026-05-07"},
    ]
    for kind in ("hits", "evidence"):
        of_kind = sorted((row for row in told if row["kind"] == kind), key=lambda row: str(row["unit"]))
        assert of_kind == [row | {"kind": kind} for row in expected]
    assert "12ABC3" not in repr(told)


def test_the_units_clock_has_no_say(store: Store) -> None:
    store.take([message(1, captured_at="1999-01-01T00:00:00Z"), message(2, captured_at="2199-01-01T00:00:00Z")])
    assert store.forget(keep_days=1, evidence_days=1) == Forgotten(0, 0, 0)


def test_a_deleted_hit_does_not_come_back_when_the_unit_sends_it_again(store: Store, clock: Clock) -> None:
    store.take([message(1)])
    clock.now += 8 * DAY
    store.forget(keep_days=7, evidence_days=7)
    assert store.take([message(1), message(2, seq=2)]) == [Taken.REPEAT, Taken.STORED]
    assert [row["hit_id"] for row in rows(store, tables.hit)] == [hit_id(2)]
    assert store.gaps() == {UNIT: 0}
    clock.now += 36 * DAY
    store.forget(keep_days=7, evidence_days=7)
    assert rows(store, tables.report) == rows(store, tables.boot) == []


def test_feedback_poison_and_ended_alarms_go_too(store: Store, clock: Clock) -> None:
    store.take([message(1), message(2, seq=2)])
    for number in (1, 2):
        store.feedback(UNIT, hit_id(number), "confirmed", "", "operator")
    store.set_aside(UNIT, "no JSON", b"?", "digest")
    alarm = {"code": "disk-full", "since": "2026-05-01T00:00:00Z", "text": ""}
    store.state(UNIT, "alarm", {"active": [alarm]})
    store.state(UNIT, "alarm", {"active": [alarm | {"code": "list-old"}]})
    clock.now += 2 * DAY
    assert store.forget(keep_days=1, evidence_days=1) == Forgotten(2, 2, 1)
    assert rows(store, tables.feedback) == rows(store, tables.poison) == []
    assert [row["code"] for row in rows(store, tables.alarm)] == ["list-old"]


def test_much_goes_in_small_steps(store: Store, clock: Clock, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(retention, "CHUNK", 10)
    store.take([message(number, seq=number + 1) for number in range(35)])
    clock.now += 40 * DAY
    assert store.forget(keep_days=1, evidence_days=1) == Forgotten(35, 35, 0)
    assert rows(store, tables.report) == []
    assert sum(row["number"] for row in rows(store, tables.deletion)) == 70


def test_what_was_deleted_is_no_more_in_the_file_nor_in_its_log(tmp_path: Path, clock: Clock) -> None:
    """SQLite would only mark the pages as free, and keep them in the log."""
    store = Store(f"sqlite:///{tmp_path}/records.db", clock)
    store.take([message(1, read="77FGH7"), message(2, seq=2)])
    store.take([message(2, "withdrawn", seq=3, read=None)])
    marks = (b"77FGH7", b"jpeg of hit 1", b"jpeg of hit 2")

    def found() -> list[bytes]:
        there = b"".join(path.read_bytes() for path in tmp_path.iterdir())
        return [mark for mark in marks if mark in there]

    assert found() == list(marks)
    store.forget(keep_days=1, evidence_days=1)
    assert found() == list(marks[:2])  # a picture that was withdrawn is overwritten, and now out of the log as well
    clock.now += 2 * DAY
    store.forget(keep_days=1, evidence_days=1)
    assert found() == []
    store.close()
