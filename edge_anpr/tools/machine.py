"""What this machine is, what this process takes of its memory, and what the board draws."""

from __future__ import annotations

import os
import platform
import re
import shutil
import subprocess
import time
from pathlib import Path
from types import TracebackType

_RAPL = Path("/sys/class/powercap/intel-rapl:0/energy_uj")


def name() -> str:
    """The board's name, or the processor's, with the number of cores."""
    try:
        found = Path("/proc/device-tree/model").read_text("utf-8").strip("\0\n ")
    except OSError:
        model = re.search(r"^model name\s*:\s*(.+)$", Path("/proc/cpuinfo").read_text("utf-8"), re.MULTILINE)
        found = model[1] if model else platform.machine()
    return f"{found}, {os.cpu_count()} cores"


def memory_mb(kind: str) -> float:
    """``VmRSS``, ``VmHWM`` (the most it ever was) and others of /proc/self/status, in MB of 2**20 bytes."""
    found = re.search(rf"^{kind}:\s+(\d+) kB", Path("/proc/self/status").read_text("ascii"), re.MULTILINE)
    return round(int(found[1]) / 1024, 1) if found else 0.0


class Power:
    """What the board draws in a while: by the processor's counter, or on a Raspberry Pi 5 by its power chip.

    ``watts`` is None where neither is there. Call ``look`` now and then.
    """

    def __init__(self) -> None:
        self.watts: float | None = None
        self._looked: list[float] = []

    def __enter__(self) -> Power:
        self._begin_s, self._used = time.monotonic(), _joules()
        return self

    def look(self) -> None:
        """See what it draws now."""
        program = shutil.which("vcgencmd")
        if program is None:
            return
        told = subprocess.run([program, "pmic_read_adc"], check=False, capture_output=True, text=True)  # noqa: S603
        if (drawn := watts_of(told.stdout)) is not None:
            self._looked.append(drawn)

    def __exit__(self, *_: type[BaseException] | BaseException | TracebackType | None) -> None:
        now = _joules()
        if self._used is not None and now is not None:
            self.watts = round((now - self._used) / (time.monotonic() - self._begin_s), 2)
        elif self._looked:
            self.watts = round(sum(self._looked) / len(self._looked), 2)


def _joules() -> float | None:
    try:
        return int(_RAPL.read_text("ascii")) / 1e6
    except (OSError, ValueError):
        return None


def watts_of(told: str) -> float | None:
    """The sum over the rails of ``vcgencmd pmic_read_adc``: amperes (``NAME_A``) times volts (``NAME_V``)."""
    rails = {name: float(value) for name, value in re.findall(r"(\w+) (?:current|volt)\(\d+\)=([0-9.]+)[AV]", told)}
    names = {name[:-2] for name in rails}
    pairs = [(rails[f"{name}_A"], rails[f"{name}_V"]) for name in names if rails.keys() >= {f"{name}_A", f"{name}_V"}]
    return round(sum(ampere * volt for ampere, volt in pairs), 2) if pairs else None
