import base64
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge_anpr.privacy.keys import key_id
from edge_anpr.watch import envelope
from edge_anpr.watch.envelope import LIST, TICKET, EnvelopeRefused, sign, verify
from tests.watch.lists import PUBLIC, SECRET, TRUSTED, signed

RAW = signed("QA12CE", "KU99QX")


@given(st.binary(max_size=300))
def test_what_was_signed_comes_out_as_it_went_in(payload: bytes) -> None:
    opened = verify(sign(payload, LIST, SECRET), LIST, TRUSTED)
    assert (opened.payload, opened.key_id) == (payload, key_id(PUBLIC.raw))


def test_every_flip_of_a_single_bit_is_refused() -> None:
    for bit in range(len(RAW) * 8):
        flipped = bytearray(RAW)
        flipped[bit // 8] ^= 1 << bit % 8
        with pytest.raises(EnvelopeRefused):
            verify(bytes(flipped), LIST, TRUSTED)


@given(st.integers(0, len(RAW) - 1), st.integers(0, len(RAW)))
def test_a_piece_of_an_envelope_is_refused(start: int, end: int) -> None:
    if (start, end) != (0, len(RAW)):
        with pytest.raises(EnvelopeRefused):
            verify(RAW[start:end], LIST, TRUSTED)


def test_another_purpose_and_another_key_are_refused() -> None:
    with pytest.raises(EnvelopeRefused, match="another purpose"):
        verify(RAW, TICKET, TRUSTED)
    stranger, _ = envelope.new_pair("stranger")
    with pytest.raises(EnvelopeRefused, match="no key that is trusted"):
        verify(sign(b"x", LIST, stranger), LIST, TRUSTED)


def test_a_signature_moved_to_another_kind_is_refused() -> None:
    body = json.loads(sign(b"x", TICKET, SECRET)) | {"payloadType": LIST}
    with pytest.raises(EnvelopeRefused, match="signature by key"):
        verify(json.dumps(body).encode(), LIST, TRUSTED)


def test_while_keys_change_either_signature_will_do_but_a_wrong_one_of_a_trusted_key_never() -> None:
    new, _ = envelope.new_pair("new")
    both = sign(b"x", LIST, new, SECRET)
    assert verify(both, LIST, TRUSTED).key_id == key_id(PUBLIC.raw)
    body = json.loads(both)
    body["signatures"][1]["sig"] = body["signatures"][0]["sig"]
    with pytest.raises(EnvelopeRefused, match="is wrong"):
        verify(json.dumps(body).encode(), LIST, TRUSTED)


@pytest.mark.parametrize(
    "change",
    [
        {"extra": 1}, {"payloadType": 1}, {"payload": 1}, {"payload": "a"}, {"payload": "é"}, {"signatures": []},
        {"signatures": {}}, {"signatures": [1]}, {"signatures": [{"keyid": 1, "sig": ""}]},
        {"signatures": [{"keyid": "a", "sig": ""}] * 2}, {"signatures": [{"keyid": "a", "sig": "", "x": 1}]},
        {"signatures": [{"keyid": str(number), "sig": ""} for number in range(5)]},
    ],
)  # fmt: skip
def test_any_other_form_is_refused(change: dict[str, object]) -> None:
    with pytest.raises(EnvelopeRefused):
        verify(json.dumps(json.loads(RAW) | change).encode(), LIST, TRUSTED)


def test_spare_bits_of_base64_are_no_second_way_to_write_a_payload() -> None:
    body = json.loads(sign(b"x", LIST, SECRET))
    assert base64.b64decode("eB==") == base64.b64decode(body["payload"]) == b"x"
    with pytest.raises(EnvelopeRefused, match="base64"):
        verify(json.dumps(body | {"payload": "eB=="}).encode(), LIST, TRUSTED)


def test_what_is_too_large_is_not_even_parsed() -> None:
    with pytest.raises(EnvelopeRefused, match="larger"):
        verify(b"[" * (envelope.MAX_BYTES + 1), LIST, TRUSTED)


def test_neither_payload_nor_key_shows_in_a_repr() -> None:
    opened = verify(RAW, LIST, TRUSTED)
    assert "QA12CE" not in repr(opened)
    assert repr(SECRET.raw)[2:-1] not in repr(SECRET)
