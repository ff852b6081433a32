from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge_anpr.privacy import seal
from edge_anpr.privacy.keys import Key
from edge_anpr.privacy.seal import MAGIC, SealRefused

SECRET, PUBLIC = seal.new_pair("centre")
PLATE = b"12ABC3"


@given(st.binary(max_size=70_000))
def test_what_is_sealed_opens_with_the_secret_key(payload: bytes) -> None:
    assert seal.open_sealed(seal.seal(payload, PUBLIC), SECRET) == payload


def test_another_key_opens_nothing_and_the_refusal_tells_nothing() -> None:
    sealed = seal.seal(PLATE, PUBLIC)
    assert PLATE not in sealed
    for key in (seal.new_pair("thief")[0], Key("x25519", True, PUBLIC.raw)):
        with pytest.raises(SealRefused, match=r"^is not sealed to this key, or was altered$") as refused:
            seal.open_sealed(sealed, key)
        assert refused.value.__cause__ is None
    assert SECRET.raw.hex() not in repr(SECRET)
    assert repr(SECRET.raw) not in repr(SECRET)


@given(st.data())
def test_every_single_bit_flip_is_refused(data: st.DataObject) -> None:
    sealed = bytearray(seal.seal(PLATE, PUBLIC))
    # As often in the magic, the ephemeral key and the first bytes of the box as in the long rest.
    place = data.draw(st.one_of(st.integers(0, 80), st.integers(0, len(sealed) - 1)))
    sealed[place] ^= 1 << data.draw(st.integers(0, 7))
    with pytest.raises(SealRefused):
        seal.open_sealed(bytes(sealed), SECRET)


@given(st.binary(max_size=200))
def test_anything_else_is_refused(raw: bytes) -> None:
    for message in (raw, MAGIC + raw):
        with pytest.raises(SealRefused):
            seal.open_sealed(message, SECRET)


def test_padding_that_is_no_padding_is_refused() -> None:
    """A sender may not hide anything in it, nor choose a size of its own."""
    from nacl.public import PublicKey, SealedBox

    box = SealedBox(PublicKey(PUBLIC.raw))
    for inside in (b"", b"\0\0\0\x09x", b"\xff\xff\xff\xffx" + bytes(8187), b"\0\0\0\x01x" + bytes(8186) + b"y",
                   b"\0\0\0\x01x", b"\0\0\0\x01x" + bytes(16379)):  # fmt: skip
        with pytest.raises(SealRefused):
            seal.open_sealed(MAGIC + box.encrypt(inside), SECRET)
    assert seal.open_sealed(MAGIC + box.encrypt(b"\0\0\0\x01x" + bytes(8187)), SECRET) == b"x"


def test_the_size_tells_a_class_and_no_more() -> None:
    def size(payload: int) -> int:
        return len(seal.seal(bytes(payload), PUBLIC)) - len(MAGIC) - 48  # libsodium adds 48 bytes

    assert {size(length) for length in (0, 700, 8188)} == {8192}
    assert [size(length) for length in (8189, 16_380, 16_381, 40_000)] == [16_384, 16_384, 32_768, 65_536]
    assert size(65_533) == 65_536 + 8192


@given(st.integers(0, 20_000_000))
def test_padding_of_a_list_costs_an_eighth_at_most(size: int) -> None:
    padded = seal.size_class(size)
    assert padded >= size
    assert seal.size_class(padded) == padded
    if size > seal.DOUBLING_TO_BYTES:
        assert padded <= size * 1.125 + 1


def test_a_key_that_everybody_could_open_is_refused() -> None:
    with pytest.raises(SealRefused, match="no public key"):
        seal.seal(PLATE, Key("x25519", False, bytes(32)))


def test_an_append_that_seals() -> None:
    rows: list[tuple[str, str, bytes]] = []
    seal.sealing(lambda *row: rows.append(row), PUBLIC)("a", "first", PLATE)
    assert [(hit_id, phase) for hit_id, phase, _ in rows] == [("a", "first")]
    assert PLATE not in rows[0][2]
    assert seal.open_sealed(rows[0][2], SECRET) == PLATE
