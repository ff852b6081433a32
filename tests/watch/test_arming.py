from __future__ import annotations

import base64
import hashlib
import json
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edge_anpr.privacy import seal
from edge_anpr.privacy.keys import Key, key_id
from edge_anpr.watch import arming, envelope
from edge_anpr.watch.arming import ArmingRefused, Holds, Session

CENTRE, CENTRE_PUBLIC = envelope.new_pair("tickets")
STRANGER, STRANGER_PUBLIC = envelope.new_pair("stranger")
UNIT_KEY, UNIT_PUBLIC = envelope.new_pair("pole-07")
KEYS = {key_id(CENTRE_PUBLIC.raw): CENTRE_PUBLIC.raw}
UNITS = {key_id(UNIT_PUBLIC.raw): UNIT_PUBLIC.raw}
NOW = datetime(2026, 5, 1, 12, tzinfo=UTC)
MINUTE_NS = 60 * 10**9
BOOT_NS = 5 * MINUTE_NS
LIST = envelope.sign(b'{"plates":"12ABC3"}', envelope.LIST, STRANGER)


def session(unit: str = "pole-07", **changes: Any) -> Session:
    return Session(unit, "ab12", BOOT_NS, version="0.1.0", **changes)


def answered(to: Session, secret: Key = CENTRE) -> bytes:
    return arming.answer(arming.read_request(to.request()), LIST, 12, secret, NOW)


def ticket(to: Session, **changes: Any) -> bytes:
    """A ticket as the centre would sign it for this session, some fields apart."""
    request = arming.read_request(to.request())
    body = {
        "schema": "anpr.ticket/1",
        "unit": "pole-07",
        "nonce": request.nonce,
        "recipient": hashlib.sha256(request.public).hexdigest(),
        "list_sha256": hashlib.sha256(LIST).hexdigest(),
        "version": 12,
        "at": "2026-05-01T12:00:00.000Z",
        "expires": "2026-05-01T12:15:00.000Z",
    }
    return envelope.sign(json.dumps(body | changes).encode(), envelope.TICKET, CENTRE)


def enclosed(to: Session, ticket: bytes, listed: bytes = LIST) -> bytes:
    public = arming.read_request(to.request()).public
    return seal.seal(len(ticket).to_bytes(4, "big") + ticket + listed, Key("x25519", False, public))


def refuses(to: Session, answer: bytes, why: str, now_ns: int = BOOT_NS) -> None:
    with pytest.raises(ArmingRefused, match=why) as refusal:
        to.open(answer, KEYS, now_ns)
    assert len(str(refusal.value).splitlines()) == 1
    assert "12ABC3" not in str(refusal.value)


def test_a_unit_gets_the_list_that_the_centre_sealed_to_it() -> None:
    to = session()
    answer = answered(to)
    for hidden in (b"12ABC3", base64.b64encode(b"12ABC3"), LIST, b"pole-07"):
        assert hidden not in answer
    armed = to.open(answer, KEYS, BOOT_NS + 2 * MINUTE_NS)
    assert armed.envelope == LIST
    assert (armed.ticket.unit, armed.ticket.version) == ("pole-07", 12)
    assert armed.ticket.expires - armed.ticket.at == timedelta(minutes=15)
    assert "12ABC3" not in repr(armed)


def test_the_tickets_of_this_test_are_like_those_of_the_centre() -> None:
    to = session()
    assert to.open(enclosed(to, ticket(to)), KEYS, BOOT_NS).envelope == LIST


def test_utc_is_the_centres_and_never_slow() -> None:
    to = session()
    armed = to.open(answered(to), KEYS, BOOT_NS + 3 * MINUTE_NS)
    assert armed.utc(BOOT_NS + 10 * MINUTE_NS) == NOW + timedelta(minutes=10)


def test_a_request_is_answered_once() -> None:
    to = session()
    answer = answered(to)
    to.open(answer, KEYS, BOOT_NS)
    refuses(to, answer, "answered already")


def test_what_is_refused_does_not_spend_the_request() -> None:
    to = session()
    refuses(to, b"garbage", "not sealed to this key")
    assert to.open(answered(to), KEYS, BOOT_NS).ticket.version == 12


def test_no_two_requests_share_a_key_or_a_nonce() -> None:
    one, other = (arming.read_request(session().request()) for _ in range(2))
    assert one.public != other.public
    assert one.nonce != other.nonce


def test_the_answer_to_another_request_does_not_open() -> None:
    refuses(session(), answered(session()), "not sealed to this key")


