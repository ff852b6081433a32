"""Every parser that takes what others wrote, and what to feed it.

``python -m tests.fuzz.parsers MINUTES`` fuzzes them all for so long; the tests do a little of it.
"""

from __future__ import annotations

import io
import json
import random
import resource
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from prometheus_client import generate_latest

from edge_anpr import config
from edge_anpr.centre import standing
from edge_anpr.centre.arrival import Arrived, Said, Taken, Unfit, laid
from edge_anpr.centre.fleet import Fleet
from edge_anpr.centre.metrics import Figures
from edge_anpr.centre.receiver import Heard, Receiver
from edge_anpr.centre.store import _columns
from edge_anpr.errors import Unusable
from edge_anpr.privacy import keys, seal
from edge_anpr.privacy.keys import Key
from edge_anpr.tools.terminal import HitPrinter
from edge_anpr.unit.mqtt import Event, Link, Received
from edge_anpr.watch import envelope, receipt
from edge_anpr.watch.arming import Session, read_request, read_revocation, revoke
from edge_anpr.watch.making import from_csv
from edge_anpr.watch.ratchet import Ratchet
from edge_anpr.watch.watchlist import parse, payload
from tests.centre.records import body
from tests.watch.lists import NOW, SECRET, TRUSTED, signed, watchlist

EXAMPLE = (Path(__file__).parents[2] / "config.example.yaml").read_bytes()
SCRATCH = Path(tempfile.mkdtemp(prefix="fuzz-"))
HEAD = b"plate,country,reason,not_after,priority\n"


@dataclass(frozen=True)
class Parser:
    """``parse`` takes bytes and raises ``Unusable`` at most; ``seeds`` are what it should get."""

    name: str
    parse: Callable[[bytes], object]
    seeds: tuple[bytes, ...]


def _file(name: str, read: Callable[[Path], object]) -> Callable[[bytes], object]:
    path = SCRATCH / name

    def parse(raw: bytes) -> object:
        path.write_bytes(raw)
        path.chmod(0o600)
        return read(path)

    return parse


def _csv(raw: bytes) -> object:
    return from_csv(raw.decode("utf-8", "replace"), watchlist().header)


def _key_line(raw: bytes) -> bytes:
    return b"anpr-public ed25519 " + raw


def _signed(kind: str, read: Callable[[bytes], object]) -> Callable[[bytes], object]:
    """For what is parsed only when it is signed: somebody trusted signs whatever the fuzzer made."""
    return lambda raw: read(envelope.sign(raw, kind, SECRET))


def _answered(raw: bytes) -> object:
    """An answer of the centre with this ticket, opened by a unit; its list is another matter."""
    session = Session("pole-07", "0" * 16, 0, version="1")
    ticket = envelope.sign(raw, envelope.TICKET, SECRET)
    public = Key("x25519", False, read_request(session.request()).public)
    sealed = seal.seal(len(ticket).to_bytes(4, "big") + ticket + b"list", public)
    return session.open(sealed, TRUSTED, 1)


def _printed(raw: bytes) -> None:
    kind, _, payload = raw.partition(b" ")
    HitPrinter(io.StringIO())(f"anpr/v1/a/b/c/{kind.decode('ascii', 'replace')}", payload)


class _Records:
    """What the receiver would hand to the database, which is another matter: only made into rows."""

    def take(self, batch: Sequence[Arrived]) -> list[Taken]:
        taken = []
        for one in batch:
            try:
                laid(one, NOW)
                taken.append(Taken.STORED)
            except Unfit:
                taken.append(Taken.UNFIT)
        return taken

    def set_aside(self, unit: str, reason: str, payload: bytes, digest: str) -> None:
        pass

    def states(self, batch: Sequence[Said]) -> None:
        for said in batch:
            _columns(said, NOW)
            standing.told(said.payload, NOW)


class _Unlinked(Link):
    """A link that hears one message."""

    def __init__(self, message: Received) -> None:
        self._message = [message]

    def advance(self) -> list[Event]:
        return [self._message.pop()] if self._message else []

    def acknowledge(self, received: Received) -> None:
        pass

    @property
    def room(self) -> int:
        return 0


FIGURES = Figures()


def _received(raw: bytes) -> None:
    """A message of a unit, as the centre takes it: kind, blank, payload."""
    kind, _, payload = raw.partition(b" ")
    topic = "hit/cam-1" if kind == b"hit" else kind.decode("ascii", "replace")
    fleet = Fleet({}, 0.0)

    def heard(event: object) -> None:
        if isinstance(event, Heard) and event.said is not None:
            fleet.heard(event.said, 1.0, NOW)
            FIGURES.judged(fleet.judge(2.0))
            generate_latest(FIGURES.registry)

    link = _Unlinked(Received(f"anpr/v1/town/bridge/pole-07/{topic}", payload, False, (("age_s", "9" * 40),)))
    Receiver(link, _Records(), [OPENS], SECRET, FIGURES, heard).turn()  # type: ignore[arg-type]


OPENS, SEALS = seal.new_pair("centre")
UNIT = "town/bridge/pole-07"
HIT = json.dumps(body()).encode()
HEALTH = (
    b'{"schema":"anpr.health/1","at":"2026-11-01T00:00:00Z","clock":{"sync":true,"error_ms":1},"interval_s":30.0,'
    b'"recogniser":{"fps":12.5},"publisher":{"outbox":{"hits":1,"bytes":2}}}'
)
RECEIPT = b'{"schema":"anpr.receipt/1","unit":"town/bridge/pole-07","taken":["%s"]}' % (b"0" * 64)
REQUEST = Session("pole-07", "0" * 16, 0, version="1").request()
REVOCATION = envelope.unverified(revoke("test", 3, ("*",), SECRET, NOW), envelope.REVOCATION)
TICKET = (
    b'{"schema":"anpr.ticket/1","unit":"pole-07","nonce":"%s","recipient":"%s","list_sha256":"%s","version":3,'
    b'"at":"2026-11-01T00:00:00.000Z","expires":"2026-11-01T00:15:00.000Z"}' % (b"0" * 64, b"1" * 64, b"2" * 64)
)

