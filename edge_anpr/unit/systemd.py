"""systemd: what it is told of this process, and the journal's own door. By systemd-python, which only this file names.

That package is Debian's python3-systemd; on PyPI it is source that wants libsystemd's headers, so it is no dependency.
Without it, or without systemd (a desk, the demo), nobody is told anything.
"""

from __future__ import annotations

import logging
import os
import sys
import time
from collections.abc import Callable, Mapping

try:
    from systemd.daemon import notify
    from systemd.journal import sendv
except ImportError:
    notify = sendv = None

log = logging.getLogger(__name__)

STATUS_S = 5.0
# systemd takes 4096 bytes in one message, and nobody reads more than a line.
STATUS_CHARACTERS = 400


class Service:
    """This process as a service with ``Type=notify``; for its main thread."""

    def __init__(self) -> None:
        self._listens = "NOTIFY_SOCKET" in os.environ
        if self._listens and notify is None:
            log.error("systemd waits for word of this service, and cannot get any: install python3-systemd")
            self._listens = False
        self._watchdog_s = _watchdog_s()
        self._feed_s = self._status_s = 0.0
        self._status: str | None = None
        self._is_ready = self._complained = False

    def turn(self, *, alive: bool, status: Callable[[], str]) -> None:
        """Call it every second or more often: feeds the watchdog while ``alive``, and shows a changed ``status``.

        A hit's plate, or any other, never stands in a status.
        """
        if not self._listens:
            return
        now = time.monotonic()
        if self._watchdog_s and alive and now >= self._feed_s and self._tell("WATCHDOG=1"):
            self._feed_s = now + self._watchdog_s / 4
        if now >= self._status_s:
            self._status_s = now + STATUS_S
            line = _one_line(status())
            if line != self._status and self._tell(f"STATUS={line}"):
                self._status = line

    def ready(self) -> None:
        """It does what it is for. From here on the watchdog counts; more than one call does no harm."""
        if self._listens and not self._is_ready:
            self._is_ready = self._tell("READY=1")

    def stopping(self) -> None:
        """It ends because it was told to."""
        if self._listens:
            self._tell("STOPPING=1")

    def _tell(self, words: str) -> bool:
        try:
            notify(words)
        except OSError as error:
            if not self._complained:
                log.error("systemd cannot be told how this service is: %s", error.strerror)
            self._complained = True
            return False
        return True


def _watchdog_s() -> float | None:
    """How often at least the watchdog wants to hear of this very process; None: there is none."""
    microseconds = os.environ.get("WATCHDOG_USEC", "")
    if not microseconds.isdecimal() or os.environ.get("WATCHDOG_PID", str(os.getpid())) != str(os.getpid()):
        return None
    return int(microseconds) / 1e6 or None


def _one_line(text: str) -> str:
    """What came from elsewhere (a broker's words) must not become a line of its own: each is an order to systemd."""
    printable = "".join(character if character.isprintable() else " " for character in text)
    return " ".join(printable.split())[:STATUS_CHARACTERS]


def logs_to_journal() -> bool:
    """Whether stderr is the journal's. The variable alone says little: a desk's terminal inherits it too."""
    device, _, inode = os.environ.get("JOURNAL_STREAM", "").partition(":")
    try:
        is_now = os.fstat(sys.__stderr__.fileno() if sys.__stderr__ else 2)
    except (OSError, ValueError):
        return False
    return (device, inode) == (str(is_now.st_dev), str(is_now.st_ino))


def has_journal() -> bool:
    """Whether ``journal_send`` works."""
    return sendv is not None


def journal_send(fields: Mapping[str, str | int]) -> None:
    """Put an entry into the journal. Raises OSError."""
    # Not JournalHandler: that one also sends a record's arguments, each for itself and of every type.
    sendv(*(f"{name}={value}" for name, value in fields.items()))
