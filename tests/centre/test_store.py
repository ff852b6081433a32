"""Each message once, each hit as its highest phase says: on SQLite and PostgreSQL alike."""

from __future__ import annotations

import itertools
import json
import random
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from edge_anpr.centre import database, poison, tables
from edge_anpr.centre.arrival import Arrived, Said, Taken
from edge_anpr.centre.fleet import Alarm, State, Verdict
from edge_anpr.centre.records import Records
from edge_anpr.centre.store import Store
from tests import postgresql
from tests.centre import records
from tests.centre.records import START, UNIT, Clock, arrived, body, hit_id, message, rows

store, db, clock = records.store, records.db, records.clock  # the fixtures


def kept(store: Store) -> dict[str, Any]:
    """What is left of some messages when the order of their arrival is not to matter."""
    return {
        "hits": {
            row["hit_id"]: {key: value for key, value in row.items() if key != "received_at"}
            for row in rows(store, tables.hit)
        },
        "evidence": {row["hit_id"]: row["jpeg"] for row in rows(store, tables.evidence)},
        "reports": {(row["hit_id"], row["phase"], row["sha256"], row["seq"]) for row in rows(store, tables.report)},
        "boots": [(row["boot_id"], row["reports"], row["max_seq"]) for row in rows(store, tables.boot)],
    }


def test_a_hit_is_kept_with_all_that_it_says(store: Store) -> None:
    assert store.take([message(late=True)]) == [Taken.STORED]
    (hit,) = rows(store, tables.hit)
    payload = json.loads(hit.pop("payload"))
    assert payload == body() | {"evidence": {"sha256": body()["evidence"]["sha256"]}}
    assert hit == {
        "unit": UNIT, "hit_id": hit_id(1), "camera": "cam-1", "captured_at": START - timedelta(milliseconds=1500),
        "received_at": START, "phase": "final", "boot_id": records.BOOT, "seq": 1,
        "read": "12ABC3", "listed": "12ABC3", "class": "exact", "probability": 0.97, "list_id": "stolen",
        "list_version": 3, "entry": 7, "reason": "stolen", "basis": "2026-17", "country": "NL", "late": True,
        "age_s": 0, "clock_sync": True, "clock_error_ms": 3,
    }  # fmt: skip
    (evidence,) = rows(store, tables.evidence)
    assert evidence["jpeg"] == b"jpeg of hit 1, final"
    assert evidence["sha256"] == body()["evidence"]["sha256"]


def test_a_repeat_is_told_and_changes_nothing(store: Store, clock: Clock) -> None:
    first = message()
    assert store.take([first, first]) == [Taken.STORED, Taken.REPEAT]
    before = kept(store), rows(store, tables.report)
    clock.now += records.DAY
    assert store.take([message(late=True), first]) == [Taken.REPEAT, Taken.REPEAT]
    assert (kept(store), rows(store, tables.report)) == before


def test_a_second_message_for_the_same_place_is_kept_aside(store: Store) -> None:
    other = message(read="99XYZ9")
    assert store.take([message(), other]) == [Taken.STORED, Taken.DIFFERS]
    assert store.take([other, message()]) == [Taken.DIFFERS, Taken.REPEAT]
    (aside,) = rows(store, tables.poison)
    assert (aside["unit"], aside["payload"], aside["sha256"]) == (UNIT, other.raw, other.digest)
    assert "there already" in aside["reason"]
    assert rows(store, tables.hit)[0]["read"] == "12ABC3"


def test_two_units_may_use_the_same_hit_id(store: Store) -> None:
    assert store.take([message(), message(unit="town/bridge/pole-08")]) == [Taken.STORED] * 2
    assert len(rows(store, tables.hit)) == 2


def test_the_order_of_arrival_is_kept_within_a_batch(store: Store) -> None:
    numbers = random.Random(1).sample(range(1000), 40)
    store.take([message(number, seq=number + 1) for number in numbers[:20]])
    store.take([message(number, seq=number + 1) for number in numbers[20:]])
    assert [row["hit_id"] for row in rows(store, tables.report)] == [hit_id(number) for number in numbers]


def test_a_late_first_does_not_overwrite_a_final(store: Store) -> None:
    store.take([message(phase="final", seq=2)])
    store.take([message(phase="first", seq=1, read="12ABC8")])
    (hit,) = rows(store, tables.hit)
    assert (hit["phase"], hit["read"], hit["seq"]) == ("final", "12ABC3", 2)
    assert [row["phase"] for row in rows(store, tables.report)] == ["final", "first"]
    assert [row["jpeg"] for row in rows(store, tables.evidence)] == [b"jpeg of hit 1, final"]


