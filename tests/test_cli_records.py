"""What the control room types about its records."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from edge_anpr import cli
from edge_anpr.centre.store import Store
from edge_anpr.centre.tally import interval
from tests.centre import records
from tests.centre.records import DAY, UNIT, Clock, body, hit_id, message

db, clock, store = records.db, records.clock, records.store  # the fixtures


def run(*arguments: str | Path) -> Result:
    """In this process; its failure is the test's."""
    return CliRunner().invoke(
        cli.main, ["centre", *map(str, arguments)], env={"COLUMNS": "160"}, catch_exceptions=False
    )


def identified(number: int) -> str:
    return f"{number:08x}" + "0" * 24


def fill(store: Store, clock: Clock) -> None:
    near = body()["match"] | {"class": "near", "list_id": "town"}
    other = "town/bridge/pole-08"
    store.take([
        message(1, hit_id=identified(1)), message(2, hit_id=identified(2), seq=2),
        message(3, hit_id=identified(3), seq=3, unit=other, match=near, late=True),
        message(4, hit_id=identified(4), seq=4, unit=other, match=near, clock={"sync": False, "error_ms": None}),
    ])  # fmt: skip
    clock.now += 31 * DAY
    store.take([
        message(5, "withdrawn", hit_id=identified(5), seq=5, captured_at="2026-06-01T11:59:50Z"),
        message(6, hit_id="ab" + "1" * 30, seq=6, captured_at="2026-06-01T12:59:50Z"),
    ])  # fmt: skip


def test_feedback_is_stored_by_the_beginning_of_an_id_and_the_last_word_counts(
    store: Store, clock: Clock, db: str
) -> None:
    fill(store, clock)
    for verdict in ("misread", "confirmed"):
        done = run("feedback", "--db", db, identified(1)[:8].upper(), verdict, "--note", "seen", "--by", "anna")
        assert (done.exit_code, done.output) == (0, f"00000001 of {UNIT}: {verdict}\n")
    done = run("report", "--db", db, "--json")
    assert done.exit_code == 0, (done.output, done.exception)
    assert json.loads(done.stdout)["total"]["confirmed"] == 1
    assert json.loads(done.stdout)["total"]["misread"] == 0


@pytest.mark.parametrize(
    ("start", "says"),
    [
        ("ffff", "no hit begins with ffff; it may have been deleted"),
        ("0000", "more than one hit begins with 0000; type more of it"),
        ("abc", "4 to 32 hexadecimal digits"), ("12ABC3XY", "4 to 32 hexadecimal digits"), ("a" * 33, "4 to 32"),
    ],
)  # fmt: skip
def test_an_id_that_means_no_hit_or_several_is_refused(
    store: Store, clock: Clock, db: str, start: str, says: str
) -> None:
    fill(store, clock)
    done = run("feedback", "--db", db, start, "confirmed")
    assert done.exit_code == 2
    assert says in done.output


def test_a_report_counts_what_a_council_asks(store: Store, clock: Clock, db: str) -> None:
    fill(store, clock)
    for number, verdict in ((1, "confirmed"), (2, "confirmed"), (3, "misread"), (4, "stale")):
        unit = UNIT if number < 3 else "town/bridge/pole-08"
        store.feedback(unit, identified(number), verdict, "", "anna")
    told = json.loads(run("report", "--db", db, "--json").stdout)
    assert told["total"] == {
        "hits": 6, "confirmed": 2, "misread": 1, "stale": 1, "not_judged": 2, "withdrawn": 1, "late": 1, "right": 0.5,
        "right_95": list(interval(2, 4)), "median_delivery_s": 1.5,
    }  # fmt: skip
    assert {
        name: [(next(iter(row.values())), row["hits"], row["right"]) for row in rows]
        for name, rows in told["by"].items()
    } == {
        "unit": [(UNIT, 4, 1.0), ("town/bridge/pole-08", 2, 0.0)],
        "list": [("stolen", 4, 1.0), ("town", 2, 0.0)],
        "class": [("exact", 4, 1.0), ("near", 2, 0.0)],
        "month": [("2026-05", 4, 0.5), ("2026-06", 2, None)],
    }
    assert "12ABC3" not in json.dumps(told)
    june = json.loads(run("report", "--db", db, "--json", "--since", "2026-06-01", "--until", "2026-06-02").stdout)
    assert june["total"]["hits"] == 2
    assert june["total"]["median_delivery_s"] == 10.0  # a picture from the future has no known time


def test_a_report_is_a_table_that_tells_what_was_deleted(store: Store, clock: Clock, db: str) -> None:
    fill(store, clock)
    store.feedback(UNIT, identified(1), "confirmed", "", "anna")
    clock.now += DAY
    store.forget(keep_days=20, evidence_days=20)
    done = run("report", "--db", db, "--by", "month")
    assert done.exit_code == 0
    assert "2026-06" in done.output
    assert "2026-05-01" in done.output
    assert "time was up" in done.output
    assert "12ABC3" not in done.output


@pytest.mark.parametrize("command", ["watch", "report"])
def test_a_database_without_records_still_answers(store: Store, db: str, command: str) -> None:
    done = run(command, "--db", db)
    assert done.exit_code == 0, done.output


def test_watch_in_a_pipe_prints_the_records_once(store: Store, clock: Clock, db: str) -> None:
    fill(store, clock)
    store.states([records.said()])
    done = run("watch", "--db", db)
    assert done.exit_code == 0
    assert done.output.count("12ABC3") >= 5
    assert UNIT in done.output


@pytest.mark.parametrize("command", [["watch"], ["feedback", hit_id(1), "stale"], ["report"]])
def test_records_that_are_not_there_are_not_made(tmp_path: Path, command: list[str]) -> None:
    path = tmp_path / "none.db"
    done = run(command[0], "--db", f"sqlite:///{path}", *command[1:])
    assert done.exit_code == 2
    assert "is not there; name the one of `edge-anpr centre serve`" in done.output
    assert not path.exists()


def test_the_url_may_stand_in_the_environment(store: Store, db: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("EDGE_ANPR_DB", db)
    assert run("report", "--json").exit_code == 0


def test_every_command_explains_itself() -> None:
    for command in ("watch", "feedback", "report"):
        assert command in run("--help").output
        assert len(run(command, "--help").output.splitlines()) > 10


def test_the_interval_of_a_share() -> None:
    assert interval(8, 8) == pytest.approx((0.676, 1.0), abs=0.001)  # as the README's
    assert interval(0, 5) == pytest.approx((0.0, 0.434), abs=0.001)
