"""A whole site on this machine: units, broker, centres, and the bad network between them; all real."""

from __future__ import annotations

import json
import shutil
import sqlite3
import sys
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Self

from edge_anpr.privacy import keys, seal
from edge_anpr.watch import envelope
from tests.broker.hardened import Files, Hardened
from tests.conftest import free_port, listening, until
from tests.torture import ledger
from tests.torture.parts import Part
from tests.torture.proxy import Proxy

PROGRAM = [sys.executable, "-m", "edge_anpr"]
CAMERA = "cam-1"
LISTENS = b"taking hits"


@dataclass(frozen=True, slots=True)
class Plan:
    """What a site is made of. ``rate``: passages a second and unit. ``until``: when a publisher deletes a hit.

    ``tls``: the shipped broker with certificates for all; else a mosquitto with its own defaults. ``database``: a URL,
    None: SQLite in the site's folder. ``direct``: the proxies are left aside, or they would be what is measured. The
    hits of every second unit are as from before a reboot.
    """

    units: int = 8
    centres: int = 2
    rate: float = 2.0
    until: str = "receipt"
    tls: bool = False
    direct: bool = False
    keepalive_s: int = 5
    database: str | None = None


class Unit:
    """A recogniser's stand-in, a publisher, their outbox, and the unit's own way to the broker."""

    def __init__(self, site: Site, number: int) -> None:
        plan, keys_folder = site.plan, site.folder / "keys"
        self.backlog = number % 2 == 1
        self.id = f"pole-{number:02d}"
        self.name = f"town/bridge/{self.id}"
        folder = site.folder / self.id
        folder.mkdir()
        self.outbox, self.ledger = folder / "outbox.db", folder / "ledger.txt"
        self._tail = ledger.Tail(self.ledger)
        self.proxy = Proxy(site.port, f"way of {self.id}", seed=number)
        delivery = {"outbox": "outbox.db", "seal_to": str(keys_folder / "hits.pub"), "until": plan.until}
        port = site.port if plan.direct else self.proxy.port
        mqtt = {"host": "127.0.0.1", "port": port, "keepalive_s": plan.keepalive_s}
        settings = {
            "unit": {"org": "town", "site": "bridge", "id": self.id},
            "camera": {"id": CAMERA, "source": "folder", "path": "pictures"},
            "watchlist": {"path": "list.json", "allow_unsigned": True},
            "delivery": delivery
            | ({"receipt_keys": [str(keys_folder / "receipt.pub")]} if plan.until == "receipt" else {}),
            "mqtt": mqtt if site.hardened is None else mqtt | {"tls": _paths(site.hardened.unit(self.name))},
            "health": {"interval_s": 5.0},
        }
        (folder / "unit.yaml").write_text(json.dumps(settings), "utf-8")  # JSON is YAML
        self.publisher = Part(
            f"publisher {self.id}", [*PROGRAM, "publish", "-c", str(folder / "unit.yaml")], folder / "publisher.log"
        )
        self.recogniser = Part(
            f"recogniser {self.id}",
            [
                sys.executable, "-m", "tests.torture.pole", "--outbox", str(self.outbox), "--ledger", str(self.ledger),
                "--unit", self.name, "--camera", CAMERA, "--seal-to", str(keys_folder / "hits.pub"),
                "--rate", str(plan.rate), "--seed", str(number), *(["--backlog"] if self.backlog else []),
            ],
            folder / "recogniser.log",
        )  # fmt: skip

    def hits(self) -> int:
        """How many hits its outbox took so far, by the ledger."""
        return self._tail.hits()

    def waiting(self, up_to: int = sys.maxsize) -> int:
        """How many messages its outbox still holds, up to a rowid."""
        if not self.outbox.exists():
            return 0
        with closing(sqlite3.connect(f"file:{self.outbox}?mode=ro", uri=True, timeout=10)) as db:
            return int(db.execute("SELECT count(*) FROM hit WHERE id <= ?", (up_to,)).fetchone()[0])


