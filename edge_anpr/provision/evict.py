"""Throwing a live session out of the broker without a restart.

mosquitto looks at certificates when a session begins, never again. But a session whose name connects once more is ended
(measured: 2.0.11, 2.0.21, 2.1.2), and with ``use_username_as_clientid`` the name is the certificate's. So we connect
in that name ourselves, and leave. Who was there must show a certificate again, which the revocation list then refuses.
"""

from __future__ import annotations

import time

from edge_anpr.errors import Unusable
from edge_anpr.unit.mqtt import Broker, Connected, Down, Link

PATIENCE_S = 20.0


def evict(broker: Broker) -> None:
    """Take over the session of the name in ``broker.certificate``, and end it. Raises Unusable when it cannot."""
    link = Link(broker)
    deadline = time.monotonic() + PATIENCE_S
    try:
        while time.monotonic() < deadline:
            for event in link.advance():
                if isinstance(event, Connected):
                    return
                if isinstance(event, Down):
                    raise Unusable(event.reason)
            link.wait(0.1)
    finally:
        link.close()
    raise Unusable(f"no answer in {PATIENCE_S:.0f} s; check --broker")
