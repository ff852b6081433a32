"""The hatch towards the recogniser: a directory in RAM, into which the publisher drops what came from the centre.

What lies here is sealed or signed, and it is the recogniser that judges it; here only size and number are bounded.
"""

from __future__ import annotations

import os
import stat
import time
from contextlib import suppress
from pathlib import Path

from edge_anpr.errors import Unusable

# The largest envelope (16 MiB) with its padding of an eighth.
MAX_MESSAGE_BYTES = 20 * 1024 * 1024
MAX_FILES = 16
# RAM of a unit that may have 1 GB in all. The recogniser empties it every second.
MAX_BYTES = 48 * 1024 * 1024
_SUFFIX = ".message"


class Inbox:
    """The directory ``path``, made if it is not there. One process drops, one takes. Raises Unusable."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._count = 0
        try:
            path.mkdir(mode=0o770, parents=True, exist_ok=True)
        except OSError as error:
            raise Unusable(
                f"inbox {path} cannot be made: {error.strerror}; mend that path, or name another one"
            ) from error

    def drop(self, message: bytes) -> str | None:
        """Leave a message for the recogniser, whole or not at all; what kept it from that, or None."""
        try:
            waiting = self._waiting()
            size = sum(map(_size, waiting))
            if len(message) > MAX_MESSAGE_BYTES:
                return f"{len(message)} bytes are too large for any list"
            if len(waiting) >= MAX_FILES or size + len(message) > MAX_BYTES:
                return f"the inbox is full: the recogniser has not taken {len(waiting)} messages, {size} bytes"
            # Named by age; the same name for what is not whole yet, so that a killed publisher leaves one at most.
            self._count += 1
            whole = self._path / f"{time.monotonic_ns():020d}-{self._count:06d}{_SUFFIX}"
            part = self._path / "part"
            part.unlink(missing_ok=True)
            descriptor = os.open(part, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o660)
            with os.fdopen(descriptor, "wb") as file:
                os.fchmod(descriptor, 0o660)  # the recogniser is another user of our group, whatever our umask
                file.write(message)
            part.rename(whole)
        except OSError as error:
            return f"inbox {self._path} cannot be written: {error.strerror}"
        return None

    def take(self) -> list[bytes]:
        """The messages that wait, oldest first; they are gone then. Raises Unusable."""
        messages = []
        try:
            for path in self._waiting()[:MAX_FILES]:
                message = _read(path)
                path.unlink(missing_ok=True)
                if message is not None:
                    messages.append(message)
        except OSError as error:
            raise Unusable(
                f"inbox {self._path} cannot be read and emptied: {error.strerror}; mend its owner"
            ) from error
        return messages

    def _waiting(self) -> list[Path]:
        return sorted(path for path in self._path.iterdir() if path.suffix == _SUFFIX)


def _size(path: Path) -> int:
    with suppress(FileNotFoundError):  # the recogniser has just taken it
        return path.lstat().st_size
    return 0


def _read(path: Path) -> bytes | None:
    """None for what is no plain file (whoever can write here could lay a link or a pipe), or too large."""
    with suppress(FileNotFoundError):
        try:
            descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
        except OSError:
            if path.is_symlink():
                return None
            raise
        with os.fdopen(descriptor, "rb") as file:
            if not stat.S_ISREG(os.fstat(descriptor).st_mode):
                return None
            message = file.read(MAX_MESSAGE_BYTES + 1)
            return message if len(message) <= MAX_MESSAGE_BYTES else None
    return None
