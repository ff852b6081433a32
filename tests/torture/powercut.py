"""Power cuts: a real recogniser's side and a real publisher's side run under strace, and the plug is pulled on paper.

From the trace of every write, sync, creation and removal the disk is built as it could be after a cut at any moment:
what was synced is there; of what was written after a file's last sync any sectors may be there, torn or in an older
version, and one that was being written may hold anything; files are created, renamed, removed and grow for certain only
once their folder or they themselves were synced. Then the outbox is opened there, and has to hold what it promised.

    python -m tests.torture.powercut [CUTS] [--seed SEED]
"""

from __future__ import annotations

import argparse
import logging
import os
import random
import re
import shutil
import sqlite3
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from edge_anpr.unit import outbox as outbox_module
from edge_anpr.unit import outbox_file
from edge_anpr.unit.outbox import Outbox

BIG = 10**8
CALLS = (
    "openat,creat,write,pwrite64,writev,pwritev,pwritev2,ftruncate,truncate,fallocate,fsync,fdatasync,sync_file_range,"
    "msync,mmap,rename,renameat,renameat2,unlink,unlinkat,link,linkat,symlink,symlinkat,mkdir,mkdirat,copy_file_range,"
    "sendfile"
)
NAMES = (
    *("", "-wal", "-shm", "-journal", ".open", ".recogniser", ".publisher"),
    *(".damaged", ".mending", ".mending-journal", ".mended-1", ".damaged-1", ".damaged-1-wal"),
)
SECTORS = (512, 4096)
FIRST_BEFORE = 1_000_000  # hits from this number on were there before the run


def payload(number: int) -> bytes:
    """What hit ``number`` holds: of the two sizes that sealed hits have."""
    draw = random.Random(number)
    return draw.randbytes(draw.choice((8254, 8254, 8254, 16446)))


# --- what runs under strace


