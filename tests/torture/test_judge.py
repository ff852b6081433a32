"""The judge sees every kind of wrong that it is there for."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from sqlalchemy import Engine, Table, create_engine, update

from edge_anpr.centre import tables
from tests.torture import judge
from tests.torture.ledger import Entry, Ledger
from tests.torture.site import Plan

NOW = datetime(2026, 5, 1, tzinfo=UTC)
UNIT = "town/bridge/pole-00"
MADE = [Entry("b", seq, f"h{seq:02d}", "first", f"{seq:064d}") for seq in range(1, 20)]
LATER = [Entry("b", 20, "h01", "final", f"{20:064d}")]


class Case:
    """A site that has ended well: all that its unit made is in its records, in order."""

    def __init__(self, folder: Path) -> None:
        self.notes = Ledger(folder / "ledger.txt")
        for entry in (*MADE, *LATER):
            self.notes.note("trying", entry)
            self.notes.note("taken", entry)
        self.waiting, self.said = 0, b""
        log = SimpleNamespace(said=lambda: self.said, fell=[], log=folder / "a.log")
        self.plan = Plan()
        unit = SimpleNamespace(name=UNIT, ledger=folder / "ledger.txt", backlog=False)
        self._site = SimpleNamespace(units=[unit], parts=[log], waiting=lambda: self.waiting)
        self._site.database = f"sqlite:///{folder / 'centre.db'}"
        self.engine: Engine = create_engine(self._site.database)
        tables.metadata.create_all(self.engine)
        for entry in (*MADE, *LATER):
            self.report(entry)
        for entry in MADE:
            self.put(tables.hit, unit=UNIT, hit_id=entry.hit_id, phase="final" if entry.hit_id == "h01" else "first")

    def report(self, entry: Entry) -> None:
        self.put(tables.report, unit=UNIT, hit_id=entry.hit_id, phase=entry.phase, sha256=entry.sha256)

    def put(self, table: Table, **values: object) -> None:
        fill: dict[type, Any] = {str: "x", int: 1, float: 1.0, bool: False, bytes: b"x"}
        for column in table.columns:
            if column.name not in values and not column.nullable and column.name != "id":
                values[column.name] = NOW if isinstance(column.type, tables.Moment) else fill[column.type.python_type]
        with self.engine.begin() as connection:
            connection.execute(table.insert(), values)

    def judge(self, corrupted: int = 0) -> judge.Verdict:
        self._site.plan = self.plan
        return judge.judge(self._site, corrupted=corrupted)  # type: ignore[arg-type]


@pytest.fixture
def case(tmp_path: Path) -> Iterator[Case]:
    made = Case(tmp_path)
    yield made
    made.engine.dispose()


def execute(case: Case, statement: Any) -> None:
    with case.engine.begin() as connection:
        connection.execute(statement)


def test_nothing_is_wrong_when_all_is_well(case: Case) -> None:
    verdict = case.judge()
    assert verdict.wrong == []
    assert (verdict.accepted_hits, verdict.accepted_messages) == (19, 20)
    assert (verdict.stored_hits, verdict.stored_messages) == (19, 20)


def _lose(case: Case) -> None:
    execute(case, tables.report.delete().where(tables.report.c.hit_id == "h05"))


def _change(case: Case) -> None:
    execute(case, update(tables.report).where(tables.report.c.hit_id == "h05").values(sha256="f" * 64))


def _invent(case: Case) -> None:
    case.report(Entry("b", 99, "h99", "first", "9" * 64))


def _refuse_a_good_one(case: Case) -> None:
    case.put(tables.poison, unit=UNIT, sha256=MADE[3].sha256)


def _poison(case: Case) -> None:
    case.put(tables.poison, unit=UNIT, sha256="e" * 64)


def _show_an_old_phase(case: Case) -> None:
    execute(case, update(tables.hit).where(tables.hit.c.hit_id == "h01").values(phase="first"))


def _let_pass(case: Case) -> None:
    execute(case, tables.report.delete().where(tables.report.c.hit_id == "h03"))
    case.report(MADE[2])  # by sixteen messages of nineteen


def _keep(case: Case) -> None:
    case.waiting = 2


def _say_a_plate(case: Case) -> None:
    case.said = b"read TEST12345678 again"


def _break(case: Case) -> None:
    case.said = b"Traceback (most recent call last)"


@pytest.mark.parametrize(
    ("sabotage", "complaint"),
    [
        (_lose, "1 accepted messages are not in the database"),
        (_change, "1 messages are not those that the unit made"),
        (_invent, "1 records were never made by a unit"),
        (_refuse_a_good_one, "1 messages that a unit made stand among the poison"),
        (_poison, "1 poison messages, and no byte could be changed on the way"),
        (_show_an_old_phase, "hit h01 stands there as first"),
        (_let_pass, "17 messages passed one of the live"),
        (_keep, "2 messages still wait on units"),
        (_say_a_plate, "a plate stands in the log"),
        (_break, "wrote a traceback"),
    ],
)
def test_each_wrong_is_seen(case: Case, sabotage: Callable[[Case], None], complaint: str) -> None:
    sabotage(case)
    assert complaint in " / ".join(case.judge().wrong)


def test_what_a_kill_left_in_doubt_may_be_there_or_not(case: Case) -> None:
    doubtful = Entry("b", 21, "h02", "final", "a" * 64)
    case.notes.note("trying", doubtful)
    assert case.judge().wrong == []
    case.report(doubtful)
    execute(case, update(tables.hit).where(tables.hit.c.hit_id == "h02").values(phase="final"))
    assert case.judge().wrong == []


def test_poison_is_explained_by_changed_bytes(case: Case) -> None:
    _poison(case)
    assert case.judge(corrupted=1).wrong == []
