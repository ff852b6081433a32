"""Who is silent, whose clock is wrong, what is missing: by the centre's monotonic clock alone."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from edge_anpr.centre.arrival import Said
from edge_anpr.centre.fleet import SETTLE_S, Fleet, State, Verdict
from edge_anpr.unit.clock import iso
from tests.centre.records import START, UNIT


def health(off: timedelta = timedelta(), **more: Any) -> Said:
    return Said(UNIT, "health", {"at": iso(START + off), "interval_s": 10, **more})


def status(word: str, *, retained: bool = False) -> Said:
    return Said(UNIT, "status", {"status": word}, retained)


def fleet(now_s: float = 1000.0, *, known: bool = True) -> Fleet:
    made = Fleet({UNIT: 10.0} if known else {}, now_s)
    made.connected(now_s)
    return made


def only(fleet: Fleet, now_s: float) -> Verdict:
    (verdict,) = fleet.judge(now_s)
    return verdict


def test_a_unit_is_silent_after_three_intervals_and_well_again_at_its_next_word() -> None:
    made = fleet()
    made.heard(health(), 1000.0, START)
    assert only(made, 1030.0).state is State.WELL
    silent = only(made, 1030.1)
    assert (silent.state, [alarm.code for alarm in silent.alarms]) == (State.SILENT, ["silent"])
    assert silent.age_s == pytest.approx(30.1)
    made.heard(health(), 1031.0, START)
    assert (only(made, 1031.0).state, only(made, 1031.0).alarms) == (State.WELL, ())


def test_after_a_start_of_the_centre_everybody_has_an_intervals_grace() -> None:
    made = fleet()
    waiting = only(made, 1040.0)
    assert waiting.state is State.UNHEARD
    assert waiting.undecided == {"silent", "clock", "outbox-high"}
    assert only(made, 1040.1).state is State.SILENT


@pytest.mark.parametrize("word", ["online", "disarmed", "offline", "lost"])
def test_what_the_broker_kept_is_no_sign_of_life(word: str) -> None:
    made = fleet(known=False)
    made.heard(status(word, retained=True), 1000.0, START)
    assert (only(made, 1000.0).status, only(made, 1000.0).age_s) == (word, None)
    assert only(made, 1121.0).state is State.SILENT
    assert repr(word) in only(made, 1121.0).alarms[0].text


def test_the_last_will_is_shown_and_proves_neither_life_nor_death() -> None:
    made = fleet()
    made.heard(health(), 1000.0, START)
    made.heard(status("lost"), 1025.0, START)
    assert (only(made, 1026.0).state, only(made, 1026.0).status) == (State.WELL, "lost")
    assert only(made, 1031.0).state is State.SILENT


def test_while_the_centre_hears_nothing_nobody_falls_silent() -> None:
    made = fleet()
    made.heard(health(), 1000.0, START)
    made.cut()
    deaf = only(made, 5000.0)
    assert deaf.state is State.WELL
    assert deaf.undecided == {"silent"}
    made.connected(5000.0)
    assert only(made, 5040.0).state is State.WELL
    assert only(made, 5040.0).undecided == {"silent"}
    assert only(made, 5040.1).state is State.SILENT


def test_a_hit_is_a_sign_of_life() -> None:
    made = fleet()
    made.hit(UNIT, True, 1035.0, late=True)
    assert only(made, 1060.0).state is State.WELL


@pytest.mark.parametrize(
    ("off", "text"),
    [
        (timedelta(seconds=60), None),
        (timedelta(seconds=61), "its clock is about 1 min ahead of the centre's"),
        (timedelta(hours=-30), "its clock is about 30 hours behind the centre's"),
        (timedelta(days=3650), "its clock is about 3650 days ahead of the centre's"),
    ],
)
def test_a_clock_that_is_off_by_more_than_a_minute_is_an_alarm(off: timedelta, text: str | None) -> None:
    made = fleet()
    made.heard(health(off), 1000.0, START)
    assert [alarm.text for alarm in only(made, 1000.0).alarms] == ([] if text is None else [text])


def test_a_clock_that_nobody_disciplines_is_an_alarm() -> None:
    made = fleet()
    made.hit(UNIT, False, 1000.0, late=True)
    assert only(made, 1000.0).alarms == ()
    made.hit(UNIT, False, 1000.0, late=False)
    assert [alarm.code for alarm in only(made, 1000.0).alarms] == ["clock"]
    made.heard(health(clock={"sync": True, "error_ms": 2}), 1001.0, START)
    assert only(made, 1001.0).alarms == ()


def test_a_full_outbox_and_the_units_own_alarms_make_it_ill() -> None:
    made = fleet()
    made.heard(health(publisher={"outbox": {"hits": 101, "bytes": 5}}), 1000.0, START)
    assert [alarm.code for alarm in only(made, 1000.0).alarms] == ["outbox-high"]
    made.heard(health(publisher={"outbox": {"hits": 100, "bytes": 5}}), 1001.0, START)
    assert only(made, 1001.0).state is State.WELL
    made.heard(Said(UNIT, "alarm", {"active": [{"code": "list-old"}, 3, {}]}), 1002.0, START)
    assert (only(made, 1002.0).state, only(made, 1002.0).told) == (State.ALARM, ("list-old",))


def test_only_a_gap_that_stays_is_missing() -> None:
    made = fleet()
    made.gaps({UNIT: 5}, 1000.0)
    assert only(made, 1000.0).missing is None
    for second in range(30, int(SETTLE_S) + 1, 30):
        made.gaps({UNIT: 2 if second < 300 else 4}, 1000.0 + second)
    assert only(made, 1600.0).missing == 2
    for second in range(630, 1201, 30):
        made.gaps({UNIT: 0}, 1000.0 + second)
    assert only(made, 2200.0).missing == 0


@pytest.mark.parametrize(
    "body",
    [
        {}, {"at": 3, "interval_s": "x", "recogniser": [], "publisher": 7}, {"at": "0001-01-01T00:00:00+14:00"},
        {"at": "2026-05-01T12:00:00"}, {"interval_s": 10**400}, {"interval_s": float("nan")}, {"interval_s": True},
        {"status": 3, "active": 7, "clock": {"sync": "yes"}}, {"recogniser": {"fps": "\0"}},
    ],
)  # fmt: skip
@pytest.mark.parametrize("kind", ["birth", "status", "health", "alarm", "stats", "unheard-of"])
def test_nothing_that_a_unit_says_can_stop_the_judge(kind: str, body: dict[str, Any]) -> None:
    made = fleet(known=False)
    made.heard(Said(UNIT, kind, body), 1000.0, START)
    assert only(made, 1001.0).state is State.WELL


@pytest.mark.parametrize(("told", "silent_after"), [(0.001, 3.0), (10**9, 3 * 3600.0)])
def test_a_unit_cannot_choose_never_to_be_missed(told: float, silent_after: float) -> None:
    made = fleet()
    made.heard(health(interval_s=told), 1000.0, START)
    assert only(made, 1000.0 + silent_after).state is State.WELL
    assert only(made, 1000.1 + silent_after).state is State.SILENT
