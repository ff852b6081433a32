"""Why there is no connection to the broker, in words that say what to do."""

from __future__ import annotations

import socket
import ssl

from edge_anpr.errors import Unusable


def unreachable(error: Exception) -> str:
    """What kept us from a connection."""
    match error:
        case Unusable():
            return str(error)
        case socket.gaierror():
            advice = "its name cannot be resolved; check mqtt.host and the unit's DNS"
        case ssl.SSLCertVerificationError():
            advice = f"its certificate is not accepted ({error.verify_message}); check mqtt.tls.ca and the clock"
        case ssl.SSLError():
            advice = f"TLS failed ({error.reason}); check mqtt.tls, and that mqtt.port is the broker's TLS port"
        case ConnectionRefusedError():
            advice = "nothing listens there; check mqtt.host and mqtt.port, and that the broker runs"
        case TimeoutError():
            advice = "it does not answer; check the network and its firewall, mqtt.host and mqtt.port"
        case _:
            words = getattr(error, "strerror", None) or error
            advice = f"{words}; check the network, mqtt.host and mqtt.port"
    return advice


_REFUSALS = {
    0x84: "it does not speak MQTT 5; use a broker that does",
    0x86: "user name or password are wrong; check mqtt.username and mqtt.password_file",
    0x87: "it does not authorise this unit; check mqtt.username, mqtt.password_file, mqtt.tls, and its rules",
    0x8E: "another client connects with this unit's name; give every unit its own unit.id",
}


def refused(code: int, words: str) -> str:
    """What the broker says by an MQTT 5 reason ``code``, whose name is ``words``."""
    return _REFUSALS.get(code) or f"it says: {words.lower()}"
