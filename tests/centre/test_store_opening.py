"""New, old, newer, foreign, broken, locked and dying databases; nothing half after kill -9."""

from __future__ import annotations

import os
import signal
import sqlite3
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from sqlalchemy import Connection, text

from edge_anpr.centre import database, tables, upgrading
from edge_anpr.centre.database import Database
from edge_anpr.centre.store import Store, StoreDown
from edge_anpr.errors import Unusable
from tests import postgresql
from tests.centre import records
from tests.centre.records import NewDb, message, rows
from tests.conftest import free_port, until

new_db, db = records.new_db, records.db  # the fixtures


def test_a_new_database_gets_the_tables_that_the_code_speaks_of(new_db: NewDb) -> None:
    url = new_db()
    Store(url).close()
    opened = Database(url, make=False)
    with opened.read() as connection:
        context = MigrationContext.configure(connection, opts={"version_table": upgrading.VERSION.name})
        assert compare_metadata(context, tables.metadata) == []
        assert context.get_current_revision() == upgrading.HEAD
    opened.close()


def test_the_newest_revision_is_the_one_that_is_asked_for() -> None:
    from alembic.script import ScriptDirectory

    assert ScriptDirectory.from_config(upgrading._config()).get_current_head() == upgrading.HEAD


def test_centres_that_open_the_same_new_database_at_once_all_find_its_tables(new_db: NewDb) -> None:
    for _ in range(2):
        url, together = new_db(), threading.Barrier(4)

        def opened(number: int, url: str = url, together: threading.Barrier = together) -> int:
            together.wait()
            store = Store(url)
            store.take([message(number, seq=number + 1)])
            found = len(store.roster())
            store.close()
            return found

        with ThreadPoolExecutor(4) as pool:
            assert list(pool.map(opened, range(4))) == [1] * 4


def version(store: Store, found: str) -> None:
    store.database.write(
        lambda connection: connection.execute(text(f"UPDATE edge_anpr_version SET version_num='{found}'"))
    )


def test_a_newer_database_is_refused_and_left_as_it_is(new_db: NewDb) -> None:
    url = new_db()
    store = Store(url)
    store.take([message()])
    version(store, "9999")
    for make in (True, False):
        with pytest.raises(Unusable, match="was written by a newer edge-anpr; update this one"):
            Database(url, make=make)
    assert len(rows(store, tables.hit)) == 1
    version(store, upgrading.HEAD)
    Store(url).close()
    store.close()


def test_another_programs_tables_are_refused(new_db: NewDb) -> None:
    url = new_db()
    if url.startswith("sqlite"):
        with sqlite3.connect(url.removeprefix("sqlite:///")) as other:
            other.execute("CREATE TABLE guests (name TEXT)")
        other.close()
        names = "guests"
    else:
        store = Store(url)
        store.database.write(lambda connection: connection.execute(text("DROP TABLE edge_anpr_version")))
        store.close()
        names = "alarm"
    with pytest.raises(Unusable, match=f"holds a table '{names}' of another program"):
        Store(url)


def test_who_only_looks_makes_nothing(new_db: NewDb, tmp_path: Path) -> None:
    url = new_db()
    with pytest.raises(Unusable, match=r"is not there|holds no records"):
        Database(url, make=False)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("url", "says"),
    [
        ("records.db", "--db takes sqlite:///records.db, or postgresql"),
        ("mysql://u:secret@h/d", "--db mysql: is not supported"),
        ("postgresql+psycopg://u:secret@h/d", "is not supported"),
        ("sqlite://", "names no file"),
        ("sqlite:////no/such/folder/r.db", "cannot be opened for writing: No such file or directory"),
        ("sqlite:////proc/r.db", "cannot be opened for writing"),
        ("sqlite:////usr", "Is a directory"),
        (f"postgresql+pg8000://u:secret@127.0.0.1:{free_port()}/d", "does not answer; check its host and port"),
        ("postgresql://u:secret@nowhere.invalid/d", "does not answer"),
    ],
)
def test_what_a_person_must_mend_is_said_without_the_password(url: str, says: str) -> None:
    with pytest.raises(Unusable, match=says) as raised:
        Store(url)
    assert "secret" not in str(raised.value)
    assert raised.value.__cause__ is None or isinstance(raised.value.__cause__, OSError)


def test_postgresql_says_what_is_wrong() -> None:
    server = postgresql.server()
    url = server.database()
    with pytest.raises(Unusable, match="no such database; make it with createdb"):
        Store(url.replace("@/t", "@/nosuch"))
    server.execute("CREATE ROLE guest LOGIN")
    with pytest.raises(Unusable, match="may not make or write tables"):
        Store(url.replace(f"//{postgresql.USER}@", "//guest@"))


def test_a_file_that_is_no_database_is_left_as_it_is(tmp_path: Path) -> None:
    path = tmp_path / "records.db"
    path.write_bytes(b"this is no database, whatever its name says" * 50)
    before = path.read_bytes()
    with pytest.raises(Unusable, match="it is no SQLite file"):
        Store(f"sqlite:///{path}")
    assert path.read_bytes() == before


def test_the_file_is_for_its_owner_only_and_every_commit_is_on_disk(tmp_path: Path) -> None:
    store = Store(f"sqlite:///{tmp_path}/records.db")
    store.take([message()])
    assert {path.stat().st_mode & 0o777 for path in tmp_path.iterdir()} == {0o600}
    with store.database.read() as connection:
        settings = {
            name: connection.exec_driver_sql(f"PRAGMA {name}").scalar()
            for name in ("journal_mode", "synchronous", "secure_delete")
        }
    assert settings == {"journal_mode": "wal", "synchronous": 2, "secure_delete": 1}
    store.close()


