"""A centre with its keys and a signed list, and the unit's own publisher against it, over a real mosquitto."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from edge_anpr.centre import armer, revoker
from edge_anpr.centre.armer import Armer, Decide
from edge_anpr.centre.listfile import ListFile
from edge_anpr.centre.revocations import Revocations
from edge_anpr.privacy import keys
from edge_anpr.privacy.keys import Key, key_id
from edge_anpr.unit import mqtt
from edge_anpr.unit.carrier import Carrier, Told
from edge_anpr.unit.inbox import Inbox
from edge_anpr.unit.mqtt import Broker, Link
from edge_anpr.unit.outbox import Outbox
from edge_anpr.watch import envelope, watchlist
from edge_anpr.watch.arming import Holds, Session
from edge_anpr.watch.watchlist import Entries, Header, Mandate, Watchlist
from tests.conftest import Broker as RealBroker
from tests.conftest import until

PLATE = "12ABC3"
NOW = datetime.now(UTC).replace(microsecond=0)
DAY = timedelta(days=1)
AUTHORITY, AUTHORITY_PUBLIC = envelope.new_pair("authority")
TICKETS, TICKETS_PUBLIC = envelope.new_pair("tickets")
AUTHORITIES = {key_id(AUTHORITY_PUBLIC.raw): AUTHORITY_PUBLIC.raw}
CENTRE = {key_id(TICKETS_PUBLIC.raw): TICKETS_PUBLIC.raw}


def signed(
    version: int = 1,
    units: tuple[str, ...] = ("pole-07",),
    *,
    list_id: str = "stolen",
    valid: tuple[timedelta, timedelta] = (-DAY, DAY),
    mandate: timedelta = DAY,
    key: Key = AUTHORITY,
) -> bytes:
    head = Header(
        list_id, version, NOW + valid[0], NOW + valid[1], units, Mandate("APV", "2026-17", "town", NOW + mandate)
    )
    listed = Watchlist(head, (Entries((PLATE, "99XYZ9"), "NL", "stolen", NOW + 90 * DAY, 1),))
    return envelope.sign(watchlist.payload(listed), envelope.LIST, key)


@dataclass(slots=True)
class FakeUnit:
    """The real publisher with its hatches; the test plays the recogniser."""

    name: str
    outbox: Outbox
    inbox: Inbox
    carrier: Carrier
    session: Session | None = None
    heard: list[bytes] = field(default_factory=list)

    def ask(self, *, holds: Holds | None = None, boot_id: str = "ab12", identity: Key | None = None) -> Session:
        self.session = Session(self.name, boot_id, time.monotonic_ns(), version="0.1.0", holds=holds, identity=identity)
        self.outbox.put_state("arm", self.session.request())
        return self.session

    def turn(self) -> None:
        self.carrier.turn()
        self.heard += self.inbox.take()


@dataclass(slots=True)
class Centre:
    folder: Path
    port: int
    armers: list[Armer] = field(default_factory=list)
    units: list[FakeUnit] = field(default_factory=list)
    links: list[Link] = field(default_factory=list)
    outboxes: list[Outbox] = field(default_factory=list)

    @property
    def list_path(self) -> Path:
        return self.folder / "stolen.signed"

    @property
    def revocations(self) -> Path:
        return self.folder / "revocations"

    def armer(
        self,
        decide: Decide | None = None,
        units: Mapping[str, bytes] | None = None,
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> Armer:
        link = Link(Broker("127.0.0.1", self.port, f"centre-{len(self.links)}"), subscribe=[armer.SUBSCRIPTION])
        self.links.append(link)
        listfile, withdrawn = ListFile(self.list_path, AUTHORITIES), Revocations(self.revocations, CENTRE)
        made = Armer(link, listfile, withdrawn, TICKETS, decide, units, now)
        self.armers.append(made)
        self.until(lambda: made._connected)
        return made

    def unit(self, name: str = "pole-07") -> FakeUnit:
        topic = f"anpr/v1/town/bridge/{name}"
        link = Link(Broker("127.0.0.1", self.port, name), subscribe=[f"{topic}/list"])
        self.links.append(link)
        # Two of them, as two processes have: SQLite tells changes by others only.
        own, publishers = (Outbox(self.folder / f"{name}.db", 1_000_000) for _ in range(2))
        self.outboxes += [own, publishers]
        inbox = Inbox(self.folder / f"{name}.inbox")
        unit = FakeUnit(
            name, own, inbox, Carrier(publishers, link, Told(topic, "cam-1", 60.0, 1e6, 10**7), inbox=inbox)
        )
        self.units.append(unit)
        self.until(lambda: unit.carrier._connected)
        return unit

    def turn(self) -> None:
        for made in self.armers:
            made.turn()
        for unit in self.units:
            unit.turn()

    def until(self, condition: Callable[[], object]) -> None:
        def turned() -> object:
            self.turn()
            return condition()

        until(turned)

    def some_turns(self) -> None:
        """As long as an answer takes here, several times over."""
        deadline = time.monotonic() + 0.3
        while time.monotonic() < deadline:
            self.turn()
            time.sleep(0.01)


@pytest.fixture
def centre(tmp_path: Path, mosquitto: RealBroker, monkeypatch: pytest.MonkeyPatch) -> Iterator[Centre]:
    monkeypatch.setattr(mqtt, "BACKOFF_S", (0.02, 0.1))
    monkeypatch.setattr(armer, "LOOK_S", 0.05)
    monkeypatch.setattr(armer, "PAUSE_S", 0.05)
    monkeypatch.setattr(revoker, "SILENCE_S", 0.2)
    made = Centre(tmp_path, mosquitto.port)
    made.list_path.write_bytes(signed())
    for name, key in (("authority.pub", AUTHORITY_PUBLIC), ("ticket.key", TICKETS), ("ticket.pub", TICKETS_PUBLIC)):
        keys.write(tmp_path / name, key)
    yield made
    for link in made.links:
        link.close()
    for outbox in made.outboxes:
        outbox.close()
