"""Monotonic inside, UTC with a clock quality at the edge of the unit."""

from __future__ import annotations

import ctypes
import hashlib
import time
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import cache
from pathlib import Path

from edge_anpr.errors import Unusable

_BOOT_ID = Path("/proc/sys/kernel/random/boot_id")

_TIME_ERROR = 5  # what adjtimex(2) answers while nothing disciplines the clock


class _Timex(ctypes.Structure):
    # The head of struct timex of linux/timex.h; the rest is only room for the kernel to write into.
    _fields_ = (
        ("modes", ctypes.c_uint),
        ("offset", ctypes.c_long),
        ("freq", ctypes.c_long),
        ("maxerror", ctypes.c_long),
        ("room", ctypes.c_byte * 512),
    )


@dataclass(frozen=True, slots=True)
class ClockQuality:
    """Whether the kernel's clock is disciplined, and its largest error in milliseconds as the kernel knows it."""

    sync: bool
    error_ms: int | None


def quality() -> ClockQuality:
    """Ask the kernel (adjtimex, read only)."""
    timex = _Timex()
    state = ctypes.CDLL(None, use_errno=True).adjtimex(ctypes.byref(timex))
    if state < 0 or state == _TIME_ERROR:
        return ClockQuality(False, None)
    return ClockQuality(True, timex.maxerror // 1000)


@dataclass(frozen=True, slots=True)
class Uptime:
    """A moment that no setting of a clock moves: which boot of which machine, and its seconds since then.

    Time asleep counts, time switched off does not.
    """

    boot: str
    seconds: float


def uptime() -> Uptime:
    """Now (CLOCK_BOOTTIME). Raises Unusable when the kernel does not say which boot this is."""
    return Uptime(_boot(), time.clock_gettime(time.CLOCK_BOOTTIME))


@cache
def _boot() -> str:
    try:
        told = _BOOT_ID.read_bytes().strip()
    except OSError as error:
        raise Unusable(f"{_BOOT_ID} cannot be read: {error.strerror}; let this service see /proc/sys") from error
    return hashlib.sha256(told).hexdigest()[:16]


def utc_of(monotonic_ns: int) -> datetime:
    """The UTC time of a monotonic moment of this boot, past or to come."""
    return datetime.now(UTC) - timedelta(microseconds=(time.monotonic_ns() - monotonic_ns) // 1000)


def iso(moment: datetime) -> str:
    """``2026-05-01T12:00:00.000Z``."""
    return moment.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S.") + f"{moment.microsecond // 1000:03d}Z"
