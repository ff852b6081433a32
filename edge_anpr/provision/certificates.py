"""X.509 in the few forms that are needed here: an authority, a broker, clients, a revocation list. EC P-256.

The only file that names ``cryptography``: 8.6 MB that no daemon of a unit loads.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from enum import Enum
from ipaddress import IPv4Address, IPv6Address

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from edge_anpr.errors import Unusable

MOST_NAME_CHARACTERS = 64
"""Of a common name (ub-common-name of RFC 5280)."""
_CAMERA = "urn:x-edge-anpr:camera:"


class Role(Enum):
    """What a certificate is for; it stands in the subject's OU."""

    AUTHORITY = "authority"
    BROKER = "broker"
    UNIT = "unit"
    CENTRE = "centre"
    EVICTION = "eviction"


@dataclass(frozen=True, slots=True)
class Certificate:
    """What a certificate says; ``name`` is the common name, which the broker takes for the MQTT user name."""

    role: Role
    name: str
    serial: int
    begins: datetime
    ends: datetime
    pem: bytes = field(repr=False)
    cameras: tuple[str, ...] = ()

    @property
    def serial_hex(self) -> str:
        """The serial as ``openssl x509 -serial`` writes it, in small letters."""
        return f"{self.serial:040x}"


@dataclass(frozen=True, slots=True)
class Revocations:
    """What a revocation list says: its number, which counts up, and which serial was revoked when."""

    number: int
    revoked: Mapping[int, datetime]


@dataclass(frozen=True, slots=True)
class Pair:
    """A certificate and its key, both PEM."""

    certificate: bytes = field(repr=False)
    key: bytes = field(repr=False)


def new_authority(name: str, begins: datetime, ends: datetime, passphrase: bytes | None) -> Pair:
    """An authority that signs itself; its key is encrypted if there is a passphrase."""
    key = ec.generate_private_key(ec.SECP256R1())
    subject = _subject(Role.AUTHORITY, name)
    certificate = (
        _about(subject, subject, key.public_key(), begins, ends)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(_usage(signs_certificates=True), critical=True)
        .sign(key, hashes.SHA256())
    )
    return Pair(certificate.public_bytes(serialization.Encoding.PEM), _key_pem(key, passphrase))


class Issuer:
    """An authority at work: its certificate with its key, PEM.

    Raises Unusable when the passphrase is wrong or missing, or the two do not belong together.
    """

    def __init__(self, pair: Pair, passphrase: bytes | None) -> None:
        self._certificate = _loaded(pair.certificate)
        try:
            key = serialization.load_pem_private_key(pair.key, passphrase)
        except TypeError:
            word = "has a passphrase; name it" if passphrase is None else "has no passphrase; name none"
            raise Unusable(f"{word}, with --passphrase-file") from None
        except (ValueError, UnsupportedAlgorithm):
            word = "is damaged" if passphrase is None else "is damaged, or this is not its passphrase"
            raise Unusable(f"{word}; nothing can be signed without it") from None
        if not isinstance(key, ec.EllipticCurvePrivateKey) or key.public_key() != self._certificate.public_key():
            raise Unusable("is not the key of ca.pem; put back the one that was made with it")
        self._key = key

    def issue(
        self,
        role: Role,
        name: str,
        begins: datetime,
        ends: datetime,
        dns: Iterable[str] = (),
        ips: Iterable[IPv4Address | IPv6Address] = (),
        cameras: Iterable[str] = (),
    ) -> Pair:
        """A certificate with a new key; it ends with the authority's own at the latest.

        ``dns`` and ``ips`` are where a broker is reached: clients check them. ``cameras`` are a unit's.
        """
        key = ec.generate_private_key(ec.SECP256R1())
        ends = min(ends, self._certificate.not_valid_after_utc)
        purpose = ExtendedKeyUsageOID.SERVER_AUTH if role is Role.BROKER else ExtendedKeyUsageOID.CLIENT_AUTH
        about = (
            _about(_subject(role, name), self._certificate.subject, key.public_key(), begins, ends)
            .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
            .add_extension(_usage(signs_certificates=False), critical=True)
            .add_extension(x509.ExtendedKeyUsage([purpose]), critical=False)
            .add_extension(self._akin(), critical=False)
        )
        places: list[x509.GeneralName] = [x509.DNSName(one) for one in dns]
        places += [x509.IPAddress(one) for one in ips]
        places += [x509.UniformResourceIdentifier(_CAMERA + one) for one in cameras]
        if places:
            about = about.add_extension(x509.SubjectAlternativeName(places), critical=False)
        certificate = about.sign(self._key, hashes.SHA256())
        return Pair(certificate.public_bytes(serialization.Encoding.PEM), _key_pem(key, None))

    def revocation_list(self, revocations: Revocations, begins: datetime) -> bytes:
        """The list, signed, PEM. It says that the next one comes when the authority ends.

        OpenSSL refuses every certificate under a list that is over (CRL has expired), so an earlier date would take
        the whole fleet off the broker on a day on which nobody had anything to revoke.
        """
        builder = (
            x509.CertificateRevocationListBuilder()
            .issuer_name(self._certificate.subject)
            .last_update(begins)
            .next_update(self._certificate.not_valid_after_utc)
            .add_extension(x509.CRLNumber(revocations.number), critical=False)
            .add_extension(self._akin(), critical=False)
        )
        for serial, when in sorted(revocations.revoked.items()):
            entry = x509.RevokedCertificateBuilder().serial_number(serial).revocation_date(when)
            builder = builder.add_revoked_certificate(entry.build())
        return builder.sign(self._key, hashes.SHA256()).public_bytes(serialization.Encoding.PEM)

    def _akin(self) -> x509.AuthorityKeyIdentifier:
        identifier = self._certificate.extensions.get_extension_for_class(x509.SubjectKeyIdentifier)
        return x509.AuthorityKeyIdentifier.from_issuer_subject_key_identifier(identifier.value)


