"""What the publisher's tests have in common: its carrier, turned by hand."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path

from edge_anpr.unit.carrier import Carrier
from tests.conftest import ScriptedBroker, Subscriber, until

TOPIC = "anpr/v1/town/bridge/pole-07"
Script = Callable[..., ScriptedBroker]
Subscribe = Callable[[int], Subscriber]
Write = Callable[..., Path]
Carry = Callable[[int], Carrier]


def turn(carrier: Carrier, condition: Callable[[], object]) -> None:
    def turned() -> object:
        carrier.turn()
        return condition()

    until(turned)


def hits(broker: ScriptedBroker) -> list[bytes]:
    return [payload for topic, payload in list(broker.published) if topic == f"{TOPIC}/hit/cam-1"]


def some_turns(carrier: Carrier) -> None:
    for _ in range(20):
        carrier.turn()
        time.sleep(0.02)