def live(folder: Path, ledger: Path, hits: int, seed: int, sabotage: str) -> None:
    """Append ``hits`` hits as the recogniser does, and deliver most as the publisher does; end without closing."""
    _sabotage(sabotage)
    marks = os.open(ledger, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    deliverer = os.fork()
    if deliverer == 0:
        _deliver(folder, marks, hits, random.Random(seed + 1))
        os._exit(0)
    draw = random.Random(seed)
    outbox = Outbox(folder / "outbox.db", BIG, "recogniser")
    for number in range(hits):
        outbox.append(str(number), "first", payload(number))
        os.write(marks, b"A %d" % number)
        while draw.random() < 0.3:
            outbox.put_state(draw.choice(("health", "status", "alarm")), draw.randbytes(draw.randrange(50, 900)))
        if draw.random() < 0.1:
            time.sleep(draw.random() * 0.02)
    os.waitpid(deliverer, 0)
    os._exit(0)


def _deliver(folder: Path, marks: int, hits: int, draw: random.Random) -> None:
    outbox = Outbox(folder / "outbox.db", BIG, "publisher")
    last = -1
    while last < hits - 1:
        rows = outbox.waiting(0, 40)
        last = max((int(row.hit_id) for row in rows if int(row.hit_id) < FIRST_BEFORE), default=last)
        # Now and then everything, so that the log is cut; mostly a window's worth.
        done = rows if draw.random() < 0.2 else rows[: draw.randrange(0, 10)]
        if done:
            os.write(marks, b"D " + b" ".join(row.hit_id.encode() for row in done))
            outbox.delete([row.rowid for row in done])
            os.write(marks, b"G " + b" ".join(row.hit_id.encode() for row in done))
        outbox.expire(1e9)
        time.sleep(draw.random() * 0.01)


def _sabotage(how: str) -> None:
    """Take away what keeps hits through a power cut; ``none`` takes nothing."""
    if how in {"OFF", "NORMAL"}:
        outbox_module._SYNCHRONOUS = how
    elif how == "folder":
        outbox_file.sync = lambda folder: None
    elif how == "psow":
        outbox_file._POWERSAFE = "psow=1"
    elif how != "none":
        raise ValueError(how)


# --- the trace


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
        + [sys.executable, "-m", __name__ if __name__ != "__main__" else "tests.torture.powercut"]
        + ["--live", str(folder), str(ledger), str(hits), str(seed), sabotage]
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


# --- the disk after a cut


@dataclass(slots=True)
class File:
    """A file with everything that was done to it: (start, end, event), and its syncs."""

    content: bytes = b""
    changes: list[Event] = field(default_factory=list)
    syncs: list[Event] = field(default_factory=list)


@dataclass(slots=True)
class Disk:
    """A folder and its files as the trace has them."""

    trace: Trace
    names: dict[str, File] = field(default_factory=dict)
    changes: list[tuple[Event, File]] = field(default_factory=list)
    syncs: list[Event] = field(default_factory=list)
    files: list[File] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.names = {name: File(raw) for name, raw in self.trace.before.items()}
        self.files = list(self.names.values())
        before = dict(self.names)
        for event in self.trace.events:
            self._take(event)
        self.names = before

    def cut(self, at: int, draw: random.Random) -> dict[str, bytes]:
        """What could lie on the disk when the power goes at place ``at`` of the trace."""
        sure = max((sync.start for sync in self.syncs if sync.end < at), default=-1)
        names = dict(self.names)
        for event, file in self.changes:
            if event.end < sure or (event.start < at and draw.random() < 0.5):
                _change_names(names, event, file)
        sector = draw.choice(SECTORS)
        flying = [
            (file, event)
            for file in self.files
            for event in file.changes
            if event.start < at and not _is_sure(file, event, at)
        ]
        broken = draw.choice(flying) if flying and draw.random() < 0.7 else None
        return {
            name: _content(file, at, sector, draw, broken[1] if broken and broken[0] is file else None)
            for name, file in names.items()
            if not name.endswith("-shm")
        }

    def _take(self, event: Event) -> None:
        if event.path == self.trace.folder:
            if event.call == "sync":
                self.syncs.append(event)
            return
        name = Path(event.path).name
        match event.call:
            case "write" | "truncate":
                self.names[name].changes.append(event)
            case "sync":
                self.names[name].syncs.append(event)
            case "create" if name in self.names:
                pass
            case _:
                file = self.names.get(name, File())
                if event.call == "create":
                    self.files.append(file)
                self.changes.append((event, file))
                _change_names(self.names, event, file)


def _change_names(names: dict[str, File], event: Event, file: File) -> None:
    name = Path(event.path).name
    if event.call == "create":
        names.setdefault(name, file)
    elif names.get(name) is file:
        del names[name]
        if event.call == "rename":
            names[Path(event.other).name] = file


def _is_sure(file: File, event: Event, at: int) -> bool:
    return any(event.end < sync.start and sync.end < at for sync in file.syncs)


def _content(file: File, at: int, sector: int, draw: random.Random, broken: Event | None) -> bytes:
    sure_until = max((sync.start for sync in file.syncs if sync.end < at), default=-1)
    content = bytearray(file.content)
    pending = []
    for event in file.changes:
        if event.end < sure_until:
            _apply(content, event)
        elif event.start < at:
            pending.append(event)
    if not pending:
        return bytes(content)
    sizes = [len(content)]
    # Of each sector that was touched, every version that it has had since the last sync.
    versions: dict[int, list[bytes]] = {}
    for event in pending:
        first, after = event.offset, event.offset + len(event.data)
        if event.call == "truncate":
            first, after = min(event.offset, len(content)), max(event.offset, len(content))
        touched = range(first // sector, -(-after // sector))
        for number in touched:
            versions.setdefault(number, [_sector(content, number, sector)])
        _apply(content, event)
        sizes.append(len(content))
        for number in touched:
            versions[number].append(_sector(content, number, sector))
    size = draw.choice(sizes)
    result = bytearray(content.ljust(max(sizes), b"\0"))
    for number, held in versions.items():
        pick = draw.randrange(len(held))
        raw = held[pick]
        if pick and draw.random() < 0.2:  # torn
            place = draw.randrange(sector)
            raw = raw[:place] + held[pick - 1][place:]
        result[number * sector : (number + 1) * sector] = raw
    if broken is not None and broken.data:
        number = draw.randrange(broken.offset // sector, -(-(broken.offset + len(broken.data)) // sector))
        result[number * sector : (number + 1) * sector] = draw.randbytes(sector)
    return bytes(result[:size]).ljust(size, b"\0")


def _apply(content: bytearray, event: Event) -> None:
    if event.call == "truncate":
        del content[event.offset :]
        content.extend(bytes(event.offset - len(content)))
        return
    content.extend(bytes(max(event.offset - len(content), 0)))
    content[event.offset : event.offset + len(event.data)] = event.data


def _sector(content: bytearray, number: int, sector: int) -> bytes:
    return bytes(content[number * sector : (number + 1) * sector]).ljust(sector, b"\0")


# --- what has to be true after it


@dataclass(slots=True)
class Figures:
    """What all cuts together showed; ``losses``: of each cut that broke a promise, which ones, in words."""

    cuts: int = 0
    sure: int = 0  # hits that had to be there, over all cuts
    kept: int = 0  # hits that were there
    back: int = 0  # of these: deleted before the cut
    losses: list[str] = field(default_factory=list)
    slowest_s: float = 0.0


def judge(
    trace: Trace, cuts: Sequence[int], seed: int, figures: Figures, place: Path, besides: frozenset[int] = frozenset()
) -> None:
    """Cut at each of these places, and open what is left; ``besides`` are hits that were there before."""
    disk = Disk(trace)
    for at in cuts:
        draw = random.Random(seed * 1_000_003 + at)
        shutil.rmtree(place, ignore_errors=True)
        place.mkdir(parents=True)
        for name, raw in disk.cut(at, draw).items():
            (place / name).write_bytes(raw)
        sure = {number for number, since in trace.appended.items() if since < at} | besides
        sure -= {number for number, since in trace.deleting.items() if since < at}
        figures.cuts += 1
        figures.sure += len(sure)
        began = time.perf_counter()
        try:
            there, mended = _open(place)
        except Exception as error:  # noqa: BLE001 - whatever it is, the outbox did not open by itself
            figures.losses.append(f"cut at {at} of {trace.length}: does not open: {error}")
            continue
        figures.slowest_s = max(figures.slowest_s, time.perf_counter() - began)
        figures.kept += len(there)
        figures.back += sum(trace.deleted.get(number, trace.length) < at for number in there)
        broken = [
            f"{words} {sorted(wrong)[:10]}"
            for words, wrong in (
                ("lost", sure - there.keys()),
                ("torn", {number for number, raw in there.items() if raw != payload(number)}),
                ("out of order", set() if list(there) == sorted(there, key=_age) else {-1}),
                ("had to be mended", {-1} if mended and not besides else set()),
            )
            if wrong
        ]
        if broken:
            figures.losses.append(f"cut at {at} of {trace.length}: {'; '.join(broken)}")


def _age(number: int) -> int:
    return number - 2 * FIRST_BEFORE if number >= FIRST_BEFORE else number


def _open(place: Path) -> tuple[dict[int, bytes], bool]:
    """The hits in the outbox there; it has to open, be read, take a hit and lose one."""
    outbox = Outbox(place / "outbox.db", BIG)
    try:
        there = {int(row.hit_id): row.payload for row in outbox.waiting(0, 10**6)}
        outbox.append("-1", "first", b"after the cut")
        (row,) = outbox.waiting(0, 10**6)[len(there) :]
        outbox.delete([row.rowid])
        if outbox.depth().hits != len(there):
            raise AssertionError("the tally is wrong")
        return there, outbox.mended is not None
    finally:
        outbox.close()


def moments(trace: Trace, count: int, draw: random.Random) -> list[int]:
    """Where to cut: one in four while a file comes or goes, one in eight while the outbox is opened, else anywhere."""
    opened = min(trace.appended.values(), default=trace.length)
    changes = [event.start for event in trace.events if event.call in {"create", "rename", "unlink"}]
    places = []
    for index in range(count):
        match index % 8:
            case 0 | 4:
                places.append(max(draw.choice(changes) + draw.randrange(-1, 5), 1))
            case 2:
                places.append(draw.randrange(1, opened))
            case _:
                places.append(draw.randrange(1, trace.length + 1))
    return places


# --- outboxes from which a run may start


def older(folder: Path) -> frozenset[int]:
    """A file of version 1 with hits, as it lies there before the unit is brought up to date."""
    folder.mkdir(parents=True)
    db = sqlite3.connect(folder / "outbox.db")
    for statement in outbox_file._STEPS[0]:
        db.execute(statement)
    db.execute("PRAGMA user_version = 1")
    numbers = range(FIRST_BEFORE, FIRST_BEFORE + 20)
    db.executemany(
        "INSERT INTO hit (hit_id, phase, payload) VALUES (?, 'first', ?)", [(str(n), payload(n)) for n in numbers]
    )
    db.commit()
    db.execute("PRAGMA journal_mode = WAL")
    db.close()
    return frozenset(numbers)


def damaged(folder: Path) -> frozenset[int]:
    """A file with a page that the card has lost, so that the first thing that happens is its mending."""
    outbox = Outbox(folder / "outbox.db", BIG)
    for number in range(FIRST_BEFORE, FIRST_BEFORE + 40):
        outbox.append(str(number), "first", payload(number))
    outbox.close()
    raw = bytearray((folder / "outbox.db").read_bytes())
    hole = raw.index(payload(FIRST_BEFORE + 20)[-3000:]) // 4096 * 4096
    raw[hole : hole + 4096] = bytes(4096)
    (folder / "outbox.db").write_bytes(raw)
    (folder / "outbox.db.damaged").touch()
    return frozenset(range(FIRST_BEFORE, FIRST_BEFORE + 40)) - {FIRST_BEFORE + 20}


STARTS = {"new": None, "version 1": older, "damaged": damaged}


@dataclass(frozen=True, slots=True)
class Trial:
    """One kind of run: from where it starts, and what was taken away from the outbox."""

    start: str
    sabotage: str = "none"


PROMISED = (Trial("new"), Trial("version 1"), Trial("damaged"))
CONTROLS = (Trial("new", "OFF"), Trial("new", "NORMAL"), Trial("new", "psow"), Trial("damaged", "folder"))


def run(trial: Trial, work: Path, cuts: int, seed: int, hits: int = 100) -> Figures:
    """Record runs of this kind and cut each up to 100 times, ``cuts`` times in all."""
    figures = Figures()
    while figures.cuts < cuts:
        before, besides = None, frozenset[int]()
        prepare = STARTS[trial.start]
        if prepare is not None:
            before = work / "before"
            shutil.rmtree(before, ignore_errors=True)
            besides = prepare(before)
        trace = record(work, hits, seed + figures.cuts, trial.sabotage, before)
        places = moments(trace, min(cuts - figures.cuts, 100), random.Random(seed + figures.cuts))
        judge(trace, places, seed, figures, work / "after", besides)
    return figures


def _rows(trials: Sequence[Trial], cuts: int, seed: int) -> Iterator[tuple[Trial, Figures]]:
    for trial in trials:
        with tempfile.TemporaryDirectory(dir=_in_memory()) as work:
            yield trial, run(trial, Path(work), cuts, seed)


def _in_memory() -> str | None:
    return "/dev/shm" if os.access("/dev/shm", os.W_OK) else None


def main() -> int:
    """Print a table of figures. 1 when a promise was broken, or when a control did not break."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("cuts", nargs="?", type=int, default=300)
    parser.add_argument("--seed", type=int, default=int(time.time()))
    parser.add_argument("--live", nargs=5, help=argparse.SUPPRESS)
    chosen = parser.parse_args()
    if chosen.live:
        folder, ledger, hits, seed, sabotage = chosen.live
        live(Path(folder), Path(ledger), int(hits), int(seed), sabotage)
    logging.disable()
    out = sys.stdout
    out.write(f"seed {chosen.seed}\n{'start':<10} {'taken away':<11}")
    out.write("".join(f" {word:>9}" for word in ("cuts", "hits due", "there", "back", "broken", "slowest s")) + "\n")
    good = True
    for trial, figures in _rows((*PROMISED, *CONTROLS), chosen.cuts, chosen.seed):
        numbers = (figures.cuts, figures.sure, figures.kept, figures.back, len(figures.losses))
        out.write(f"{trial.start:<10} {trial.sabotage:<11}" + "".join(f" {number:>9}" for number in numbers))
        out.write(f" {figures.slowest_s:>9.2f}\n" + "".join(f"    {loss}\n" for loss in figures.losses[:3]))
        out.flush()
        good = good and bool(figures.losses) == (trial in CONTROLS)
    return 0 if good else 1


if __name__ == "__main__":
    sys.exit(main())
