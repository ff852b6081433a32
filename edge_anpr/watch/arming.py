"""Arming: how a unit gets its list sealed to a key that it made at boot, and how the centre takes the list back.

Values in, bytes out: who carries them, and every clock, is the caller's affair. docs/arming.md shows the whole.

* **request** (unit to centre, JSON, signed by the unit if it has a key for that): an ephemeral X25519 key and a nonce;
* **answer** (centre to unit, sealed to that key): a ticket signed by the centre, and the list's envelope as it is;
* **revocation** (centre to unit, signed by the centre): a list up to a version is withdrawn.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import json
import re
import secrets
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

from edge_anpr.errors import Unusable
from edge_anpr.privacy import seal
from edge_anpr.privacy.keys import KEY_BYTES, Key
from edge_anpr.watch import envelope, strict
from edge_anpr.watch.envelope import REVOCATION, TICKET, EnvelopeRefused

REQUEST = "application/vnd.anpr.arm+json"
REQUEST_SCHEMA, TICKET_SCHEMA, REVOCATION_SCHEMA = "anpr.arm/1", "anpr.ticket/1", "anpr.revocation/1"
LIFE = timedelta(minutes=15)
"""So long a ticket may be good, and with it the request that it answers."""
NONCE_BYTES = 32
MAX_REQUEST_BYTES = 4096
MAX_TICKET_BYTES = 4096
MAX_REVOCATION_BYTES = 512 * 1024
MAX_UNITS = 10_000
_LENGTH_BYTES = 4


class ArmingRefused(Unusable):
    """A message that must not be acted upon; the text says why in one line, and nothing of a list or a key."""


@dataclass(frozen=True, slots=True)
class Holds:
    """The list that a unit has in use."""

    list_id: str
    version: int


@dataclass(frozen=True, slots=True)
class Request:
    """What a unit asks for. ``signer`` is the id of the unit's key, None when it did not sign."""

    unit: str
    boot_id: str
    public: bytes = field(repr=False)
    nonce: str = field(repr=False)
    version: str
    holds: Holds | None
    signer: str | None = None


@dataclass(frozen=True, slots=True)
class Ticket:
    """The centre's word that it gave this list to this unit now. ``recipient``, ``list_sha256`` are sha256 in hex."""

    unit: str
    nonce: str = field(repr=False)
    recipient: str
    list_sha256: str
    version: int
    at: datetime
    expires: datetime


