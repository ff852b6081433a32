"""Why there is no connection to the broker: words that say what to do, an alarm's code, and when to try again."""

from __future__ import annotations

import re
import socket
import ssl
from dataclasses import dataclass
from datetime import UTC, datetime

from edge_anpr.unit import clock
from edge_anpr.unit.backoff import Pace

ALARMS = (
    "not-authorised",  # the broker knows us, and does not let us in
    "name-taken",  # another client connects with our name
    "unsteady",  # connections end again and again
    "broker-moved",
    "broker-tls",  # it speaks no TLS 1.3
    "broker-unknown",  # its certificate: unknown CA, or another name
    "broker-expired",  # its certificate: too old, or too young
    "clock",  # the same, while our clock is doubtful
    "certificate-refused",  # our certificate, by the broker
)
LASTING = ("name-taken", "unsteady")
"""Alarms that to be connected does not refute."""
CLOCK_ALARMS = ("broker-expired", "clock")
"""Alarms that end when the clock is set right."""


@dataclass(frozen=True, slots=True)
class Trouble:
    """``words`` for a person, ``alarm`` one of ALARMS or None, and who can end it."""

    words: str
    alarm: str | None = None
    pace: Pace = Pace.AWAY


def mend(alarm: str, words: str) -> Trouble:
    """What a person has to mend."""
    return Trouble(words, alarm, Pace.REFUSED)


def unreachable(error: Exception) -> Trouble:
    """What kept us from a connection."""
    match error:
        case ssl.SSLCertVerificationError():
            return _unverified(error)
        case ssl.SSLError():
            return _tls(error)
        case socket.gaierror():
            words = "its name cannot be resolved; check mqtt.host and the unit's DNS"
        case ConnectionRefusedError():
            words = "nothing listens there; check mqtt.host and mqtt.port, and that the broker runs"
        case ConnectionResetError():
            words = "it hung up at once; check mqtt.tls, and that mqtt.port is the broker's TLS port"
        case TimeoutError():
            words = "it does not answer; check the network and its firewall, mqtt.host and mqtt.port"
        case _:
            words = f"{getattr(error, 'strerror', None) or error}; check the network, mqtt.host and mqtt.port"
    return Trouble(words)


# OpenSSL's X509_V_ERR_*
_NOT_YET_VALID, _EXPIRED, _WRONG_NAME, _WRONG_ADDRESS = 9, 10, 62, 64


def _unverified(error: ssl.SSLCertVerificationError) -> Trouble:
    said = error.verify_message.rstrip(".")
    if error.verify_code in (_NOT_YET_VALID, _EXPIRED):
        sync = clock.quality().sync
        first = "check the broker's certificate and mqtt.tls.ca" if sync else "set the clock first (NTP)"
        words = f"its certificate is not accepted ({said}) on {clock_says()}; {first}"
        return mend("broker-expired" if sync else "clock", words)
    if error.verify_code in (_WRONG_NAME, _WRONG_ADDRESS):
        words = f"its certificate is somebody else's ({said}); mqtt.host has to stand in the certificate's SAN"
        return mend("broker-unknown", words)
    return mend("broker-unknown", f"its certificate is not accepted ({said}); check mqtt.tls.ca")


def clock_says() -> str:
    """The date by this machine's clock, and what that is worth."""
    return f"{datetime.now(UTC):%Y-%m-%d} by this machine's clock, which is {clock_worth()}"


def clock_worth() -> str:
    """In a word, or two."""
    return "synchronised" if clock.quality().sync else "NOT synchronised"


def _tls(error: ssl.SSLError) -> Trouble:
    reason = error.reason or ""
    if reason in ("TLSV1_ALERT_PROTOCOL_VERSION", "UNSUPPORTED_PROTOCOL"):
        return mend("broker-tls", "it does not speak TLS 1.3; let it (mosquitto: remove tls_version from its settings)")
    words = reason.replace("_", " ").lower() or "it hung up"
    return Trouble(f"TLS failed ({words}); check mqtt.tls, and that mqtt.port is the broker's TLS port")


_RENEW = "; give this unit a new one (mqtt.tls.certificate and mqtt.tls.key)"
_ALERTS = {
    "certificate_expired": f"it refuses our certificate as expired, by its clock{_RENEW}, or set the clock there",
    "certificate_revoked": f"it refuses our certificate as revoked{_RENEW} if it is still to be let in",
    "unknown_ca": "it does not know who issued our certificate; let its CA issue mqtt.tls.certificate",
    "certificate_required": "it wants a certificate of us; set mqtt.tls.certificate and mqtt.tls.key",
}
_ALERT = re.compile(r"\[SSL: \w*?ALERT_(\w+)\]")
_ABOUT_US = ("certificate", "unknown_ca", "access_denied", "decrypt_error", "handshake_failure")


def hung_up(said: str | None, tls: bool) -> Trouble:
    """The broker ended a connection before it had answered; ``said`` is the error of the socket, if any.

    With TLS 1.3 a broker looks at our certificate when for us the handshake is over: its alert comes as an error of
    the first read.
    """
    alert = _ALERT.search(said or "")
    name = alert.group(1).lower() if alert else ""
    if any(part in name for part in _ABOUT_US):
        otherwise = f"it refuses our certificate ({name.replace('_', ' ')}): damaged, or not yet valid by its clock?"
        return mend("certificate-refused", _ALERTS.get(name) or otherwise + _RENEW)
    if tls:
        return Trouble("it hung up without an answer; its log may say why")
    return Trouble("it hung up without an answer; if it wants TLS on this port, set mqtt.tls")


def unsteady(trouble: Trouble) -> Trouble:
    """The same happens again and again. A broker that throws us out for another of our name may not say so."""
    why = "a bad network, or another client that connects with our name: give every unit its own unit.id"
    return Trouble(f"{trouble.words}, again and again ({why})", "unsteady", trouble.pace)


_RULES = "check mqtt.username, mqtt.password_file, mqtt.tls, and its rules"
_QUOTA = 0x97
_REFUSALS = {
    0x84: mend("not-authorised", "it does not speak MQTT 5; use a broker that does"),
    0x85: mend("not-authorised", "it does not take our name; check unit.id, and its rules"),
    0x86: mend("not-authorised", "user name or password are wrong; check mqtt.username and mqtt.password_file"),
    0x87: mend("not-authorised", f"it does not authorise this unit; {_RULES}"),
    0x8A: mend("not-authorised", f"it has banned this unit; {_RULES}"),
    0x8C: mend("not-authorised", f"it wants another way to log in; {_RULES}"),
    0x8E: mend("name-taken", "another client connects with our name; give every unit its own unit.id"),
    0x9C: mend("broker-moved", "it sends us to another broker; set mqtt.host anew"),
    0x9D: mend("broker-moved", "it has moved; set mqtt.host anew"),
}


def refused(code: int, words: str) -> Trouble:
    """What the broker says by an MQTT 5 reason ``code``, whose name is ``words``."""
    return _REFUSALS.get(code) or Trouble(f"it says: {words.lower()}")


def refused_subscription(code: int, words: str) -> Trouble:
    """What it says to a subscription."""
    said = f"it refuses the subscription: {words.lower()}"
    return Trouble(said) if code == _QUOTA else mend("not-authorised", f"{said}; {_RULES}")
