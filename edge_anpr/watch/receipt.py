"""Receipts: the centre's signed word that it holds a message durably, so that the unit may delete it.

A receipt names the sha256 of the message's bytes as they were sent. Hit ids and sealed boxes are random, so a digest is
of one message in the world: a receipt that is played again says nothing new, and one of another unit says nothing here.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping, Sequence

from edge_anpr.errors import Unusable
from edge_anpr.privacy.keys import Key
from edge_anpr.watch import envelope, strict
from edge_anpr.watch.envelope import RECEIPT, EnvelopeRefused

SCHEMA = "anpr.receipt/1"
MAX_DIGESTS = 200
MAX_BYTES = 32 * 1024


class ReceiptRefused(Unusable):
    """What is no receipt for this unit; the text says why."""


def digest(payload: bytes) -> str:
    """What a receipt calls a message: the sha256 of its payload, in hex."""
    return hashlib.sha256(payload).hexdigest()


def make(unit: str, digests: Sequence[str], secret: Key) -> bytes:
    """A receipt for at most ``MAX_DIGESTS`` messages of ``unit`` (``org/site/unit``), signed with the centre's key."""
    if not 0 < len(digests) <= MAX_DIGESTS:
        raise ValueError(f"a receipt names 1 to {MAX_DIGESTS} messages")
    body = {"schema": SCHEMA, "unit": unit, "taken": list(digests)}
    return envelope.sign(json.dumps(body, separators=(",", ":")).encode(), RECEIPT, secret)


def read(raw: bytes, unit: str, trusted: Mapping[str, bytes]) -> list[str]:
    """The digests in a receipt for ``unit``, signed by one of ``trusted`` (by key id). Raises ReceiptRefused."""
    if len(raw) > MAX_BYTES:
        raise ReceiptRefused(f"a receipt is refused: it is larger than {MAX_BYTES} bytes")
    try:
        body = strict.loads(envelope.verify(raw, RECEIPT, trusted).payload)
    except (EnvelopeRefused, strict.NotStrict) as error:
        raise ReceiptRefused(f"a receipt is refused: it {error}") from None
    if not isinstance(body, dict) or set(body) != {"schema", "unit", "taken"} or body["schema"] != SCHEMA:
        raise ReceiptRefused("a receipt is refused: it is of another form")
    taken = body["taken"]
    if not isinstance(taken, list) or not 0 < len(taken) <= MAX_DIGESTS or not all(map(_is_digest, taken)):
        raise ReceiptRefused("a receipt is refused: it names no messages")
    if body["unit"] != unit:
        raise ReceiptRefused("a receipt is refused: it is for another unit")
    return taken


def _is_digest(value: object) -> bool:
    return isinstance(value, str) and re.fullmatch(r"[0-9a-f]{64}", value) is not None
