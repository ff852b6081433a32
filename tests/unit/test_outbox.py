from __future__ import annotations

import hashlib
import os
import random
import sqlite3
import subprocess
import sys
import time
from pathlib import Path

import pytest

from edge_anpr.errors import Unusable
from edge_anpr.unit.outbox import Outbox, OutboxError, OutboxFull
from edge_anpr.unit.outbox_file import SCHEMA_VERSION

BIG = 10_000_000
PLATE = b"12ABC3-in-clear"


def files(path: Path) -> bytes:
    return b"".join(part.read_bytes() for part in path.parent.glob(f"{path.name}*"))


def waits(outbox: Outbox) -> tuple[int, int]:
    depth = outbox.depth()
    return depth.hits, depth.bytes


def test_hits_wait_in_order_with_both_phases(tmp_path: Path) -> None:
    path = tmp_path / "new" / "folder" / "outbox.db"
    outbox = Outbox(path, BIG)
    for hit_id, phase in (("a", "first"), ("b", "first"), ("a", "final")):
        outbox.append(hit_id, phase, f"{hit_id} {phase}".encode())
    outbox.close()
    outbox = Outbox(path, BIG)
    rows = outbox.waiting(0, 10)
    assert [(row.hit_id, row.phase, row.payload) for row in rows] == [
        ("a", "first", b"a first"),
        ("b", "first", b"b first"),
        ("a", "final", b"a final"),
    ]
    assert [row.digest for row in rows] == [hashlib.sha256(row.payload).hexdigest() for row in rows]
    assert [row.hit_id for row in outbox.waiting(rows[0].rowid, 1)] == ["b"]
    assert waits(outbox) == (3, 21)
    outbox.delete([row.rowid for row in rows[:2]])
    assert waits(outbox) == (1, 7)
    outbox.close()


def test_a_row_does_not_show_its_payload(tmp_path: Path) -> None:
    outbox = Outbox(tmp_path / "outbox.db", BIG)
    outbox.append("a", "first", PLATE)
    assert "12ABC3" not in repr(outbox.waiting(0, 1))
    outbox.close()


def test_rowids_are_never_used_again(tmp_path: Path) -> None:
    outbox = Outbox(tmp_path / "outbox.db", BIG)
    outbox.append("a", "first", b"1")
    first = outbox.waiting(0, 1)[0].rowid
    outbox.delete([first])
    outbox.append("b", "first", b"2")
    assert [row.hit_id for row in outbox.waiting(first, 1)] == ["b"]
    outbox.close()


def test_a_full_outbox_refuses_and_keeps_what_it_has(tmp_path: Path) -> None:
    outbox = Outbox(tmp_path / "outbox.db", 100)
    outbox.append("a", "first", b"x" * 60)
    with pytest.raises(OutboxFull, match="1 messages, 60 bytes wait") as refusal:
        outbox.append("b", "first", b"x" * 41)
    assert (refusal.value.hits, refusal.value.bytes) == (1, 60)
    outbox.append("c", "first", b"x" * 40)
    assert [row.hit_id for row in outbox.waiting(0, 9)] == ["a", "c"]
    outbox.delete([1])
    outbox.append("b", "first", b"x" * 41)
    outbox.close()


def test_a_full_disk_refuses_and_keeps_what_it_has(tmp_path: Path) -> None:
    outbox = Outbox(tmp_path / "outbox.db", BIG)
    outbox.append("a", "first", b"x" * 60)
    pages = outbox._db.execute("PRAGMA page_count").fetchone()[0]
    outbox._db.execute(f"PRAGMA max_page_count = {pages}")  # what SQLite says then is what it says on a full disk
    with pytest.raises(OutboxFull, match="free some space"):
        outbox.append("b", "first", b"x" * 100_000)
    assert waits(outbox) == (1, 60)
    outbox._db.execute(f"PRAGMA max_page_count = {pages + 100}")
    outbox.append("b", "first", b"x" * 100_000)
    assert waits(outbox) == (2, 100_060)
    outbox.close()


def test_delivered_hits_are_in_no_file_any_more(tmp_path: Path) -> None:
    path = tmp_path / "outbox.db"
    outbox = Outbox(path, BIG)
    outbox.append("a", "first", PLATE * 1000)
    assert PLATE in files(path)
    outbox.delete([1])
    assert PLATE not in files(path)
    outbox.close()


def test_the_file_is_nobody_elses(tmp_path: Path) -> None:
    path = tmp_path / "outbox.db"
    before = os.umask(0)
    try:
        outbox = Outbox(path, BIG)
    finally:
        os.umask(before)
    modes = {part.stat().st_mode & 0o007 for part in tmp_path.glob("outbox.db*")}
    assert modes == {0}
    outbox.close()


def test_state_holds_the_latest(tmp_path: Path) -> None:
    outbox = Outbox(tmp_path / "outbox.db", BIG)
    assert outbox.state("birth") is None
    assert outbox.state_age_s("birth") is None
    outbox.put_state("birth", b"1")
    outbox.put_state("birth", b"2")
    outbox.put_state("health", b"3")
    assert (outbox.state("birth"), outbox.state("health")) == (b"2", b"3")
    age_s = outbox.state_age_s("birth")
    assert age_s is not None
    assert 0 <= age_s < 60
    assert outbox._db.execute("PRAGMA synchronous").fetchone()[0] == 2  # hits still wait for the card
    outbox.close()


