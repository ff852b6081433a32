"""The certificate authority's folder, and what stands in the certificates."""

from __future__ import annotations

import errno
import os
import resource
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import ExtendedKeyUsageOID

from edge_anpr.errors import Unusable
from edge_anpr.provision import authority, certificates
from edge_anpr.provision.authority import Authority
from edge_anpr.provision.certificates import Issuer, Pair, Role

POLE = "town/bridge/pole-07"


@pytest.fixture
def home(tmp_path: Path) -> Path:
    authority.create(tmp_path / "authority", "test", 100, None)
    return tmp_path / "authority"


def loaded(pem: bytes) -> x509.Certificate:
    return x509.load_pem_x509_certificate(pem)


@pytest.mark.parametrize(
    ("role", "name", "purpose", "places"),
    [
        (Role.BROKER, "mqtt.example.org", ExtendedKeyUsageOID.SERVER_AUTH, ["mqtt.example.org", "192.0.2.7"]),
        (Role.UNIT, POLE, ExtendedKeyUsageOID.CLIENT_AUTH, ["urn:x-edge-anpr:camera:cam-1"]),
        (Role.CENTRE, "centre", ExtendedKeyUsageOID.CLIENT_AUTH, []),
    ],
)
def test_what_stands_in_a_certificate(
    home: Path, role: Role, name: str, purpose: x509.ObjectIdentifier, places: list[str]
) -> None:
    at = {"dns": [name], "ips": [ip_address("192.0.2.7")]} if role is Role.BROKER else {}
    made = Authority(home).issue(role, name, 10, None, **at)  # type: ignore[arg-type]
    found, ca = loaded(made.certificate.pem), loaded((home / "ca.pem").read_bytes())
    found.verify_directly_issued_by(ca)
    assert found.subject.rfc4514_string() == f"CN={name},OU={role.value},O=edge-anpr"
    key = found.public_key()
    assert isinstance(key, ec.EllipticCurvePublicKey)
    assert key.curve.name == "secp256r1"
    extensions = found.extensions
    assert extensions.get_extension_for_class(x509.BasicConstraints).value.ca is False
    usage = extensions.get_extension_for_class(x509.KeyUsage)
    assert (usage.critical, usage.value.digital_signature, usage.value.key_cert_sign) == (True, True, False)
    assert list(extensions.get_extension_for_class(x509.ExtendedKeyUsage).value) == [purpose]
    own = ca.extensions.get_extension_for_class(x509.SubjectKeyIdentifier).value.digest
    assert extensions.get_extension_for_class(x509.AuthorityKeyIdentifier).value.key_identifier == own
    if places:
        names = extensions.get_extension_for_class(x509.SubjectAlternativeName).value
        assert [str(place.value) for place in names] == places
    now = datetime.now(UTC)
    assert found.not_valid_before_utc <= now - timedelta(hours=23)  # for a unit whose clock is behind
    assert timedelta(days=9) < found.not_valid_after_utc - now <= timedelta(days=10)


def test_an_authority_signs_certificates_and_lists_and_nothing_below_it_does(home: Path) -> None:
    found = loaded((home / "ca.pem").read_bytes())
    constraints = found.extensions.get_extension_for_class(x509.BasicConstraints)
    assert (constraints.critical, constraints.value.ca, constraints.value.path_length) == (True, True, 0)
    usage = found.extensions.get_extension_for_class(x509.KeyUsage).value
    assert (usage.key_cert_sign, usage.crl_sign, usage.digital_signature) == (True, True, False)


def test_nothing_outlives_the_authority(home: Path) -> None:
    made = Authority(home).issue(Role.UNIT, POLE, 825, None)
    assert made.certificate.ends == Authority(home).certificate.ends


def test_the_folder_that_is_handed_out_holds_all_and_its_key_is_private(home: Path) -> None:
    made = Authority(home).issue(Role.UNIT, POLE, 10, None)
    assert made.folder == home / "units" / POLE / "1"
    modes = {path.name: path.stat().st_mode & 0o777 for path in made.folder.iterdir()}
    assert modes == {"ca.pem": 0o644, "unit.pem": 0o644, "unit.key": 0o600}
    assert (home.stat().st_mode & 0o777, (home / "ca.key").stat().st_mode & 0o777) == (0o700, 0o600)
    assert (home / "acl").stat().st_mode & 0o777 == 0o600


