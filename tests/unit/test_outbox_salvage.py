"""What can still be read of a damaged outbox is carried over, in order, and nothing is invented."""

from __future__ import annotations

import logging
import os
import random
import sqlite3
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from edge_anpr.errors import Unusable
from edge_anpr.unit import outbox_file
from edge_anpr.unit.clock import Uptime
from edge_anpr.unit.mending import Mended
from edge_anpr.unit.outbox import Outbox, OutboxError
from edge_anpr.unit.salvage import Remains
from tests.unit.damaging import BIG, PAGE, beside, filled, held, overwrite, payload
from tests.unit.test_outbox_age import DAY, VERSION_1, Clock


@pytest.mark.parametrize("clean", [True, False])
def test_of_a_whole_file_everything_is_read(tmp_path: Path, clean: bool) -> None:
    path = tmp_path / "outbox.db"
    kept = filled(path, clean=clean)
    remains = Remains(path, tmp_path / "outbox.db-wal")
    hits = list(remains.hits())
    assert {hit.hit_id: hit.payload for hit in hits} == kept
    assert [hit.rowid for hit in hits] == sorted(hit.rowid for hit in hits)
    assert (remains.counted, remains.sequence, remains.is_outbox) == (len(kept), 60, True)
    assert all(hit.boot and hit.boottime_s > 0 and hit.phase == "first" for hit in hits)
    assert all(hit.checksum for hit in hits)
    remains.close()


def test_of_a_file_of_version_1_everything_is_read_too(tmp_path: Path) -> None:
    path = tmp_path / "outbox.db"
    db = sqlite3.connect(path)
    db.executescript(VERSION_1)
    db.executemany(
        "INSERT INTO hit (hit_id, phase, payload) VALUES (?, 'final', ?)", [(str(n), payload(n)) for n in range(9)]
    )
    db.commit()
    db.close()
    overwrite(path, 0, bytes(100))
    outbox = Outbox(path, BIG)
    assert held(outbox) == {str(number): payload(number) for number in range(9)}
    assert outbox.mended == Mended(tmp_path / "outbox.db.damaged-1", 9, 0)
    assert {row.age_s for row in outbox.waiting(0, 99)} == {None}
    outbox.close()


def torn_header(path: Path, _draw: random.Random) -> None:
    overwrite(path, 0, os.urandom(512))


def no_database(path: Path, _draw: random.Random) -> None:
    path.write_bytes(b"what a card makes of a file now and then" * 500)


def one_page(path: Path, draw: random.Random) -> None:
    overwrite(path, draw.randrange(path.stat().st_size // PAGE) * PAGE, draw.randbytes(PAGE))


def many_sectors(path: Path, draw: random.Random) -> None:
    for _ in range(20):
        overwrite(path, draw.randrange(path.stat().st_size // 512) * 512, draw.choice((bytes(512), b"\xff" * 512)))


def cut_off(path: Path, draw: random.Random) -> None:
    os.truncate(path, draw.randrange(path.stat().st_size))


@pytest.mark.parametrize("clean", [True, False])
@pytest.mark.parametrize("damage", [torn_header, no_database, one_page, many_sectors, cut_off])
def test_whatever_is_damaged_the_unit_goes_on_with_what_can_be_read_and_nothing_is_invented(
    tmp_path: Path, damage: Callable[[Path, random.Random], None], clean: bool
) -> None:
    for seed in range(4):
        path = tmp_path / f"{seed}" / "outbox.db"
        kept = filled(path, clean=clean)
        damage(path, random.Random(seed))
        for _ in range(4):  # what only shows when it is read takes a new start
            try:
                outbox = Outbox(path, BIG)
                rows = held(outbox)
                outbox.append("new", "first", b"new")
                break
            except OutboxError:
                outbox.close()
        else:
            pytest.fail("is not mended by itself")
        assert rows.items() <= kept.items()
        assert [*rows] == [hit_id for hit_id in kept if hit_id in rows]
        assert [row.hit_id for row in outbox.waiting(0, 10**6)] == [*rows, "new"]
        if damage is torn_header and not clean:
            assert rows == kept
        mended = outbox.mended
        if mended is None:
            assert rows == kept
        else:
            assert mended.path.exists()
            assert (mended.rescued, mended.lost) in {(len(rows), len(kept) - len(rows)), (len(rows), None)}
        assert outbox.depth().hits == len(rows) + 1
        outbox.delete([row.rowid for row in outbox.waiting(0, 10**6)])
        assert (outbox.depth().hits, outbox.depth().bytes) == (0, 0)
        assert not {name for name in beside(path) if name.startswith(("outbox.db.mend", "outbox.db.damaged"))} - {
            "outbox.db.damaged-1",
            "outbox.db.damaged-1-wal",
        }
        outbox.close()


def test_damage_is_told_in_one_line_without_a_plate(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    path = tmp_path / "outbox.db"
    outbox = Outbox(path, BIG)
    for number in range(9):
        outbox.append(str(number), "first", b'{"read":"12ABC3"}')
    outbox.close()
    overwrite(path, 0, b"torn")
    with caplog.at_level(logging.DEBUG):
        Outbox(path, BIG).close()
    assert caplog.messages == [
        f"outbox {path} was damaged: it lies beside it as outbox.db.damaged-1; 9 messages were carried over, 0 lost"
    ]


@pytest.mark.parametrize("left", ["empty", "gone"])
def test_what_is_in_the_log_alone_is_carried_over(tmp_path: Path, left: str) -> None:
    path = tmp_path / "outbox.db"
    kept = filled(path, 5, clean=False)
    path.write_bytes(b"") if left == "empty" else path.unlink()
    outbox = Outbox(path, BIG)
    assert held(outbox) == kept
    assert outbox.mended == Mended(tmp_path / "outbox.db.damaged-1", 4, 0)
    assert {"outbox.db.damaged-1", "outbox.db.damaged-1-wal"} <= beside(path)
    outbox.close()


def test_ages_and_the_clock_are_carried_over(tmp_path: Path) -> None:
    path, clock = tmp_path / "outbox.db", Clock()
    outbox = Outbox(path, BIG, now=clock)
    outbox.append("a", "first", b"1")
    clock.seconds += DAY
    outbox.expire(9 * DAY)
    outbox.close()
    overwrite(path, 0, b"torn")
    clock.reboot(after_s=5.0)
    outbox = Outbox(path, BIG, now=clock)
    assert outbox.depth().oldest_s == pytest.approx(DAY + 5)
    assert outbox.waiting(0, 9)[0].age_s is None
    outbox.close()


def test_it_says_so_when_the_disk_has_no_room_for_a_new_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "outbox.db"
    filled(path)
    overwrite(path, 0, b"torn")

    def full(_db: sqlite3.Connection) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(outbox_file, "lay", full)
        with pytest.raises(Unusable, match="is damaged and cannot be mended: No space left on device"):
            Outbox(path, BIG)
    assert path.read_bytes().startswith(b"torn")
    Outbox(path, BIG).close()


def test_carrying_over_costs_little(tmp_path: Path) -> None:
    path = tmp_path / "outbox.db"
    outbox = Outbox(path, BIG, now=lambda: Uptime("one", 1.0))
    body = os.urandom(8260)
    outbox._db.execute("PRAGMA synchronous = OFF")
    for number in range(1000):
        outbox.append(str(number), "first", body)
    outbox.close()
    overwrite(path, 0, b"torn")
    began = time.perf_counter()
    outbox = Outbox(path, BIG)
    assert time.perf_counter() - began < 5
    assert outbox.mended == Mended(tmp_path / "outbox.db.damaged-1", 1000, 0)
    outbox.close()
