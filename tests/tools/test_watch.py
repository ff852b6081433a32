"""The live view at the widths of real terminals: nothing cut off that matters, the ill ones first."""

from __future__ import annotations

import fcntl
import io
import os
import pty
import signal
import struct
import subprocess
import sys
import termios
import time
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from edge_anpr.centre.records import AlarmRecord, HitRecord, UnitRecord
from edge_anpr.centre.store import Store
from edge_anpr.tools import watch
from edge_anpr.tools.watch import View, drawn
from tests.centre.records import START, UNIT, message, said
from tests.conftest import until

SILENT = AlarmRecord("silent", "centre", START, "nothing heard for 3 intervals of 30 s")
CLOCK = AlarmRecord("clock", "centre", START, "its clock is about 5 min ahead")


def unit(name: str = UNIT, *alarms: AlarmRecord, seen_s: float | None = 7, **more: Any) -> UnitRecord:
    values: dict[str, Any] = {
        "status": {"status": "online"}, "birth": {"version": "0.2.0"}, "list_id": "stolen", "list_version": 12,
        "health": {"publisher": {"outbox": {"hits": 3}}}, "list_since": START - timedelta(days=3), "missing": 2,
    } | more  # fmt: skip
    seen = None if seen_s is None else START - timedelta(seconds=seen_s)
    return UnitRecord(name=name, last_seen=seen, alarms=alarms, **values)


def hit(**more: Any) -> HitRecord:
    values: dict[str, Any] = {
        "unit": UNIT, "hit_id": "9e3779b97f4a7c15" * 2, "captured_at": START, "received_at": START, "phase": "final",
        "read": "12ABC3", "listed": "12ABC3", "match_class": "exact", "probability": 0.97, "reason": "stolen",
        "country": "NL", "late": False, "verdict": None,
    } | more  # fmt: skip
    return HitRecord(**values)


def view(units: list[UnitRecord], hits: list[HitRecord], **more: Any) -> View:
    values: dict[str, Any] = {"hits_today": len(hits), "kept_aside": 0, "last_judged": START} | more
    return View(START, units, hits, **values)


def shown(seen: View, width: int = 80, height: int | None = 24) -> list[str]:
    out = io.StringIO()
    Console(file=out, width=width).print(drawn(seen, width, height), width=width)
    lines = out.getvalue().splitlines()
    assert all(len(line) <= width for line in lines)
    assert height is None or len(lines) <= height
    return lines


@pytest.mark.parametrize("width", [80, 140])
def test_a_unit_and_a_hit_are_a_line_each(width: int) -> None:
    lines = shown(view([unit()], [hit(late=True, verdict="confirmed")]), width)
    for part in ("well", UNIT, "7s", "v12 3d", " 3 ", " 2 "):
        assert part in lines[2]
    for part in ("12:00:00", "pole-07", "12ABC3", "exact 97%", "stolen", "late", "confirmed", "9e3779b9"):
        assert part in lines[5]
    assert ("0.2.0" in lines[2]) == (width == 140)
    assert len(lines) == 6


def test_the_ill_ones_come_first_in_words() -> None:
    units = [
        unit("a/b/well"), unit("a/b/unheard", seen_s=None), unit("a/b/clock", CLOCK),
        unit("a/b/silent", SILENT, seen_s=300, status={"status": "lost"}),
        unit("a/b/disarmed", AlarmRecord("disarmed", "unit", START, ""), status={"status": "disarmed"}, list_id=None),
    ]  # fmt: skip
    lines = shown(view(units, []), 80)
    assert "3 of 5 units ill" in lines[0]
    assert [line.split()[:2] for line in lines[2:7]] == [
        ["SILENT", "a/b/silent"], ["ALARM", "a/b/clock"], ["ALARM", "a/b/disarmed"], ["unheard", "a/b/unheard"],
        ["well", "a/b/well"],
    ]  # fmt: skip
    assert "lost, silent" in lines[2]
    assert "5m" in lines[2]
    assert lines[4].rstrip().endswith("disarmed")
    assert "disarmed, disarmed" not in lines[4]
    assert " none " in lines[4]
    wide = shown(view(units, []), 140)
    assert "clock: its clock is about 5 min ahead" in wide[3]