def test_nothing_is_overwritten(home: Path) -> None:
    before = (home / "ca.key").read_bytes()
    with pytest.raises(Unusable, match="is there already"):
        authority.create(home, "test", 10, None)
    assert (home / "ca.key").read_bytes() == before
    opened = Authority(home)
    with pytest.raises(Unusable, match="leave --renew away"):
        opened.issue(Role.UNIT, POLE, 10, None, renew=True)
    first = opened.issue(Role.UNIT, POLE, 10, None)
    key = (first.folder / "unit.key").read_bytes()
    with pytest.raises(Unusable, match=r"has a certificate until .*; say --renew"):
        opened.issue(Role.UNIT, POLE, 10, None)
    second = opened.issue(Role.UNIT, POLE, 20, None, renew=True)
    assert second.folder == home / "units" / POLE / "2"
    assert (first.folder / "unit.key").read_bytes() == key
    assert len(opened.standing()) == 2
    opened.revoke([one.serial for one in opened.standing()], None)
    assert opened.issue(Role.UNIT, POLE, 10, None).folder.name == "3"


def test_a_renewed_unit_keeps_its_cameras_and_may_get_others(home: Path) -> None:
    opened = Authority(home)
    opened.issue(Role.UNIT, POLE, 10, None, cameras=("north", "south"))
    assert opened.issue(Role.UNIT, POLE, 10, None, renew=True).certificate.cameras == ("north", "south")
    opened.revoke([one.serial for one in opened.standing()][:1], None)
    opened.issue(Role.UNIT, POLE, 10, None, renew=True, cameras=("west",))
    written = [line.rsplit("/", 1)[1] for line in (home / "acl").read_text("utf-8").splitlines() if "/hit/" in line]
    assert written == ["north", "south", "west"]  # of all certificates that are good


def test_the_acl_names_who_has_a_certificate_and_nobody_else(home: Path) -> None:
    opened = Authority(home)
    opened.issue(Role.BROKER, "mqtt.example.org", 10, None)
    opened.issue(Role.CENTRE, "centre", 10, None)
    opened.issue(Role.UNIT, POLE, 10, None)
    gone = opened.issue(Role.UNIT, "town/bridge/pole-08", 10, None).certificate
    opened.revoke([gone.serial], None)
    opened.eviction("town/bridge/pole-08", None)
    opened.issue(Role.UNIT, "town/mill/pole-07", 10, None, cameras=("north",))
    text = (home / "acl").read_text("utf-8")
    assert [line for line in text.splitlines() if line.startswith("user")] == [
        "user centre", f"user {POLE}", "user town/mill/pole-07",
    ]  # fmt: skip
    own = text[text.index(f"user {POLE}") : text.index("user town/mill")].split("\n")
    assert own[1:-2] == [
        f"topic {way} anpr/v1/{POLE}/{end}"
        for way, ends in (
            ("write", ("hit/cam-1", "status", "birth", "health", "alarm", "stats", "arm", "ack")),
            ("read", ("list", "receipt", "cmd/#")),
        )
        for end in ends
    ]


