"""How much processor time and memory processes of this machine take; the only file that names psutil."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass, field

import psutil

from edge_anpr.errors import Unusable


@dataclass
class Usage:
    """Of one process and its children: percent of one core between looks, and the largest resident memory together."""

    name: str
    pid: int
    cpu_percent: list[float] = field(default_factory=list)
    rss_megabytes: float = 0.0


class Watch:
    """Looks at processes from time to time; call ``look`` about once a second.

    Raises Unusable for one of ``pids`` that is not there; one of ``found`` may have ended.
    """

    def __init__(self, pids: Mapping[str, int], found: Mapping[str, int]) -> None:
        self._looked_s = time.monotonic()
        self._used_s: dict[int, float] = {}
        self._watched: list[tuple[Usage, psutil.Process]] = []
        for name, pid in (*pids.items(), *found.items()):
            try:
                process = psutil.Process(pid)
                self._used_s[pid] = _used_s(process)
            except psutil.Error:
                if name in found:
                    continue
                raise Unusable(f"--pid {name}={pid}: there is no such process, or it is not ours to look at") from None
            self._watched.append((Usage(name, pid), process))

    def look(self) -> None:
        """Note what each has used since the last look; one that has ended keeps what it had."""
        now_s = time.monotonic()
        passed_s, self._looked_s = now_s - self._looked_s, now_s
        for usage, process in self._watched:
            try:
                used_s = _used_s(process)
                rss = sum(one.memory_info().rss for one in (process, *process.children()))
            except psutil.Error:
                continue
            # A child that has ended takes with it what it used.
            since_s = max(0.0, used_s - self._used_s[usage.pid])
            usage.cpu_percent.append(round(100 * since_s / max(passed_s, 0.01), 1))
            usage.rss_megabytes = max(usage.rss_megabytes, rss / 2**20)
            self._used_s[usage.pid] = used_s

    @property
    def usages(self) -> list[Usage]:
        """Of all."""
        return [usage for usage, _ in self._watched]


def found() -> dict[str, int]:
    """Brokers and centres that run on this machine, by name."""
    pids: dict[str, int] = {}
    for process in psutil.process_iter(["name", "cmdline"]):
        words = process.info["cmdline"] or []
        if process.info["name"] == "mosquitto":
            kind = "broker"
        elif "centre" in words and "serve" in words and any("edge" in word for word in words):
            kind = "centre"
        else:
            continue
        number = sum(name.startswith(kind) for name in pids)
        pids[f"{kind} {number + 1}" if number else kind] = process.pid
    return pids


def _used_s(process: psutil.Process) -> float:
    times = [one.cpu_times() for one in (process, *process.children())]
    return float(sum(one.user + one.system for one in times))
