"""Opening a list in a process of its own, which ends with all that it saw: the unit gets tokens, never a plate.

Python cannot overwrite a text, and parsing 200,000 entries would hold up the vision thread for seconds. So a child
verifies, parses and tokenises, and the kernel takes its memory. Parent and child talk over pipes: a line of JSON and
bytes, either way.
"""

from __future__ import annotations

import base64
import hashlib
import json
import os
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from itertools import islice
from typing import Any

from edge_anpr.datatypes import MatchClass, Unusable
from edge_anpr.privacy.tokens import KEY_BYTES
from edge_anpr.watch import envelope
from edge_anpr.watch.arming import ArmingRefused, Session
from edge_anpr.watch.budget import expected_false_hits
from edge_anpr.watch.tokens import ROW, Group, TokenTable, token_of
from edge_anpr.watch.watchlist import Header, ListRefused, Watchlist, as_header, header, parse, zulu

# A Pi 4 needs 15 s for the largest list; a child that takes longer hangs.
TIMEOUT_S = 120.0
# Of so many entries the expected false hits are good to 5 %.
SAMPLED = 1000


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


@dataclass(frozen=True, slots=True)
class Trust:
    """By id: whose signature counts on lists, and whose on the tickets that come with sealed ones."""

    authorities: Mapping[str, bytes]
    centre: Mapping[str, bytes] = field(default_factory=dict)
    allow_unsigned: bool = False


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
    told, rows = _ask(json.dumps(orders).encode() + b"\n" + raw)
    found = header(told["header"])
    if told["utc"] is not None:
        at = Moment(datetime.fromisoformat(told["utc"]), at.monotonic_ns)
    judge(found, unit, at.utc)
    groups = [
        Group(country, reason, priority, at.deadline_ns(datetime.fromisoformat(end)))
        for country, reason, priority, end in told["groups"]
    ]
    expected = {MatchClass(name): float(value) for name, value in told["expected"].items()}
    table = TokenTable(key, groups, rows)
    return Accepted(found, table, told["key_id"], told["digest"], at.deadline_ns(found.ends), expected)


def judge(found: Header, unit: str, now: datetime) -> None:
    """Raise ListRefused for a list that is not for this unit, or not valid now (UTC)."""
    if not found.is_for(unit):
        raise ListRefused(f"is not for unit {unit}")
    if not found.valid_from <= now <= found.ends:
        raise ListRefused(
            f"is valid from {found.valid_from:%Y-%m-%d} to {found.valid_until:%Y-%m-%d} and its "
            f"mandate to {found.mandate.not_after:%Y-%m-%d}, and "
            f"here it is {now:%Y-%m-%d %H:%M} UTC; fetch a list that is valid, or set the clock"
        )


def read(raw: bytes, trust: Trust) -> tuple[Watchlist, str | None, str]:
    """The list in clear, who signed it, and its sha256; for the child, and for people at a desk. Raises ListRefused."""
    if trust.allow_unsigned and envelope.kind_of(raw) is None:
        return parse(raw), None, hashlib.sha256(raw).hexdigest()
    try:
        opened = envelope.verify(raw, envelope.LIST, trust.authorities)
    except envelope.EnvelopeRefused as error:
        hint = "" if envelope.kind_of(raw) else ": the list is not signed (edge-anpr watchlist sign)"
        raise ListRefused(f"{error}{hint}") from None
    return parse(opened.payload), opened.key_id, opened.digest


def _unsealed(raw: bytes, sessions: list[Session], trust: Trust, now_ns: int) -> tuple[bytes, str, int]:
    """The envelope in an answer of the centre to one of the sessions, the time by its clock, the version it told."""
    refusal = ListRefused("answers no request of this unit")
    for session in sessions:
        try:
            armed = session.open(raw, trust.centre, now_ns)
        except ArmingRefused as error:
            refusal = ListRefused(str(error))
        else:
            return armed.envelope, armed.utc(now_ns).isoformat(), armed.ticket.version
    raise refusal


def _expected(watchlist: Watchlist, passages_per_day: float, most: MatchClass) -> Mapping[MatchClass, float]:
    # Some entries stand for all: 200,000 pairs would cost 15 MB only to be drawn from.
    step = max(len(watchlist) // SAMPLED, 1)
    some = list(islice(watchlist.plates(), 0, None, step))
    return expected_false_hits(some, passages_per_day * len(watchlist) / max(len(some), 1), most)


def _keys(told: Mapping[str, str]) -> dict[str, bytes]:
    return {name: base64.b64decode(public) for name, public in told.items()}


def _told(keys: Mapping[str, bytes]) -> dict[str, str]:
    return {name: base64.b64encode(public).decode() for name, public in keys.items()}


def _ask(question: bytes) -> tuple[dict[str, Any], bytes]:
    child = [sys.executable, "-c", "from edge_anpr.watch.opener import answer; answer()"]
    try:
        done = subprocess.run(  # noqa: S603  it starts itself
            child, input=question, capture_output=True, check=False, timeout=TIMEOUT_S
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        raise ListRefused(f"could not be opened: {type(error).__name__}; it is tried again") from None
    head, _, rows = done.stdout.partition(b"\n")
    if done.returncode or not head:
        # What the child printed may quote the list.
        raise ListRefused(f"could not be opened: the process that opens lists ended with {done.returncode}")
    told: dict[str, Any] = json.loads(head)
    if "refused" in told:
        raise ListRefused(told["refused"])
    return told, rows


def answer() -> None:
    """What the child does: orders and a list from stdin, header and tokens to stdout."""
    orders = json.loads(sys.stdin.buffer.readline())
    trust = Trust(_keys(orders["authorities"]), _keys(orders["centre"]), orders["allow_unsigned"])
    out, utc, version = sys.stdout.buffer, None, None
    try:
        raw = sys.stdin.buffer.read()
        if orders["sessions"] is not None:
            raw, utc, version = _unsealed(
                raw, [Session.of(state) for state in orders["sessions"]], trust, orders["now_ns"]
            )
        watchlist, key_id, digest = read(raw, trust)
        if version not in (None, watchlist.header.version):
            raise ListRefused("is another version than the one it was sent as")
    except Unusable as error:
        out.write(json.dumps({"refused": str(error)}).encode() + b"\n")
        return
    key = base64.b64decode(orders["key"])
    head = {
        "header": as_header(watchlist.header),
        "groups": [[item.country, item.reason, item.priority, zulu(item.not_after)] for item in watchlist.entries],
        "key_id": key_id,
        "digest": digest,
        "utc": utc,
        "expected": _expected(watchlist, orders["passages_per_day"], MatchClass(orders["most"])),
    }
    out.write(json.dumps(head).encode() + b"\n")
    for number, item in enumerate(watchlist.entries):
        out.write(b"".join(ROW.pack(token_of(plate, key), number) for plate in item.plates))
