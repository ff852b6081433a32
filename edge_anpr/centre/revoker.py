"""Tells every unit that the broker knows that a list is withdrawn."""

from __future__ import annotations

import time
from dataclasses import dataclass

from edge_anpr.centre.broker import POLL_S, UNIT_TOPIC, words
from edge_anpr.errors import Unusable
from edge_anpr.unit.mqtt import Answered, Connected, Down, Link, Message, Outcome, Received

SUBSCRIPTION = "anpr/v1/+/+/+/status"
CONNECT_S = 20.0
# The broker sends the status of every unit at once when somebody subscribes; silence means that this was all.
SILENCE_S = 1.0
LISTEN_S = 5.0
ANSWER_S = 10.0


@dataclass(frozen=True, slots=True)
class Told:
    """A unit's topic, and whether it was listening when the broker took the message."""

    topic: str
    listening: bool


def tell(link: Link, revocation: bytes, units: tuple[str, ...]) -> list[Told]:
    """Leave a signed revocation with the broker for these units (``*``: all), for those that are away as well.

    ``link`` subscribes to SUBSCRIPTION. Raises Unusable when the broker cannot be reached, or refuses.
    """
    topics = [topic for topic in _known(link) if "*" in units or topic.rsplit("/", 1)[-1] in units]
    told, in_flight, deadline = list[Told](), dict[int, str](), time.monotonic() + ANSWER_S
    todo = list(topics)
    while todo or in_flight:
        while todo:
            # Retained: a unit that is away hears it when it comes back. It may hear it as often as it likes.
            ticket = link.publish(Message(f"{todo[-1]}/list", revocation, retain=True))
            if ticket is None:
                break
            in_flight[ticket] = todo.pop()
        link.wait(POLL_S)
        for event in link.advance():
            if isinstance(event, Answered) and event.ticket in in_flight:
                topic = in_flight.pop(event.ticket)
                if event.outcome is Outcome.REFUSED:
                    raise Unusable(f"the broker refuses to pass it on to {topic}: {event.reason}; check its rules")
                told.append(Told(topic, event.outcome is Outcome.TAKEN))
                deadline = time.monotonic() + ANSWER_S
            elif isinstance(event, Down):
                raise Unusable(f"lost the broker: {words(event.reason)}; not all units are told, say it again")
        if time.monotonic() > deadline:
            raise Unusable("the broker does not answer; not all units are told, say it again")
    return sorted(told, key=lambda one: one.topic)


def _known(link: Link) -> list[str]:
    """The topics of the units whose status the broker keeps."""
    topics: set[str] = set()
    began, connected, heard = time.monotonic(), False, time.monotonic()
    while not connected or time.monotonic() < min(heard + SILENCE_S, began + LISTEN_S):
        for event in link.advance():
            if isinstance(event, Connected):
                began = heard = time.monotonic()
                connected = True
            elif isinstance(event, Down):
                raise Unusable(f"no broker: {words(event.reason)}")
            elif isinstance(event, Received):
                topic, heard = event.topic.removesuffix("/status"), time.monotonic()
                if UNIT_TOPIC.fullmatch(topic):
                    topics.add(topic)
        if not connected and time.monotonic() > began + CONNECT_S:
            raise Unusable("no broker: no answer; check --broker")
        link.wait(POLL_S)
    return sorted(topics)