@pytest.mark.parametrize("order", list(itertools.permutations(["first", "final", "withdrawn"])))
def test_what_was_withdrawn_names_nobody_and_shows_nothing(store: Store, order: tuple[str, ...]) -> None:
    for phase in order:
        store.take([message(phase=phase, seq=1 + order.index(phase))])
    (hit,) = rows(store, tables.hit)
    assert (hit["phase"], hit["read"]) == ("withdrawn", None)
    assert json.loads(hit["payload"])["read"] is None
    assert rows(store, tables.evidence) == []


def test_the_first_picture_stays_when_the_final_has_none(store: Store) -> None:
    for number, order in ((1, ("first", "final")), (2, ("final", "first"))):
        for phase in order:
            store.take([message(number, phase, evidence=None) if phase == "final" else message(number, phase)])
    assert [row["jpeg"] for row in rows(store, tables.evidence)] == [
        b"jpeg of hit 1, first",
        b"jpeg of hit 2, first",
    ]


MESSAGES = [
    message(number, phase, seq=3 * number + index, late=number == 2, evidence=evidence)
    if evidence is None
    else message(number, phase, seq=3 * number + index, late=number == 2)
    for number, phases in enumerate(
        (
            ["final"], ["first", "final"], ["first", "final"], ["first", "withdrawn"], ["withdrawn"],
            ["first", "final", "withdrawn"],
        )
    )
    for index, phase in enumerate(phases)
    for evidence in ((None,) if (number, phase) == (2, "final") or phase == "withdrawn" else (True,))
]  # fmt: skip


