from __future__ import annotations

import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from edge_anpr.errors import Unusable
from edge_anpr.unit import mqtt
from edge_anpr.unit.mqtt import WINDOW, Answered, Broker, Connected, Down, Event, Link, Message, Outcome, Received
from tests.conftest import Broker as RealBroker
from tests.conftest import ScriptedBroker, Subscriber, free_port, until

HIT = Message("anpr/hit/cam-1", b"payload")


@pytest.fixture(autouse=True)
def _quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(mqtt, "BACKOFF_S", (0.02, 0.1))


class Watched:
    """A link, and all that it has said."""

    def __init__(self, link: Link) -> None:
        self.link = link
        self.events: list[Event] = []

    def turn(self) -> None:
        self.link.wait(0.02)
        self.events += self.link.advance()

    def until(self, condition: Callable[[], object], timeout_s: float = 15.0) -> None:
        def turned() -> object:
            self.turn()
            return condition()

        until(turned, timeout_s)

    def last(self, kind: type[Event]) -> Event | None:
        return next((event for event in reversed(self.events) if isinstance(event, kind)), None)

    def connected(self) -> None:
        self.until(lambda: self.last(Connected))

    def answer(self, ticket: int | None) -> Answered:
        assert ticket is not None
        self.until(lambda: isinstance(self.last(Answered), Answered))
        answer = self.last(Answered)
        assert isinstance(answer, Answered)
        assert answer.ticket == ticket
        return answer


@pytest.fixture
def watch() -> Iterator[Callable[..., Watched]]:
    made: list[Watched] = []

    def watched(port: int, keepalive_s: int = 10, name: str = "unit", **options: object) -> Watched:
        made.append(Watched(Link(Broker("127.0.0.1", port, name, keepalive_s), **options)))  # type: ignore[arg-type]
        return made[-1]

    yield watched
    for one in made:
        one.link.close()


Watch = Callable[..., Watched]
Script = Callable[..., ScriptedBroker]


def test_a_message_is_taken_when_somebody_listens(
    mosquitto: RealBroker, watch: Watch, subscribe: Callable[[int], Subscriber]
) -> None:
    unit, subscriber = watch(mosquitto.port), subscribe(mosquitto.port)
    assert unit.link.publish(HIT) is None
    unit.connected()
    assert unit.answer(unit.link.publish(HIT)).outcome is Outcome.TAKEN
    until(lambda: subscriber.payloads("hit") == [b"payload"])


def test_nobody_listening_is_no_acknowledgement(mosquitto: RealBroker, watch: Watch) -> None:
    unit = watch(mosquitto.port)
    unit.connected()
    assert unit.answer(unit.link.publish(HIT)).outcome is Outcome.NO_SUBSCRIBER


@pytest.mark.parametrize("code", [0x80, 0x87, 0x97])
def test_a_refusal_is_no_acknowledgement(scripted: Script, watch: Watch, code: int) -> None:
    broker = scripted()
    broker.puback = code
    unit = watch(broker.port)
    unit.connected()
    assert unit.answer(unit.link.publish(HIT)).outcome is Outcome.REFUSED


def test_a_link_may_listen(mosquitto: RealBroker, watch: Watch) -> None:
    centre = watch(mosquitto.port, subscribe=["anpr/#"])
    centre.connected()
    assert centre.link.publish(HIT) is not None
    centre.until(lambda: centre.last(Received))
    assert centre.last(Received) == Received("anpr/hit/cam-1", b"payload")


def test_the_window_is_bounded(scripted: Script, watch: Watch) -> None:
    broker = scripted()
    broker.puback = None
    unit = watch(broker.port)
    unit.connected()
    tickets = [unit.link.publish(HIT) for _ in range(WINDOW + 5)]
    assert None not in tickets[:WINDOW]
    assert tickets[WINDOW:] == [None] * 5


def test_the_broker_may_want_less(scripted: Script, watch: Watch) -> None:
    broker = scripted(properties=b"\x21\x00\x03" + b"\x27\x00\x00\x01\x00")  # receive maximum 3, packets of 256 bytes
    broker.puback = None
    unit = watch(broker.port)
    unit.connected()
    assert unit.link.room == 3
    with pytest.raises(ValueError, match="takes 256"):
        unit.link.publish(Message("anpr/hit/cam-1", b"x" * 300))


