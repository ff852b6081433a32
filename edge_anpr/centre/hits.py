"""Shows hits as they arrive, and opens those that are sealed to the centre."""

from __future__ import annotations

import logging
from collections.abc import Callable

from edge_anpr.centre.broker import words
from edge_anpr.privacy import seal
from edge_anpr.privacy.keys import Key
from edge_anpr.unit.mqtt import Connected, Down, Link, Received

SUBSCRIPTION = "anpr/v1/+/+/+/hit/+"

_log = logging.getLogger(__name__)


class HitOpener:
    """Call ``turn`` often; ``show`` gets (topic, payload), opened if ``secret`` opens it, else as it came."""

    def __init__(self, link: Link, secret: Key, show: Callable[[str, bytes], None]) -> None:
        self._link, self._secret, self._show = link, secret, show
        self._complaint: str | None = None
        self._told = False

    def turn(self) -> None:
        """Hear the broker, show what came; never waits."""
        for event in self._link.advance():
            match event:
                case Connected():
                    _log.info("connected; waiting for hits")
                    self._complaint = None
                case Down():
                    if event.was_connected or event.reason != self._complaint:
                        _log.warning("no broker: %s; trying again, ever more rarely", words(event.reason))
                    self._complaint = event.reason
                case Received():
                    self._show(event.topic, self._opened(event.payload))
                case _:
                    pass

    def _opened(self, payload: bytes) -> bytes:
        if not seal.is_sealed(payload):
            return payload
        try:
            return seal.open_sealed(payload, self._secret)
        except seal.SealRefused:
            if not self._told:
                _log.warning(
                    "there are hits that --key does not open: is its public half delivery.seal_to of the unit?"
                )
            self._told = True
            return payload