@pytest.fixture(scope="module")
def expected(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    store = Store(f"sqlite:///{tmp_path_factory.mktemp('records')}/in-order.db", Clock())
    assert store.take(MESSAGES) == [Taken.STORED] * len(MESSAGES)
    made = kept(store)
    store.close()
    return made


@settings(max_examples=15, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_any_order_and_repetition_gives_the_same_records(
    store: Store, expected: dict[str, Any], data: st.DataObject
) -> None:
    records.empty(store)
    order = data.draw(st.permutations(MESSAGES)) + data.draw(st.lists(st.sampled_from(MESSAGES), max_size=8))
    order = data.draw(st.permutations(order))
    outcomes: list[Taken] = []
    while order:
        size = data.draw(st.integers(1, 7))
        outcomes += store.take(order[:size])
        order = order[size:]
    assert outcomes.count(Taken.STORED) == len(MESSAGES)
    assert set(outcomes) <= {Taken.STORED, Taken.REPEAT}
    assert kept(store) == expected


def test_two_centres_that_take_the_same_at_once_end_with_one_of_each(db: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(database, "TRIES", 1)  # none may be in another's way
    batches = [
        [message(10 * batch + number, seq=10 * batch + number + 1) for number in range(10)] for batch in range(12)
    ]

    def take_all(seed: int) -> int:
        own, order = Store(db), random.Random(seed)
        stored = 0
        for batch in batches:
            stored += own.take(order.sample(batch, len(batch))).count(Taken.STORED)
        own.close()
        return stored

    Store(db).close()
    with ThreadPoolExecutor(3) as pool:
        stored = list(pool.map(take_all, range(3)))
    assert sum(stored) == 120
    looking = Store(db)
    assert len(rows(looking, tables.hit)) == len(rows(looking, tables.report)) == 120
    assert looking.gaps() == {UNIT: 0}
    assert rows(looking, tables.poison) == []
    looking.close()


UNFIT: tuple[dict[str, Any], ...] = (
    {"seq": 2**70}, {"captured_at": "yesterday"}, {"captured_at": "2026-05-01T12:00:00"},
    {"captured_at": "0001-01-01T00:00:00+14:00"}, {"match": {}}, {"evidence": {"jpeg": "?", "sha256": "0"}},
    {"evidence": {"jpeg": "AAAA", "sha256": "0" * 64}}, {"phase": "second"}, {"clock": None},
)  # fmt: skip


def test_one_that_no_record_can_be_made_of_is_kept_aside_and_stops_no_other(store: Store) -> None:
    for number, changes in enumerate(UNFIT):
        unfit = message(2, **changes)
        batch = [message(10 + number, seq=2 * number + 1), unfit, message(30 + number, seq=2 * number + 2)]
        assert store.take(batch) == [Taken.STORED, Taken.UNFIT, Taken.STORED], changes
        assert rows(store, tables.poison)[-1]["payload"] == unfit.raw
    assert hit_id(2) not in {row["hit_id"] for row in rows(store, tables.hit)}
    assert len(rows(store, tables.poison)) == len(UNFIT)
    assert store.gaps() == {UNIT: 0}


def test_characters_that_a_database_cannot_hold_are_replaced(store: Store) -> None:
    strange = body()["match"] | {"reason": "nul \0 half \ud800"}
    payload = body(match=strange)
    raw = json.dumps(payload).encode()
    assert store.take([Arrived(UNIT, "cam-1", payload, raw, "d")]) == [Taken.STORED]
    (hit,) = rows(store, tables.hit)
    assert hit["reason"] == "nul � half ?"
    assert json.loads(hit["payload"])["match"]["reason"] == "nul \0 half \ud800"


def test_whole_numbers_may_be_written_with_a_point(store: Store) -> None:
    store.take([message(seq=3.0)])
    assert rows(store, tables.hit)[0]["seq"] == 3


def test_numbers_that_never_came_are_counted_for_each_start(store: Store) -> None:
    store.take([message(1, seq=1), message(2, seq=4), message(2, "first", seq=3)])
    assert store.gaps() == {UNIT: 1}
    store.take([message(3, seq=2), message(4, seq=3, boot_id="cd34cd34cd34cd34")])
    assert store.gaps() == {UNIT: 2}
    store.take([message(4, seq=3, boot_id="cd34cd34cd34cd34")])
    assert store.gaps() == {UNIT: 2}


def test_a_number_that_no_unit_can_have_reached_spoils_nobodys_count(store: Store) -> None:
    boots = ("ab12ab12ab12ab12", "cd34cd34cd34cd34", "ef56ef56ef56ef56")
    store.take([message(number, seq=2**63 - 1, boot_id=boot) for number, boot in enumerate(boots)])
    store.take([message(9, unit="town/bridge/pole-08", seq=3)])
    assert store.gaps() == {UNIT: 3 * 10**9, "town/bridge/pole-08": 2}
    store.judged("centre-1", [verdict(missing=store.gaps()[UNIT])])
    assert rows(store, tables.unit)[0]["missing"] == 3 * 10**9


@pytest.mark.parametrize("year", ["0001", "1900", "9999"])
def test_any_moment_that_a_unit_tells_can_be_read_whatever_the_servers_zone(db: str, year: str) -> None:
    name = db.rsplit("@/", maxsplit=1)[-1].split("?", maxsplit=1)[0]
    if not db.startswith("sqlite"):
        postgresql.server().execute(f"ALTER DATABASE {name} SET timezone = 'Europe/Amsterdam'")
    store, looking = Store(db), Records(db)
    store.take([message(captured_at=f"{year}-12-31T23:59:59Z")])
    assert looking.newest(1)[0].captured_at == datetime(int(year), 12, 31, 23, 59, 59, tzinfo=UTC)
    looking.close()
    store.close()
    if not db.startswith("sqlite"):
        postgresql.server().execute(f"ALTER DATABASE {name} RESET timezone")


def test_poison_is_kept_once_and_bounded_for_each_unit(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(poison, "MAX_MESSAGES", 5)
    monkeypatch.setattr(poison, "MAX_BYTES", 1000)
    monkeypatch.setattr(poison, "MAX_ONE", 300)
    store.set_aside("town/bridge/pole-08", "no JSON", b"its own", "other")
    for _ in range(2):
        store.set_aside(UNIT, "no JSON", b"\xff\x00", "one")
    assert len(rows(store, tables.poison)) == 2
    for number in range(8):
        store.set_aside(UNIT, "no JSON", bytes([number]), f"digest {number}")
    mine = [row for row in rows(store, tables.poison) if row["unit"] == UNIT]
    assert [row["payload"] for row in mine] == [bytes([number]) for number in range(3, 8)]
    for number in range(4):
        store.set_aside(UNIT, "too large", b"x" * 400, f"large {number}")
    mine = [row for row in rows(store, tables.poison) if row["unit"] == UNIT]
    assert [(row["size"], len(row["payload"])) for row in mine] == [(400, 300)] * 3
    (deletion,) = rows(store, tables.deletion)
    assert (deletion["unit"], deletion["kind"], deletion["cause"]) == (UNIT, "poison", "room")
    assert deletion["number"] == 1 + 8 + 4 - 3
    assert [row["payload"] for row in rows(store, tables.poison) if row["unit"] != UNIT] == [b"its own"]


def test_the_latest_of_what_a_unit_says_is_kept(store: Store, clock: Clock) -> None:
    birth = {"version": "0.2", "list": {"list_id": "stolen", "version": 3}}
    store.states([Said(UNIT, "birth", birth, retained=True), Said(UNIT, "status", {"status": "online"}, retained=True)])
    (unit,) = rows(store, tables.unit)
    assert (unit["last_seen"], unit["list_version"], unit["list_since"]) == (None, 3, START)
    clock.now += records.DAY
    store.states([Said(UNIT, "health", {"interval_s": 15}), Said(UNIT, "birth", birth)])
    (unit,) = rows(store, tables.unit)
    assert (unit["last_seen"], unit["interval_s"], unit["list_since"]) == (clock.now, 15, START)
    assert json.loads(unit["status"]) == {"status": "online"}
    store.state(UNIT, "birth", {"list": {"list_id": "stolen", "version": 4}})
    (unit,) = rows(store, tables.unit)
    assert (unit["list_version"], unit["list_since"]) == (4, clock.now)
    assert store.roster() == {UNIT: 15}


def test_the_last_will_is_no_sign_of_life(store: Store) -> None:
    store.state(UNIT, "status", {"status": "lost"})
    assert rows(store, tables.unit)[0]["last_seen"] is None


STRANGE = (
    Said(UNIT, "alarm", {"active": 3}),
    Said(UNIT, "alarm", {"active": [1, {"code": 2}, {"code": "a\0", "since": "x"}]}),
    Said(UNIT, "birth", {"list": {"list_id": "\0", "version": 2**80}}), Said(UNIT, "health", {"interval_s": "x"}),
    Said(UNIT, "health", {"interval_s": 10**400}), Said(UNIT, "unheard-of", {}),
    Said(UNIT, "birth", {"list": {"list_id": "stolen", "version": True}}),
    Said(UNIT, "stats", {"x": "y" * 10**5}), Said(UNIT, "status", {"status": {"\ud800": []}}),
)  # fmt: skip


def test_nothing_that_a_unit_says_can_stop_the_store(store: Store) -> None:
    for said in STRANGE:
        store.states([said])
    store.states(STRANGE)
    assert len(rows(store, tables.unit)) == 1


def test_a_state_that_is_nested_too_deep_stops_neither_the_store_nor_who_looks(store: Store, db: str) -> None:
    nested: dict[str, Any] = {}
    for _ in range(5000):
        nested = {"a": nested}
    store.states([Said(UNIT, "birth", nested)])
    assert rows(store, tables.unit)[0]["birth"] == "{}"
    deep = tables.unit.update().values(health='{"a":' * 5000 + "1" + "}" * 5000)
    store.database.write(lambda connection: connection.execute(deep))
    looking = Records(db)
    assert [unit.health for unit in looking.units()] == [{}]
    looking.close()


def standing(store: Store) -> list[tuple[str, str, str]]:
    return [(row["raised_by"], row["code"], row["text"]) for row in rows(store, tables.alarm) if row["ended"] is None]


def test_alarms_stand_until_they_are_over(store: Store, clock: Clock) -> None:
    old = {"code": "list-old", "since": "2026-04-30T00:00:00Z", "text": "9 days"}
    store.state(UNIT, "alarm", {"active": [old, {"code": "disk-full", "since": "?", "text": "full"}]})
    store.judged("centre-1", [verdict(Alarm("silent", "no word"))])
    assert sorted(standing(store)) == [
        ("centre", "silent", "no word"),
        ("unit", "disk-full", "full"),
        ("unit", "list-old", "9 days"),
    ]
    clock.now += records.DAY
    store.state(UNIT, "alarm", {"active": [old | {"text": "10 days"}]})
    store.judged("centre-2", [verdict(undecided=frozenset({"silent"}))])
    assert sorted(standing(store)) == [("centre", "silent", "no word"), ("unit", "list-old", "10 days")]
    store.judged("centre-1", [verdict(missing=4)])
    store.judged("centre-1", [])
    assert standing(store) == [("unit", "list-old", "10 days")]
    ended = [row for row in rows(store, tables.alarm) if row["ended"] is not None]
    assert {(row["code"], row["ended"]) for row in ended} == {("silent", clock.now), ("disk-full", clock.now)}
    assert rows(store, tables.unit)[0]["missing"] == 4
    assert {row["centre"]: row["at"] for row in rows(store, tables.beat)} == {
        "centre-1": clock.now,
        "centre-2": clock.now,
    }


def verdict(*alarms: Alarm, undecided: frozenset[str] = frozenset(), missing: int | None = None) -> Verdict:
    return Verdict(UNIT, State.WELL, alarms, undecided, missing, 1.0, 30.0)


def test_no_plate_in_the_repr_of_a_message() -> None:
    assert "12ABC3" not in repr(arrived(body()))