def test_it_comes_back_after_the_broker_does(mosquitto: RealBroker, watch: Watch) -> None:
    unit = watch(mosquitto.port)
    unit.connected()
    mosquitto.kill()
    unit.until(lambda: unit.last(Down))
    down = unit.last(Down)
    assert isinstance(down, Down)
    assert down.was_connected
    unit.events.clear()
    mosquitto.start()
    unit.connected()
    assert unit.answer(unit.link.publish(HIT)).outcome is Outcome.NO_SUBSCRIBER


def test_the_will_speaks_for_the_dead(
    mosquitto: RealBroker, watch: Watch, subscribe: Callable[[int], Subscriber]
) -> None:
    subscriber = subscribe(mosquitto.port)
    unit = watch(mosquitto.port, will=Message("anpr/status", b"lost", retain=True))
    unit.connected()
    unit.link.close()
    again = watch(mosquitto.port, will=Message("anpr/status", b"lost", retain=True))
    again.connected()
    assert subscriber.payloads("status") == []  # a clean goodbye leaves no will
    assert again.link._wire is not None
    again.link._wire.end(polite=False)
    until(lambda: subscriber.payloads("status") == [b"lost"])


def test_a_farewell_arrives_before_the_end(
    mosquitto: RealBroker, watch: Watch, subscribe: Callable[[int], Subscriber]
) -> None:
    subscriber, unit = subscribe(mosquitto.port), watch(mosquitto.port)
    unit.connected()
    unit.link.close(Message("anpr/status", b"offline", retain=True))
    until(lambda: subscriber.payloads("status") == [b"offline"])


