"""Certificates watched: when they end, when they change, when they are rubbish; the link takes new ones by itself."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from hypothesis import given, settings
from hypothesis import strategies as st

from edge_anpr.unit import certificates, clock, mqtt, validity
from edge_anpr.unit.certificates import CertificateWatch
from edge_anpr.unit.clock import ClockQuality
from edge_anpr.unit.mqtt import Answered, Broker, Connected, Down, Link, Message, Outcome
from edge_anpr.unit.tls import Files
from tests.conftest import Broker as RealBroker
from tests.unit.linking import Authority, Watched, put, restart


@pytest.fixture(autouse=True)
def _quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(certificates, "LOOK_S", 0.02)
    monkeypatch.setattr(certificates, "SETTLE_S", 0.04)
    monkeypatch.setattr(mqtt, "BACKOFF_S", (0.02, 0.1))
    monkeypatch.setattr(clock, "quality", lambda: ClockQuality(True, 5))


class Said:
    """Stands where the unit's alarms do."""

    def __init__(self) -> None:
        self.active: dict[str, str] = {}

    def raise_(self, code: str, text: str) -> None:
        self.active[code] = text

    def clear(self, code: str) -> None:
        self.active.pop(code, None)


class Scene:
    def __init__(self, authority: Authority) -> None:
        folder = authority.folder
        self.authority, self.alarms, self.renewals = authority, Said(), 0
        self.files = Files(authority.path, folder / "unit.pem", folder / "unit.key")
        self.watch = CertificateWatch(self.files, self.alarms, self._renew)

    def _renew(self) -> None:
        self.renewals += 1

    def settle(self) -> dict[str, str]:
        for _ in range(6):
            self.watch.turn()
            time.sleep(0.03)
        return self.alarms.active


@pytest.fixture
def authority(tmp_path: Path) -> Authority:
    made = Authority(tmp_path)
    made.issue("unit")
    return made


@pytest.mark.parametrize(
    ("days", "code", "words"),
    [
        ((-1, 31), None, ()),
        ((-1, 29), "certificate-expires", ("expires on 20", "our certificate", "unit.pem (unit)", "clock is synch")),
        ((-9, -2), "certificate-expired", ("has expired on 20", "unit.pem", "by this machine's clock")),
        ((2, 9), "certificate-unusable", ("not valid before 20", "is the clock right?")),
    ],
)
def test_an_end_is_said_in_time(
    authority: Authority, days: tuple[float, float], code: str | None, words: tuple[str, ...]
) -> None:
    authority.issue("unit", days=days)
    scene = Scene(authority)
    active = scene.settle()
    assert list(active) == ([code] if code else [])
    assert all(word in active[code] for word in words if code)
    authority.issue("unit")
    assert scene.settle() == {}
    assert scene.renewals == 1


