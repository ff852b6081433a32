"""Every write, sync, creation and removal that two processes made in a folder, as strace saw them."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from dataclasses import dataclass, field
from pathlib import Path

from tests.torture import plugged

CALLS = (
    "openat,creat,write,pwrite64,writev,pwritev,pwritev2,ftruncate,truncate,fallocate,fsync,fdatasync,sync_file_range,"
    "msync,mmap,rename,renameat,renameat2,unlink,unlinkat,link,linkat,symlink,symlinkat,mkdir,mkdirat,copy_file_range,"
    "sendfile"
)
NAMES = (
    *("", "-wal", "-shm", "-journal", ".open", ".recogniser", ".publisher"),
    *(".damaged", ".mending", ".mending-journal", ".mended-1", ".damaged-1", ".damaged-1-wal"),
)


@dataclass(frozen=True, slots=True)
class Event:
    """A system call that succeeded; ``start`` and ``end`` are places in the trace."""

    start: int
    end: int
    call: str
    path: str
    data: bytes = field(default=b"", repr=False)
    offset: int = 0
    other: str = ""


@dataclass(frozen=True, slots=True)
class Trace:
    """What happened to a folder that held ``before``, and what the ledger was told and when."""

    folder: str
    before: dict[str, bytes] = field(repr=False)
    events: list[Event] = field(repr=False)
    length: int
    appended: dict[int, int] = field(repr=False)  # hit: when its append had returned
    deleting: dict[int, int] = field(repr=False)  # hit: when its deletion began
    deleted: dict[int, int] = field(repr=False)


class CannotTrace(Exception):
    """strace is missing or may not run here."""


def record(work: Path, hits: int, seed: int, sabotage: str = "none", before: Path | None = None) -> Trace:
    """Run both sides under strace in a new folder below ``work``; ``before`` is copied into it first."""
    program = shutil.which("strace")
    if program is None:
        raise CannotTrace("strace is missing; `make test` installs it")
    folder, ledger, log = work / "unit", work / "ledger", work / "trace"
    for old in (ledger, log):
        old.unlink(missing_ok=True)
    shutil.rmtree(folder, ignore_errors=True)
    if before is None:
        folder.mkdir(parents=True)
    else:
        shutil.copytree(before, folder)
    held = {path.name: path.read_bytes() for path in folder.iterdir()}
    watched = [folder, ledger, *(folder / f"outbox.db{name}" for name in NAMES)]
    command = (
        [program, "-f", "-y", "-xx", "-s", "10000000", "-e", f"trace={CALLS}", "-o", str(log)]
        + [argument for path in watched for argument in ("-P", str(path))]
        + [sys.executable, "-m", plugged.__name__, str(folder), str(ledger), str(hits), str(seed), sabotage]
    )
    done = subprocess.run(command, stderr=subprocess.PIPE, check=False)
    if done.returncode:
        raise CannotTrace(f"strace, or what runs under it, ended with {done.returncode}: {done.stderr.decode()[-500:]}")
    trace = _read(log, folder, ledger, held)
    log.unlink()
    if len(trace.appended) != hits:
        raise CannotTrace(f"the trace shows {len(trace.appended)} of {hits} hits; strace may not watch processes here?")
    return trace


_LINE = re.compile(r"(\d+) +(?:<\.\.\. (\w+) resumed>|(\w+)\()(.*)")
_HEX = re.compile(r"(?:\\x[0-9a-f]{2})+")


def _read(log: Path, folder: Path, ledger: Path, before: dict[str, bytes]) -> Trace:
    events: list[Event] = []
    appended: dict[int, int] = {}
    deleting: dict[int, int] = {}
    deleted: dict[int, int] = {}
    ledgers = {b"A": appended, b"D": deleting, b"G": deleted}
    begun: dict[str, tuple[int, str, str]] = {}
    at = 0
    with log.open(encoding="ascii") as lines:
        for at, line in enumerate(lines):
            parts = _LINE.match(line)
            if parts is None:
                continue
            process, resumed, call, rest = parts.groups()
            if rest.endswith("<unfinished ...>"):
                begun[process] = at, call, rest.removesuffix("<unfinished ...>")
                continue
            start = at
            if resumed:
                start, call, first = begun.pop(process)
                rest = first + rest
            arguments, _, result = rest.rpartition(" = ")
            if result.startswith("-1"):
                continue
            event = _event(start, at, call, arguments.rstrip().removesuffix(")"), result)
            if event is None:
                continue
            if event.path == str(ledger):
                if event.call == "write":
                    kind, *hits = event.data.split()
                    ledgers[kind].update(dict.fromkeys(map(int, hits), start))
            elif event.offset < 0:
                raise CannotTrace(f"the replay knows no plain write to {event.path}")
            else:
                events.append(event)
    events.sort(key=lambda event: event.start)
    return Trace(str(folder), before, events, at + 1, appended, deleting, deleted)


def _event(start: int, end: int, call: str, arguments: str, result: str) -> Event | None:
    texts = [bytes.fromhex(text.replace("\\x", "")) for text in _HEX.findall(arguments)]
    plain = _HEX.sub("", arguments).split(", ")
    path = texts[0].decode() if texts else ""
    match call:
        case "pwrite64" | "write":
            at = int(plain[-1]) if call == "pwrite64" else -1
            event = Event(start, end, "write", path, b"".join(texts[1:]), at)
        case "ftruncate":
            event = Event(start, end, "truncate", path, offset=int(plain[-1]))
        case "fsync" | "fdatasync":
            event = Event(start, end, "sync", path)
        case "openat" if "O_TRUNC" not in arguments:  # its last name is the one asked for
            return Event(start, end, "create", texts[-1].decode()) if "O_CREAT" in arguments else None
        case "unlink" | "rename":
            event = Event(start, end, call, path, other=texts[-1].decode())
        case "mmap" if path.endswith("-shm") or "MAP_SHARED" not in arguments or "PROT_WRITE" not in arguments:
            return None
        case _:
            raise CannotTrace(f"the replay does not know {call} of {path}: {result}")
    return event
