"""The disk as it could be after a power cut at any moment of a trace.

What was synced is there. Of what was written after a file's last sync any sectors may be there, torn or in an older
version, and one that was being written may hold anything. Files are created, renamed, removed and grow for certain only
once their folder or they themselves were synced.
"""

from __future__ import annotations

import random
from dataclasses import dataclass, field
from pathlib import Path

from tests.torture.trace import Event, Trace

SECTORS = (512, 4096)


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