PARSERS = (
    Parser("config", _file("unit.yaml", config.load), (EXAMPLE, b"unit: {org: a, site: b, id: c}\n", b"a: &a [*a]")),
    Parser("csv", _csv, (HEAD + b"QA-12-CE,NL,stolen,2026-12-31,1\n", HEAD + b'"QA12CE","NL","a","2026-12-31",""\n')),
    Parser("envelope", lambda raw: envelope.verify(raw, envelope.LIST, TRUSTED), (signed("QA12CE"),)),
    Parser("list", parse, (payload(watchlist("QA12CE", "KU99QX")),)),
    Parser("ratchet", _file("ratchet.json", Ratchet),
           (b'{"schema":"anpr.ratchet/1","versions":{"a":[1,"b"]},"withdrawn":{}}',)),
    Parser("request", read_request, (REQUEST,)),
    Parser("revocation", _signed(envelope.REVOCATION, lambda raw: read_revocation(raw, TRUSTED)), (REVOCATION,)),
    Parser("ticket", _answered, (TICKET,)),
    Parser("receipt", _signed(envelope.RECEIPT, lambda raw: receipt.read(raw, UNIT, TRUSTED)), (RECEIPT,)),
    Parser("message received", _received,
           (b"hit " + HIT, b"hit " + seal.seal(HIT, SEALS), b"health " + HEALTH,
            b'alarm {"active":[{"code":"a","since":"2026-11-01T00:00:00Z","text":"c"}]}',
            b'birth {"list":{"list_id":"a","version":1}}', b'status {"status":"online"}')),
    Parser("message shown", _printed, (b'alarm {"active":[{"code":"a","text":"c"}]}', b"hit " + REVOCATION)),
    Parser("key", _file("key.pub", lambda path: keys.read(path, "ed25519", secret=False)),
           (b"anpr-public ed25519 LcUblGIUM2q5xgCH5tSM0n18VTQCitE0qtOZW/WE93o= test", _key_line(b"AAAA"))),
)  # fmt: skip

_PIECES = (
    b"[" * 3000, b'{"a":' * 3000, b"\x00", b"\xff\xfe", b"\xed\xa0\x80", b"9" * 5000, b"1e999", b"NaN", b"-",
    b"'", b'"', b"\\ud800", b"\n", b"\r", b"\t", b"&a ", b"*a", b"!!python/object ", b"<<: ", b"? ", b"|", b">",
    b"2026-12-31", b"9999-12-31T23:59:59Z", b"0001-01-01T00:00:00+23:59", b"true", b"null", b"QA12CE", b"A" * 70_000,
    b",", b":", b"{}",
)  # fmt: skip


def mutated(seed: bytes, rng: random.Random) -> bytes:
    """A seed after a few changes: bits, pieces of itself, pieces that break parsers."""
    raw = bytearray(seed)
    for _ in range(rng.choice((1, 1, 2, 3, 8))):
        at = rng.randrange(len(raw) + 1)
        match rng.randrange(6):
            case 0 if raw:
                raw[at % len(raw)] ^= 1 << rng.randrange(8)
            case 1:
                del raw[at : at + rng.choice((1, 2, 8, 64, 1000))]
            case 2:
                raw[at:at] = rng.choice(_PIECES)
            case 3:
                start = rng.randrange(len(raw) + 1)
                raw[at:at] = raw[start : start + rng.choice((1, 8, 64))] * rng.choice((1, 2, 100))
            case 4:
                raw[at : at + 1] = bytes([rng.randrange(256)])
            case _:
                raw[at : at + rng.randrange(12)] = rng.choice(_PIECES)
    return bytes(raw)


def fuzz(parser: Parser, rng: random.Random, until_s: float) -> int:
    """Feed a parser until this moment (monotonic); how many inputs that were. Whatever else it raises gets through."""
    count = 0
    while time.monotonic() < until_s:
        raw = mutated(rng.choice(parser.seeds), rng)
        begin = time.monotonic()
        try:
            parser.parse(raw)
        except Unusable:
            pass
        except BaseException:
            (SCRATCH / f"{parser.name}.crash").write_bytes(raw)
            print(f"{parser.name}: see {SCRATCH / f'{parser.name}.crash'}", file=sys.stderr)  # noqa: T201
            raise
        assert time.monotonic() - begin < 5, f"{parser.name} hangs"
        count += 1
    return count


def resident_mb() -> float:
    """The most memory this process ever had."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def main() -> None:
    """Fuzz every parser for its share of the minutes."""
    minutes, seed = float(sys.argv[1]), int(sys.argv[2]) if len(sys.argv) > 2 else 1
    before = resident_mb()
    for index, parser in enumerate(PARSERS):
        end = time.monotonic() + minutes * 60 / len(PARSERS)
        count = fuzz(parser, random.Random(f"{seed} {index}"), end)
        print(json.dumps({"parser": parser.name, "inputs": count, "extra_mb": round(resident_mb() - before, 1)}))  # noqa: T201


if __name__ == "__main__":
    main()