@dataclass(frozen=True, slots=True)
class Armed:
    """A list's envelope, still to be verified by whom it trusts for lists, and the ticket it came with."""

    envelope: bytes = field(repr=False)
    ticket: Ticket
    asked_ns: int

    def utc(self, now_ns: int) -> datetime:
        """The UTC time by the centre's clock, at monotonic ``now_ns``; fast by what the answer took, never slow.

        So a list expires too early by that at most (15 minutes), and never too late.
        """
        return self.ticket.at + timedelta(microseconds=(now_ns - self.asked_ns) // 1000)


@dataclass(frozen=True, slots=True)
class Revocation:
    """A list is withdrawn up to a version, for these units (``*``: all). To hear it twice changes nothing."""

    list_id: str
    up_to_version: int
    units: tuple[str, ...]
    at: datetime

    def withdraws(self, unit: str, list_id: str, version: int) -> bool:
        """Whether this unit must not use that list any more."""
        named = unit in self.units or "*" in self.units
        return named and list_id == self.list_id and version <= self.up_to_version


class Session:
    """One request of a unit, and the key that opens its answer; both are forgotten with it.

    ``now_ns`` is monotonic. ``version`` is the program's. ``identity``, an Ed25519 secret, signs the request.
    """

    def __init__(
        self,
        unit: str,
        boot_id: str,
        now_ns: int,
        *,
        version: str,
        holds: Holds | None = None,
        identity: Key | None = None,
    ) -> None:
        self._secret: Key | None
        self._secret, public = seal.new_pair("")
        self._unit, self._asked_ns = unit, now_ns
        self._nonce = secrets.token_hex(NONCE_BYTES)
        self._recipient = hashlib.sha256(public.raw).hexdigest()
        body = {
            "schema": REQUEST_SCHEMA,
            "unit": unit,
            "boot_id": boot_id,
            "public": base64.b64encode(public.raw).decode(),
            "nonce": self._nonce,
            "version": version,
            "holds": None if holds is None else {"list_id": holds.list_id, "version": holds.version},
        }
        self._request = _json(body) if identity is None else envelope.sign(_json(body), REQUEST, identity)

    def request(self) -> bytes:
        """What is to be sent to the centre."""
        return self._request

    def state(self) -> dict[str, Any]:
        """What opens the answer, as JSON values, for the process that opens lists. It holds the secret."""
        assert self._secret is not None
        return {
            "unit": self._unit,
            "asked_ns": self._asked_ns,
            "nonce": self._nonce,
            "recipient": self._recipient,
            "secret": base64.b64encode(self._secret.raw).decode(),
        }

    @classmethod
    def of(cls, state: Mapping[str, Any]) -> Session:
        """The session of which this is the state; it asks nothing again."""
        session = cls.__new__(cls)
        session._secret = Key("x25519", True, base64.b64decode(state["secret"]))
        session._unit, session._asked_ns = state["unit"], state["asked_ns"]
        session._nonce, session._recipient, session._request = state["nonce"], state["recipient"], b""
        return session

    def age_ns(self, now_ns: int) -> int:
        """Since when it asks. Make another one well before ``LIFE``: after it no answer is good any more."""
        return now_ns - self._asked_ns

    def open(self, answer: bytes, centre: Mapping[str, bytes], now_ns: int) -> Armed:
        """Open the centre's answer, whose ticket one of the ``centre`` keys (by key id) has signed.

        Once only. Raises ArmingRefused; the session can then still open another answer.
        """
        if self._secret is None:
            raise ArmingRefused("the answer is refused: this request was answered already")
        try:
            opened = seal.open_sealed(answer, self._secret)
            ticket_bytes, listed = _unpack(opened)
            ticket = _ticket(envelope.verify(ticket_bytes, TICKET, centre).payload)
        except (seal.SealRefused, EnvelopeRefused, _Flaw) as error:
            raise ArmingRefused(f"the answer is refused: {error}") from None
        flaw = self._flaw(ticket, listed, now_ns)
        if flaw:
            raise ArmingRefused(f"the answer is refused: {flaw}")
        self._secret = None
        return Armed(listed, ticket, self._asked_ns)

    def _flaw(self, ticket: Ticket, listed: bytes, now_ns: int) -> str | None:
        life = ticket.expires - ticket.at
        if ticket.unit != self._unit:
            flaw = "its ticket is for another unit"
        elif ticket.nonce != self._nonce:
            flaw = "its ticket answers another request"
        elif ticket.recipient != self._recipient:
            flaw = "its ticket was given to another key; somebody stands between this unit and the centre"
        elif ticket.list_sha256 != hashlib.sha256(listed).hexdigest():
            flaw = "its ticket is for another list"
        elif not timedelta(0) < life <= LIFE:
            flaw = f"its ticket is not good for up to {LIFE.seconds // 60} minutes"
        # This clock alone: the unit's idea of UTC may be ten years off. The ticket is younger than the request.
        elif not 0 <= self.age_ns(now_ns) <= life.total_seconds() * 1e9:
            flaw = "it came too late; the unit asks again"
        else:
            flaw = None
        return flaw


def read_request(raw: bytes, units: Mapping[str, bytes] | None = None) -> Request:
    """What a unit asks. With ``units`` (public keys by key id) one of them must have signed. Raises ArmingRefused."""
    signer = None
    try:
        if len(raw) > MAX_REQUEST_BYTES:
            raise _Flaw("is too large")  # noqa: TRY301 - beside the others
        if units is not None:
            opened = envelope.verify(raw, REQUEST, units)
            raw, signer = opened.payload, opened.key_id
        body = _object(raw, REQUEST_SCHEMA, ("unit", "boot_id", "public", "nonce", "version", "holds"))
        return Request(
            unit=_unit(body["unit"]),
            boot_id=_matching(body["boot_id"], r"[0-9a-f]{1,64}", "boot_id"),
            public=_key(body["public"]),
            nonce=_hex(body["nonce"], "nonce"),
            version=_matching(body["version"], r"[0-9A-Za-z.+-]{1,64}", "version"),
            holds=_holds(body["holds"]),
            signer=signer,
        )
    except (EnvelopeRefused, _Flaw) as error:
        raise ArmingRefused(f"the request is refused: {error}") from None


def answer(request: Request, listed: bytes, version: int, secret: Key, now: datetime) -> bytes:
    """The list's envelope ``listed``, of that ``version``, sealed to who asks; ``secret`` signs the ticket.

    Raises ArmingRefused when nothing can be sealed to the request's key.
    """
    body = {
        "schema": TICKET_SCHEMA,
        "unit": request.unit,
        "nonce": request.nonce,
        "recipient": hashlib.sha256(request.public).hexdigest(),
        "list_sha256": hashlib.sha256(listed).hexdigest(),
        "version": version,
        "at": _iso(now),
        "expires": _iso(now + LIFE),
    }
    ticket = envelope.sign(_json(body), TICKET, secret)
    # Not JSON: a list of 3 MB would become 4 in base64.
    payload = len(ticket).to_bytes(_LENGTH_BYTES, "big") + ticket + listed
    try:
        return seal.seal(payload, Key("x25519", False, request.public))
    except seal.SealRefused as error:
        raise ArmingRefused(f"the request is refused: its key {error}") from None


def revoke(list_id: str, up_to_version: int, units: tuple[str, ...], secret: Key, now: datetime) -> bytes:
    """A signed message by which the units (``*``: all) drop the list up to that version. Raises ArmingRefused."""
    body = {
        "schema": REVOCATION_SCHEMA,
        "list_id": list_id,
        "up_to_version": up_to_version,
        "units": list(units),
        "at": _iso(now),
    }
    try:
        _revocation(_json(body))
    except _Flaw as error:
        raise ArmingRefused(f"the revocation is refused: {error}") from None
    return envelope.sign(_json(body), REVOCATION, secret)


def read_revocation(raw: bytes, centre: Mapping[str, bytes]) -> Revocation:
    """What the centre withdraws, signed by one of its keys (by key id). Raises ArmingRefused."""
    try:
        if len(raw) > MAX_REVOCATION_BYTES:
            raise _Flaw("is too large")  # noqa: TRY301 - beside the others
        return _revocation(envelope.verify(raw, REVOCATION, centre).payload)
    except (EnvelopeRefused, _Flaw) as error:
        raise ArmingRefused(f"the revocation is refused: {error}") from None


class _Flaw(ValueError):
    """Why a message is not read; never with what it says."""


def _unpack(payload: bytes) -> tuple[bytes, bytes]:
    end = _LENGTH_BYTES + int.from_bytes(payload[:_LENGTH_BYTES], "big")
    if not _LENGTH_BYTES < end <= min(len(payload), _LENGTH_BYTES + MAX_TICKET_BYTES):
        raise _Flaw("holds no ticket")
    return payload[_LENGTH_BYTES:end], payload[end:]


def _ticket(payload: bytes) -> Ticket:
    names = ("unit", "nonce", "recipient", "list_sha256", "version", "at", "expires")
    body = _object(payload, TICKET_SCHEMA, names)
    return Ticket(
        unit=_unit(body["unit"]),
        nonce=_hex(body["nonce"], "nonce"),
        recipient=_hex(body["recipient"], "recipient"),
        list_sha256=_hex(body["list_sha256"], "list_sha256"),
        version=_whole(body["version"], "version"),
        at=_time(body["at"], "at"),
        expires=_time(body["expires"], "expires"),
    )


def _revocation(payload: bytes) -> Revocation:
    body = _object(payload, REVOCATION_SCHEMA, ("list_id", "up_to_version", "units", "at"))
    units = body["units"]
    if not isinstance(units, list) or not 1 <= len(units) <= MAX_UNITS:
        raise _Flaw(f"units: must be 1 to {MAX_UNITS} unit ids, or '*'")
    return Revocation(
        list_id=_name(body["list_id"]),
        up_to_version=_whole(body["up_to_version"], "up_to_version"),
        units=tuple("*" if unit == "*" else _unit(unit) for unit in units),
        at=_time(body["at"], "at"),
    )


def _object(raw: bytes, schema: str, names: tuple[str, ...]) -> dict[str, Any]:
    try:
        body = strict.loads(raw)
    except strict.NotStrict:
        raise _Flaw("is not the JSON that is expected") from None
    _fields(body, ("schema", *names))
    if body["schema"] != schema:
        raise _Flaw(f"schema: must be {schema}")
    assert isinstance(body, dict)
    return body


def _fields(body: object, names: tuple[str, ...]) -> None:
    if not isinstance(body, dict) or set(body) != set(names):
        raise _Flaw(f"must hold {', '.join(names)}, and nothing else")


def _holds(value: object) -> Holds | None:
    if value is None:
        return None
    _fields(value, ("list_id", "version"))
    assert isinstance(value, dict)
    return Holds(_name(value["list_id"]), _whole(value["version"], "holds.version"))


def _matching(value: object, pattern: str, where: str) -> str:
    if not isinstance(value, str) or not re.fullmatch(pattern, value):
        raise _Flaw(f"{where}: has another form")
    return value


def _unit(value: object) -> str:
    return _matching(value, r"[a-z0-9-]{1,32}", "unit")


def _hex(value: object, where: str) -> str:
    return _matching(value, r"[0-9a-f]{64}", where)


def _name(value: object) -> str:
    if not isinstance(value, str) or not 1 <= len(value) <= 200 or not value.isprintable():
        raise _Flaw("list_id: must be text of 1 to 200 printable characters")
    return value


def _whole(value: object, where: str) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or not 0 <= value < 2**53:
        raise _Flaw(f"{where}: must be a whole number from 0")
    return value


def _key(value: object) -> bytes:
    text = _matching(value, r"[A-Za-z0-9+/]{43}=", "public")
    try:
        raw = binascii.a2b_base64(text, strict_mode=True)
    except binascii.Error:
        raw = b""
    if len(raw) != KEY_BYTES:
        raise _Flaw("public: has another form")
    return raw


def _time(value: object, where: str) -> datetime:
    text = _matching(value, r"[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}\.[0-9]{3}Z", where)
    try:
        return datetime.fromisoformat(text)
    except ValueError:
        raise _Flaw(f"{where}: is no time") from None


def _iso(moment: datetime) -> str:
    return moment.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S.") + f"{moment.microsecond // 1000:03d}Z"


def _json(value: dict[str, Any]) -> bytes:
    return json.dumps(value, separators=(",", ":")).encode()