def test_postgresql_answers_when_a_commit_is_on_disk_whatever_it_is_set_to() -> None:
    server = postgresql.server()
    url = server.database()
    name = url.split("@/")[1].split("?")[0]
    server.execute(f"ALTER DATABASE {name} SET synchronous_commit = off")
    store = Store(url)
    with store.database.read() as connection:
        assert connection.exec_driver_sql("SHOW synchronous_commit").scalar() == "on"
    store.close()


def test_a_full_disk_costs_nothing_that_was_taken(tmp_path: Path) -> None:
    store = Store(f"sqlite:///{tmp_path}/records.db")
    store.take([message(1)])
    raw = store.database.engine.raw_connection()
    raw.driver_connection.execute("PRAGMA max_page_count = 1")  # type: ignore[union-attr]
    raw.close()
    large = message(2, reason_code="x" * 100_000)
    with pytest.raises(StoreDown, match="the disk is full; free some space") as raised:
        store.take([message(3), large])
    assert "12ABC3" not in f"{raised.value} {raised.value.__context__}"
    raw = store.database.engine.raw_connection()
    raw.driver_connection.execute("PRAGMA max_page_count = 100000")  # type: ignore[union-attr]
    raw.close()
    assert [row["hit_id"] for row in rows(store, tables.hit)] == [records.hit_id(1)]
    assert len(store.take([message(3), large])) == 2
    store.close()


def test_a_locked_file_is_waited_for_and_then_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(database, "BUSY_S", 0.05)
    url = f"sqlite:///{tmp_path}/records.db"
    store, other = Store(url), sqlite3.connect(tmp_path / "records.db", isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    with pytest.raises(StoreDown, match="another program holds it locked"):
        store.take([message()])
    other.execute("ROLLBACK")
    other.close()
    assert store.take([message()]) == ["stored"]
    store.close()


def test_a_server_that_ends_our_connections_is_used_again() -> None:
    server = postgresql.server()
    url = server.database()
    store = Store(url)
    name = url.split("@/")[1].split("?")[0]
    end = f"SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = '{name}'"
    cuts: list[int] = []

    def cut(connection: Connection) -> None:
        if len(cuts) < 1:
            cuts.append(1)
            server.execute(end)
        connection.exec_driver_sql("SELECT 1")

    store.database.write(cut)
    for number in range(5):
        server.execute(end)
        assert store.take([message(number, seq=number + 1)]) == ["stored"]
    cuts.clear()
    with pytest.raises(StoreDown), store.database.read() as connection:
        cut(connection)
    assert len(rows(store, tables.hit)) == 5
    store.close()


def test_a_server_that_is_down_is_told_and_used_again_when_it_is_back() -> None:
    server = postgresql.Server()
    store = Store(server.database())
    store.take([message(1)])
    server.end()
    for _ in range(2):
        with pytest.raises(StoreDown, match="does not answer") as raised:
            store.take([message(2)])
        assert "12ABC3" not in str(raised.value)
    server.start()
    assert store.take([message(1), message(2, seq=2)]) == ["repeat", "stored"]
    store.close()
    server.stop()


def test_two_centres_take_of_one_unit_in_turns(monkeypatch: pytest.MonkeyPatch) -> None:
    """Or each could wait for a hit that the other has."""
    monkeypatch.setattr(database, "LOCK_S", 0.1)
    store = Store(postgresql.server().database())
    store.states([records.said()])
    held = tables.unit.select().with_for_update()
    with store.database.read() as other:
        other.execute(held)
        with pytest.raises(StoreDown, match="somebody holds a table locked"):
            store.take([message()])
        assert store.take([message(unit="town/bridge/pole-08")]) == ["stored"]
    assert store.take([message()]) == ["stored"]
    store.close()


def test_the_victim_of_a_deadlock_tries_again() -> None:
    store, together, tries = Store(postgresql.server().database()), threading.Barrier(2), []
    store.states([records.said("a"), records.said("b")])

    def change(connection: Connection, name: str) -> None:
        connection.execute(tables.unit.update().where(tables.unit.c.name == name).values(missing=7))

    def crossing(order: tuple[str, str]) -> None:
        def work(connection: Connection) -> None:
            again = order in tries
            tries.append(order)
            change(connection, order[0])
            if not again:
                together.wait(5)  # both hold one, and want the other's
            change(connection, order[1])

        store.database.write(work)

    with ThreadPoolExecutor(2) as pool:
        list(pool.map(crossing, (("a", "b"), ("b", "a"))))
    assert len(tries) == 3
    store.close()


TAKER = """
import sys
from edge_anpr.centre.store import Store
from tests.centre.records import message
store = Store(sys.argv[1])
for batch in range(10_000):
    store.take([message(7 * batch + number, phase, seq=14 * batch + 2 * number + (phase == "final") + 1)
                for number in range(7) for phase in ("first", "final")])
    print(batch, flush=True)
"""


def test_after_kill_9_in_the_middle_every_batch_is_there_wholly_or_not_at_all(db: str, tmp_path: Path) -> None:
    log = tmp_path / "taken"
    with log.open("wb") as out:
        taker = subprocess.Popen([sys.executable, "-c", TAKER, db], stdout=out, cwd=Path(__file__).parents[2])
    until(lambda: log.read_bytes().count(b"\n") > 5)
    os.kill(taker.pid, signal.SIGKILL)
    taker.wait(10)
    told = log.read_bytes().count(b"\n")
    store = Store(db)
    hits, reports, pictures = (len(rows(store, table)) for table in (tables.hit, tables.report, tables.evidence))
    assert hits % 7 == 0
    assert hits // 7 in (told, told + 1)
    assert (reports, pictures) == (2 * hits, hits)
    assert store.gaps() == {records.UNIT: 0}
    store.close()
