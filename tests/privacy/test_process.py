"""What a daemon does to itself, seen from a process of its own."""

import subprocess
import sys
from pathlib import Path

import pytest

from edge_anpr.privacy.process import may_swap

SCRIPT = """
import ctypes, gc, os, resource, threading, warnings
os.environ["OPENCV_FFMPEG_DEBUG"] = "1"
from edge_anpr.privacy import process
process.restart_uncached()
from edge_anpr.unit import journal
journal.begin("test")
process.harden()
libc = ctypes.CDLL(None)
assert libc.prctl(3) == 0, "it can be dumped"
assert resource.getrlimit(resource.RLIMIT_CORE) == (0, 0)
libc.getenv.restype = ctypes.c_char_p
assert libc.getenv(b"OPENCV_FFMPEG_DEBUG") is None
assert libc.getenv(b"OPENCV_FFMPEG_LOGLEVEL") == b"-8"
libc.malloc.restype = ctypes.c_void_p
for size in (5000, 200):
    block = libc.malloc(ctypes.c_size_t(size))
    wall = libc.malloc(ctypes.c_size_t(size))  # else the block becomes a part of the free end of the heap
    ctypes.memset(block, 0x51, size)
    libc.free(ctypes.c_void_p(block))
    assert b"Q" not in ctypes.string_at(block + 32, size - 40), f"{size} freed bytes show what they held"
def reserved():  # a thread's own heap reserves 64 MB
    lines = [line.split()[:2] for line in open("/proc/self/maps")]
    ends = [[int(end, 16) for end in place.split("-")] for place, rights in lines if rights == "---p"]
    return sum(high - low for low, high in ends if high - low < 2**26)
before = reserved()
busy = threading.Thread(target=lambda: [libc.malloc(ctypes.c_size_t(4000)) for _ in range(100)])
busy.start()
busy.join()
assert reserved() - before < 2**25, "a thread has a heap of its own"
class Trap:
    def __del__(self):
        raise ValueError("QA528C")
Trap()
gc.collect()
warnings.warn("QA528C")
raise RuntimeError("QA528C")
"""


def test_memory_is_closed_and_wiped_and_no_text_of_a_stranger_is_told() -> None:
    done = subprocess.run([sys.executable, "-c", SCRIPT], capture_output=True, text=True, check=False)
    said = done.stdout + done.stderr
    assert "QA528C" not in said
    assert [line.split()[1:4] for line in said.splitlines()] == [
        ["stopped", "by", "ValueError"],
        ["UserWarning", "at", "<string>:36"],
        ["stopped", "by", "RuntimeError"],
    ]


@pytest.mark.parametrize(
    ("devices", "limits", "may"),
    [("", {}, False), ("/dev/zram0 partition 1 0 100\n", {}, True),
     ("/dev/zram0 partition 1 0 100\n", {"": "0"}, False),
     ("/swapfile file 1 0 -2\n", {"unit.service": "0", "": "max"}, False),
     ("/swapfile file 1 0 -2\n", {"unit.service": "max", "": "max"}, True)],
)  # fmt: skip
def test_it_is_known_whether_memory_may_reach_a_disk(
    tmp_path: Path, devices: str, limits: dict[str, str], may: bool
) -> None:
    (tmp_path / "proc/self").mkdir(parents=True)
    (tmp_path / "proc/swaps").write_text("Filename Type Size Used Priority\n" + devices)
    (tmp_path / "proc/self/cgroup").write_text("4:memory:/other\n0::/system.slice/unit.service\n")
    for place, limit in limits.items():
        folder = tmp_path / "sys/fs/cgroup/system.slice" / place
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "memory.swap.max").write_text(limit + "\n")
    assert may_swap(tmp_path) is may
