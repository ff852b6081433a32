"""What a unit's recogniser noted of each message, outside the system under test: a file that lines are added to.

``trying`` stands there before ``Outbox.append`` is called, ``taken`` after it has returned. A kill -9 between the two
leaves a message that may have got in or not; what is ``taken`` must reach the centre.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

Word = Literal["trying", "taken", "refused"]


@dataclass(frozen=True, slots=True)
class Entry:
    """One message; ``sha256`` is of its bytes as they went into the outbox, sealed."""

    boot_id: str
    seq: int
    hit_id: str
    phase: str
    sha256: str

    @property
    def place(self) -> tuple[str, str]:
        """What the centre must have once."""
        return self.hit_id, self.phase


class Ledger:
    """An open ledger, to write in; each line is one write(2), which a kill leaves whole or not at all."""

    def __init__(self, path: Path) -> None:
        self._file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)

    def note(self, word: Word, entry: Entry) -> None:
        line = f"{word} {entry.boot_id} {entry.seq} {entry.hit_id} {entry.phase} {entry.sha256}\n"
        os.write(self._file, line.encode())


@dataclass(frozen=True, slots=True)
class Account:
    """A ledger as it was read: messages in the order of their appends."""

    taken: list[Entry]
    in_doubt: list[Entry]
    refused: list[Entry]


def read(path: Path) -> Account:
    """All that a ledger says; there may be none yet."""
    last: dict[Entry, str] = {}
    for line in path.read_text("ascii").splitlines() if path.exists() else []:
        word, boot_id, seq, hit_id, phase, sha256 = line.split(" ")
        last[Entry(boot_id, int(seq), hit_id, phase, sha256)] = word

    def told(word: Word) -> list[Entry]:
        return [entry for entry, said in last.items() if said == word]

    return Account(taken=told("taken"), in_doubt=told("trying"), refused=told("refused"))


class Tail:
    """Counts the hits of a ledger that grows, without reading it anew each time."""

    def __init__(self, path: Path) -> None:
        self._path, self._read_to = path, 0
        self._hits: set[bytes] = set()

    def hits(self) -> int:
        """How many hits had a message that was taken, so far."""
        if self._path.exists():
            with self._path.open("rb") as file:
                file.seek(self._read_to)
                lines = file.read()
            self._read_to += lines.rfind(b"\n") + 1
            words = [line.split(b" ") for line in lines[: lines.rfind(b"\n") + 1].splitlines()]
            self._hits.update(hit_id for word, _, _, hit_id, *_ in words if word == b"taken")
        return len(self._hits)
