"""Files that are whole or not there: what was written is on the disk before anybody is told so."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from edge_anpr.errors import Unusable

MAX_BYTES = 10_000_000  # a revocation list of 100,000 entries has 4 MB


def read(path: Path, otherwise: str = "", most_bytes: int = MAX_BYTES) -> bytes:
    """All of a file. Raises Unusable, which says ``otherwise``, what to do, when it cannot be read."""
    try:
        with path.open("rb") as file:
            raw = file.read(most_bytes + 1)
    except OSError as error:
        advice = f"; {otherwise}" if otherwise else ""
        raise Unusable(f"{path}: cannot be read: {error.strerror}{advice}") from error
    if len(raw) > most_bytes:
        raise Unusable(f"{path}: is larger than {most_bytes} bytes")
    return raw


@contextmanager
def writing(path: Path) -> Iterator[None]:
    """Tell what the disk says as Unusable, with the path."""
    try:
        yield
    except OSError as error:
        raise Unusable(f"{path}: cannot be written: {error.strerror}") from error


def write(path: Path, content: bytes, *, secret: bool = False) -> None:
    """Write a new file, a secret one for its owner alone. Raises Unusable when there is one already."""
    with writing(path):
        try:
            descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600 if secret else 0o644)
        except FileExistsError:
            raise Unusable(f"{path}: is there already; nothing is overwritten: name another folder") from None
        try:
            with os.fdopen(descriptor, "wb") as file:
                file.write(content)
                file.flush()
                os.fsync(file.fileno())
        except OSError:
            path.unlink()
            raise
        settle(path.parent)


def replace(path: Path, content: bytes, *, secret: bool = False) -> None:
    """Put a file into the place of another, at once or not at all."""
    part = path.with_name(f"{path.name}.part")
    with writing(path):
        part.unlink(missing_ok=True)
        write(part, content, secret=secret)
        part.replace(path)
        settle(path.parent)


def settle(folder: Path) -> None:
    """A name, too, is only on the disk when its folder was synced."""
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