def read(pem: bytes) -> Certificate:
    """What a certificate of ours says. Raises Unusable for any other."""
    found = _loaded(pem)
    try:
        (name,) = found.subject.get_attributes_for_oid(NameOID.COMMON_NAME)
        (role,) = found.subject.get_attributes_for_oid(NameOID.ORGANIZATIONAL_UNIT_NAME)
        return Certificate(
            Role(role.value), str(name.value), found.serial_number,
            found.not_valid_before_utc, found.not_valid_after_utc, pem, tuple(_cameras(found)),
        )  # fmt: skip
    except ValueError:
        raise Unusable("was not made by `edge-anpr provision`") from None


def read_revocations(pem: bytes, authority_pem: bytes) -> Revocations:
    """What a revocation list of this authority says. Raises Unusable when it is no list, or another's."""
    try:
        found = x509.load_pem_x509_crl(pem)
    except ValueError:
        raise Unusable("is no certificate revocation list") from None
    key = _loaded(authority_pem).public_key()
    if not isinstance(key, ec.EllipticCurvePublicKey) or not found.is_signature_valid(key):
        raise Unusable("is not signed by ca.pem beside it")
    number = found.extensions.get_extension_for_class(x509.CRLNumber).value.crl_number
    return Revocations(number, {one.serial_number: one.revocation_date_utc for one in found})


def _loaded(pem: bytes) -> x509.Certificate:
    try:
        return x509.load_pem_x509_certificate(pem)
    except ValueError:
        raise Unusable("is no certificate in PEM") from None


def _cameras(certificate: x509.Certificate) -> Iterator[str]:
    try:
        names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except x509.ExtensionNotFound:
        return
    for place in names.get_values_for_type(x509.UniformResourceIdentifier):
        if place.startswith(_CAMERA):
            yield place.removeprefix(_CAMERA)


def _subject(role: Role, name: str) -> x509.Name:
    return x509.Name(
        (
            x509.NameAttribute(NameOID.ORGANIZATION_NAME, "edge-anpr"),
            x509.NameAttribute(NameOID.ORGANIZATIONAL_UNIT_NAME, role.value),
            x509.NameAttribute(NameOID.COMMON_NAME, name),
        )
    )


def _about(
    subject: x509.Name, issuer: x509.Name, key: ec.EllipticCurvePublicKey, begins: datetime, ends: datetime
) -> x509.CertificateBuilder:
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(key)
        .serial_number(x509.random_serial_number())
        .not_valid_before(begins.astimezone(UTC))
        .not_valid_after(ends.astimezone(UTC))
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key), critical=False)
    )


def _usage(*, signs_certificates: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=not signs_certificates,
        key_cert_sign=signs_certificates,
        crl_sign=signs_certificates,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        encipher_only=False,
        decipher_only=False,
    )


def _key_pem(key: ec.EllipticCurvePrivateKey, passphrase: bytes | None) -> bytes:
    encryption: serialization.KeySerializationEncryption = serialization.NoEncryption()
    if passphrase is not None:
        encryption = serialization.BestAvailableEncryption(passphrase)
    return key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, encryption)
