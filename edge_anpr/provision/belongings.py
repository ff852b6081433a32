"""What a unit's config names, and the config as it will stand on the unit: the desk's paths become the unit's.

Public keys, models and a list go to ``/etc/edge-anpr``. What is secret goes to ``/etc/credstore``, from where systemd
hands it to the one service that needs it (LoadCredential= of the units), and the config says ``credential:NAME``.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from ipaddress import ip_address
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from edge_anpr import files
from edge_anpr.config import Config, RtspCamera, load, text
from edge_anpr.config.fields import CREDENTIAL
from edge_anpr.errors import Unusable
from edge_anpr.privacy import keys
from edge_anpr.privacy.keys import Use

CONFIG = "etc/unit.yaml"
AUTHORITY, CERTIFICATE = "etc/ca.pem", "etc/unit.pem"
TLS_KEY, IDENTITY, PASSWORD = (f"credstore/edge-anpr.{name}" for name in ("tls-key", "identity", "mqtt-password"))
LIST_BYTES = 100_000_000

_PUBLIC: tuple[tuple[str, str, Use], ...] = (
    ("watchlist", "keys", "ed25519"),
    ("watchlist", "centre_keys", "ed25519"),
    ("delivery", "seal_to", "x25519"),
    ("delivery", "receipt_keys", "ed25519"),
)
_OF_THE_UNIT = (("camera", "path"), ("camera", "device"), ("watchlist", "inbox"), ("delivery", "outbox"))
_RTSP = Path("/etc/systemd/system/edge-anpr-recogniser.service.d/rtsp.conf")
_HEAD = "# Written by `edge-anpr provision card`. Check it with: edge-anpr check -c FILE\n"


class Mistakes:
    """All that is wrong, told at once."""

    def __init__(self) -> None:
        self.found: list[str] = []

    @contextmanager
    def caught(self) -> Iterator[None]:
        """Go on after this block, whatever is Unusable in it."""
        try:
            yield
        except Unusable as error:
            self.found.append(str(error))

    def tell(self) -> None:
        """Raise Unusable if there were any."""
        if self.found:
            raise Unusable("\n".join(self.found))


@dataclass(frozen=True, slots=True)
class Belongings:
    """``camera`` of the config, files by their place on the card, and files of the system by their path."""

    camera: str
    files: dict[str, bytes] = field(repr=False)
    system: dict[str, str] = field(default_factory=dict)


def gather(path: Path, unit: tuple[str, str, str], identity: Path | None) -> Belongings:
    """All that the config at ``path`` names, for the unit (org, site, id), which takes the place of its own.

    ``identity`` is this unit's own signing key, in place of the config's. Certificates are not in it: they come from
    the authority. Raises Unusable with everything that is wrong.
    """
    config = load(path)
    return _Gathering(path, config).all(unit, identity)


class _Gathering:
    def __init__(self, path: Path, config: Config) -> None:
        self.path, self.config = path, config
        self.values: dict[str, Any] = text.plain(text.compose(path, text.read(path)), "", [])
        self.mistakes = Mistakes()
        self.files: dict[str, bytes] = {}

    def all(self, unit: tuple[str, str, str], identity: Path | None) -> Belongings:
        self.values["unit"] = dict(zip(("org", "site", "id"), unit, strict=True))
        for section, key, use in _PUBLIC:
            self._replace(section, key, partial(self._public, use))
        self._replace("watchlist", "path", self._list)
        for key in ("detector", "ocr"):
            self._replace("models", key, self._model)
        if identity is not None:
            self.values["watchlist"]["identity"] = str(identity.absolute())
        self._replace("watchlist", "identity", self._identity)
        self._replace("mqtt", "password_file", self._password)
        self._mqtt()
        self._places()
        system = self._rtsp()
        self.mistakes.tell()
        self.files[CONFIG] = (_HEAD + text.dump(self.values)).encode()
        self._check()
        return Belongings(self.config.camera.id, self.files, system)

    def _replace(self, section: str, key: str, take: Callable[[Path], str]) -> None:
        """Take the file or files that stand there, and write where each will be on the unit."""
        named = (self.values.get(section) or {}).get(key)
        if named is None:
            return
        placed = []
        for one in named if isinstance(named, list) else [named]:
            with self.mistakes.caught():
                if one.startswith(CREDENTIAL):
                    raise Unusable(
                        f"{self.path}: {section}.{key}: {one} is on no card yet; name the file on this machine"
                    )
                placed.append(take(self.path.parent / Path(one).expanduser()))
        self.values[section][key] = placed if isinstance(named, list) else next(iter(placed), None)

    def _put(self, name: str, content: bytes) -> str:
        place = f"etc/{name}"
        if place in (CONFIG, AUTHORITY, CERTIFICATE) or self.files.get(place, content) != content:
            raise Unusable(f"{self.path}: two files are called {name}, and both go to /etc/edge-anpr; rename one")
        self.files[place] = content
        return f"/etc/edge-anpr/{name}"

    def _public(self, use: Use, path: Path) -> str:
        keys.read(path, use, secret=False)
        return self._put(path.name, files.read(path, "it should hold a public key"))

    def _identity(self, path: Path) -> str:
        keys.read(path, "ed25519", secret=True)
        self.files[IDENTITY] = files.read(path, "it should hold the unit's signing key")
        return _credential(IDENTITY)

    def _password(self, path: Path) -> str:
        self.files[PASSWORD] = (keys.password(path, "mqtt.password_file") or "").encode()
        return _credential(PASSWORD)

    def _list(self, path: Path) -> str:
        return self._put(path.name, files.read(path, "it should hold the signed list", LIST_BYTES))

    def _model(self, path: Path) -> str:
        card = path.with_suffix(".json")
        self._put(card.name, files.read(card, f"it is the card of {path.name}"))
        return self._put(path.name, files.read(path, "it should hold a model"))

    def _mqtt(self) -> None:
        mqtt = self.values.setdefault("mqtt", {})
        if self.config.mqtt.host is None:
            self.mistakes.found.append(f"{self.path}: mqtt.host: is missing; a unit on a pole needs a broker")
        mqtt["tls"] = {
            "ca": "/etc/edge-anpr/ca.pem", "certificate": "/etc/edge-anpr/unit.pem", "key": _credential(TLS_KEY),
        }  # fmt: skip

    def _places(self) -> None:
        for section, key in _OF_THE_UNIT:
            place = (self.values.get(section) or {}).get(key)
            if place is not None and not Path(place).is_absolute():
                self.mistakes.found.append(
                    f"{self.path}: {section}.{key}: is a place on the unit; write it whole, beginning with /"
                )

    def _rtsp(self) -> dict[str, str]:
        camera = self.config.camera
        if not isinstance(camera, RtspCamera):
            return {}
        try:
            at = ip_address(urlsplit(camera.url).hostname or "")
        except ValueError:
            self.mistakes.found.append(
                f"{self.path}: camera.url: write the camera's address instead of a name: it is all that the recogniser"
                " may reach, and it has no name server"
            )
            return {}
        lines = ("[Service]", "PrivateNetwork=no", "RestrictAddressFamilies=AF_INET AF_INET6", f"IPAddressAllow={at}")
        return {str(_RTSP): "\n".join(lines) + "\n"}

    def _check(self) -> None:
        """What goes onto the card is what the unit will read: the loader judges the very bytes."""
        with tempfile.TemporaryDirectory() as folder:
            written = Path(folder, "unit.yaml")
            written.write_bytes(self.files[CONFIG])
            load(written)


def _credential(place: str) -> str:
    return CREDENTIAL + place.removeprefix("credstore/")
