"""What the process does that opens a list: verify, parse, tokenise, hand on, and end with all that it saw.

It does without numpy while plates are in its memory: 20 MB less of a board's RAM.
"""

from __future__ import annotations

import base64
import hashlib
import json
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from itertools import islice

from edge_anpr.errors import Unusable
from edge_anpr.watch import envelope
from edge_anpr.watch.arming import ArmingRefused, Session
from edge_anpr.watch.rows import ROW, token_of
from edge_anpr.watch.watchlist import Header, ListRefused, Watchlist, as_header, parse, zulu

# Of so many entries the expected false hits are good to 5 %.
SAMPLED = 1000


@dataclass(frozen=True, slots=True)
class Trust:
    """By id: whose signature counts on lists, and whose on the tickets that come with sealed ones."""

    authorities: Mapping[str, bytes]
    centre: Mapping[str, bytes] = field(default_factory=dict)
    allow_unsigned: bool = False


def judge(found: Header, unit: str, now: datetime) -> None:
    """Raise ListRefused for a list that this unit may not use now (UTC)."""
    why_not = found.why_not(unit, now)
    if why_not is not None:
        raise ListRefused(f"{why_not}; here it is {now:%Y-%m-%d %H:%M} UTC: fetch another list, or set the clock")


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


def answer() -> None:
    """Orders and a list from stdin; to stdout a line of JSON, the rows of all entries, and the expected false hits."""
    orders = json.loads(sys.stdin.buffer.readline())
    trust = Trust(_keys(orders["authorities"]), _keys(orders["centre"]), orders["allow_unsigned"])
    out, utc, version = sys.stdout.buffer, None, None
    try:
        raw = sys.stdin.buffer.read()
        if orders["sessions"] is not None:
            sessions = [Session.of(state) for state in orders["sessions"]]
            raw, utc, version = _unsealed(raw, sessions, trust, orders["now_ns"])
        watchlist, key_id, digest = read(raw, trust)
        if version not in (None, watchlist.header.version):
            raise ListRefused("is another version than the one it was sent as")
    except Unusable as error:
        out.write(json.dumps({"refused": str(error)}).encode() + b"\n")
        return
    head = {
        "header": as_header(watchlist.header),
        "groups": [[item.country, item.reason, item.priority, zulu(item.not_after)] for item in watchlist.entries],
        "entries": len(watchlist),
        "key_id": key_id,
        "digest": digest,
        "utc": utc,
    }
    out.write(json.dumps(head).encode() + b"\n")
    key = base64.b64decode(orders["key"])
    for number, item in enumerate(watchlist.entries):
        out.write(b"".join(ROW.pack(token_of(plate, key), number) for plate in item.plates))
    # Some entries stand for all. As one text, for single ones would keep the pages of all others.
    some = list(islice(watchlist.plates(), 0, None, max(len(watchlist) // SAMPLED, 1)))
    passages, sample = orders["passages_per_day"] * len(watchlist) / max(len(some), 1), json.dumps(some)
    del raw, watchlist, some
    out.write(json.dumps(_expected(json.loads(sample), passages, orders["most"])).encode())


def _expected(plates: list[tuple[str, str]], passages_per_day: float, most: str) -> dict[str, float]:
    from edge_anpr.datatypes import MatchClass  # noqa: PLC0415 - both bring numpy
    from edge_anpr.watch.budget import expected_false_hits  # noqa: PLC0415

    expected = expected_false_hits(plates, passages_per_day, MatchClass(most))
    return {step.value: value for step, value in expected.items()}


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


def _keys(told: Mapping[str, str]) -> dict[str, bytes]:
    return {name: base64.b64decode(public) for name, public in told.items()}
