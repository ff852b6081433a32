"""A link under test, what it needs to speak TLS, and the events that it has said."""

from __future__ import annotations

import ipaddress
import os
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from edge_anpr.unit.mqtt import Answered, Connected, Down, Event, Link, Message
from tests.conftest import Broker as RealBroker
from tests.conftest import ScriptedBroker, until

DAY = timedelta(days=1)
HIT = Message("anpr/hit/cam-1", b"payload")


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

    def down(self) -> Down:
        self.until(lambda: self.last(Down))
        down = self.last(Down)
        assert isinstance(down, Down)
        return down

    def back(self) -> None:
        """Forget what was, and wait for the next connection."""
        self.events.clear()
        self.connected()

    def answer(self, ticket: int | None) -> Answered:
        assert ticket is not None
        self.until(lambda: isinstance(self.last(Answered), Answered))
        answer = self.last(Answered)
        assert isinstance(answer, Answered)
        assert answer.ticket == ticket
        return answer


Watch = Callable[..., Watched]
Script = Callable[..., ScriptedBroker]


class Authority:
    """A CA that issues certificates into a folder: ``NAME.pem`` and ``NAME.key``."""

    def __init__(self, folder: Path, name: str = "ca", days: tuple[float, float] = (-3650, 3650)) -> None:
        self.folder, self._name = folder, x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
        self._key = ec.generate_private_key(ec.SECP256R1())
        self.path = folder / f"{name}.pem"
        signs = x509.KeyUsage(
            digital_signature=False, content_commitment=False, key_encipherment=False, data_encipherment=False,
            key_agreement=False, key_cert_sign=True, crl_sign=True, encipher_only=False, decipher_only=False,
        )  # fmt: skip
        builder = self._builder(self._name, self._key.public_key(), days)
        builder = builder.add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        certificate = builder.add_extension(signs, critical=True).sign(self._key, hashes.SHA256())
        self.path.write_bytes(certificate.public_bytes(serialization.Encoding.PEM))

    def issue(
        self,
        name: str,
        *,
        days: tuple[float, float] = (-1, 365),
        san: tuple[str, ...] = (),
        file: str | None = None,
        password: bytes | None = None,
    ) -> int:
        """Issue one, valid from and until so many days from now; each file is replaced at once. Its serial number."""
        key = ec.generate_private_key(ec.SECP256R1())
        builder = self._builder(x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)]), key.public_key(), days)
        if san:
            builder = builder.add_extension(x509.SubjectAlternativeName(map(_general, san)), critical=False)
        certificate = builder.sign(self._key, hashes.SHA256())
        lock = serialization.BestAvailableEncryption(password) if password else serialization.NoEncryption()
        pem, pkcs8 = serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8
        put(self.folder / f"{file or name}.pem", certificate.public_bytes(pem))
        put(self.folder / f"{file or name}.key", key.private_bytes(pem, pkcs8, lock))
        return certificate.serial_number

    def revoke(self, serial: int) -> Path:
        now = datetime.now(UTC)
        one = x509.RevokedCertificateBuilder().serial_number(serial).revocation_date(now).build()
        builder = x509.CertificateRevocationListBuilder().issuer_name(self._name).last_update(now)
        crl = builder.next_update(now + DAY).add_revoked_certificate(one).sign(self._key, hashes.SHA256())
        path = self.folder / "crl.pem"
        path.write_bytes(crl.public_bytes(serialization.Encoding.PEM))
        return path

    def _builder(
        self, name: x509.Name, public: ec.EllipticCurvePublicKey, days: tuple[float, float]
    ) -> x509.CertificateBuilder:
        now = datetime.now(UTC)
        builder = x509.CertificateBuilder(self._name, name, public, x509.random_serial_number())
        builder = builder.not_valid_before(now + days[0] * DAY).not_valid_after(now + days[1] * DAY)
        builder = builder.add_extension(x509.SubjectKeyIdentifier.from_public_key(public), critical=False)
        issuer = x509.AuthorityKeyIdentifier.from_issuer_public_key(self._key.public_key())
        return builder.add_extension(issuer, critical=False)


def _general(name: str) -> x509.GeneralName:
    return x509.IPAddress(ipaddress.ip_address(name)) if name[0].isdigit() else x509.DNSName(name)


def put(path: Path, content: bytes) -> None:
    """Replace a file in one step, readable by its owner."""
    new = path.with_suffix(".new")
    new.touch(mode=0o600)
    new.write_bytes(content)
    os.replace(new, path)  # noqa: PTH105 - what the step is


def settings(broker: RealBroker, *lines: str) -> None:
    """Give mosquitto other settings; they hold from its next start."""
    text = "\n".join((f"listener {broker.port} 127.0.0.1", "user root", "persistence false", *lines))
    Path(broker.command[-1]).write_text(text + "\n", "utf-8")


def restart(broker: RealBroker, *lines: str) -> None:
    broker.kill()
    settings(broker, *lines)
    broker.start()
