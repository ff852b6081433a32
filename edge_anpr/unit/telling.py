"""What the recogniser leaves in the outbox for the publisher to say: birth, status, alarm, arm, stats, health."""

from __future__ import annotations

import json
import logging
from typing import Any

import edge_anpr
from edge_anpr.config import Config
from edge_anpr.privacy.tokens import Hour
from edge_anpr.unit.events import event
from edge_anpr.unit.lists import Lists
from edge_anpr.unit.outbox import Outbox, OutboxFull
from edge_anpr.vision.session import Network, versions

log = logging.getLogger(__name__)


class Telling:
    """Puts states by kind. A full disk is said once; what it did not take is put as soon as it takes anything."""

    def __init__(self, outbox: Outbox) -> None:
        self._outbox, self._full = outbox, False
        self._due: dict[str, bytes] = {}

    def put(self, kind: str, payload: bytes) -> None:
        """Replace the state of this kind."""
        self._due[kind] = payload
        try:
            for due in list(self._due):
                self._outbox.put_state(due, self._due[due])
                del self._due[due]
        except OutboxFull as error:
            if not self._full:
                log.error("%s; until then no health is told and hits are refused", error, extra=event("hits-refused"))
            self._full = True
        else:
            if self._full:
                log.info("the outbox takes data again", extra=event("hits-refused", over=True))
            self._full = False


def status(lists: Lists) -> bytes:
    """Whether a list is in force, and if not, why."""
    if lists.armed:
        return _json({"status": "armed"})
    return _json({"status": "disarmed", "reason": lists.why_disarmed})


def birth(config: Config, networks: dict[str, Network], lists: Lists, boot_id: str) -> bytes:
    """Versions, camera, models, and the list in force with its mandate."""
    armed = lists.armed
    mandate = armed.header.mandate if armed else None
    body = {
        "schema": "anpr.birth/1",
        "boot_id": boot_id,
        "version": edge_anpr.__version__,
        "versions": versions(),
        "camera": {"id": config.camera.id, "source": config.camera.source},
        "models": {
            name: {
                "sha256": item.card.sha256,
                "provider": item.provider,
                "nodes": item.nodes,
                "hoards": item.hoards,
            }
            for name, item in networks.items()
        },
        "list": None if armed is None else {
            "list_id": armed.header.list_id,
            "version": armed.header.version,
            "sha256": armed.digest,
            "entries": len(armed.matcher),
            "key_id": armed.key_id,
            "false_hits_per_day": sum(armed.expected.values()),
        },
        "mandate": None if mandate is None else {
            "regime": mandate.regime,
            "reference": mandate.reference,
            "authority": mandate.authority,
        },
    }  # fmt: skip
    return _json(body)


def stats(hour: Hour) -> bytes:
    """An hour's traffic, rounded, and nothing below the least that may be told."""
    return _json(
        {
            "schema": "anpr.stats/1",
            "hour": f"{hour.start:%Y-%m-%dT%H:00:00Z}",
            "distinct_about": hour.distinct_about,
            "passages_about": hour.passages_about,
        }
    )


def _json(body: dict[str, Any]) -> bytes:
    return json.dumps(body, separators=(",", ":")).encode()