def test_version_changes_when_another_process_writes(tmp_path: Path) -> None:
    ours, theirs = Outbox(tmp_path / "outbox.db", BIG), Outbox(tmp_path / "outbox.db", BIG)
    before = ours.version()
    assert ours.version() == before
    theirs.append("a", "first", b"1")
    assert ours.version() != before
    began = time.perf_counter()
    for _ in range(100):
        ours.version()
    assert time.perf_counter() - began < 0.5
    ours.close()
    theirs.close()


def test_a_file_that_was_moved_away_takes_no_more_hits(tmp_path: Path) -> None:
    path = tmp_path / "outbox.db"
    outbox = Outbox(path, BIG)
    path.rename(tmp_path / "elsewhere")
    for use in (outbox.version, lambda: outbox.append("a", "first", b"1"), lambda: outbox.put_state("health", b"1")):
        with pytest.raises(OutboxError, match="was moved away or replaced"):
            use()
    path.write_bytes(b"")
    with pytest.raises(OutboxError, match="was moved away or replaced"):
        outbox.append("a", "first", b"1")
    outbox.close()


@pytest.mark.parametrize(
    ("damage", "words"),
    [
        (
            lambda path: path.write_bytes(b"this is no database, but long enough to be read as one" * 50),
            "no SQLite file",
        ),
        (lambda path: path.mkdir(), "Is a directory"),
        (lambda path: path.symlink_to("/proc/nothing/here"), "cannot be opened for writing"),
    ],
)
def test_an_unusable_file_is_told_in_one_line(tmp_path: Path, damage: object, words: str) -> None:
    path = tmp_path / "outbox.db"
    assert callable(damage)
    damage(path)
    with pytest.raises(Unusable) as told:
        Outbox(path, BIG)
    assert str(path) in str(told.value)
    assert words in str(told.value)
    assert "\n" not in str(told.value)


def test_a_folder_that_cannot_be_made_is_told_in_one_line(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("", "utf-8")
    with pytest.raises(Unusable, match=r"outbox .*file/outbox\.db cannot be opened"):
        Outbox(tmp_path / "file" / "outbox.db", BIG)


@pytest.mark.parametrize(
    ("statement", "words"),
    [
        ("CREATE TABLE other (x)", "another program"),
        (f"PRAGMA user_version = {SCHEMA_VERSION + 1}", "a newer edge-anpr"),
    ],
)
def test_a_stranger_is_not_touched(tmp_path: Path, statement: str, words: str) -> None:
    path = tmp_path / "outbox.db"
    db = sqlite3.connect(path)
    db.execute(statement)
    db.close()
    before = path.read_bytes()
    with pytest.raises(Unusable, match=words):
        Outbox(path, BIG)
    assert path.read_bytes() == before


WRITER = """
import sys
from pathlib import Path
from edge_anpr.unit.outbox import Outbox
outbox = Outbox(Path(sys.argv[1]), 10**9)
for number in range(10**6):
    outbox.append(str(number), "first", b"x" * 2000)
    print(number, flush=True)
"""


def test_a_killed_writer_loses_nothing_it_was_told_is_kept(tmp_path: Path) -> None:
    path = tmp_path / "outbox.db"
    for _ in range(4):
        path.unlink(missing_ok=True)
        with subprocess.Popen([sys.executable, "-c", WRITER, str(path)], stdout=subprocess.PIPE) as writer:
            assert writer.stdout is not None
            told = [int(writer.stdout.readline()) for _ in range(random.randrange(1, 60))]
            writer.kill()
            told += [int(line) for line in writer.stdout.read().split(b"\n")[:-1]]
        outbox = Outbox(path, BIG)
        kept = [int(row.hit_id) for row in outbox.waiting(0, 10**6)]
        assert kept[: len(told)] == told
        assert len(kept) <= len(told) + 1
        assert waits(outbox) == (len(kept), 2000 * len(kept))
        outbox.close()


CREATOR = """
import sys, time
from pathlib import Path
from edge_anpr.unit.outbox import Outbox
folder, rounds, name, moment = sys.argv[1], int(sys.argv[2]), sys.argv[3], float(sys.argv[4])
for number in range(rounds):
    while time.time() < moment + 0.04 * number:
        pass
    Outbox(Path(folder, str(number)), 10**6).append(name, "first", b"x")
"""


def test_two_processes_may_create_it_at_once(tmp_path: Path) -> None:
    rounds = 25
    moment = time.time() + 0.7  # by then both run, and each round begins at the same moment in both
    both = [
        subprocess.Popen(
            [sys.executable, "-c", CREATOR, str(tmp_path), str(rounds), name, str(moment)], stderr=subprocess.PIPE
        )
        for name in ("a", "b")
    ]
    for process in both:
        _, complaint = process.communicate(timeout=30)
        assert process.returncode == 0, complaint.decode()
    for number in range(rounds):
        outbox = Outbox(tmp_path / str(number), BIG)
        assert sorted(row.hit_id for row in outbox.waiting(0, 9)) == ["a", "b"]
        outbox.close()