def test_a_doubtful_clock_is_said(authority: Authority, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(clock, "quality", lambda: ClockQuality(False, None))
    authority.issue("unit", days=(-9, 3))
    assert "clock is NOT synchronised" in Scene(authority).settle()["certificate-expires"]


def test_of_several_cas_the_last_to_end_counts(tmp_path: Path) -> None:
    authority = Authority(tmp_path, days=(-9, 9))
    authority.issue("unit")
    scene = Scene(authority)
    assert "the CA's certificate" in scene.settle()["certificate-expires"]
    after = Authority(tmp_path, "after")
    put(authority.path, authority.path.read_bytes() + b"the next one:\n" + after.path.read_bytes())
    assert scene.settle() == {}
    assert scene.renewals == 1


def test_an_unusable_set_is_no_reason_to_renew_and_a_mended_one_is(authority: Authority) -> None:
    scene = Scene(authority)
    assert scene.settle() == {}
    authority.issue("other")
    good = scene.files.key
    assert good is not None
    before = good.read_bytes()
    for content, words in (((authority.folder / "other.key").read_bytes(), "does not fit"), (b"rubbish", "is damaged")):
        put(good, content)
        assert words in scene.settle()["certificate-unusable"]
    good.unlink()
    assert "No such file" in scene.settle()["certificate-unusable"]
    assert scene.renewals == 0
    put(good, before)
    assert scene.settle() == {}
    assert scene.renewals == 1
    good.chmod(0o644)
    assert "everybody" in scene.settle()["certificate-unusable"]
    good.chmod(0o600)
    assert scene.settle() == {}


def test_files_that_are_copied_one_by_one_are_judged_when_all_are_there(
    authority: Authority, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(certificates, "SETTLE_S", 0.3)
    scene = Scene(authority)
    scene.settle()
    authority.issue("unit", file="next")
    for name in ("pem", "key"):
        put(authority.folder / f"unit.{name}", (authority.folder / f"next.{name}").read_bytes())
        assert scene.settle() == {}
    for _ in range(3):
        assert scene.settle() == {}
    assert scene.renewals == 1


def test_a_turn_costs_next_to_nothing(authority: Authority, monkeypatch: pytest.MonkeyPatch) -> None:
    scene = Scene(authority)
    scene.settle()
    began = time.perf_counter()
    for _ in range(100):
        scene.watch._next_look = 0.0
        scene.watch.turn()
    assert (time.perf_counter() - began) / 100 < 0.002  # 0.05 ms here
    monkeypatch.setattr(certificates, "LOOK_S", 60.0)
    scene.watch._next_look = 0.0
    scene.watch.turn()
    monkeypatch.setattr(Path, "stat", lambda *_: pytest.fail("looked between two looks"))
    scene.watch.turn()


class Unit:
    """A link with its watch, and a hit that is sent again until it was taken, as the carrier does."""

    def __init__(self, authority: Authority, port: int) -> None:
        folder = authority.folder
        broker = Broker(
            "localhost", port, "unit", 10, None, None, authority.path, folder / "unit.pem", folder / "unit.key"
        )
        self.watched, self.alarms = Watched(Link(broker)), Said()
        assert broker.files is not None
        self.watch = CertificateWatch(broker.files, self.alarms, self.watched.link.renew)
        self.waiting: dict[int, None] = {}
        self.taken: list[int] = []
        self._flying: dict[int, int] = {}
        self._heard = 0

    def turn(self) -> None:
        self.watch.turn()
        self.watched.turn()
        for event in self.watched.events[self._heard :]:
            if isinstance(event, Down):
                self.waiting |= dict.fromkeys(self._flying.values())
                self._flying.clear()
            elif isinstance(event, Answered):
                assert event.outcome is not Outcome.REFUSED
                self.taken.append(self._flying.pop(event.ticket))
        self._heard = len(self.watched.events)
        for number in list(self.waiting):
            ticket = self.watched.link.publish(Message("anpr/hit/cam-1", str(number).encode()))
            if ticket is not None:
                self._flying[ticket] = number
                del self.waiting[number]

    def until(self, condition: Callable[[], object]) -> None:
        deadline = time.monotonic() + 15
        while not condition():
            self.turn()
            assert time.monotonic() < deadline, "waited in vain"

    def count(self, kind: type[Connected | Down]) -> int:
        return sum(isinstance(event, kind) for event in self.watched.events)


@pytest.fixture
def unit(authority: Authority, mosquitto: RealBroker) -> Iterator[Unit]:
    authority.issue("server", san=("localhost",))
    folder = authority.folder
    restart(
        mosquitto, f"cafile {authority.path}", f"certfile {folder}/server.pem", f"keyfile {folder}/server.key",
        "require_certificate true", "use_identity_as_username true", "allow_anonymous false", "log_type all",
    )  # fmt: skip
    made = Unit(authority, mosquitto.port)
    made.until(lambda: made.count(Connected))
    yield made
    made.watched.link.close()


def test_new_certificates_are_taken_without_a_restart_and_without_a_loss(
    unit: Unit, authority: Authority, mosquitto: RealBroker
) -> None:
    authority.issue("pole-08", file="unit")
    sent = 0
    while unit.count(Connected) < 2 or sent < 200:
        unit.waiting[sent] = None
        sent += 1
        unit.turn()
        assert sent < 5000
    unit.until(lambda: len(set(unit.taken)) == sent)
    assert sorted(unit.taken) == list(range(sent))  # each once: a renewal waits for what is in flight
    downs = [event for event in unit.watched.events if isinstance(event, Down)]
    assert [(down.retry_s, down.alarm) for down in downs] == [(0.0, None)]
    assert "certificates have changed" in downs[0].reason
    said = mosquitto.said()
    assert said.count("Received PUBLISH from unit") == sent
    assert "Received DISCONNECT from unit" in said
    assert "as unit (p5, c1, k10, u'pole-08')" in said
    assert unit.alarms.active == {}


def test_rubbish_in_their_place_ends_nothing_and_its_mending_is_seen(
    unit: Unit, authority: Authority, mosquitto: RealBroker
) -> None:
    key, before = authority.folder / "unit.key", (authority.folder / "unit.key").read_bytes()
    put(key, b"rubbish")
    unit.until(lambda: "is damaged" in unit.alarms.active.get("certificate-unusable", ""))
    assert unit.count(Down) == 0
    mosquitto.kill()  # and even when the connection breaks the unit is not cut off
    unit.until(lambda: unit.count(Down))
    mosquitto.start()
    unit.until(lambda: unit.count(Connected) == 2)
    assert "certificate-unusable" in unit.alarms.active
    put(key, before)
    unit.until(lambda: unit.count(Connected) == 3)
    assert unit.alarms.active == {}


def test_a_renewal_does_not_wait_for_the_backoff(unit: Unit, authority: Authority, mosquitto: RealBroker) -> None:
    """Our certificate has ended: refused, the next attempt is minutes away. A new one is tried at once."""
    authority.issue("unit", days=(-9, -2))
    mosquitto.kill()
    unit.until(lambda: unit.count(Down))
    mosquitto.start()
    unit.until(lambda: (unit.watched.link.alarm or ("",))[0] == "certificate-refused")
    down = unit.watched.last(Down)
    assert isinstance(down, Down)
    assert down.retry_s >= 60
    unit.until(lambda: "certificate-expired" in unit.alarms.active)
    authority.issue("unit")
    unit.until(lambda: unit.count(Connected) == 2)
    unit.until(lambda: not unit.alarms.active and unit.watched.link.alarm is None)


_KEY = ec.generate_private_key(ec.SECP256R1())
_MOMENT = st.datetimes(datetime(1951, 1, 1), datetime(9999, 12, 30)).map(lambda one: one.replace(microsecond=0))


def _made(subject: x509.Name, one: datetime, other: datetime) -> bytes:
    builder = x509.CertificateBuilder(subject, subject, _KEY.public_key(), x509.random_serial_number())
    builder = builder.not_valid_before(min(one, other)).not_valid_after(max(one, other))
    return builder.sign(_KEY, hashes.SHA256()).public_bytes(serialization.Encoding.DER)


@settings(max_examples=100, deadline=None)
@given(one=_MOMENT, other=_MOMENT, name=st.text(st.characters(categories=("L", "N")), min_size=1, max_size=16))
def test_dates_and_names_are_those_that_cryptography_reads(one: datetime, other: datetime, name: str) -> None:
    oid = x509.oid.NameOID
    names = [x509.NameAttribute(oid.COUNTRY_NAME, "NL"), x509.NameAttribute(oid.COMMON_NAME, name)]
    read = validity.parse(_made(x509.Name(names), one, other))
    assert read == validity.Certificate(name, min(one, other).replace(tzinfo=UTC), max(one, other).replace(tzinfo=UTC))
    assert validity.parse(_made(x509.Name([]), one, other)).subject == ""


_CERTIFICATE = _made(x509.Name([]), datetime(2026, 1, 1), datetime(2027, 1, 1))


@settings(max_examples=300, deadline=None)
@given(st.data())
def test_a_damaged_certificate_gives_a_value_error_and_nothing_else(data: st.DataObject) -> None:
    raw = bytearray(_CERTIFICATE)
    at = data.draw(st.integers(0, len(raw) - 1))
    raw[at] = data.draw(st.integers(0, 255))
    for damaged in (
        bytes(raw),
        bytes(raw[:at]),
        b"0" + bytes([at % 3]) + b"0" * (at % 3),
        data.draw(st.binary(max_size=60)),
    ):
        try:
            validity.parse(damaged)
        except ValueError:
            continue
