"""A damaged outbox is set aside, what can be read of it is carried over, and the unit goes on by itself."""

from __future__ import annotations

import logging
import os
import random
import shutil
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from edge_anpr.errors import Unusable
from edge_anpr.unit import mending, outbox_file
from edge_anpr.unit.clock import Uptime
from edge_anpr.unit.mending import Mended
from edge_anpr.unit.outbox import Outbox, OutboxError
from edge_anpr.unit.salvage import Remains
from tests.unit.test_outbox_age import DAY, VERSION_1, Clock

BIG = 10**8
PAGE = 4096


def payload(number: int) -> bytes:
    draw = random.Random(number)
    return draw.randbytes(draw.choice((1, 300, 4000, 8260, 16450)))


def filled(path: Path, count: int = 60, *, clean: bool = True) -> dict[str, bytes]:
    """An outbox with ``count`` hits, every fifth of them delivered; not ``clean``: as a killed process leaves it."""
    outbox = Outbox(path, BIG)
    outbox._db.execute("PRAGMA synchronous = OFF")
    for number in range(count):
        outbox.append(str(number), "first", payload(number))
    outbox.delete(list(range(1, count, 5)))
    if not clean:
        copies = [(part, part.read_bytes()) for part in path.parent.glob("outbox.db*")]
    outbox.close()
    if not clean:
        for part, raw in copies:
            part.write_bytes(raw)
    return {str(number): payload(number) for number in range(count) if number % 5}


def held(outbox: Outbox) -> dict[str, bytes]:
    return {row.hit_id: row.payload for row in outbox.waiting(0, 10**6)}


def beside(path: Path) -> set[str]:
    return {part.name for part in path.parent.iterdir()}


def overwrite(path: Path, at: int, raw: bytes) -> None:
    with path.open("r+b") as file:
        file.seek(at)
        file.write(raw)


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


def test_a_payload_that_changed_is_not_delivered_and_the_others_are(tmp_path: Path) -> None:
    path = tmp_path / "outbox.db"
    kept = filled(path)
    raw = bytearray(path.read_bytes())
    raw[raw.index(payload(33)[-2000:]) + 1000] ^= 1  # SQLite would not mind
    path.write_bytes(raw)
    ours, theirs = Outbox(path, BIG, "recogniser"), Outbox(path, BIG, "publisher")
    with pytest.raises(OutboxError, match="is damaged; it is mended when all its processes start anew"):
        theirs.waiting(0, 1000)
    for use in (ours.version, lambda: ours.append("a", "first", b"1"), lambda: ours.put_state("health", b"{}")):
        with pytest.raises(OutboxError, match="is damaged; it is mended"):
            use()
    ours.close()
    theirs.close()
    ours = Outbox(path, BIG)
    del kept["33"]
    assert held(ours) == kept
    assert ours.mended == Mended(tmp_path / "outbox.db.damaged-1", len(kept), 1)
    ours.version()
    ours.close()


OTHER = """
import sys, time
from pathlib import Path
from edge_anpr.unit.outbox import Outbox
outbox = Outbox(Path(sys.argv[1]), 10**8, "recogniser")
print("open", flush=True)
while True:
    outbox.version()
    time.sleep(0.02)
"""


