"""The centre's own connection to the broker, and its words for what is wrong with it."""

from __future__ import annotations

import re
import secrets
import signal
from collections.abc import Callable
from pathlib import Path

from edge_anpr.errors import Unusable
from edge_anpr.privacy import keys
from edge_anpr.unit.mqtt import Broker, Link

POLL_S = 0.1
UNIT_TOPIC = re.compile(r"anpr/v1/[a-z0-9-]{1,32}/[a-z0-9-]{1,32}/([a-z0-9-]{1,32})")
"""``anpr/v1/<org>/<site>/<unit>``; the group is the unit."""

# Advice about a connection names the keys of a unit's config; here they are options.
_OPTIONS = {
    "mqtt.host and mqtt.port": "--broker",
    "mqtt.password_file": "--password-file",
    "mqtt.username": "--username",
    "mqtt.tls.ca": "--ca",
    "mqtt.tls.certificate": "--certificate",
    "mqtt.tls.key": "--tls-key",
    "mqtt.tls": "--ca and --certificate",
    "mqtt.host": "--broker",
    "mqtt.port": "the port of --broker",
    "the unit's DNS": "the DNS here",
    "this unit": "us",
}


def broker(
    address: tuple[str, int],
    role: str,
    username: str | None = None,
    password_file: Path | None = None,
    ca: Path | None = None,
    certificate: Path | None = None,
    key: Path | None = None,
) -> Broker:
    """Where the broker is; ``role`` tells one client of the centre from another. Raises Unusable."""
    password = keys.password(password_file, "--password-file")
    if ca is None and certificate is not None:
        raise Unusable("--certificate needs --ca, which is what turns TLS on")
    # A second centre of the same name would throw out the first, for ever.
    client_id = f"edge-anpr-centre-{role}-{secrets.token_hex(4)}"
    return Broker(*address, client_id, 30, username, password, ca, certificate, key)


def words(reason: str) -> str:
    """Why there is no connection, with the names of options."""
    for key, option in _OPTIONS.items():
        reason = reason.replace(key, option)
    return reason


def until_stopped(link: Link, turn: Callable[[], None]) -> None:
    """Call ``turn`` often until SIGINT or SIGTERM, then close the link."""
    stopping: list[int] = []

    def stop(number: int, _frame: object) -> None:
        stopping.append(number)  # and no more: a lock taken here may be one that the main thread holds

    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, stop)
    try:
        while not stopping:
            turn()
            link.wait(POLL_S)
    finally:
        link.close()
