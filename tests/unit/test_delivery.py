"""What goes when, and what may be deleted: every rule of the window, on a clock that the test turns."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from edge_anpr.unit import delivery
from edge_anpr.unit.clock import Uptime
from edge_anpr.unit.delivery import BACKLOG, BACKLOG_BYTES, LATE_S, LIVE, Delivery
from edge_anpr.unit.mqtt import Outcome
from edge_anpr.unit.outbox import Outbox, Row


class Bench:
    """A delivery over a real outbox; hits are called by what they hold."""

    def __init__(self, folder: Path, *, receipts: bool) -> None:
        self.uptime = Uptime("boot", 1000.0)
        self.outbox = Outbox(folder / "outbox.db", 10_000_000, now=lambda: self.uptime)
        self.delivery = Delivery(self.outbox, receipts=receipts, clock_s=lambda: self.uptime.seconds)
        self.tickets: dict[str, int] = {}
        self._ticket = 0

    def pass_s(self, seconds: float) -> None:
        self.uptime = replace(self.uptime, seconds=self.uptime.seconds + seconds)

    def hit(self, *names: str, hit_id: str | None = None) -> None:
        for name in names:
            self.outbox.append(hit_id or name, "first", name.encode())
        self.delivery.look = True

    def send(self, room: int = 1000) -> list[str]:
        """What goes out now."""
        went: list[str] = []
        for flight in self.delivery.due():
            if len(went) == room:
                break
            self._ticket += 1
            name = flight.row.payload[:20].decode()
            self.tickets[name] = self._ticket
            self.delivery.sent(flight, self._ticket)
            went.append(name)
        return went

    def puback(self, *names: str, outcome: Outcome = Outcome.TAKEN) -> None:
        for name in names:
            self.delivery.answered(self.tickets[name], outcome)

    def receipt(self, *names: str) -> int:
        digests = {row.payload[:20].decode(): row.digest for row in self.outbox.waiting(0, 10_000)}
        return self.delivery.receipted([digests[name] for name in names])

    def left(self) -> list[str]:
        self.delivery.settle()
        return [row.payload[:20].decode() for row in self.outbox.waiting(0, 10_000)]


@pytest.fixture
def bench(tmp_path: Path) -> Iterator[Bench]:
    made = Bench(tmp_path, receipts=True)
    yield made
    made.outbox.close()


@pytest.fixture
def puback(tmp_path: Path) -> Iterator[Bench]:
    made = Bench(tmp_path, receipts=False)
    yield made
    made.outbox.close()


def names(letter: str, number: int) -> list[str]:
    return [f"{letter}{index:03d}" for index in range(number)]


def test_a_hit_is_deleted_on_its_receipt_and_on_nothing_else(bench: Bench) -> None:
    bench.hit("a", "b")
    assert bench.send() == ["a", "b"]
    bench.puback("a", "b")
    bench.pass_s(1)
    assert bench.left() == ["a", "b"]
    assert bench.send() == []
    assert bench.delivery.receipted(["0" * 64]) == 0
    assert bench.receipt("b") == 1
    assert bench.left() == ["a"]


def test_live_hits_go_before_the_backlog_and_both_oldest_first(bench: Bench) -> None:
    bench.hit(*names("old", 50))
    bench.pass_s(LATE_S + 1)
    bench.hit("live1", "live2")
    went = bench.send()
    assert went == ["live1", "live2", *names("old", BACKLOG)]
    bench.hit("live3")
    assert bench.send() == ["live3"]  # though the backlog's window is full


def test_a_hit_from_before_a_reboot_is_backlog(bench: Bench) -> None:
    bench.hit("a")
    bench.uptime = Uptime("another boot", 5.0)
    bench.hit("b")
    assert bench.send() == ["b", "a"]
    (b, a) = sorted(bench.delivery._flights(), key=lambda flight: flight.row.hit_id, reverse=True)
    bench.pass_s(7)
    assert (a.age_s(bench.uptime.seconds), b.age_s(bench.uptime.seconds)) == (None, 7.0)


def test_the_window_slides_past_none_that_waits(bench: Bench) -> None:
    bench.hit(*names("h", 100))
    assert bench.send() == names("h", LIVE)
    bench.receipt(*names("h", LIVE)[1:])
    assert bench.send() == []
    bench.receipt("h000")
    assert bench.send() == names("h", 2 * LIVE)[LIVE:]


@pytest.mark.parametrize(("old", "size"), [(False, LIVE), (True, BACKLOG)])
def test_new_connections_let_no_more_pass_than_the_window(bench: Bench, old: bool, size: int) -> None:
    bench.hit(*names("a", 3 * size))
    bench.pass_s(LATE_S + 1 if old else 0)
    for _ in range(3):
        went = bench.send()
        bench.puback(*went)
        if went[1:]:
            bench.receipt(*went[1:])  # that of the oldest is lost, each time
        assert "a000" in bench.left()
        assert went[0] == "a000"
        bench.delivery.restart()
    assert bench.left() == ["a000", *names("a", 3 * size)[size:]]
    assert bench.send() == ["a000"]
    bench.receipt("a000")
    assert bench.send() == names("a", 3 * size)[size : 2 * size]


def test_what_is_on_its_way_of_the_backlog_is_bounded_in_bytes(bench: Bench) -> None:
    for index in range(20):
        bench.outbox.append(str(index), "first", f"{index:020d}".encode() + bytes(BACKLOG_BYTES // 4))
    bench.pass_s(LATE_S + 1)
    assert len(bench.send()) == 3
    bench.puback(f"{0:020d}")
    assert len(bench.send()) == 1


def test_a_receipt_that_stays_away_while_others_come_means_once_more(bench: Bench) -> None:
    bench.hit("lost", "b")
    bench.send()
    bench.pass_s(2.9)
    bench.hit("c")
    assert bench.send() == ["c"]
    bench.receipt("b", "c")
    assert bench.send() == []
    bench.pass_s(0.2)
    assert bench.send() == ["lost"]
    bench.pass_s(2.9)
    assert bench.send() == []


def test_without_any_receipt_only_the_oldest_and_what_is_new_goes(bench: Bench) -> None:
    bench.hit(*names("h", 5))
    bench.send()
    bench.pass_s(3)
    assert bench.send() == ["h000"]
    bench.pass_s(3)
    assert bench.send() == []
    bench.pass_s(3)
    assert bench.send() == ["h000"]
    bench.hit("new")
    assert bench.send() == ["new"]
    spent = 0
    for _ in range(600):
        bench.pass_s(1)
        spent += len(bench.send())
    assert 9 <= spent <= 13  # 12, 24, 48 s, then every minute
    assert bench.delivery.silent_s == pytest.approx(609)
    bench.receipt("h000")
    assert bench.delivery.silent_s == 0
    assert bench.send() == ["h001", "h002", "h003", "h004", "new"]
    assert bench.receipt("h001", "h002", "h003", "h004", "new") == 5
    assert bench.left() == []


def test_one_that_alone_is_not_taken_holds_up_nobody(bench: Bench) -> None:
    bench.hit("stuck", *names("h", 40))
    seen: list[str] = []
    for _ in range(200):
        seen += bench.send()
        bench.receipt(*(name for name in bench.left() if name in seen and name != "stuck"))
        bench.pass_s(1)
    assert bench.left() == ["stuck"]
    assert bench.delivery.parked == 1
    assert delivery.PARK_AFTER <= seen.count("stuck") <= 3 * delivery.PARK_AFTER
    for _ in range(24 * 60):
        bench.pass_s(60)
        seen += bench.send()
    assert 12 <= seen.count("stuck") <= 100  # ever more rarely
    assert bench.receipt("stuck") == 1
    assert bench.left() == []
    assert bench.delivery.parked == 0


def test_nor_when_its_connection_ends_again_and_again(bench: Bench) -> None:
    bench.hit(*names("a", LIVE), "b")
    bench.receipt(*bench.send()[1:])
    bench.left()
    bench.delivery.restart()
    went: list[str] = []
    while "b" not in went and len(went) < 20:
        bench.pass_s(1)
        went += bench.send()
    assert went == ["a000"] * delivery.PARK_AFTER + ["b"]


@pytest.mark.parametrize("every_s", [10, 60])
def test_nor_do_many_that_alone_are_not_taken(bench: Bench, every_s: int) -> None:
    bench.hit(*names("stuck", 2 * BACKLOG), *names("old", 10))
    bench.pass_s(LATE_S + 1)
    went: list[str] = []
    for second in range(1800):
        if second % every_s == 0:
            bench.hit(f"new{second}")
        now = bench.send()
        bench.puback(*now)
        bench.receipt(*(name for name in now if "stuck" not in name))
        went += now
        bench.pass_s(1)
    assert set(names("old", 10)) <= set(went)
    assert set(bench.left()) == set(names("stuck", 2 * BACKLOG))


def test_a_parked_hit_is_deleted_on_a_late_receipt(bench: Bench) -> None:
    bench.hit("stuck")
    (flight,) = bench.delivery.due()
    bench.delivery.park(flight)
    assert bench.send() == []
    assert bench.receipt("stuck") == 1
    assert bench.left() == []


def test_a_new_connection_begins_with_what_was_not_receipted(bench: Bench) -> None:
    bench.hit("a", "b", "c")
    bench.send()
    bench.receipt("b")
    assert bench.delivery.restart() == 2
    assert bench.send() == ["a", "c"]  # b is receipted, though not yet deleted


@pytest.mark.parametrize("receipts", [True, False])
def test_without_a_subscriber_one_alone_is_tried_ever_more_rarely(tmp_path: Path, receipts: bool) -> None:
    bench = Bench(tmp_path, receipts=receipts)
    bench.hit("a", "b", "c")
    bench.send()
    bench.puback("a", "b", "c", outcome=Outcome.NO_SUBSCRIBER)
    assert bench.send() == []
    for pause_s in (5, 10, 20, 30, 30):
        bench.pass_s(pause_s - 0.1)
        assert bench.send() == []
        bench.pass_s(0.2)
        assert bench.send() == ["a"]
        assert bench.send() == []
        bench.puback("a", outcome=Outcome.NO_SUBSCRIBER)
    bench.pass_s(31)
    bench.send()
    bench.puback("a")
    assert bench.delivery.held is None
    went = bench.send()
    assert went == (["b", "c"])
    bench.outbox.close()


def test_without_receipts_the_broker_has_it_for_a_while_before_it_is_deleted(puback: Bench) -> None:
    puback.hit("a")
    puback.send()
    puback.puback("a")
    assert puback.left() == ["a"]
    puback.delivery.restart()  # the broker is gone, perhaps with what it took
    assert puback.send() == ["a"]
    puback.puback("a")
    puback.pass_s(delivery.GRACE_S)
    assert puback.left() == []


def test_without_receipts_a_hits_end_waits_for_its_beginning(puback: Bench) -> None:
    puback.hit("a1", hit_id="a")
    puback.hit("b1", hit_id="b")
    puback.hit("a2", hit_id="a")
    assert puback.send() == ["a1", "b1"]
    puback.puback("b1")
    assert puback.send() == []
    puback.puback("a1")
    assert puback.send() == ["a2"]


def test_no_room_means_later_and_in_order(bench: Bench) -> None:
    bench.hit(*names("h", 5))
    assert bench.send(room=2) == ["h000", "h001"]
    assert bench.send() == ["h002", "h003", "h004"]


def test_a_long_backlog_is_not_read_again_and_again(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    bench.hit(*names("h", 300))
    read: list[int] = []
    waiting = bench.outbox.waiting

    def counted(after: int, limit: int) -> list[Row]:
        read.append(limit)
        return waiting(after, limit)

    monkeypatch.setattr(bench.outbox, "waiting", counted)
    for _ in range(50):
        went = bench.send()
        spent = sum(read)
        bench.receipt(*went)
        read[:] = [spent]
    assert bench.left() == []
    assert spent < 800  # and not 300 each time


def test_a_week_without_any_receipt_costs_little_and_breaks_nothing(bench: Bench) -> None:
    bench.hit(*names("h", 5))
    spent = len(bench.send())
    for _ in range(7 * 24 * 60):
        bench.pass_s(60)
        spent += len(bench.send())
    assert 7 * 24 * 60 - 10 <= spent <= 7 * 24 * 60 + 10
    bench.receipt("h000")
    assert bench.send() == ["h001", "h002", "h003", "h004"]