def test_it_is_mended_when_the_other_process_has_ended_and_that_ends_by_itself(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "outbox.db"
    kept = filled(path)
    with subprocess.Popen(
        ["timeout", "20", sys.executable, "-c", OTHER, str(path)], stdout=subprocess.PIPE, stderr=subprocess.PIPE
    ) as other:
        assert other.stdout is not None
        assert other.stdout.readline() == b"open\n"
        overwrite(path, 5 * PAGE, os.urandom(20 * PAGE))
        with pytest.raises(OutboxError, match="is damaged"):
            Outbox(path, BIG, "publisher").waiting(0, 1000)
        outbox = Outbox(path, BIG, "publisher")
        assert b"OutboxError" in other.communicate(timeout=10)[1]
        assert other.returncode == 1
    assert outbox.mended
    assert held(outbox).items() < kept.items()
    outbox.close()


def test_while_the_other_process_does_not_end_nothing_is_moved(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(outbox_file, "ENDING_S", 0.05)
    path = tmp_path / "outbox.db"
    filled(path)
    other = Outbox(path, BIG)
    other._place.damage()
    with pytest.raises(OutboxError, match="another process has it open; it has to end"):
        Outbox(path, BIG)
    assert "outbox.db.damaged-1" not in beside(path)
    other.close()


def test_a_tally_that_does_not_add_up_is_made_anew_after_an_unclean_end(tmp_path: Path) -> None:
    path = tmp_path / "outbox.db"
    outbox = Outbox(path, BIG)
    outbox.append("a", "first", b"1")
    outbox._db.execute("UPDATE tally SET bytes = bytes + 100000000")
    raw = [(part, part.read_bytes()) for part in tmp_path.glob("outbox.db*")]
    outbox.close()
    for part, content in raw:
        part.write_bytes(content)
    outbox = Outbox(path, BIG)
    assert held(outbox) == {"a": b"1"}
    assert outbox.mended
    outbox.append("b", "first", b"2")
    outbox.close()


def test_a_clock_that_changed_on_the_card_lets_nothing_expire(tmp_path: Path) -> None:
    path, clock = tmp_path / "outbox.db", Clock()
    outbox = Outbox(path, BIG, now=clock)
    outbox.append("a", "first", b"1")
    outbox._db.execute("UPDATE clock SET powered_s = 1e12")
    outbox.close()
    outbox = Outbox(path, BIG, now=clock)
    assert outbox.expire(28 * DAY) == 0
    assert (outbox.depth().oldest_s or 0) < DAY
    outbox._db.execute("UPDATE hit SET powered_s = -1e12")
    with pytest.raises(OutboxError, match="is damaged"):
        outbox.expire(28 * DAY)
    outbox.close()


def test_a_false_alarm_is_taken_back(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    path = tmp_path / "outbox.db"
    kept = filled(path)
    (tmp_path / "outbox.db.damaged").touch()
    outbox = Outbox(path, BIG)
    assert held(outbox) == kept
    assert outbox.mended is None
    assert not {name for name in beside(path) if "damaged" in name}
    assert "nothing is wrong with it" in caplog.text
    outbox.close()


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


def test_an_outbox_that_was_emptied_by_somebody_is_told(tmp_path: Path) -> None:
    path = tmp_path / "outbox.db"
    filled(path)
    path.write_bytes(b"")
    outbox = Outbox(path, BIG)
    assert outbox.mended == Mended(tmp_path / "outbox.db.damaged-1", 0, None)
    outbox.close()


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


class Plug(BaseException):
    pass


@pytest.mark.parametrize("left", ["a lost page", "the log alone"])
def test_mending_may_be_cut_short_at_any_step(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, left: str) -> None:
    whole = tmp_path / "whole" / "outbox.db"
    filled(whole, clean=left == "a lost page")
    if left == "a lost page":
        overwrite(whole, 20 * PAGE, bytes(PAGE))
        whole.with_name("outbox.db.damaged").touch()
    else:
        whole.unlink()
    shutil.copytree(whole.parent, tmp_path / "mended")
    outbox = Outbox(tmp_path / "mended" / "outbox.db", BIG)
    kept, mended = held(outbox), outbox.mended
    outbox.close()
    assert mended is not None
    calls = 0

    def cut(name: str, real: Callable[..., object]) -> Callable[..., object]:
        def cutting(*arguments: object, **named: object) -> object:
            nonlocal calls
            calls -= 1
            if calls == 0:
                raise Plug
            return real(*arguments, **named)

        return cutting

    steps = 0
    for steps in range(1, 100):
        path = tmp_path / str(steps) / "outbox.db"
        shutil.copytree(tmp_path / "whole", path.parent)
        calls = steps
        with monkeypatch.context() as plug:
            for name in ("rename", "unlink"):
                plug.setattr(Path, name, cut(name, getattr(Path, name)))
            for name in ("create", "lay", "open_file", "sync"):
                plug.setattr(outbox_file, name, cut(name, getattr(outbox_file, name)))
            try:
                Outbox(path, BIG).close()
            except Plug:
                pass
            else:
                break
        outbox = Outbox(path, BIG)
        assert held(outbox) == kept, steps
        assert outbox.mended == replace(mended, path=path.with_name("outbox.db.damaged-1")), steps
        outbox.version()
        outbox.close()
        shutil.rmtree(path.parent)
    assert steps > 10


def test_a_large_file_is_looked_at_after_an_unclean_end_only(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    looked: list[Path] = []
    monkeypatch.setattr(mending, "_read_ahead", looked.append)
    path = tmp_path / "outbox.db"
    filled(path)
    Outbox(path, BIG).close()
    assert looked == []
    filled(path, clean=False)
    Outbox(path, BIG).close()
    assert looked == [path]


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
