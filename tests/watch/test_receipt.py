"""Receipts: who may give one, for what, and that none serves twice."""

from __future__ import annotations

import json

import pytest

from edge_anpr.privacy.keys import Key, key_id
from edge_anpr.watch import envelope, receipt
from edge_anpr.watch.envelope import RECEIPT, TICKET
from edge_anpr.watch.receipt import ReceiptRefused

UNIT = "town/bridge/pole-07"
SECRET, PUBLIC = envelope.new_pair("centre")
TRUSTED = {key_id(PUBLIC.raw): PUBLIC.raw}
DIGEST = receipt.digest(b"sealed")


def signed(body: object, kind: str = RECEIPT, secret: Key = SECRET) -> bytes:
    return envelope.sign(json.dumps(body).encode(), kind, secret)


def test_what_the_centre_holds_is_what_the_unit_reads() -> None:
    assert receipt.read(receipt.make(UNIT, [DIGEST, "0" * 64], SECRET), UNIT, TRUSTED) == [DIGEST, "0" * 64]
    assert len(receipt.make(UNIT, [DIGEST] * receipt.MAX_DIGESTS, SECRET)) < receipt.MAX_BYTES


@pytest.mark.parametrize(
    ("raw", "why"),
    [
        (b"", "no signed envelope"),
        (b"x" * (receipt.MAX_BYTES + 1), "larger"),
        (signed({"schema": receipt.SCHEMA, "unit": UNIT, "taken": [DIGEST]}, TICKET), "another purpose"),
        (signed({"schema": "anpr.receipt/2", "unit": UNIT, "taken": [DIGEST]}), "another form"),
        (signed({"schema": receipt.SCHEMA, "unit": UNIT, "taken": [DIGEST], "more": 1}), "another form"),
        (signed([DIGEST]), "another form"),
        (signed({"schema": receipt.SCHEMA, "unit": UNIT, "taken": []}), "names no messages"),
        (signed({"schema": receipt.SCHEMA, "unit": UNIT, "taken": [7]}), "names no messages"),
        (signed({"schema": receipt.SCHEMA, "unit": UNIT, "taken": [DIGEST.upper()]}), "names no messages"),
        (signed({"schema": receipt.SCHEMA, "unit": UNIT, "taken": [DIGEST] * 201}), "names no messages"),
        (signed({"schema": receipt.SCHEMA, "unit": "town/bridge/pole-08", "taken": [DIGEST]}), "another unit"),
        (signed({"schema": receipt.SCHEMA, "unit": None, "taken": [DIGEST]}), "another unit"),
    ],
)
def test_nothing_else_is_a_receipt(raw: bytes, why: str) -> None:
    with pytest.raises(ReceiptRefused, match=why):
        receipt.read(raw, UNIT, TRUSTED)


def test_a_forged_or_an_altered_one_is_none() -> None:
    other, _ = envelope.new_pair("somebody")
    with pytest.raises(ReceiptRefused, match="no key that is trusted"):
        receipt.read(receipt.make(UNIT, [DIGEST], other), UNIT, TRUSTED)
    good = receipt.make(UNIT, [DIGEST], SECRET)
    for place in range(0, len(good), 7):
        altered = bytearray(good)
        altered[place] ^= 1
        with pytest.raises(ReceiptRefused):
            receipt.read(bytes(altered), UNIT, TRUSTED)
