"""TLS with a real mosquitto and real certificates: each way in which they do not fit, in words, and mended."""

from __future__ import annotations

import socket
import ssl
import subprocess
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from edge_anpr.errors import Unusable
from edge_anpr.unit import advice, backoff, clock, mqtt, tls
from edge_anpr.unit.clock import ClockQuality
from edge_anpr.unit.mqtt import Broker, Connected, Down, Link
from tests.conftest import Broker as RealBroker
from tests.unit.linking import Authority, Watched, put, restart

# paho does not close the socket of a handshake that failed; Python does, and says so.
pytestmark = pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")

MUTUAL = ("require_certificate true", "use_identity_as_username true", "allow_anonymous false")


@pytest.fixture(autouse=True)
def _quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(mqtt, "BACKOFF_S", (0.02, 0.1))
    monkeypatch.setattr(backoff, "REFUSED_S", (0.05, 0.1))
    monkeypatch.setattr(clock, "quality", lambda: ClockQuality(True, 5))


@pytest.fixture
def authority(tmp_path: Path) -> Authority:
    """With a broker's certificate, ``server``, and a unit's, ``unit``."""
    made = Authority(tmp_path)
    made.issue("server", san=("localhost", "127.0.0.1"))
    made.issue("unit")
    return made


Watch = Callable[..., Watched]


@pytest.fixture
def watch(authority: Authority, mosquitto: RealBroker) -> Iterator[Watch]:
    made: list[Watched] = []

    def watched(name: str | None = "unit", ca: Path | None = None, host: str = "localhost") -> Watched:
        folder = authority.folder
        pair = (folder / f"{name}.pem", folder / f"{name}.key") if name else (None, None)
        broker = Broker(host, mosquitto.port, "unit", 10, None, None, ca or authority.path, *pair)
        made.append(Watched(Link(broker)))
        return made[-1]

    yield watched
    for one in made:
        one.link.close()


def lines(authority: Authority, *more: str, server: str = "server") -> list[str]:
    folder = authority.folder
    names = [f"cafile {authority.path}", f"certfile {folder}/{server}.pem", f"keyfile {folder}/{server}.key"]
    return [*names, *(more or ("allow_anonymous true",))]


def refused(watched: Watched, alarm: str | None, *words: str) -> Down:
    """It has been refused with these words and this alarm, and says so of itself; and knows nothing worse."""
    down = watched.down()
    assert down.alarm == alarm
    assert alarm is None or alarm in advice.ALARMS
    assert all(word in down.reason for word in words), down.reason
    assert not down.was_connected
    assert watched.link.alarm == (alarm and (alarm, down.reason))
    return down


@pytest.mark.parametrize("host", ["localhost", "127.0.0.1"])
def test_both_sides_show_a_certificate(mosquitto: RealBroker, authority: Authority, watch: Watch, host: str) -> None:
    restart(mosquitto, *lines(authority, *MUTUAL))
    unit = watch(host=host)
    unit.connected()
    assert unit.events == [Connected()]
    assert unit.link.alarm is None
    assert "u'unit'" in mosquitto.said()


@pytest.mark.parametrize(
    ("issued", "alarm", "words"),
    [
        ({"san": ("other.example",)}, "broker-unknown", ("somebody else's", "'localhost'", "SAN")),
        ({"san": ()}, "broker-unknown", ("SAN",)),  # its CN is localhost, which is nothing
        ({"san": ("localhost",), "days": (-9, -2)}, "broker-expired", ("expired", "2", "mqtt.tls.ca")),
        ({"san": ("localhost",), "days": (2, 9)}, "broker-expired", ("not yet valid", "by this machine's clock")),
    ],
)
def test_a_broker_that_does_not_show_who_it_is(
    mosquitto: RealBroker, authority: Authority, watch: Watch, issued: dict[str, object], alarm: str, words: list[str]
) -> None:
    authority.issue("localhost", file="wrong", **issued)  # type: ignore[arg-type]
    restart(mosquitto, *lines(authority, server="wrong"))
    unit = watch(None)
    refused(unit, alarm, *words)
    restart(mosquitto, *lines(authority))
    unit.back()
    assert unit.link.alarm is None


def test_a_broker_of_another_ca(mosquitto: RealBroker, authority: Authority, watch: Watch) -> None:
    restart(mosquitto, *lines(authority))
    unit = watch(None, ca=Authority(authority.folder, "other").path)
    refused(unit, "broker-unknown", "certificate is not accepted", "mqtt.tls.ca")
    put(authority.folder / "other.pem", authority.path.read_bytes())
    unit.back()


def test_a_doubtful_clock_is_named_first(
    mosquitto: RealBroker, authority: Authority, watch: Watch, monkeypatch: pytest.MonkeyPatch
) -> None:
    """And when it has been set, the next attempt does not wait for its turn."""
    monkeypatch.setattr(backoff, "REFUSED_S", (3600.0, 3600.0))
    monkeypatch.setattr(clock, "quality", lambda: ClockQuality(False, None))
    authority.issue("server", san=("localhost",), days=(2, 9))
    restart(mosquitto, *lines(authority))
    unit = watch(None)
    refused(unit, "clock", "set the clock first (NTP)", "NOT synchronised")
    authority.issue("server", san=("localhost",))
    restart(mosquitto, *lines(authority))
    for _ in range(5):
        unit.turn()
    assert unit.last(Connected) is None
    real = mqtt._wall_less_monotonic()
    monkeypatch.setattr(mqtt, "_wall_less_monotonic", lambda: real + 60)
    unit.back()


