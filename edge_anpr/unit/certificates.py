"""Watches the TLS files: says in time that one ends, and has the link take new ones without a restart."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Protocol

from edge_anpr.errors import Unusable
from edge_anpr.unit import tls, validity
from edge_anpr.unit.advice import clock_says, clock_worth
from edge_anpr.unit.validity import Certificate

LOOK_S = 60.0
SETTLE_S = 2.0  # a set of files is copied one by one: judged when nothing has changed for so long
AGAIN_S = 24 * 3600.0
NOTICE = timedelta(days=30)

EXPIRES, EXPIRED, UNUSABLE = CODES = ("certificate-expires", "certificate-expired", "certificate-unusable")

_log = logging.getLogger(__name__)


class Alarms(Protocol):
    """As much of ``unit.alarms.Alarms`` as is needed."""

    def raise_(self, code: str, text: str) -> None:
        """Something is wrong."""

    def clear(self, code: str) -> None:
        """It is over."""


class CertificateWatch:
    """Call ``turn`` often: once a minute it looks whether a file has changed, and reads them then, and daily.

    ``renew`` is called when they have changed, fit each other and are valid by this machine's clock. A look costs a
    tenth of a millisecond, reading a few; nothing waits. A wrong clock makes a wrong alarm here, and nothing else: each
    text says what the clock says, and what that is worth.
    """

    def __init__(self, files: tls.Files, alarms: Alarms, renew: Callable[[], None]) -> None:
        self._files, self._alarms, self._renew = files, alarms, renew
        self._paths = [path for path in (files.ca, files.certificate, files.key) if path]
        self._in_use = self._seen = self._look()
        self._unread, self._next_look, self._next_read = True, 0.0, 0.0
        self._unusable: str | None = None
        self._ends: list[tuple[str, Certificate]] = []

    def turn(self) -> None:
        """One look, if it is time to."""
        now = time.monotonic()
        if now < self._next_look:
            return
        seen = self._look()
        if seen != self._seen:
            self._seen, self._unread, self._next_look = seen, True, now + SETTLE_S
            return
        self._next_look = now + LOOK_S
        if self._unread or now >= self._next_read:
            self._unread, self._next_read = False, now + AGAIN_S
            self._read()
        wrong = self._judge(datetime.now(UTC))
        for code in CODES:
            if code in wrong:
                self._alarms.raise_(code, wrong[code])
            else:
                self._alarms.clear(code)
        if self._seen != self._in_use and not wrong.keys() & {EXPIRED, UNUSABLE}:
            self._in_use = self._seen
            _log.info("the TLS files have changed and fit; connecting anew with them")
            self._renew()

    def _look(self) -> list[tuple[int, ...] | None]:
        return [_signature(path) for path in self._paths]

    def _read(self) -> None:
        self._ends = []
        try:
            tls.context(self._files)
            self._unusable = None
        except Unusable as error:
            self._unusable = str(error)
            return
        try:
            # Of several CAs one is enough, as while the old one is being replaced; of a chain, each is needed.
            last = sorted(validity.read(self._files.ca), key=lambda one: one.not_after)[-1:]
            self._ends += [(f"the CA's certificate {self._files.ca}", one) for one in last]
            if self._files.certificate is not None:
                name = f"our certificate {self._files.certificate}"
                self._ends += [(name, one) for one in validity.read(self._files.certificate)]
        except (OSError, ValueError) as error:
            _log.warning("cannot tell until when the TLS files are valid: %s", error)

    def _judge(self, now: datetime) -> dict[str, str]:
        """What is wrong, by code."""
        if self._unusable is not None:
            return {UNUSABLE: self._unusable}
        wrong = dict[str, list[str]]()
        for what, one in self._ends:
            name = f"{what} ({one.subject})" if one.subject else what
            if now < one.not_before:
                text = f"{name} is not valid before {_day(one.not_before)}: is the clock right?"
                wrong.setdefault(UNUSABLE, []).append(text)
            elif now > one.not_after:
                wrong.setdefault(EXPIRED, []).append(f"{name} has expired on {_day(one.not_after)}; renew it")
            elif now > one.not_after - NOTICE:
                wrong.setdefault(EXPIRES, []).append(f"{name} expires on {_day(one.not_after)}; renew it")
        # Today's date would make a new text, and a new message, each day of these thirty.
        says = {EXPIRES: f"this machine's clock is {clock_worth()}"}
        return {code: "; ".join([*texts, says.get(code) or f"it is {clock_says()}"]) for code, texts in wrong.items()}


def _signature(path: Path) -> tuple[int, ...] | None:
    try:
        seen = path.stat()
    except OSError:
        return None
    return seen.st_mtime_ns, seen.st_ctime_ns, seen.st_ino, seen.st_size


def _day(moment: datetime) -> str:
    return f"{moment:%Y-%m-%d}"