def test_an_ended_certificate_is_neither_good_nor_in_the_acl(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    opened = Authority(home)
    opened.issue(Role.UNIT, POLE, 10, None)
    later = datetime.now(UTC).replace(microsecond=0) + timedelta(days=11)
    monkeypatch.setattr(authority, "_now", lambda: later)
    opened.issue(Role.CENTRE, "centre", 10, None)
    assert [one.name for one in opened.standing()] == ["centre"]
    assert POLE not in (home / "acl").read_text("utf-8")
    assert opened.issue(Role.UNIT, POLE, 10, None).folder.name == "2"


def test_a_revocation_list_grows_counts_and_does_not_end_before_the_authority(home: Path) -> None:
    opened = Authority(home)
    one = opened.issue(Role.UNIT, POLE, 10, None).certificate
    two = opened.issue(Role.UNIT, "town/bridge/pole-08", 10, None).certificate
    assert (opened.revocations().number, dict(opened.revocations().revoked)) == (1, {})
    first = x509.load_pem_x509_crl((home / "crl.pem").read_bytes())
    assert first.last_update_utc <= datetime.now(UTC) - timedelta(hours=23)
    opened.revoke([one.serial], None)
    when = opened.revocations().revoked[one.serial]
    opened.revoke([two.serial, one.serial], None)
    assert opened.revocations().number == 3
    assert set(opened.revocations().revoked) == {one.serial, two.serial}
    assert opened.revocations().revoked[one.serial] == when
    found = x509.load_pem_x509_crl((home / "crl.pem").read_bytes())
    assert found.next_update_utc == opened.certificate.ends
    assert found.last_update_utc <= datetime.now(UTC) - timedelta(hours=23)  # for a broker whose clock is behind


def test_two_that_revoke_at_once_both_do(home: Path) -> None:
    serials = [Authority(home).issue(Role.UNIT, f"town/bridge/{n}", 10, None).certificate.serial for n in range(8)]
    threads = [threading.Thread(target=Authority(home).revoke, args=([serial], None)) for serial in serials]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert set(Authority(home).revocations().revoked) == set(serials)


@contextmanager
def full_disk() -> Iterator[None]:
    """No file takes more than the first bytes of a certificate."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (100, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


def test_a_disk_that_is_full_leaves_no_half_file_and_the_same_may_be_tried_again(home: Path) -> None:
    with full_disk(), pytest.raises(Unusable, match="cannot be written: File too large"):
        Authority(home).issue(Role.UNIT, POLE, 10, None)
    assert Authority(home).issued() == []
    assert Authority(home).issue(Role.UNIT, POLE, 10, None).folder.name == "1"
    assert len(list((home / "issued").iterdir())) == 1
    with full_disk(), pytest.raises(Unusable, match="cannot be written: File too large"):
        Authority(home).eviction(POLE, None)
    assert [one.role for one in Authority(home).issued()] == [Role.UNIT]


@pytest.mark.parametrize("synced", range(5))
def test_a_revocation_that_failed_half_way_is_none_and_may_be_tried_again(
    home: Path, monkeypatch: pytest.MonkeyPatch, synced: int
) -> None:
    one = Authority(home).issue(Role.UNIT, POLE, 10, None).certificate
    left = iter(range(synced))

    def fsync(_: int) -> None:
        if next(left, None) is None:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", fsync)
        with pytest.raises(Unusable, match="cannot be written: No space left"):
            Authority(home).revoke([one.serial], None)
    assert Authority(home).standing() == [one]
    Authority(home).revoke([one.serial], None)
    assert Authority(home).standing() == []
    assert POLE not in (home / "acl").read_text("utf-8")


def test_what_cannot_be_handed_out_says_so_and_can_be_revoked(home: Path) -> None:
    (home / "units").write_bytes(b"")
    with pytest.raises(Unusable, match=r"units/.*: cannot be written: Not a directory"):
        Authority(home).issue(Role.UNIT, POLE, 10, None)
    (left,) = Authority(home).standing()
    Authority(home).revoke([left.serial], None)
    (home / "units").unlink()
    assert Authority(home).issue(Role.UNIT, POLE, 10, None).folder.name == "1"


def test_a_list_that_is_gone_or_anothers_is_not_begun_anew(home: Path, tmp_path: Path) -> None:
    opened = Authority(home)
    one = opened.issue(Role.UNIT, POLE, 10, None).certificate
    opened.revoke([one.serial], None)
    (home / "crl.pem").rename(tmp_path / "kept")
    with pytest.raises(Unusable, match=r"crl\.pem: cannot be read: .*what was revoked would be let in again"):
        opened.revoke([one.serial], None)
    authority.create(tmp_path / "other", "test", 10, None)
    (home / "crl.pem").write_bytes((tmp_path / "other" / "crl.pem").read_bytes())
    with pytest.raises(Unusable, match=r"is not signed by ca\.pem beside it"):
        opened.issue(Role.UNIT, "town/bridge/pole-08", 10, None)
    (home / "crl.pem").write_bytes(b"rubbish")
    with pytest.raises(Unusable, match="is no certificate revocation list"):
        opened.revocations()


def test_a_passphrase_is_needed_and_must_be_the_right_one(tmp_path: Path) -> None:
    authority.create(tmp_path / "locked", "test", 10, b"correct horse")
    opened = Authority(tmp_path / "locked")
    assert opened.encrypted
    assert b"ENCRYPTED" in (tmp_path / "locked" / "ca.key").read_bytes()
    assert opened.issue(Role.UNIT, POLE, 5, b"correct horse").certificate.name == POLE
    with pytest.raises(Unusable, match=r"ca\.key: has a passphrase; name it"):
        opened.issue(Role.CENTRE, "centre", 5, None)
    with pytest.raises(Unusable, match="or this is not its passphrase") as caught:
        opened.issue(Role.CENTRE, "centre", 5, b"battery staple")
    assert "battery" not in str(caught.value)
    authority.create(tmp_path / "open", "test", 10, None)
    with pytest.raises(Unusable, match="has no passphrase; name none"):
        Authority(tmp_path / "open").issue(Role.CENTRE, "centre", 5, b"correct horse")


def test_a_key_that_others_may_read_or_that_belongs_to_another_authority_is_not_used(
    home: Path, tmp_path: Path
) -> None:
    (home / "ca.key").chmod(0o640)
    with pytest.raises(Unusable, match=r"ca\.key: other users of this machine may read it; chmod 600 it"):
        Authority(home).issue(Role.CENTRE, "centre", 5, None)
    authority.create(tmp_path / "other", "test", 10, None)
    (home / "ca.key").write_bytes((tmp_path / "other" / "ca.key").read_bytes())
    (home / "ca.key").chmod(0o600)
    with pytest.raises(Unusable, match=r"ca\.key: is not the key of ca\.pem"):
        Authority(home).issue(Role.CENTRE, "centre", 5, None)


@pytest.mark.parametrize(
    ("role", "name"),
    [
        (Role.UNIT, "pole-07"),
        (Role.UNIT, "town/bridge"),
        (Role.UNIT, "town/bridge/pole/07"),
        (Role.UNIT, "town/bridge/Pole-07"),
        (Role.UNIT, "town/../pole-07"),
        (Role.UNIT, "town/bridge/+"),
        (Role.UNIT, "town/bridge/pole-07\n"),
        (Role.UNIT, f"{'o' * 32}/{'s' * 20}/{'u' * 20}"),  # a common name has 64 characters
        (Role.CENTRE, "town/bridge/pole-07"),
        (Role.CENTRE, ""),
        (Role.BROKER, ".."),
        (Role.BROKER, "mqtt/example"),
    ],
)
def test_what_is_no_name_gets_no_certificate(home: Path, role: Role, name: str) -> None:
    with pytest.raises(Unusable):
        Authority(home).issue(role, name, 5, None)
    assert Authority(home).issued() == []


def test_a_file_that_is_no_certificate_of_ours_is_named(home: Path) -> None:
    (home / "issued" / "one.pem").write_bytes(b"rubbish")
    with pytest.raises(Unusable, match=r"one\.pem: is no certificate in PEM"):
        Authority(home).issued()
    key = ec.generate_private_key(ec.SECP256R1())
    now, name = datetime.now(UTC), x509.Name([])
    foreign = x509.CertificateBuilder().subject_name(name).issuer_name(name).public_key(key.public_key())
    foreign = foreign.serial_number(1).not_valid_before(now).not_valid_after(now + timedelta(days=1))
    with pytest.raises(Unusable, match="was not made by"):
        certificates.read(foreign.sign(key, hashes.SHA256()).public_bytes(Encoding.PEM))


def test_a_serial_is_found_by_its_first_digits(home: Path) -> None:
    one = Authority(home).issue(Role.UNIT, POLE, 10, None).certificate
    assert Authority(home).by_serial(one.serial_hex[:8].upper()) == one
    assert Authority(home).by_serial(":".join(one.serial_hex[at : at + 2] for at in range(0, 40, 2))) == one
    for digits in ("", one.serial_hex[:5], "ffffffffff"):
        with pytest.raises(Unusable, match="0 certificates begin so"):
            Authority(home).by_serial(digits)


def test_a_damaged_key_says_so(home: Path) -> None:
    with pytest.raises(Unusable, match="is damaged; nothing can be signed without it"):
        Issuer(Pair((home / "ca.pem").read_bytes(), b"rubbish"), None)
