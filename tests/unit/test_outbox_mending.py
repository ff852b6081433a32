"""Damage is noticed, both processes end over it, and the next start mends it, however often it is cut short."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from edge_anpr.unit import mending, outbox_file
from edge_anpr.unit.mending import Mended
from edge_anpr.unit.outbox import Outbox, OutboxError
from tests.unit.damaging import BIG, PAGE, beside, filled, held, overwrite, payload
from tests.unit.test_outbox_age import DAY, Clock

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


def test_an_outbox_that_was_emptied_by_somebody_is_told(tmp_path: Path) -> None:
    path = tmp_path / "outbox.db"
    filled(path)
    path.write_bytes(b"")
    outbox = Outbox(path, BIG)
    assert outbox.mended == Mended(tmp_path / "outbox.db.damaged-1", 0, None)
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