@pytest.mark.parametrize(
    ("change", "why"),
    [
        ({"unit": "pole-08"}, "for another unit"),
        ({"nonce": "0" * 64}, "answers another request"),
        ({"recipient": "0" * 64}, "somebody stands between"),
        ({"list_sha256": "0" * 64}, "for another list"),
        ({"expires": "2026-05-01T12:15:00.001Z"}, "not good for up to 15 minutes"),
        ({"expires": "2026-05-01T12:00:00.000Z"}, "not good for up to 15 minutes"),
        ({"expires": "2026-05-01T11:59:00.000Z"}, "not good for up to 15 minutes"),
        ({"schema": "anpr.ticket/2"}, "schema: must be"),
        ({"version": "12"}, "version: must be a whole number"),
        ({"version": True}, "version: must be a whole number"),
        ({"version": -1}, "version: must be a whole number"),
        ({"version": 12.0}, "version: must be a whole number"),
        ({"at": "2026-05-01"}, "at: has another form"),
        ({"at": "2026-13-01T12:00:00.000Z"}, "at: is no time"),
        ({"at": 1}, "at: has another form"),
        ({"unit": "pole-07\n"}, "unit: has another form"),
        ({"unit": None}, "unit: has another form"),
        ({"more": 1}, "nothing else"),
    ],
)
def test_a_ticket_of_the_centre_that_is_not_for_this_is_refused(change: dict[str, Any], why: str) -> None:
    to = session()
    refuses(to, enclosed(to, ticket(to, **change)), why)


def test_a_ticket_signed_by_another_key_or_for_another_purpose_is_refused() -> None:
    to = session()
    refuses(to, answered(to, STRANGER), "signed by no key that is trusted here")
    payload = envelope.verify(ticket(to), envelope.TICKET, KEYS).payload
    for kind in (envelope.LIST, envelope.REVOCATION, arming.REQUEST):
        refuses(to, enclosed(to, envelope.sign(payload, kind, CENTRE)), "for another purpose")
    twice = payload.replace(b'"unit"', b'"unit": "pole-07", "unit"')
    refuses(to, enclosed(to, envelope.sign(twice, envelope.TICKET, CENTRE)), "not the JSON that is expected")


@pytest.mark.parametrize(
    "payload", [b"", b"\0", b"\0\0\0\0", b"\0\0\0\x01", b"\xff\xff\xff\xffx", b"\0\0\xff\0" * 9999]
)
def test_an_answer_without_a_ticket_is_refused(payload: bytes) -> None:
    to = session()
    public = Key("x25519", False, arming.read_request(to.request()).public)
    refuses(to, seal.seal(payload, public), "holds no ticket")


def test_another_list_under_the_ticket_is_refused() -> None:
    to = session()
    refuses(to, enclosed(to, ticket(to), LIST + b" "), "for another list")
    refuses(to, enclosed(to, ticket(to), b""), "for another list")


def test_age_counts_by_the_units_own_monotonic_clock() -> None:
    to = session()
    late, before = BOOT_NS + 15 * MINUTE_NS + 1, BOOT_NS - 1
    refuses(to, answered(to), "too late", late)
    refuses(to, answered(to), "too late", before)
    short = enclosed(to, ticket(to, expires="2026-05-01T12:01:00.000Z"))
    refuses(to, short, "too late", BOOT_NS + MINUTE_NS + 1)
    assert to.open(answered(to), KEYS, late - 1).ticket.version == 12


ASKED = session()
ANSWER = answered(ASKED)


@given(st.data())
@settings(max_examples=200)
def test_every_single_bit_flip_of_an_answer_is_refused(data: st.DataObject) -> None:
    answer = bytearray(ANSWER)
    answer[data.draw(st.integers(0, len(answer) - 1))] ^= 1 << data.draw(st.integers(0, 7))
    with pytest.raises(ArmingRefused):
        ASKED.open(bytes(answer), KEYS, BOOT_NS)


def test_every_single_bit_flip_of_a_ticket_or_of_its_list_is_refused() -> None:
    to = session()
    whole = ticket(to) + LIST
    size = len(ticket(to))
    for place in range(len(whole)):
        altered = bytearray(whole)
        altered[place] ^= 1 << place % 8
        with pytest.raises(ArmingRefused):
            to.open(enclosed(to, bytes(altered[:size]), bytes(altered[size:])), KEYS, BOOT_NS)


@given(st.binary(max_size=300))
def test_anything_else_is_refused(raw: bytes) -> None:
    with pytest.raises(ArmingRefused):
        session().open(raw, KEYS, BOOT_NS)
    with pytest.raises(ArmingRefused):
        arming.read_request(raw)
    with pytest.raises(ArmingRefused):
        arming.read_request(raw, UNITS)
    with pytest.raises(ArmingRefused):
        arming.read_revocation(raw, KEYS)


JSON: st.SearchStrategy[Any] = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=9), inner, max_size=3),
    max_leaves=3,
)


@given(st.sampled_from(["unit", "boot_id", "public", "nonce", "version", "holds", "schema"]), JSON)
@settings(max_examples=60)
def test_a_request_with_a_field_of_another_kind_is_refused(name: str, value: Any) -> None:
    body = json.loads(session().request())
    if name == "holds" and value is None:
        return
    body[name] = value
    try:
        request = arming.read_request(json.dumps(body).encode())
    except ArmingRefused:
        return
    # What hypothesis wrote was good by chance: then it is what it says.
    assert name in ("unit", "boot_id", "version")
    assert getattr(request, name) == value


