"""What a daemon does to itself before it sees a plate: no core, no tracer, and freed memory is overwritten.

Swap is the service unit's affair (``MemorySwapMax=0``); ``may_swap`` tells when it was left out.
"""

from __future__ import annotations

import ctypes
import faulthandler
import os
import resource
import sys
from pathlib import Path

_LIBC = ctypes.CDLL(None, use_errno=True)
_PR_SET_DUMPABLE = 4
_M_PERTURB, _M_ARENA_MAX = -6, -8
# Anything but 0, which turns it off.
_FREED = 0xA5
_UNCACHED = "glibc.malloc.tcache_count=0"
# What makes OpenCV and FFmpeg say more than that something failed. They read it when they open their first source.
_TALKATIVE = (
    "OPENCV_FFMPEG_DEBUG",
    "OPENCV_VIDEOIO_DEBUG",
    "OPENCV_LOG_TIMESTAMP",
    "OPENCV_TRACE",
    "OPENCV_DUMP_CONFIG",
)
_QUIET = {"OPENCV_FFMPEG_LOGLEVEL": "-8", "OPENCV_LOG_LEVEL": "SILENT"}


def restart_uncached() -> None:
    """Start this process anew, once, without glibc's store of small freed blocks; call it before anything is loaded.

    What lies in that store (up to 1 kB, seven of a size, each thread's own) is not overwritten. It also stands between
    larger blocks and keeps them apart, so that one pass after another finds no room and takes new memory: 7 to 12 MB of
    a recogniser. Nothing but the environment that a process begins with turns it off.
    """
    tunables = os.environ.get("GLIBC_TUNABLES", "")
    if hasattr(_LIBC, "mallopt") and _UNCACHED not in tunables.split(":"):
        os.environ["GLIBC_TUNABLES"] = f"{tunables}:{_UNCACHED}".lstrip(":")
        os.execv(sys.executable, [sys.executable, *sys.orig_argv[1:]])  # noqa: S606


def harden() -> None:
    """Call it first, before a thread, a model or a camera is there.

    From here on the process's memory is closed to other processes of its user, and a crash tells the places in the
    code (function and line, no values) and nothing else.
    """
    # The limit alone does not bind a core_pattern that is a pipe (systemd-coredump); not being dumpable does.
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    _LIBC.prctl(_PR_SET_DUMPABLE, 0, 0, 0, 0)
    overwrite_freed()
    share_heap()
    for name in _TALKATIVE:
        os.environ.pop(name, None)
    os.environ.update(_QUIET)
    faulthandler.enable()


def overwrite_freed() -> None:
    """Have glibc overwrite each block when it is freed: what networks, OpenCV and FFmpeg give back shows nothing.

    Small blocks it overwrites only after ``restart_uncached``.

    Without it crops of a passage stood in freed memory, as the floats the OCR makes of them, until something else
    happened to be put there. It costs a seventh of a detector pass (1 of 6.5 ms on an x86 core).
    """
    if hasattr(_LIBC, "mallopt"):
        _LIBC.mallopt(_M_PERTURB, _FREED)


def share_heap() -> None:
    """Have all threads allocate from one heap: what start-up has freed then holds what frames need (8 MB less).

    That they wait for each other at times costs nothing that could be measured.
    """
    if hasattr(_LIBC, "mallopt"):
        _LIBC.mallopt(_M_ARENA_MAX, 1)


def may_swap(root: Path = Path("/")) -> bool:
    """Whether this process's memory may be written to a swap device. ``root``: where proc and sys stand."""
    if len((root / "proc/swaps").read_text().splitlines()) < 2:
        return False
    for line in (root / "proc/self/cgroup").read_text().splitlines():
        number, _, group = line.split(":", 2)
        if number != "0":
            continue
        folder = root / "sys/fs/cgroup" / group.lstrip("/")
        # A group above it may forbid it for all below.
        for place in (folder, *folder.parents):
            limit = place / "memory.swap.max"
            if limit.exists() and limit.read_text().strip() == "0":
                return False
    return True