def test_a_broker_that_is_behind_the_times(mosquitto: RealBroker, authority: Authority, watch: Watch) -> None:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(authority.folder / "server.pem", authority.folder / "server.key")
    context.maximum_version = ssl.TLSVersion.TLSv1_2
    mosquitto.kill()
    ended = threading.Event()

    def serve(listener: socket.socket) -> None:
        while not ended.is_set():
            try:
                connection, _ = listener.accept()
                context.wrap_socket(connection, server_side=True).close()
            except OSError:
                continue

    with socket.create_server(("127.0.0.1", mosquitto.port)) as listener:
        listener.settimeout(0.05)
        thread = threading.Thread(target=serve, args=(listener,))
        thread.start()
        try:
            unit = watch(None)
            refused(unit, "broker-tls", "does not speak TLS 1.3")
        finally:
            ended.set()
            thread.join()
    restart(mosquitto, *lines(authority))
    unit.back()


def test_a_port_without_tls_and_the_reverse(mosquitto: RealBroker, authority: Authority, watch: Watch) -> None:
    assert "mqtt.port is the broker's TLS port" in watch(None).down().reason
    restart(mosquitto, *lines(authority))
    plain = Watched(Link(Broker("localhost", mosquitto.port, "plain")))
    assert "set mqtt.tls" in plain.down().reason
    plain.link.close()


@pytest.mark.parametrize(
    ("issued", "words"),
    [
        ({"days": (-9, -2)}, ("expired", "mqtt.tls.certificate")),
        ({"days": (2, 9)}, ("not yet valid",)),
        ("revoked", ("revoked", "mqtt.tls.certificate")),
        ("unknown", ("does not know who issued",)),
        (None, ("wants a certificate of us",)),
    ],
)
def test_a_certificate_that_the_broker_refuses(
    mosquitto: RealBroker, authority: Authority, watch: Watch, issued: object, words: list[str]
) -> None:
    more: tuple[str, ...] = MUTUAL
    if isinstance(issued, dict):
        authority.issue("unit", **issued)
    elif issued == "revoked":
        more = (*MUTUAL, f"crlfile {authority.revoke(authority.issue('unit'))}")
    elif issued == "unknown":
        folder = authority.folder / "elsewhere"
        folder.mkdir()
        Authority(folder, "elsewhere").issue("unit")
        for name in ("unit.pem", "unit.key"):
            put(authority.folder / name, (folder / name).read_bytes())
    restart(mosquitto, *lines(authority, *more))
    unit = watch("unit" if issued else None)
    refused(unit, "certificate-refused", *words)
    if issued is None:
        return
    authority.issue("unit")
    unit.back()
    assert unit.link.alarm is None


def test_files_that_cannot_be_used_are_told(authority: Authority) -> None:
    folder = authority.folder
    unit, key = folder / "unit.pem", folder / "unit.key"

    def words(files: tls.Files) -> str:
        with pytest.raises(Unusable, match="cannot be used: ") as caught:
            tls.context(files)
        return str(caught.value)

    rubbish = folder / "rubbish.pem"
    rubbish.write_text("no certificate", "utf-8")
    rubbish.chmod(0o600)
    assert "ca " in words(tls.Files(rubbish))
    assert "rubbish.pem" in words(tls.Files(rubbish))
    assert "missing.pem: No such file" in words(tls.Files(folder / "missing.pem"))
    assert "certificate " in words(tls.Files(authority.path, folder / "missing.pem", key))
    assert "key " in words(tls.Files(authority.path, unit, folder / "missing.key"))
    assert "is damaged" in words(tls.Files(authority.path, rubbish, key))
    assert "is damaged" in words(tls.Files(authority.path, unit, rubbish))
    assert "does not fit certificate" in words(tls.Files(authority.path, unit, folder / "server.key"))
    authority.issue("locked", password=b"secret")
    assert "locked by a password" in words(tls.Files(authority.path, folder / "locked.pem", folder / "locked.key"))
    key.chmod(0o644)
    assert "can be read by everybody" in words(tls.Files(authority.path, unit, key))
    key.chmod(0o640)
    assert tls.context(tls.Files(authority.path, unit, key)).minimum_version is ssl.TLSVersion.TLSv1_3
    with pytest.raises(Unusable, match="rubbish"):
        Link(Broker("127.0.0.1", 1, "unit", ca=rubbish))


def test_a_password_beside_tls(mosquitto: RealBroker, authority: Authority, tmp_path: Path) -> None:
    passwords = tmp_path / "passwords"
    passwords.write_text("", "utf-8")
    subprocess.run(["mosquitto_passwd", "-b", str(passwords), "pole", "secret"], check=True, capture_output=True)
    restart(mosquitto, *lines(authority, f"password_file {passwords}"))
    broker = Broker("localhost", mosquitto.port, "unit", 10, "pole", "wrong", authority.path)
    assert "wrong" not in repr(broker)
    unit = Watched(Link(broker))
    refused(unit, "not-authorised", "mqtt.password_file")
    unit.link.close()