class Centre:
    """A receiver, and its own way to the broker."""

    def __init__(self, site: Site, number: int) -> None:
        name = f"centre-{number}"
        self.proxy = Proxy(site.port, f"way of {name}", seed=1000 + number)
        folder = site.folder / "keys"
        port = site.port if site.plan.direct else self.proxy.port
        tls = {} if site.hardened is None else _paths(site.hardened.centre(name))
        options = {"ca": "--ca", "certificate": "--certificate", "key": "--tls-key"}
        self.part = Part(
            name,
            [
                *PROGRAM, "centre", "serve", "--broker", f"127.0.0.1:{port}",
                "--key", str(folder / "hits.key"), "--receipt-key", str(folder / "receipt.key"),
                "--db", site.database, *(word for key, path in tls.items() for word in (options[key], path)),
            ],
            site.folder / f"{name}.log",
        )  # fmt: skip


class Site:
    """Everything, in ``folder``; nothing runs before ``start``."""

    def __init__(self, folder: Path, plan: Plan) -> None:
        self.folder, self.plan = folder, plan
        self.database = plan.database or f"sqlite:///{folder / 'centre.db'}"
        make_keys(folder / "keys")
        self.hardened = Hardened(folder / "broker") if plan.tls else None
        self.port = free_port() if self.hardened is None else self.hardened.port
        command = _plain_broker(folder, self.port) if self.hardened is None else self.hardened.command
        self.broker = Part("broker", command, folder / "broker.log")
        self.units = [Unit(self, number) for number in range(plan.units)]
        self.centres = [Centre(self, number) for number in range(plan.centres)]

    def __enter__(self) -> Self:
        return self

    def __repr__(self) -> str:
        return "the site"

    def __exit__(self, *_: object) -> None:
        for part in self.parts:
            part.kill()
        for proxy in self.proxies:
            proxy.close()

    @property
    def parts(self) -> list[Part]:
        """Every process of the site, in the order in which they are best started."""
        units = [part for unit in self.units for part in (unit.publisher, unit.recogniser)]
        return [self.broker, *(centre.part for centre in self.centres), *units]

    @property
    def proxies(self) -> list[Proxy]:
        """Every way to the broker."""
        return [*(unit.proxy for unit in self.units), *(centre.proxy for centre in self.centres)]

    def start(self, *, recognisers: bool = True) -> None:
        """Start what does not run: the control room first, the units when somebody listens."""
        self.start_broker()
        new = [centre.part for centre in self.centres if centre.part.pid is None]
        said = {part: part.said().count(LISTENS) for part in new}
        for part in new:
            part.start()
        until(lambda: all(part.said().count(LISTENS) > said[part] for part in new), 60.0)
        for unit in self.units:
            unit.publisher.start()
            if recognisers:
                unit.recogniser.start()

    def start_broker(self) -> None:
        """Start it alone, and wait until it listens."""
        if self.hardened is not None:
            self.hardened.install()
        self.broker.start()
        until(lambda: listening(self.port))

    def hits(self) -> int:
        """How many hits the outboxes took so far, by the ledgers."""
        return sum(unit.hits() for unit in self.units)

    def waiting(self) -> int:
        """How many messages wait in all outboxes."""
        return sum(unit.waiting() for unit in self.units)


def _plain_broker(folder: Path, port: int) -> list[str]:
    program = shutil.which("mosquitto") or shutil.which("mosquitto", path="/usr/sbin")
    assert program is not None, "mosquitto is missing; `make test` installs it"
    settings = folder / "mosquitto.conf"
    settings.write_text(f"listener {port} 127.0.0.1\nallow_anonymous true\npersistence false\n", "utf-8")
    return [program, "-c", str(settings)]


def _paths(files: Files) -> dict[str, str]:
    return {name: str(path) for name, path in files._asdict().items()}


def make_keys(folder: Path) -> None:
    """What `centre keygen` makes, as far as hits need it."""
    folder.mkdir(mode=0o700)
    for name, pair in (("hits", seal.new_pair("torture")), ("receipt", envelope.new_pair("torture"))):
        for half, key in zip(("key", "pub"), pair, strict=True):
            keys.write(folder / f"{name}.{half}", key)
