"""How old a hit is, without the wall clock: exactly in this boot, and for the cap by a clock that stands when off."""

from __future__ import annotations

import os
import sqlite3
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from edge_anpr.unit.clock import Uptime, uptime
from edge_anpr.unit.outbox import TOUCH_S, Outbox

BIG = 10_000_000
DAY = 86_400.0

# A file as the version before this one left it.
VERSION_1 = """
CREATE TABLE hit (id INTEGER PRIMARY KEY AUTOINCREMENT, hit_id TEXT NOT NULL, phase TEXT NOT NULL,
                  payload BLOB NOT NULL);
CREATE TABLE state (kind TEXT PRIMARY KEY, put_unix_s REAL NOT NULL, payload BLOB NOT NULL);
CREATE TABLE tally (one INTEGER PRIMARY KEY CHECK (one = 1), hits INTEGER NOT NULL, bytes INTEGER NOT NULL);
INSERT INTO tally VALUES (1, 0, 0);
CREATE TRIGGER hit_in AFTER INSERT ON hit BEGIN
  UPDATE tally SET hits = hits + 1, bytes = bytes + length(new.payload); END;
CREATE TRIGGER hit_out AFTER DELETE ON hit BEGIN
  UPDATE tally SET hits = hits - 1, bytes = bytes - length(old.payload); END;
PRAGMA user_version = 1;
PRAGMA journal_mode = WAL;
"""


@dataclass
class Clock:
    boot: str = "one"
    seconds: float = 1000.0

    def __call__(self) -> Uptime:
        return Uptime(self.boot, self.seconds)

    def reboot(self, after_s: float = 30.0) -> None:
        self.boot, self.seconds = self.boot + "+", after_s


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def outbox(tmp_path: Path, clock: Clock) -> Iterator[Outbox]:
    made = Outbox(tmp_path / "outbox.db", BIG, now=clock)
    yield made
    made.close()


def again(outbox: Outbox, clock: Clock) -> Outbox:
    outbox.close()
    return Outbox(outbox._path, BIG, now=clock)


def test_the_kernel_says_which_boot_this_is_and_how_long_it_lasts() -> None:
    first, second = uptime(), uptime()
    assert first.boot == second.boot
    assert len(first.boot) == 16
    assert 0 < first.seconds <= second.seconds
    assert abs(second.seconds - time.clock_gettime(time.CLOCK_BOOTTIME)) < 5


def test_a_rows_age_is_known_in_this_boot_and_not_after_it(outbox: Outbox, clock: Clock) -> None:
    outbox.append("a", "first", b"1")
    clock.seconds += 400
    outbox.append("b", "first", b"2")
    assert [row.age_s for row in outbox.waiting(0, 9)] == [400.0, 0.0]
    outbox.put_state("health", b"{}")
    clock.seconds += 2
    assert outbox.state_age_s("health") == 2.0
    clock.reboot()
    outbox = again(outbox, clock)
    assert [row.age_s for row in outbox.waiting(0, 9)] == [None, None]
    assert outbox.state_age_s("health") is None
    outbox.append("c", "first", b"3")
    assert [row.age_s for row in outbox.waiting(0, 9)] == [None, None, 0.0]
    outbox.close()


def test_the_recent_ones_are_read_oldest_first_past_any_backlog(outbox: Outbox, clock: Clock) -> None:
    for number in range(3):
        outbox.append(f"before {number}", "first", b"x")
    clock.reboot()
    outbox = again(outbox, clock)
    assert outbox.recent(0, 60.0, 9) == []
    for number in range(5):
        outbox.append(str(number), "first", b"x")
        clock.seconds += 20
    assert [row.hit_id for row in outbox.recent(0, 60.1, 9)] == ["2", "3", "4"]
    assert [row.hit_id for row in outbox.recent(0, 60.1, 2)] == ["2", "3"]
    assert [row.hit_id for row in outbox.recent(7, 60.1, 9)] == ["4"]
    assert [row.hit_id for row in outbox.recent(0, 1e9, 9)] == ["0", "1", "2", "3", "4"]
    assert outbox.recent(8, 1e9, 9) == []
    outbox.close()


def test_what_is_recent_costs_nothing_for_a_backlog(outbox: Outbox, clock: Clock) -> None:
    with outbox._transaction():
        outbox._db.executemany(
            "INSERT INTO hit (hit_id, phase, payload) VALUES (?, 'first', zeroblob(300))",
            [(str(n),) for n in range(20_000)],
        )
    outbox.append("a", "first", b"x")
    began = time.perf_counter()
    for _ in range(20):
        assert [row.hit_id for row in outbox.recent(0, 60.0, 9)] == ["a"]
    assert time.perf_counter() - began < 0.1


def test_what_is_too_old_goes_for_good_and_is_counted(outbox: Outbox, clock: Clock) -> None:
    for number in range(3):
        outbox.append(str(number), "first", b"12ABC3-in-clear" * 500)
        clock.seconds += DAY
    assert outbox.depth().oldest_s == 3 * DAY
    assert outbox.expire(4 * DAY) == 0
    assert outbox.expire(2 * DAY) == 2
    assert [row.hit_id for row in outbox.waiting(0, 9)] == ["2"]
    assert (outbox.depth().hits, outbox.depth().oldest_s) == (1, DAY)
    assert outbox.expire(DAY) == 1
    assert outbox.depth().oldest_s is None
    files = b"".join(part.read_bytes() for part in outbox._path.parent.iterdir())
    assert b"12ABC3" not in files