@pytest.mark.parametrize("height", [12, 24, 50])
def test_five_hundred_units_fit_and_those_not_shown_are_counted(height: int) -> None:
    units = [unit(f"town/ring/pole-{number:03d}", *([SILENT] if number % 50 == 0 else [])) for number in range(500)]
    lines = shown(view(units, [hit()] * 50), 80, height)
    assert "10 of 500 units ill" in lines[0]
    silent = sum(line.startswith("SILENT") for line in lines)
    well = sum(line.startswith("well") for line in lines)
    rest = f"{10 - silent} SILENT, " if silent < 10 else ""
    assert f"and {rest}{490 - well} well not shown" in lines
    assert silent == 10 or well == 0
    assert sum("12ABC3" in line for line in lines) >= 3
    assert len(lines) == height


def test_without_data_it_says_so() -> None:
    lines = shown(view([], [], last_judged=None))
    assert "no unit has been heard of yet" in lines
    assert "no hit yet" in lines
    assert any("start `edge-anpr centre serve`" in line for line in lines)


def test_what_is_old_is_said() -> None:
    old = view([unit()], [], last_judged=START - timedelta(minutes=9))
    assert "old: no centre has run for 9m" in shown(old)[1]
    assert "old: the disk fails" in shown(view([unit()], [], problem="the disk fails"))[1]


def test_a_withdrawn_hit_names_nobody_that_passed_and_another_reading_is_shown_beside_the_listed_one() -> None:
    hits = [hit(phase="withdrawn", read=None), hit(read="I2ABC3", match_class="confusable")]
    narrow, wide = shown(view([unit()], hits)), shown(view([unit()], hits), 140)
    assert "withdrawn" in narrow[5]
    assert "%" not in narrow[5]
    assert "conf. 97%" in narrow[6]
    assert "≠12ABC3" in narrow[6]
    assert "I2ABC3     12ABC3     confusable 97%" in wide[6]


@pytest.mark.parametrize("width", [80, 140])
def test_nothing_that_a_unit_says_can_break_the_screen(width: int) -> None:
    evil = "\x1b[2J\n[red]"
    units = [
        unit(evil, AlarmRecord(evil, "unit", START, evil), status={"status": evil}, birth={"version": evil}),
        unit("a/b/c", status={"status": 3}, birth={"version": []}, health={"publisher": 7}, list_version=None),
        unit("a/b/d", list_id=evil, health={"publisher": {"outbox": {"hits": 10**30}}}, missing=10**9, list_since=None),
    ]  # fmt: skip
    lines = shown(view(units, [hit(reason=evil, read="W" * 32, probability=None, match_class=evil)]), width)
    assert len(lines) == 8
    assert not any("\x1b" in line for line in lines)
    assert any("[red]" in line for line in lines)


def test_in_a_pipe_it_is_plain_text_once_and_whole() -> None:
    out = io.StringIO()
    units = [unit(f"town/ring/pole-{number:03d}") for number in range(300)]
    watch.watch(lambda: view(units, [hit()] * 40), once=False, file=out)
    text = out.getvalue()
    assert text.count("well ") == 300
    assert text.count("12ABC3") == 40
    assert "\x1b" not in text


def test_on_a_terminal_it_is_drawn_anew_until_ctrl_c(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path}/records.db"
    store = Store(url)
    main, terminal = pty.openpty()
    fcntl.ioctl(terminal, termios.TIOCSWINSZ, struct.pack("HHHH", 24, 80, 0, 0))
    code = "import edge_anpr.tools.watch as w; w.REFRESH_S = 0.05; from edge_anpr import cli; cli.main()"
    running = subprocess.Popen(
        [sys.executable, "-W", "error", "-c", code, "centre", "watch", "--db", url],
        stdin=terminal, stdout=terminal, stderr=terminal, env=os.environ | {"TERM": "xterm"},
    )  # fmt: skip
    os.close(terminal)
    os.set_blocking(main, False)
    screen = bytearray()

    def read(part: bytes) -> bool:
        try:
            screen.extend(os.read(main, 65536))
        except BlockingIOError:
            time.sleep(0.01)
        return part in screen

    until(lambda: read(b"no unit has been heard of yet"))
    store.take([message()])
    store.states([said()])
    until(lambda: read(b"12ABC3"))
    running.send_signal(signal.SIGINT)
    assert running.wait(10) == 130
    os.close(main)
    store.close()
    assert b"Traceback" not in screen
