"""From when until when the certificates of a PEM file are valid, and whose they are.

OpenSSL, which judges them, does not tell that through Python's ssl module unless a handshake has succeeded; the library
that would (cryptography) costs a daemon 9 MB. The three fields that are needed stand at fixed places of RFC 5280.
"""

from __future__ import annotations

import re
import ssl
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

_BLOCK = re.compile(r"-----BEGIN CERTIFICATE-----.*?-----END CERTIFICATE-----", re.DOTALL)
_SEQUENCE, _UTC_TIME, _GENERALIZED_TIME, _VERSION = 0x30, 0x17, 0x18, 0xA0
_COMMON_NAME = bytes([0x06, 3, 0x55, 0x04, 0x03])
_ENCODINGS = {0x0C: "utf-8", 0x13: "ascii", 0x14: "latin-1", 0x16: "ascii", 0x1E: "utf-16-be"}


@dataclass(frozen=True, slots=True)
class Certificate:
    """``subject`` is its last common name, for a person to tell it by; empty when it has none."""

    subject: str
    not_before: datetime
    not_after: datetime


def read(path: Path) -> list[Certificate]:
    """The certificates of a PEM file, in its order. Raises OSError, or ValueError when one cannot be read."""
    text = path.read_text(encoding="ascii", errors="replace")  # between the blocks stands what anybody wrote there
    return [parse(ssl.PEM_cert_to_DER_cert(block)) for block in _BLOCK.findall(text)]


def parse(der: bytes) -> Certificate:
    """One certificate. Raises ValueError."""
    whole = _parts(der)
    signed = _parts(whole[0][1]) if len(whole) == 1 and whole[0][0] == _SEQUENCE else []
    fields = _parts(signed[0][1]) if signed else []
    if fields and fields[0][0] == _VERSION:
        fields = fields[1:]
    if len(fields) < 5:
        raise ValueError("no certificate, or one without a subject")
    _serial, _algorithm, _issuer, validity, subject = fields[:5]
    times = [_time(*part) for part in _parts(validity[1])]
    if len(times) != 2:
        raise ValueError("a validity of other than two times")
    return Certificate(_common_name(subject[1]), *times)


def _parts(data: bytes) -> list[tuple[int, bytes]]:
    """The DER values that ``data`` consists of: tag and content."""
    parts, at = list[tuple[int, bytes]](), 0
    while at < len(data):
        if at + 2 > len(data):
            raise ValueError("DER ends in a head")
        tag, size = data[at], data[at + 1]
        at += 2
        if size >= 0x80:
            digits = size & 0x7F
            if not 0 < digits <= 4:
                raise ValueError("DER of unknown length")
            size = int.from_bytes(data[at : at + digits], "big")
            at += digits
        if at + size > len(data):
            raise ValueError("DER ends in a value")
        parts.append((tag, data[at : at + size]))
        at += size
    return parts


def _time(tag: int, raw: bytes) -> datetime:
    text = raw.decode("ascii")
    if tag == _UTC_TIME:
        text = ("19" if text[:2] >= "50" else "20") + text
    elif tag != _GENERALIZED_TIME:
        raise ValueError("a time of unknown kind")
    if re.fullmatch(r"[0-9]{14}Z", text) is None:
        raise ValueError("a time that is not in UTC, to the second")
    return datetime.strptime(text, "%Y%m%d%H%M%SZ").replace(tzinfo=UTC)


def _common_name(subject: bytes) -> str:
    name = ""
    for _tag, alternatives in _parts(subject):
        for _inner, attribute in _parts(alternatives):
            if attribute.startswith(_COMMON_NAME):
                for tag, value in _parts(attribute[len(_COMMON_NAME) :]):
                    name = value.decode(_ENCODINGS.get(tag, "latin-1"), errors="replace")
    return "".join(letter for letter in name if letter.isprintable())[:64]