def test_a_request_tells_what_the_unit_holds_and_nothing_else() -> None:
    request = arming.read_request(session(holds=Holds("stolen", 11)).request())
    assert (request.unit, request.boot_id, request.version) == ("pole-07", "ab12", "0.1.0")
    assert request.holds == Holds("stolen", 11)
    assert request.signer is None
    assert arming.read_request(session().request()).holds is None


@pytest.mark.parametrize(
    "damage",
    [
        lambda raw: raw.replace(b'{"schema"', b'{"more":1,"schema"'),
        lambda raw: raw.replace(b'"unit":', b'"unit":"pole-07","unit":'),
        lambda raw: raw.replace(b'"boot_id":"ab12",', b""),
        lambda raw: raw + b" " * 4096,
        lambda raw: b"[" * 4000,
        lambda raw: b"[]",
    ],
)
def test_a_request_is_read_strictly(damage: Any) -> None:
    with pytest.raises(ArmingRefused, match="the request is refused"):
        arming.read_request(damage(session().request()))


def test_a_signed_request_is_of_its_unit() -> None:
    signed = session(identity=UNIT_KEY).request()
    assert arming.read_request(signed, UNITS).signer == key_id(UNIT_PUBLIC.raw)
    with pytest.raises(ArmingRefused, match="no key that is trusted"):
        arming.read_request(session(identity=STRANGER).request(), UNITS)
    with pytest.raises(ArmingRefused, match="no signed envelope"):
        arming.read_request(session().request(), UNITS)
    for place in range(len(signed)):
        altered = bytearray(signed)
        altered[place] ^= 1 << place % 8
        with pytest.raises(ArmingRefused):
            arming.read_request(bytes(altered), UNITS)


def test_a_key_to_which_nothing_can_be_sealed_is_refused() -> None:
    body = json.loads(session().request()) | {"public": base64.b64encode(bytes(32)).decode()}
    with pytest.raises(ArmingRefused, match="the request is refused: its key"):
        arming.answer(arming.read_request(json.dumps(body).encode()), LIST, 12, CENTRE, NOW)


def test_a_revocation_withdraws_a_list_up_to_a_version() -> None:
    raw = arming.revoke("stolen", 12, ("pole-07", "pole-08"), CENTRE, NOW)
    for _ in range(2):  # to hear it again changes nothing
        revocation = arming.read_revocation(raw, KEYS)
        assert revocation.at == NOW
        assert revocation.withdraws("pole-07", "stolen", 12)
        assert revocation.withdraws("pole-08", "stolen", 1)
        assert not revocation.withdraws("pole-07", "stolen", 13)
        assert not revocation.withdraws("pole-07", "missing", 12)
        assert not revocation.withdraws("pole-09", "stolen", 12)
    everywhere = arming.read_revocation(arming.revoke("stolen", 12, ("*",), CENTRE, NOW), KEYS)
    assert everywhere.withdraws("pole-09", "stolen", 12)


def test_every_single_bit_flip_of_a_revocation_is_refused() -> None:
    raw = arming.revoke("stolen", 12, ("*",), CENTRE, NOW)
    for place in range(len(raw) * 8):
        altered = bytearray(raw)
        altered[place // 8] ^= 1 << place % 8
        with pytest.raises(ArmingRefused):
            arming.read_revocation(bytes(altered), KEYS)


def test_a_revocation_by_another_key_or_of_another_form_is_refused() -> None:
    with pytest.raises(ArmingRefused, match="no key that is trusted"):
        arming.read_revocation(arming.revoke("stolen", 12, ("*",), STRANGER, NOW), KEYS)
    right = arming.revoke("stolen", 12, ("*",), CENTRE, NOW)
    good = json.loads(envelope.verify(right, envelope.REVOCATION, KEYS).payload)
    changes: list[dict[str, Any]] = [
        {"units": []}, {"units": "*"}, {"units": ["Pole"]}, {"up_to_version": "12"}, {"list_id": ""}, {"x": 1},
    ]  # fmt: skip
    for change in changes:
        raw = envelope.sign(json.dumps(good | change).encode(), envelope.REVOCATION, CENTRE)
        with pytest.raises(ArmingRefused):
            arming.read_revocation(raw, KEYS)
    with pytest.raises(ArmingRefused, match="too large"):
        arming.read_revocation(b" " * 600_000, KEYS)


@pytest.mark.parametrize(("list_id", "version", "units"), [("", 1, ("*",)), ("a", -1, ("*",)), ("a", 1, ())])
def test_a_revocation_that_nobody_could_read_is_not_signed(list_id: str, version: int, units: tuple[str, ...]) -> None:
    with pytest.raises(ArmingRefused):
        arming.revoke(list_id, version, units, CENTRE, NOW)


def test_no_secret_is_shown() -> None:
    to = session()
    assert to._secret is not None
    raw = to._secret.raw
    request = arming.read_request(to.request())
    told = repr(to) + repr(to._secret) + repr(request)
    for secret in (raw.hex(), repr(raw), base64.b64encode(raw).decode(), repr(request.public), request.nonce):
        assert secret not in told
