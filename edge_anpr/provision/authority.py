"""The folder of a certificate authority: its key, all that it issued, and what it took back.

``ca.pem``, ``crl.pem`` and ``issued/SERIAL.pem`` are public, and they are the index: there is no other. What somebody
gets (certificate, key, ``ca.pem``) lies in a folder of its own, numbered, because no key is ever overwritten.
``crl.pem`` and ``acl`` are what the broker must have after every change.
"""

from __future__ import annotations

import fcntl
import os
import re
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from ipaddress import IPv4Address, IPv6Address
from pathlib import Path

from edge_anpr import files
from edge_anpr.errors import Unusable
from edge_anpr.provision import certificates
from edge_anpr.provision.acl import acl
from edge_anpr.provision.certificates import Certificate, Issuer, Pair, Revocations, Role

FIRST_CAMERA = "cam-1"  # as in a config that names none
BACKDATED = timedelta(days=1)
"""Certificates and lists begin so much earlier: a unit without a clock of its own may be behind after its start, and
a broker whose clock is behind by a minute would refuse everybody (CRL is not yet valid)."""

_PLACES = {Role.BROKER: "broker", Role.UNIT: "units", Role.CENTRE: "centres"}
_FORMS = {
    Role.BROKER: r"[a-zA-Z0-9][a-zA-Z0-9.-]{0,63}",
    Role.UNIT: r"[a-z0-9-]{1,32}/[a-z0-9-]{1,32}/[a-z0-9-]{1,32}",
    Role.CENTRE: r"[a-z0-9-]{1,32}",
}
_CAMERA = r"[a-z0-9-]{1,32}"
EVICTION = timedelta(minutes=10)


@dataclass(frozen=True, slots=True)
class Issued:
    """A certificate, and the folder that holds all that its owner needs."""

    certificate: Certificate
    folder: Path


def create(folder: Path, name: str, days: int, passphrase: bytes | None) -> Certificate:
    """Make a new authority in ``folder``. Raises Unusable when there is one already."""
    now = _now()
    pair = certificates.new_authority(name, now - BACKDATED, now + timedelta(days=days), passphrase)
    with files.writing(folder):
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        (folder / "issued").mkdir(exist_ok=True)
    files.write(folder / "ca.key", pair.key, secret=True)
    files.write(folder / "ca.pem", pair.certificate)
    files.write(folder / "crl.pem", Issuer(pair, passphrase).revocation_list(Revocations(1, {}), now - BACKDATED))
    files.write(folder / "acl", acl({}, ()).encode(), secret=True)
    return certificates.read(pair.certificate)


