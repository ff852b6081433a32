"""Signed envelopes (DSSE, Ed25519): what is in one is not even parsed before somebody trusted has signed it.

Format: https://github.com/secure-systems-lab/dsse, one JSON object {payloadType, payload, signatures: [{keyid, sig}]}.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field

from nacl.exceptions import BadSignatureError
from nacl.signing import SigningKey, VerifyKey

from edge_anpr.errors import Unusable
from edge_anpr.privacy.keys import Key, key_id
from edge_anpr.watch import strict

LIST = "application/vnd.anpr.list+json"
TICKET = "application/vnd.anpr.ticket+json"
REVOCATION = "application/vnd.anpr.revocation+json"
RECEIPT = "application/vnd.anpr.receipt+json"
# An envelope of 200,000 plates is 3 MB. It is in memory three times while it is opened.
MAX_BYTES = 16 * 1024 * 1024
MAX_SIGNATURES = 4


class EnvelopeRefused(Unusable):
    """An envelope that must not be opened; the text says why, and nothing of what is in it."""


@dataclass(frozen=True, slots=True)
class Opened:
    """What somebody trusted has signed: the payload, the name of the key, the payload's sha256 (hex)."""

    payload: bytes = field(repr=False)
    key_id: str
    digest: str


def new_pair(comment: str) -> tuple[Key, Key]:
    """A new secret key for signing, and its public half."""
    signing = SigningKey.generate()
    return Key("ed25519", True, bytes(signing), comment), Key("ed25519", False, bytes(signing.verify_key), comment)


def trusted_by(secret: Key) -> dict[str, bytes]:
    """Whoever holds a secret key believes what it signed itself: its public half by key id, as ``verify`` takes it."""
    public = bytes(SigningKey(secret.raw).verify_key)
    return {key_id(public): public}


def sign(payload: bytes, kind: str, *secrets: Key) -> bytes:
    """An envelope round ``payload``, signed with each of the secret keys."""
    signatures = []
    for secret in secrets:
        signing = SigningKey(secret.raw)
        signature = signing.sign(_encoding(payload, kind)).signature
        signatures.append({"keyid": key_id(bytes(signing.verify_key)), "sig": base64.b64encode(signature).decode()})
    body = {"payloadType": kind, "payload": base64.b64encode(payload).decode(), "signatures": signatures}
    return json.dumps(body, separators=(",", ":")).encode()


def kind_of(raw: bytes) -> str | None:
    """What an envelope says that it holds, before anybody has checked it; None for what is no envelope."""
    try:
        kind, _, _ = _parts(raw)
    except EnvelopeRefused:
        return None
    return kind


def unverified(raw: bytes, kind: str) -> bytes:
    """What is in an envelope of this kind, whoever signed it: for people to look at. Raises EnvelopeRefused."""
    found, payload, _ = _parts(raw)
    if found != kind:
        raise EnvelopeRefused("is signed for another purpose")
    return payload


def verify(raw: bytes, kind: str, trusted: Mapping[str, bytes]) -> Opened:
    """Open an envelope of this kind, signed by one of the ``trusted`` public keys (by key id). Raises EnvelopeRefused.

    Signatures of keys that are not trusted count for nothing; each of a trusted key must be right.
    """
    found, payload, signatures = _parts(raw)
    if found != kind:
        raise EnvelopeRefused("is signed for another purpose")
    signed = _encoding(payload, kind)
    signer = None
    for name, signature in signatures:
        if name not in trusted:
            continue
        try:
            VerifyKey(trusted[name]).verify(signed, signature)
        except (BadSignatureError, ValueError):
            raise EnvelopeRefused(f"its signature by key {name} is wrong; it was altered, or damaged") from None
        signer = signer or name
    if signer is None:
        raise EnvelopeRefused("is signed by no key that is trusted here")
    return Opened(payload, signer, hashlib.sha256(payload).hexdigest())


def _encoding(payload: bytes, kind: str) -> bytes:
    """What is signed: kind and payload with their lengths, so that neither can run into the other."""
    name = kind.encode()
    return b"DSSEv1 %d %b %d %b" % (len(name), name, len(payload), payload)


def _parts(raw: bytes) -> tuple[str, bytes, list[tuple[str, bytes]]]:
    if len(raw) > MAX_BYTES:
        raise EnvelopeRefused(f"is larger than {MAX_BYTES} bytes")
    try:
        body = strict.loads(raw)
    except strict.NotStrict:
        raise EnvelopeRefused("is no signed envelope") from None
    if not isinstance(body, dict) or set(body) != {"payloadType", "payload", "signatures"}:
        raise EnvelopeRefused("is no signed envelope")
    kind, signatures = body["payloadType"], body["signatures"]
    if not isinstance(kind, str) or not isinstance(signatures, list) or not 1 <= len(signatures) <= MAX_SIGNATURES:
        raise EnvelopeRefused("is no signed envelope")
    named: list[tuple[str, bytes]] = []
    for signature in signatures:
        if not isinstance(signature, dict) or set(signature) != {"keyid", "sig"}:
            raise EnvelopeRefused("holds a signature of another form")
        if not isinstance(signature["keyid"], str) or signature["keyid"] in dict(named):
            raise EnvelopeRefused("holds two signatures by one key")
        named.append((signature["keyid"], _bytes(signature["sig"])))
    return kind, _bytes(body["payload"]), named


def _bytes(text: object) -> bytes:
    if not isinstance(text, str) or not text.isascii():
        raise EnvelopeRefused("holds what is not base64")
    try:
        value = binascii.a2b_base64(text, strict_mode=True)
    except binascii.Error:
        raise EnvelopeRefused("holds what is not base64") from None
    # Base64 has spare bits at its end, in which one payload could be written in several ways.
    if text[-4:] != base64.b64encode(value[-(len(value) % 3 or 3) :] if value else b"").decode():
        raise EnvelopeRefused("holds what is not base64")
    return value
