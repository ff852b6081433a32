"""The centre at work: the receiver, and rounds beside it: how units are, what is missing, what is to be forgotten."""

from __future__ import annotations

import logging
import secrets
import socket
import time
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

from edge_anpr.centre.fleet import Fleet, State
from edge_anpr.centre.metrics import Figures
from edge_anpr.centre.receiver import Heard, Receiver
from edge_anpr.centre.store import Store, StoreDown
from edge_anpr.privacy.keys import Key
from edge_anpr.unit.mqtt import Connected, Down, Event, Link

JUDGE_S, GAPS_S, FORGET_S = 5.0, 30.0, 3600.0
STEP_S = 3600.0  # a clock that was set by more since the start decides about no deletion any more

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Keep:
    """For how many days hits, and their pictures, are kept after they arrived."""

    days: float
    evidence_days: float


class Serving:
    """Call ``turn`` often. ``hits`` are the keys that open, ``signing`` signs receipts, ``figures`` count."""

    def __init__(
        self,
        link: Link,
        store: Store,
        hits: Sequence[Key],
        signing: Key,
        keep: Keep,
        figures: Figures,
    ) -> None:
        self._store, self._keep, self._figures = store, keep, figures
        self._fleet = Fleet(store.roster(), time.monotonic())
        self.receiver = Receiver(link, store, hits, signing, figures, self._heard)
        # Two centres on one machine are two.
        self._name = f"{socket.gethostname()[:40]}-{secrets.token_hex(4)}"
        self._states: dict[str, State] = {}
        self._began = time.time() - time.monotonic()
        self._clock_was_set = False
        self._next = dict.fromkeys((self._judge, self._count, self._forget), 0.0)

    def turn(self) -> None:
        """Receive, and do the rounds that are due."""
        self.receiver.turn()
        for work, every_s in ((self._judge, JUDGE_S), (self._count, GAPS_S), (self._forget, FORGET_S)):
            if time.monotonic() >= self._next[work]:
                self._next[work] = time.monotonic() + every_s
                try:
                    work()
                except StoreDown as error:
                    _log.error("%s", error)

    def _heard(self, event: Event | Heard) -> None:
        now_s = time.monotonic()
        match event:
            case Connected():
                self._fleet.connected(now_s)
                self._figures.connected(True)
            case Down():
                self._fleet.cut()
                self._figures.connected(False)
            case Heard():
                if event.said is not None:
                    self._fleet.heard(event.said, now_s, datetime.now(UTC))
                if event.hit is not None:
                    sync = bool(event.hit.payload["clock"]["sync"])
                    self._fleet.hit(event.hit.unit, sync, now_s, late=event.hit.late)
            case _:
                pass

    def _judge(self) -> None:
        verdicts = self._fleet.judge(time.monotonic())
        for verdict in verdicts:
            before = self._states.get(verdict.unit)
            self._states[verdict.unit] = verdict.state
            if verdict.state is State.SILENT and before is not State.SILENT:
                _log.warning("%s is silent: %s", verdict.unit, next(iter(verdict.alarms)).text)
            elif before is State.SILENT and verdict.state is not State.SILENT:
                _log.info("%s is heard again", verdict.unit)
        self._figures.judged(verdicts)
        self._store.judged(self._name, verdicts)

    def _count(self) -> None:
        self._fleet.gaps(self._store.gaps(), time.monotonic())

    def _forget(self) -> None:
        if abs(time.time() - time.monotonic() - self._began) > STEP_S:
            if not self._clock_was_set:
                _log.error(
                    "this machine's clock was set while it ran; nothing is deleted until the centre is restarted"
                )
            self._clock_was_set = True
            return
        forgotten = self._store.forget(self._keep.days, self._keep.evidence_days)
        if any((forgotten.hits, forgotten.evidence, forgotten.poison)):
            _log.info(
                "their time was up: %d hits, %d pictures, %d messages kept aside",
                forgotten.hits, forgotten.evidence, forgotten.poison,
            )  # fmt: skip
