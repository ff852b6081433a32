"""Lists and keys for tests. The plates were never issued."""

from __future__ import annotations

import time
from datetime import UTC, datetime
from typing import Any

from nacl.signing import SigningKey

from edge_anpr.privacy.keys import Key, key_id
from edge_anpr.watch import envelope
from edge_anpr.watch.opener import Moment
from edge_anpr.watch.watchlist import Entries, Header, Mandate, Watchlist, payload

NOW = datetime(2026, 11, 1, tzinfo=UTC)
START, END = datetime(2026, 1, 1, tzinfo=UTC), datetime(2026, 12, 31, tzinfo=UTC)


def pair(seed: bytes) -> tuple[Key, Key]:
    """A key pair that is the same in every process."""
    return Key("ed25519", True, seed), Key("ed25519", False, bytes(SigningKey(seed).verify_key))


SECRET, PUBLIC = pair(b"authority".ljust(32))
TRUSTED = {key_id(PUBLIC.raw): PUBLIC.raw}


def at(moment: datetime = NOW) -> Moment:
    return Moment(moment, time.monotonic_ns())


def watchlist(*plates: str, **changes: Any) -> Watchlist:
    """A list of Dutch plates; ``changes`` to its header, and ``mandate_ends``."""
    mandate = Mandate("test", "T-1", "nobody", changes.pop("mandate_ends", END))
    fields: dict[str, Any] = {
        "list_id": "test",
        "version": 3,
        "valid_from": START,
        "valid_until": END,
        "units": ("pole-07",),
    } | changes
    entries = (Entries(plates, "NL", "stolen", END, 1),) if plates else ()
    return Watchlist(Header(**fields, mandate=mandate), entries)


def signed(*plates: str, secret: Key = SECRET, **changes: Any) -> bytes:
    return envelope.sign(payload(watchlist(*plates, **changes)), envelope.LIST, secret)