def test_silence_ends_the_connection_though_tcp_stands(
    scripted: Script, watch: Watch, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(mqtt, "SILENT_KEEPALIVES", 0.2)
    broker = scripted()
    unit = watch(broker.port, keepalive_s=2)
    unit.connected()
    broker.deaf = True
    unit.until(lambda: unit.last(Down))
    assert "silent for" in str(unit.last(Down))
    assert unit.link.room == 0
    broker.deaf = False
    unit.until(lambda: broker.connections == 2)


def test_a_puback_that_stays_away_ends_the_connection(
    scripted: Script, watch: Watch, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(mqtt, "SILENT_KEEPALIVES", 0.5)
    broker = scripted()
    broker.puback = None
    unit = watch(broker.port, keepalive_s=2)
    unit.connected()
    assert unit.link.publish(HIT) is not None
    began = time.monotonic()
    while unit.last(Down) is None:
        unit.link.publish(Message("anpr/health", b"answered"))  # so it is not silent
        unit.turn()
        assert time.monotonic() - began < 10
    assert "silent for" in str(unit.last(Down))


def test_a_broker_that_never_answers_is_left(scripted: Script, watch: Watch, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(mqtt, "CONNECT_S", 0.3)
    broker = scripted()
    broker.deaf = True
    unit = watch(broker.port)
    unit.until(lambda: unit.last(Down))
    assert "no answer" in str(unit.last(Down))


@pytest.mark.parametrize(
    ("code", "words"), [(0x86, "mqtt.password_file"), (0x87, "authorise"), (0x84, "MQTT 5"), (0x88, "unavailable")]
)
def test_being_refused_says_what_to_do(scripted: Script, watch: Watch, code: int, words: str) -> None:
    unit = watch(scripted(connack=code).port)
    unit.until(lambda: unit.last(Down))
    assert words in str(unit.last(Down))


def test_nothing_there_says_what_to_do(watch: Watch) -> None:
    unit = watch(free_port())
    unit.until(lambda: unit.last(Down))
    assert "nothing listens there; check mqtt.host and mqtt.port" in str(unit.last(Down))


def test_the_backoff_grows_and_is_bounded(watch: Watch, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(mqtt, "BACKOFF_S", (0.01, 0.08))
    unit = watch(free_port())
    unit.until(lambda: len(unit.events) >= 8)
    waits = [event.retry_s for event in unit.events if isinstance(event, Down)]
    assert 0.005 <= waits[0] <= 0.01
    assert all(0.04 <= wait <= 0.08 for wait in waits[3:])
    assert len(set(waits)) > 4  # jitter


def test_broken_tls_files_are_told(tmp_path: Path) -> None:
    (tmp_path / "ca.pem").write_text("no certificate", "utf-8")
    for name in ("ca.pem", "missing.pem"):
        with pytest.raises(Unusable, match=f"mqtt.tls cannot be used.*{name}"):
            Link(Broker("127.0.0.1", 1, "unit", ca=tmp_path / name))


def _openssl(folder: Path, *arguments: str) -> None:
    subprocess.run(["openssl", *arguments], cwd=folder, check=True, capture_output=True)


@pytest.fixture(scope="session")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("tls")
    for name in ("ca", "other"):
        _openssl(
            folder, "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes",
            "-keyout", f"{name}.key", "-out", f"{name}.pem", "-days", "2", "-subj", f"/CN={name}",
            "-addext", "keyUsage=critical,keyCertSign,cRLSign",
        )  # fmt: skip
    _openssl(
        folder, "req", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-keyout", "server.key",
        "-out", "server.csr", "-subj", "/CN=localhost",
    )  # fmt: skip
    # Python 3.13 asks a chain for all that RFC 5280 does.
    extensions = "subjectAltName=IP:127.0.0.1\nsubjectKeyIdentifier=hash\nauthorityKeyIdentifier=keyid\n"
    (folder / "san").write_text(extensions, "utf-8")
    _openssl(
        folder, "x509", "-req", "-in", "server.csr", "-CA", "ca.pem", "-CAkey", "ca.key", "-CAcreateserial",
        "-out", "server.pem", "-days", "2", "-extfile", "san",
    )  # fmt: skip
    return folder


# paho does not close the socket of a handshake that failed; Python does, and says so.
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
def test_tls_and_password(mosquitto: RealBroker, certificates: Path, tmp_path: Path) -> None:
    mosquitto.kill()
    passwords = tmp_path / "passwords"
    passwords.write_text("", "utf-8")
    subprocess.run(["mosquitto_passwd", "-b", str(passwords), "pole", "secret"], check=True, capture_output=True)
    passwords.chmod(0o644)
    for key in certificates.glob("*"):
        key.chmod(0o644)
    settings = Path(mosquitto.command[-1])
    settings.write_text(
        f"user root\nlistener {mosquitto.port} 127.0.0.1\npassword_file {passwords}\ncafile {certificates}/ca.pem\n"
        f"certfile {certificates}/server.pem\nkeyfile {certificates}/server.key\n",
        "utf-8",
    )
    mosquitto.start()

    def result(password: str, ca: str | None) -> str:
        broker = Broker("127.0.0.1", mosquitto.port, "unit", 10, "pole", password, ca=certificates / ca if ca else None)
        assert password not in repr(broker)
        unit = Watched(Link(broker))
        unit.until(lambda: unit.events)
        unit.link.close()
        return str(unit.events[0])

    assert result("secret", "ca.pem") == "Connected()"
    assert "mqtt.password_file" in result("wrong", "ca.pem")
    assert "certificate is not accepted" in result("secret", "other.pem")
    assert "set mqtt.tls" in result("secret", None)


def test_user_properties_and_what_the_broker_had_kept_are_told(mosquitto: RealBroker, watch: Watch) -> None:
    unit = watch(mosquitto.port)
    unit.connected()
    kept = Message("anpr/status", b"online", retain=True, properties=(("late", "true"), ("age_s", "7")))
    unit.answer(unit.link.publish(kept))
    centre = watch(mosquitto.port, subscribe=["anpr/+"], name="centre")
    centre.until(lambda: centre.last(Received))
    assert centre.last(Received) == Received("anpr/status", b"online", True, kept.properties)
    unit.answer(unit.link.publish(kept))
    centre.until(lambda: centre.last(Received) == Received("anpr/status", b"online", False, kept.properties))


def test_nothing_more_comes_before_something_was_acknowledged(mosquitto: RealBroker, watch: Watch) -> None:
    centre = watch(mosquitto.port, subscribe=["$share/centres/anpr/hit/+"], unacknowledged=5, name="centre")
    centre.connected()
    unit = watch(mosquitto.port)
    unit.connected()
    for _ in range(12):
        assert unit.link.publish(HIT) is not None

    def received() -> list[Received]:
        return [event for event in centre.events if isinstance(event, Received)]

    centre.until(lambda: len(received()) == 5)
    for _ in range(10):
        centre.turn()
    assert len(received()) == 5
    done = 0

    def acknowledged_all() -> bool:
        nonlocal done
        for message in received()[done:]:
            centre.link.acknowledge(message)
        done = len(received())
        return done == 12

    centre.until(acknowledged_all)