class Authority:
    """The authority in ``folder``. Raises Unusable when there is none, or one of its files is not what it should be."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._pem = files.read(folder / "ca.pem", "make an authority with `edge-anpr provision ca`")
        self._known: dict[str, Certificate] = {}  # files of issued/, which never change
        with _named(folder / "ca.pem"):
            self.certificate = certificates.read(self._pem)

    @property
    def encrypted(self) -> bool:
        """Whether its key wants a passphrase."""
        return b"ENCRYPTED" in self._key()

    def issued(self) -> list[Certificate]:
        """All that was ever issued, by name, oldest first."""
        found = []
        for path in (self.folder / "issued").glob("*.pem"):
            if path.name not in self._known:
                with _named(path):
                    self._known[path.name] = certificates.read(files.read(path, "it is part of the index; restore it"))
            found.append(self._known[path.name])
        return sorted(found, key=lambda one: (one.role.value, one.name, one.begins, one.serial))

    def standing(self) -> list[Certificate]:
        """What is good now: neither ended nor revoked."""
        return self._standing(_now())

    def by_serial(self, digits: str) -> Certificate:
        """The one certificate whose serial begins so. Raises Unusable when there is none, or more than one."""
        wanted = digits.lower().replace(":", "")
        found = [one for one in self.issued() if one.serial_hex.startswith(wanted)] if len(wanted) >= 6 else []
        if len(found) != 1:
            raise Unusable(f"--serial {digits}: {len(found)} certificates begin so; give six digits or more of one")
        return found[0]

    def revocations(self) -> Revocations:
        """What was taken back."""
        raw = files.read(
            self.folder / "crl.pem",
            "restore it: without it, what was revoked would be let in again",
        )
        with _named(self.folder / "crl.pem"):
            return certificates.read_revocations(raw, self._pem)

    def issue(
        self,
        role: Role,
        name: str,
        days: int,
        passphrase: bytes | None,
        *,
        renew: bool = False,
        dns: Sequence[str] = (),
        ips: Sequence[IPv4Address | IPv6Address] = (),
        cameras: Sequence[str] = (),
    ) -> Issued:
        """A new key and certificate, in a folder of its own; with ``renew`` beside those that the name has already.

        A renewed unit keeps the cameras of its last certificate unless others are named.
        """
        check_name(role, name)
        _check_cameras(cameras)
        issuer = self._issuer(passphrase)
        with self._alone():
            now = _now()
            standing = [one for one in self._standing(now) if (one.role, one.name) == (role, name)]
            if standing and not renew:
                ends = f"{max(one.ends for one in standing):%Y-%m-%d}"
                raise Unusable(
                    f"{name}: has a certificate until {ends}; say --renew for another beside it, or revoke it"
                )
            if renew and not standing:
                raise Unusable(
                    f"{name}: has no certificate that could be renewed; leave --renew away, or mend the name"
                )
            if role is Role.UNIT and not cameras:
                cameras = standing[-1].cameras if standing else (FIRST_CAMERA,)
            pair = issuer.issue(role, name, now - BACKDATED, now + timedelta(days=days), dns, ips, cameras)
            made = certificates.read(pair.certificate)
            # First into the index, so that what exists can be shown and revoked, whatever ends this half-way.
            self._enter(made)
            self._write_acl(self._standing(now))
            return Issued(made, self._hand_out(role, name, pair))

    def at_hand(self, name: str) -> Issued | None:
        """The unit's newest certificate that is good now and whose key still lies in its folder."""
        good = {one.pem: one for one in self.standing() if (one.role, one.name) == (Role.UNIT, name)}
        folders = [path.parent for path in (self.folder / _PLACES[Role.UNIT] / name).glob("*/unit.key")]
        for folder in sorted(folders, key=lambda one: int(one.name) if one.name.isdecimal() else 0, reverse=True):
            pem = files.read(folder / "unit.pem", "it was made with the key beside it; delete both, or restore it")
            if pem in good:
                return Issued(good[pem], folder)
        return None

    def eviction(self, name: str, passphrase: bytes | None) -> Pair:
        """A key for the name of a unit or a centre, good for ten minutes; nothing is kept of it but its certificate."""
        now = _now()
        pair = self._issuer(passphrase).issue(Role.EVICTION, name, now - BACKDATED, now + EVICTION)
        self._enter(certificates.read(pair.certificate))
        return pair

    def revoke(self, serials: Sequence[int], passphrase: bytes | None) -> None:
        """Take certificates back: a new revocation list takes the place of the old one, at once or not at all."""
        issuer = self._issuer(passphrase)
        with self._alone():
            before, now = self.revocations(), _now()
            revoked = dict.fromkeys(serials, now) | dict(before.revoked)
            # The list last: before it is there nothing counts as revoked, and who failed half-way can try again.
            self._write_acl(one for one in self._standing(now) if one.serial not in revoked)
            after = Revocations(before.number + 1, revoked)
            files.replace(self.folder / "crl.pem", issuer.revocation_list(after, now - BACKDATED))

    def _enter(self, made: Certificate) -> None:
        """Put it into the index: whole or not at all, for a half one would keep everybody from reading the others."""
        files.replace(self.folder / "issued" / f"{made.serial_hex}.pem", made.pem)

    def _standing(self, now: datetime) -> list[Certificate]:
        revoked = self.revocations().revoked
        return [one for one in self.issued() if one.ends > now and one.serial not in revoked]

    def _write_acl(self, standing: Iterable[Certificate]) -> None:
        units: dict[str, set[str]] = {}
        centres = set()
        for one in standing:
            if one.role is Role.UNIT:
                units.setdefault(one.name, set()).update(one.cameras)
            elif one.role is Role.CENTRE:
                centres.add(one.name)
        files.replace(self.folder / "acl", acl(units, centres).encode(), secret=True)

    def _key(self) -> bytes:
        path = self.folder / "ca.key"
        raw = files.read(path, "only the authority's own key can sign; restore it")
        if path.stat().st_mode & 0o077:
            raise Unusable(f"{path}: other users of this machine may read it; chmod 600 it")
        return raw

    def _issuer(self, passphrase: bytes | None) -> Issuer:
        with _named(self.folder / "ca.key"):
            return Issuer(Pair(self._pem, self._key()), passphrase)

    def _hand_out(self, role: Role, name: str, pair: Pair) -> Path:
        above = self.folder / _PLACES[role] / name
        with files.writing(above):
            above.mkdir(mode=0o700, parents=True, exist_ok=True)
            numbers = [int(one.name) for one in above.iterdir() if one.name.isdecimal()]
            folder = above / str(max(numbers, default=0) + 1)
            folder.mkdir(mode=0o700)
        files.write(folder / f"{role.value}.key", pair.key, secret=True)
        files.write(folder / f"{role.value}.pem", pair.certificate)
        files.write(folder / "ca.pem", self._pem)
        return folder

    @contextmanager
    def _alone(self) -> Iterator[None]:
        """Two that revoke at once would each write a list without what the other took back."""
        handle = os.open(self.folder, os.O_RDONLY)
        try:
            fcntl.flock(handle, fcntl.LOCK_EX)
            yield
        finally:
            os.close(handle)


def check_name(role: Role, name: str) -> None:
    """Raise Unusable when a certificate cannot have this name."""
    if not re.fullmatch(_FORMS[role], name):
        wanted = "a host name" if role is Role.BROKER else "1 to 32 of a-z, 0-9 and - in each part"
        raise Unusable(f"{name}: is no name for a {role.value}; write {wanted}")
    if len(name) > certificates.MOST_NAME_CHARACTERS:
        most = certificates.MOST_NAME_CHARACTERS
        raise Unusable(f"{name}: has {len(name)} characters; a certificate takes {most}: shorten org, site or unit")


def _check_cameras(cameras: Sequence[str]) -> None:
    for camera in cameras:
        if not re.fullmatch(_CAMERA, camera):
            raise Unusable(f"--camera {camera}: is no camera.id of a config; write 1 to 32 of a-z, 0-9 and -")


@contextmanager
def _named(path: Path) -> Iterator[None]:
    """Put the file's name before what is wrong with it."""
    try:
        yield
    except Unusable as error:
        text = str(error)
        raise Unusable(text if str(path) in text else f"{path}: {text}") from None


def _now() -> datetime:
    return datetime.now(UTC).replace(microsecond=0)
