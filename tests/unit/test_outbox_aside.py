"""Which files are set aside, which never are, and how those that were end."""

from __future__ import annotations

import sqlite3
from pathlib import Path

import pytest

from edge_anpr.errors import Unusable
from edge_anpr.unit import outbox_file
from edge_anpr.unit.mending import Mended
from edge_anpr.unit.outbox import Outbox
from tests.unit.damaging import BIG, beside, filled, held, overwrite, payload
from tests.unit.test_outbox_age import DAY, Clock


@pytest.mark.parametrize("flagged", [True, False])
@pytest.mark.parametrize(
    "statement", ["CREATE TABLE other (x)", f"PRAGMA user_version = {outbox_file.SCHEMA_VERSION + 1}"]
)
def test_what_somebody_else_wrote_is_never_moved(tmp_path: Path, statement: str, flagged: bool) -> None:
    path = tmp_path / "outbox.db"
    db = sqlite3.connect(path)
    db.execute(statement)
    db.close()
    if flagged:
        (tmp_path / "outbox.db.damaged").touch()
    before = path.read_bytes()
    with pytest.raises(Unusable, match="was written by"):
        Outbox(path, BIG)
    assert path.read_bytes() == before
    assert "outbox.db.damaged-1" not in beside(path)


@pytest.mark.parametrize(
    "raw",
    [b"root:x:0:0:root:/root:/bin/bash\n" * 200, b"SQLite format 3\0" + b"\x10" * 9000, b"short"],
)
def test_what_never_was_an_outbox_is_never_moved(tmp_path: Path, raw: bytes) -> None:
    path = tmp_path / "outbox.db"
    path.write_bytes(raw)
    for _ in range(2):
        with pytest.raises(Unusable, match="nothing shows that it was an outbox; move it away"):
            Outbox(path, BIG, "recogniser")
    assert path.read_bytes() == raw
    assert "outbox.db.damaged-1" not in beside(path)


def test_a_foreign_file_with_a_version_like_ours_is_never_moved(tmp_path: Path) -> None:
    path = tmp_path / "outbox.db"
    db = sqlite3.connect(path)
    db.executescript("CREATE TABLE photos (x); PRAGMA user_version = 2")
    db.close()
    before = path.read_bytes()
    with pytest.raises(Unusable, match="nothing shows that it was an outbox"):
        Outbox(path, BIG)
    assert path.read_bytes() == before


def test_three_damaged_ones_are_kept_and_their_numbers_count_on(tmp_path: Path) -> None:
    path = tmp_path / "outbox.db"
    kept = filled(path)
    for number in range(1, 6):
        overwrite(path, 0, b"torn")
        outbox = Outbox(path, BIG)
        assert outbox.mended == Mended(tmp_path / f"outbox.db.damaged-{number}", len(kept), 0)
        assert held(outbox) == kept
        outbox.close()
    assert {name for name in beside(path) if "damaged" in name} == {
        f"outbox.db.damaged-{number}" for number in (3, 4, 5)
    }


def test_a_damaged_one_ends_as_the_hits_in_it_do(tmp_path: Path) -> None:
    path, clock = tmp_path / "outbox.db", Clock()
    outbox = Outbox(path, BIG, now=clock)
    outbox.append("a", "first", payload(3))
    outbox.close()
    overwrite(path, 0, b"torn")
    outbox = Outbox(path, BIG, now=clock)
    clock.seconds += 2 * DAY
    assert outbox.expire(3 * DAY) == 0
    assert outbox.mended is not None
    with outbox.mended.path.open("rb") as aside:
        assert outbox.expire(1.9 * DAY) == 1
        assert not any(aside.read())  # overwritten before it went
    assert outbox.mended is None
    assert "outbox.db.damaged-1" not in beside(path)
    assert outbox._db.execute("SELECT count(*) FROM aside").fetchone() == (0,)
    outbox.close()
