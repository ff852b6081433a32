"""The process on the network: carries hits to the broker, says how the unit is, takes in lists and receipts.

``Carrier`` is its work, ``delivery.py`` decides which hit goes when and when it may be deleted.
"""

from __future__ import annotations

import hashlib
import logging
import signal
import sys
from contextlib import suppress
from pathlib import Path

from edge_anpr.config import Config
from edge_anpr.errors import Unusable
from edge_anpr.privacy import keys, process
from edge_anpr.unit import journal, metrics, states, tls
from edge_anpr.unit.carrier import Carrier, Told
from edge_anpr.unit.certificates import CertificateWatch
from edge_anpr.unit.events import event
from edge_anpr.unit.inbox import Inbox
from edge_anpr.unit.mqtt import Broker, Link, Message
from edge_anpr.unit.outbox import Outbox, OutboxError
from edge_anpr.unit.systemd import Service

POLL_S = 0.05  # a hit waits half of it on average; a look at the outbox takes 0.1 ms

_log = logging.getLogger(__name__)


def run(config: Config, broker: tuple[str, int] | None = None, inbox: Path | None = None) -> int:
    """Publish until SIGTERM or SIGINT, and return the exit code; ``broker`` (host, port) replaces the config's.

    With an ``inbox`` it takes in what the centre sends to this unit's ``list`` topic.

    Raises Unusable when the outbox, a key, the password or the TLS files cannot be used, or no broker is named.
    """
    logging.basicConfig(level=logging.INFO, stream=sys.stderr, format="publisher: %(message)s")
    process.harden()
    journal.name_camera(config.camera.id)
    service = Service()
    topic, delivery = config.topic, config.delivery
    into = None if inbox is None else Inbox(inbox)
    centres = keys.trusted(delivery.receipt_keys) if delivery.until == "receipt" else None
    listens = [f"{topic}/{kind}" for kind, wanted in (("list", into), ("receipt", centres)) if wanted is not None]
    link = Link(link_to(config, broker), will=Message(f"{topic}/status", states.LOST, retain=True), subscribe=listens)
    max_bytes = delivery.max_megabytes * 1_000_000
    outbox = Outbox(delivery.outbox, max_bytes, "publisher")
    carrier = Carrier(
        outbox,
        link,
        Told(topic, config.camera.id, config.health.interval_s, delivery.max_days * 24 * 3600, max_bytes),
        centres=centres,
        inbox=into,
    )
    certificates = None
    if broker is None and config.mqtt.tls is not None:
        files = tls.Files(config.mqtt.tls.ca, config.mqtt.tls.certificate, config.mqtt.tls.key)
        certificates = CertificateWatch(files, carrier.alarms, link.renew)
    if config.health.metrics is not None:
        metrics.serve(config.health.metrics, carrier.health)
    stopping: list[int] = []

    def stop(number: int, _frame: object) -> None:
        stopping.append(number)  # and no more: a lock taken here may be one that the main thread holds

    signal.signal(signal.SIGTERM, stop)
    signal.signal(signal.SIGINT, stop)
    try:
        while not stopping:
            if certificates is not None:
                certificates.turn()
            carrier.turn()
            service.ready()
            # That this loop goes round is all there is to know: a broker that is away is no reason to start anew.
            service.turn(alive=True, status=carrier.status)
            link.wait(POLL_S)
    except OutboxError as error:
        _log.critical("%s", error, extra=event("stopped"))
        return 1
    finally:
        service.stopping()
        link.close(Message(f"{topic}/status", states.status("offline"), retain=True))
        with suppress(OutboxError):  # it is damaged; the next start mends it
            carrier.settle(0.0)
        outbox.close()
    return 0


def link_to(config: Config, instead: tuple[str, int] | None, role: str = "") -> Broker:
    """The broker of a config, or the one at ``instead``; ``role`` tells a unit's second client from its first."""
    mqtt = config.mqtt
    client_id = f"edge-anpr-{config.unit.org}-{config.unit.site}-{config.unit.id}{role}"
    if len(client_id) > 64:  # cut to a length that brokers take, still one of its kind
        client_id = f"{client_id[:55]}-{hashlib.sha256(client_id.encode()).hexdigest()[:8]}"
    if instead is not None:
        return Broker(*instead, client_id, mqtt.keepalive_s)
    if mqtt.host is None:
        raise Unusable("mqtt.host is missing; name the broker, or start everything with 'edge-anpr run'")
    tls = mqtt.tls
    return Broker(
        host=mqtt.host,
        port=mqtt.port,
        client_id=client_id,
        keepalive_s=mqtt.keepalive_s,
        username=mqtt.username,
        password=keys.password(mqtt.password_file, "mqtt.password_file"),
        ca=tls.ca if tls else None,
        certificate=tls.certificate if tls else None,
        key=tls.key if tls else None,
    )
