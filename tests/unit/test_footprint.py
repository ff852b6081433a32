"""What is given back of the memory that loading filled: pages of files, and nothing that would be lost."""

from __future__ import annotations

import ctypes
import json
import mmap
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from edge_anpr import demo
from edge_anpr.unit.footprint import give_back_files
from tests.conftest import until

LIBC = ctypes.CDLL(None, use_errno=True)
SIDE = 64 * mmap.PAGESIZE


def pages_held(place: int) -> int:
    """Kilobytes of the mapping that begins here which are in this process's memory."""
    mine = Path("/proc/self/smaps").read_text().split(f"\n{place:x}-", 1)[1]
    return int(next(line for line in mine.splitlines() if line.startswith("Rss:")).split()[1])


@pytest.fixture
def mapped(tmp_path: Path) -> Callable[[int], tuple[mmap.mmap, int]]:
    """Maps a file of ones so that it may be read and, privately, written; the map and where it begins."""

    def made(flags: int) -> tuple[mmap.mmap, int]:
        file = tmp_path / "library"
        file.write_bytes(b"\1" * SIDE)
        with file.open("r+b") as opened:
            found = mmap.mmap(opened.fileno(), SIDE, flags=flags, prot=mmap.PROT_READ | mmap.PROT_WRITE)
        return found, ctypes.addressof(ctypes.c_char.from_buffer(found))

    return made


def only_read(place: int) -> None:
    assert LIBC.mprotect(ctypes.c_void_p(place), ctypes.c_size_t(SIDE), mmap.PROT_READ) == 0


def test_pages_of_a_file_that_is_only_read_are_given_back_and_come_again(
    mapped: Callable[[int], tuple[mmap.mmap, int]],
) -> None:
    file, place = mapped(mmap.MAP_PRIVATE)
    only_read(place)
    assert file[:] == b"\1" * SIDE
    assert pages_held(place) == SIDE // 1024
    give_back_files()
    assert pages_held(place) == 0
    assert file[:] == b"\1" * SIDE


def test_what_was_written_before_it_was_closed_to_writing_stays(
    mapped: Callable[[int], tuple[mmap.mmap, int]],
) -> None:
    """So a loader leaves the addresses that it has put into a library."""
    file, place = mapped(mmap.MAP_PRIVATE)
    file[:] = b"\2" * SIDE
    only_read(place)
    give_back_files()
    assert file[:] == b"\2" * SIDE


def test_what_may_still_be_written_stays(mapped: Callable[[int], tuple[mmap.mmap, int]]) -> None:
    file, place = mapped(mmap.MAP_PRIVATE)
    assert file[:] == b"\1" * SIDE
    give_back_files()
    assert pages_held(place) == SIDE // 1024


def test_what_is_shared_with_other_processes_or_a_device_stays(mapped: Callable[[int], tuple[mmap.mmap, int]]) -> None:
    file, place = mapped(mmap.MAP_SHARED)
    only_read(place)
    assert file[:] == b"\1" * SIDE
    give_back_files()
    assert pages_held(place) == SIDE // 1024


def test_without_the_kernel_s_account_nothing_is_given_back(
    mapped: Callable[[int], tuple[mmap.mmap, int]], tmp_path: Path
) -> None:
    file, place = mapped(mmap.MAP_PRIVATE)
    only_read(place)
    assert file[:] == b"\1" * SIDE
    give_back_files(tmp_path / "smaps")
    assert pages_held(place) == SIDE // 1024


def test_networks_that_were_loaded_before_work_after_it_in_less_memory() -> None:
    program = """
from pathlib import Path
from edge_anpr.unit.footprint import give_back_files
from edge_anpr.unit.pipeline import Pipeline
from edge_anpr.vision.detect import Detector
from edge_anpr.vision.ocr import Reader
from edge_anpr.vision.session import networks

def files():
    status = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in status if line.startswith("RssFile:"))

def prove():
    loaded = networks(None, None)
    Pipeline(Detector(loaded["detector"], 0.3), Reader(loaded["ocr"])).prove()

prove()
before = files()
give_back_files()
prove()
print(before, files())
"""
    said = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True).stdout
    before, after = map(int, said.split())
    assert after < 0.7 * before


def test_a_recogniser_holds_less_than_it_took_to_load(tmp_path: Path) -> None:
    shown = demo.FOLDER / "clip.mp4", demo.FOLDER / "watchlist.json"
    clip, listed = (json.dumps(str(path)) for path in shown)
    config = tmp_path / "unit.yaml"
    config.write_text(
        "unit: {org: town, site: bridge, id: pole-07}\n"
        f"camera: {{source: clip, path: {clip}, pace: live}}\n"
        f"watchlist: {{path: {listed}, allow_unsigned: true}}\n"
        f"delivery: {{outbox: {json.dumps(str(tmp_path / 'outbox.db'))}}}\n"
    )
    log = tmp_path / "log"
    with log.open("wb") as out:
        process = subprocess.Popen([sys.executable, "-m", "edge_anpr", "recognise", "-c", str(config)], stderr=out)
    try:
        until(lambda: b"watching" in log.read_bytes(), 30)
        until(lambda: memory(process.pid, "Threads") > 1, 30)
        time.sleep(3)  # frames are looked at
        assert memory(process.pid, "VmRSS") < 0.9 * memory(process.pid, "VmHWM")
    finally:
        process.send_signal(signal.SIGTERM)
        assert process.wait(10) == 0


def memory(process: int, what: str) -> int:
    """A number of the kernel's about a process, kilobytes where it is memory."""
    status = Path(f"/proc/{process}/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in status if line.startswith(f"{what}:"))