def test_at_most_a_thousand_go_at_once(outbox: Outbox, clock: Clock) -> None:
    with outbox._transaction():
        outbox._db.executemany(
            "INSERT INTO hit (hit_id, phase, payload) VALUES (?, 'first', x'78')", [(str(n),) for n in range(2500)]
        )
    clock.seconds += 2 * DAY
    assert [outbox.expire(DAY) for _ in range(4)] == [1000, 1000, 500, 0]


def test_time_switched_off_does_not_count_and_time_in_the_next_boot_does(outbox: Outbox, clock: Clock) -> None:
    outbox.append("a", "first", b"1")
    clock.seconds += DAY
    outbox.expire(28 * DAY)
    clock.reboot()
    outbox = again(outbox, clock)
    assert outbox.depth().oldest_s == pytest.approx(DAY + 30)
    clock.seconds += DAY
    assert outbox.depth().oldest_s == pytest.approx(2 * DAY + 30)
    outbox.close()


def test_a_reboot_costs_the_clock_ten_minutes_at_most(outbox: Outbox, clock: Clock) -> None:
    outbox.append("a", "first", b"1")
    for _ in range(300):  # the publisher looks every minute, and then the plug is pulled
        clock.seconds += 60
        outbox.expire(28 * DAY)
    clock.reboot()
    outbox = again(outbox, clock)
    assert 300 * 60 - TOUCH_S <= (outbox.depth().oldest_s or 0) <= 300 * 60 + TOUCH_S
    outbox.close()


def test_a_card_in_a_machine_that_has_run_for_long_does_not_age_by_that(outbox: Outbox, clock: Clock) -> None:
    outbox.append("a", "first", b"1")
    clock.reboot(after_s=400 * DAY)
    outbox = again(outbox, clock)
    assert outbox.depth().oldest_s == pytest.approx(TOUCH_S)
    assert outbox.expire(DAY) == 0
    outbox.close()


def test_two_processes_have_one_clock_and_a_lost_one_is_not_behind_the_rows(tmp_path: Path, clock: Clock) -> None:
    ours = Outbox(tmp_path / "outbox.db", BIG, now=clock)
    clock.seconds += 5 * DAY
    theirs = Outbox(tmp_path / "outbox.db", BIG, now=clock)
    theirs.append("a", "first", b"1")
    clock.seconds += 100
    assert ours.depth().oldest_s == theirs.depth().oldest_s == 100.0
    ours.close()
    clock.reboot()  # and nobody has put the clock down for five days, but the row knows
    theirs = again(theirs, clock)
    assert theirs.depth().oldest_s == pytest.approx(30)
    theirs.close()


def test_the_wall_clock_moves_no_age(outbox: Outbox, clock: Clock, monkeypatch: pytest.MonkeyPatch) -> None:
    outbox.append("a", "first", b"1")
    outbox.put_state("health", b"{}")
    for now in (0.0, 4e9):
        monkeypatch.setattr(time, "time", lambda now=now: now)
        assert (outbox.waiting(0, 1)[0].age_s, outbox.depth().oldest_s, outbox.state_age_s("health")) == (0, 0, 0)
        assert outbox.expire(1.0) == 0


def test_a_file_of_version_1_is_taken_over_and_its_rows_count_from_then(tmp_path: Path, clock: Clock) -> None:
    path = tmp_path / "outbox.db"
    db = sqlite3.connect(path)
    db.executescript(VERSION_1)
    payloads = [os.urandom(size) for size in (1, 500, 9000, 30_000)]
    for number, payload in enumerate(payloads):
        db.execute("INSERT INTO hit (hit_id, phase, payload) VALUES (?, 'first', ?)", (str(number), payload))
    db.execute("INSERT INTO state VALUES ('birth', ?, ?)", (time.time(), b"born"))
    db.execute("DELETE FROM hit WHERE id = 4")
    db.commit()
    db.close()
    outbox = Outbox(path, BIG, now=clock)
    assert [row.payload for row in outbox.waiting(0, 9)] == payloads[:3]
    assert {row.age_s for row in outbox.waiting(0, 9)} == {None}
    assert outbox.recent(0, 1e9, 9) == []
    assert outbox.state("birth") == b"born"
    assert outbox.state_age_s("birth") is None
    assert (outbox.depth().hits, outbox.depth().bytes) == (3, 9501)
    clock.seconds += DAY
    assert outbox.depth().oldest_s == DAY
    outbox.append("new", "first", b"x")
    assert [row.rowid for row in outbox.waiting(0, 9)] == [1, 2, 3, 5]
    outbox.put_state("birth", b"again")
    outbox = again(outbox, clock)
    assert outbox.state("birth") == b"again"
    assert outbox.expire(DAY) == 3
    outbox.close()


def test_the_publisher_of_version_1_may_still_have_it_open(tmp_path: Path, clock: Clock) -> None:
    old = sqlite3.connect(tmp_path / "outbox.db", isolation_level=None)
    old.executescript(VERSION_1)
    outbox = Outbox(tmp_path / "outbox.db", BIG, now=clock)
    old.execute("INSERT INTO hit (hit_id, phase, payload) VALUES ('a', 'first', x'78')")
    assert [(row.hit_id, row.age_s) for row in outbox.waiting(0, 9)] == [("a", None)]
    outbox.close()
    old.close()
