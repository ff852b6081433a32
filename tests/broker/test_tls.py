"""Who gets past the handshake of the broker as it is shipped."""

from __future__ import annotations

import ssl
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from edge_anpr.provision import authority, certificates
from edge_anpr.provision.authority import Authority
from edge_anpr.provision.certificates import Issuer, Pair, Role
from tests.broker.client import Client, connects, context
from tests.broker.hardened import Files, Hardened

POLE = "town/bridge/pole-07"


@pytest.fixture(scope="module")
def broker(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Hardened]:
    made = Hardened(tmp_path_factory.mktemp("broker"))
    made.unit(POLE)
    made.start()
    yield made
    made.kill()


def issued(broker: Hardened, folder: Path, begins: timedelta, ends: timedelta, role: Role = Role.UNIT) -> Files:
    """A certificate of the broker's own authority, valid from and until so long from now."""
    home, now = broker.authority_folder, datetime.now(UTC)
    issuer = Issuer(Pair((home / "ca.pem").read_bytes(), (home / "ca.key").read_bytes()), None)
    pair = issuer.issue(role, POLE, now + begins, now + ends)
    files = Files(home / "ca.pem", folder / "one.pem", folder / "one.key")
    files.certificate.write_bytes(pair.certificate)
    files.key.write_bytes(pair.key)
    return files


def test_a_unit_is_let_in_and_checks_the_broker_by_name_and_by_address(broker: Hardened) -> None:
    assert connects(broker.port, broker.unit(POLE))
    foreign = context(broker.unit(POLE))
    foreign.check_hostname = False
    assert connects(broker.port, broker.unit(POLE), foreign)
    names = [place for one in broker.authority.issued() if one.role is Role.BROKER for place in _places(one.pem)]
    assert names == ["DNS:localhost", "IP Address:127.0.0.1"]


def _places(pem: bytes) -> list[str]:
    from cryptography import x509

    found = x509.load_pem_x509_certificate(pem).extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    return [f"DNS:{name}" for name in found.get_values_for_type(x509.DNSName)] + [
        f"IP Address:{address}" for address in found.get_values_for_type(x509.IPAddress)
    ]


def test_tls_1_2_is_refused(broker: Hardened) -> None:
    old = context(broker.unit(POLE))
    old.maximum_version = ssl.TLSVersion.TLSv1_2
    assert not connects(broker.port, broker.unit(POLE), old)


def test_without_a_certificate_nobody_is_let_in(broker: Hardened) -> None:
    assert not connects(broker.port, broker.unit(POLE)[:1])


def test_a_certificate_of_another_authority_is_refused(broker: Hardened, tmp_path: Path) -> None:
    authority.create(tmp_path / "other", "test", 30, None)  # of the same name
    folder = Authority(tmp_path / "other").issue(Role.UNIT, POLE, 30, None).folder
    files = (broker.unit(POLE).ca, folder / "unit.pem", folder / "unit.key")
    assert not connects(broker.port, files)


@pytest.mark.parametrize(
    ("begins", "ends", "role", "taken"),
    [
        (timedelta(days=-1), timedelta(days=1), Role.UNIT, True),
        (timedelta(days=-2), timedelta(seconds=-1), Role.UNIT, False),  # ended
        (timedelta(minutes=5), timedelta(days=1), Role.UNIT, False),  # not begun
        (timedelta(days=-1), timedelta(days=1), Role.BROKER, False),  # is for a server
    ],
)
def test_only_a_clients_certificate_that_is_valid_now_is_taken(
    broker: Hardened, tmp_path: Path, begins: timedelta, ends: timedelta, role: Role, taken: bool
) -> None:
    assert connects(broker.port, issued(broker, tmp_path, begins, ends, role)) is taken


def test_a_unit_cannot_pose_as_the_broker(broker: Hardened) -> None:
    """Units check what a certificate is for: theirs is for a client, whatever name it had."""
    with pytest.raises(ssl.SSLCertVerificationError, match="purpose"):
        _handshake(broker.unit(POLE), context(broker.unit(POLE)))


def _handshake(server: Files, client: ssl.SSLContext) -> None:
    serving = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    serving.load_cert_chain(server.certificate, server.key)
    to_server, to_client = ssl.MemoryBIO(), ssl.MemoryBIO()
    one = serving.wrap_bio(to_server, to_client, server_side=True)
    two = client.wrap_bio(to_client, to_server, server_hostname="localhost")
    for _ in range(5):
        for side in (two, one):
            try:
                side.do_handshake()
            except ssl.SSLWantReadError:
                continue


def test_the_name_that_a_client_sends_means_nothing(broker: Hardened) -> None:
    with Client(broker.port, broker.unit(POLE), "any") as client:
        assert client.code == 0
    assert f"as {POLE} (p5" in broker.said()
    assert "as any" not in broker.said()


def test_a_certificate_says_what_it_should(broker: Hardened) -> None:
    (unit,) = (one for one in broker.authority.issued() if one.role is Role.UNIT)
    assert (unit.name, unit.cameras) == (POLE, ("cam-1",))
    assert certificates.read(unit.pem) == unit
