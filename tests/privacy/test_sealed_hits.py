"""Who holds everything that lies on a unit reads no hit: no key of it, in no form, opens what waits in its outbox."""

from __future__ import annotations

import base64
import binascii
import json
import re
import subprocess
from pathlib import Path

import pytest

from edge_anpr.privacy import keys, seal
from edge_anpr.privacy.keys import Key
from edge_anpr.unit.outbox import Outbox
from edge_anpr.watch import envelope

PLATE = "12ABC3"
HIT = json.dumps({"schema": "anpr.hit/1", "read": PLATE, "evidence": {"jpeg": "A" * 6000}}).encode()
LARGEST_KEY_FILE = 20_000


def hidden(payload: bytes) -> list[bytes]:
    """The plate as it could stand in a file."""
    forms = [payload, payload.hex().encode(), payload.decode().encode("utf-16-le")]
    for offset in range(3):  # base64 of it at each of its three places, without the characters that it shares
        encoded = base64.b64encode(bytes(offset) + payload + bytes(3))
        forms.append(encoded[-(-offset * 8 // 6) : (offset + len(payload)) * 8 // 6])
    return forms


def files(card: Path) -> dict[str, bytes]:
    return {str(path.relative_to(card)): path.read_bytes() for path in sorted(card.rglob("*")) if path.is_file()}


def candidates(card: Path) -> set[bytes]:
    """Every 32 bytes that could be a key: of each file that is no database, and of each base64 in it, at any place."""
    found: set[bytes] = set()
    for raw in files(card).values():
        if len(raw) > LARGEST_KEY_FILE:
            continue
        pieces = [raw]
        for text in re.findall(rb"[A-Za-z0-9+/]{40,}={0,2}", re.sub(rb"(?<=[A-Za-z0-9+/])\n", b"", raw)):
            try:
                pieces.append(binascii.a2b_base64(text + b"=" * (-len(text) % 4)))
            except binascii.Error:
                continue
        for piece in pieces:
            found.update(piece[start : start + 32] for start in range(len(piece) - 31))
    return found


def steal(card: Path) -> list[bytes]:
    """What a thief of the card reads of its hits."""
    outbox = Outbox(card / "var" / "outbox.db", 10_000_000)
    rows = [row.payload for row in outbox.waiting(0, 100)]
    outbox.close()
    assert rows
    read = []
    for candidate in candidates(card):
        try:
            read.append(seal.open_sealed(rows[0], Key("x25519", True, candidate)))
        except seal.SealRefused:
            continue
    return read


@pytest.fixture
def card(tmp_path: Path) -> Path:
    """All that a unit's processes keep on disk, with a first and a final report waiting, and one delivered."""
    card = tmp_path / "card"
    for folder in ("etc", "var", "run/inbox"):
        (card / folder).mkdir(parents=True)
    etc = card / "etc"
    subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes",
         "-subj", "/CN=pole-07", "-keyout", etc / "tls.key", "-out", etc / "tls.crt"],
        check=True, capture_output=True,
    )  # fmt: skip
    (etc / "unit.yaml").write_text(
        "delivery: {outbox: ../var/outbox.db, seal_to: hits.pub}\nmqtt: {username: pole-07}\n"
    )
    (etc / "mqtt-password").write_text("correct horse battery staple")
    for name in ("authority", "ticket"):
        keys.write(etc / f"{name}.pub", envelope.new_pair(name)[1])
    keys.write(etc / "identity.key", envelope.new_pair("pole-07")[0])
    (card / "var" / "ratchet.json").write_text(json.dumps({"0123456789abcdef": 12}))
    return card


def fill(card: Path, public: Key) -> Outbox:
    outbox = Outbox(card / "var" / "outbox.db", 10_000_000)
    append = seal.sealing(outbox.append, public)
    append("0" * 16, "first", HIT)
    outbox.delete([1])
    append("a" * 16, "first", HIT)
    append("a" * 16, "final", HIT)
    return outbox


def test_a_stolen_unit_reads_no_hit_and_the_centre_does(card: Path, tmp_path: Path) -> None:
    secret, public = seal.new_pair("centre, hits")
    keys.write(card / "etc" / "hits.pub", public)
    outbox = fill(card, public)  # still open: the write-ahead log lies beside it, as when the plug is pulled
    everything = files(card)
    assert any(name.endswith("-wal") for name in everything)
    for name, raw in everything.items():
        for form in hidden(PLATE.encode()):
            assert form not in raw, name
    assert len(candidates(card)) > 1000
    assert steal(card) == []
    waiting = [row.payload for row in outbox.waiting(0, 9)]
    assert {seal.open_sealed(sealed, secret) for sealed in waiting} == {HIT}
    assert len(set(waiting)) == 2  # the same hit twice does not look the same
    # The control: were the centre's secret among the files, this thief would find it.
    keys.write(card / "etc" / "forgotten.key", secret)
    assert steal(card) == [HIT]
    outbox.close()


def test_this_thief_finds_a_hit_that_is_not_sealed(card: Path) -> None:
    outbox = Outbox(card / "var" / "outbox.db", 10_000_000)
    outbox.append("a" * 16, "first", HIT)
    assert any(PLATE.encode() in raw for raw in files(card).values())
    outbox.close()


def test_first_final_and_withdrawn_are_of_one_size(card: Path) -> None:
    public = seal.new_pair("centre, hits")[1]
    sizes = {len(seal.seal(HIT[:size], public)) for size in (600, 1000, 3000, len(HIT))}
    assert len(sizes) == 1
