"""Opening a list in a process of its own, which ends with all that it saw: the unit gets tokens, never a plate.

Python cannot overwrite a text, and parsing 200,000 entries would hold up the vision thread for seconds. So a child
verifies, parses and tokenises (``opening``), and the kernel takes its memory. Parent and child talk over pipes.
"""

from __future__ import annotations

import base64
import json
import os
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime

from edge_anpr.datatypes import MatchClass
from edge_anpr.privacy.tokens import KEY_BYTES
from edge_anpr.watch.arming import Session
from edge_anpr.watch.opening import Trust, judge
from edge_anpr.watch.rows import ROW
from edge_anpr.watch.tokens import Group, TokenTable
from edge_anpr.watch.watchlist import Header, ListRefused, header

# A Pi 4 needs 15 s for the largest list; a child that takes longer hangs.
TIMEOUT_S = 120.0


@dataclass(frozen=True, slots=True)
class Accepted:
    """A list that was opened: header, tokens, who signed it (None: nobody), sha256, when it ends (monotonic ns).

    ``expected``: false hits a day, by class.
    """

    header: Header
    table: TokenTable = field(repr=False)
    key_id: str | None
    digest: str
    ends_ns: int
    expected: Mapping[MatchClass, float]


@dataclass(frozen=True, slots=True)
class Moment:
    """One moment on both clocks. The list's times are UTC; what was accepted ends by the monotonic clock alone."""

    utc: datetime
    monotonic_ns: int

    def deadline_ns(self, end: datetime) -> int:
        """The monotonic time of a moment in UTC."""
        return self.monotonic_ns + int((end - self.utc).total_seconds() * 1e9)


def open_list(
    raw: bytes,
    trust: Trust,
    unit: str,
    at: Moment,
    sessions: Sequence[Session] | None = None,
    *,
    passages_per_day: float = 0.0,
    most: MatchClass = MatchClass.CONFUSABLE,
) -> Accepted:
    """The list in an envelope (or, where that is allowed, in a bare payload), for this unit, valid at this moment.

    With ``sessions`` it is an answer of the centre to one of them, and the moment is that of its ticket. False hits are
    expected for ``passages_per_day``, of the classes up to ``most``.
    Raises ListRefused. What it says holds no plate.
    """
    key = bytearray(os.urandom(KEY_BYTES))
    orders = {
        "authorities": _told(trust.authorities),
        "centre": _told(trust.centre),
        "allow_unsigned": trust.allow_unsigned,
        "key": base64.b64encode(key).decode(),
        "now_ns": at.monotonic_ns,
        "passages_per_day": passages_per_day,
        "most": most.value,
        "sessions": None if sessions is None else [session.state() for session in sessions],
    }
    head, _, rest = _ask(json.dumps(orders).encode() + b"\n" + raw).partition(b"\n")
    told = json.loads(head)
    if "refused" in told:
        raise ListRefused(told["refused"])
    rows_end = told["entries"] * ROW.size
    found = header(told["header"])
    if told["utc"] is not None:
        at = Moment(datetime.fromisoformat(told["utc"]), at.monotonic_ns)
    judge(found, unit, at.utc)
    groups = [
        Group(country, reason, priority, at.deadline_ns(datetime.fromisoformat(end)))
        for country, reason, priority, end in told["groups"]
    ]
    expected = {MatchClass(name): float(value) for name, value in json.loads(rest[rows_end:]).items()}
    table = TokenTable(key, groups, rest[:rows_end])
    return Accepted(found, table, told["key_id"], told["digest"], at.deadline_ns(found.ends), expected)


def _told(keys: Mapping[str, bytes]) -> dict[str, str]:
    return {name: base64.b64encode(public).decode() for name, public in keys.items()}


def _ask(question: bytes) -> bytes:
    child = [sys.executable, "-P", "-c", "from edge_anpr.watch.opening import answer; answer()"]
    try:
        done = subprocess.run(  # noqa: S603  it starts itself
            child, input=question, capture_output=True, check=False, timeout=TIMEOUT_S
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        raise ListRefused(f"could not be opened: {type(error).__name__}") from None
    if done.returncode:
        # What the child printed may quote the list.
        raise ListRefused(f"could not be opened: the process that opens lists ended with {done.returncode}")
    return done.stdout
