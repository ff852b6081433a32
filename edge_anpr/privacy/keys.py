"""Key files: one line of text each, ``anpr-public ed25519 BASE64 comment`` or ``anpr-secret x25519 BASE64 comment``."""

from __future__ import annotations

import base64
import binascii
import hashlib
import os
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from edge_anpr.errors import Unusable

KEY_BYTES = 32
MAX_FILE_BYTES = 1000
Use = Literal["ed25519", "x25519"]
"""What a key is for: ``ed25519`` signs, ``x25519`` opens what was sealed to it."""
_PURPOSE = {"ed25519": "signing", "x25519": "sealing"}


class KeyUnusable(Unusable):
    """A key file that cannot be used; the text never shows a key."""


@dataclass(frozen=True, slots=True)
class Key:
    """32 bytes and what they are: the public half, or the secret one (of Ed25519 its seed)."""

    use: Use
    secret: bool
    raw: bytes = field(repr=False)
    comment: str = ""


def key_id(public: bytes) -> str:
    """A public key's name: the first 16 hex digits of its sha256."""
    return hashlib.sha256(public).hexdigest()[:16]


def read(path: Path, use: Use, *, secret: bool) -> Key:
    """The key in a file. Raises KeyUnusable, also for a secret that everybody may read."""
    wanted = f"a {'secret' if secret else 'public'} {_PURPOSE[use]} key"
    try:
        with path.open("rb") as file:
            line = file.read(MAX_FILE_BYTES + 1)
            mode = os.fstat(file.fileno()).st_mode
    except OSError as error:
        raise KeyUnusable(f"{path}: cannot be read: {error.strerror}; it should hold {wanted}") from error
    words = line.split(None, 3)
    half = "secret" if secret else "public"
    if len(line) > MAX_FILE_BYTES or len(words) < 3 or words[:2] != [f"anpr-{half}".encode(), use.encode()]:
        raise KeyUnusable(f"{path}: holds no {wanted.removeprefix('a ')} (one line: anpr-{half} {use} BASE64)")
    if secret and mode & 0o007:
        raise KeyUnusable(f"{path}: a secret key that every user of this machine may read; chmod 600 it")
    try:
        raw = binascii.a2b_base64(words[2], strict_mode=True)
    except binascii.Error:
        raw = b""
    if len(raw) != KEY_BYTES:
        raise KeyUnusable(f"{path}: its key is damaged; it should be {KEY_BYTES} bytes in base64")
    comment = words[3].decode("utf-8", "replace").strip() if len(words) > 3 else ""
    return Key(use, secret, raw, comment)


def password(path: Path | None, named: str) -> str | None:
    """What stands in a password file, without the line's end; None without a file. ``named``: what the user calls it.

    Raises KeyUnusable.
    """
    try:
        return None if path is None else path.read_text(encoding="utf-8").rstrip("\r\n")
    except (OSError, UnicodeDecodeError) as error:
        words = error.strerror if isinstance(error, OSError) else "it is not UTF-8 text"
        raise KeyUnusable(f"{named} {path} cannot be read: {words}") from error


def trusted(paths: Iterable[Path]) -> dict[str, bytes]:
    """The public signing keys in these files, by key id. Raises KeyUnusable."""
    found = [read(path, "ed25519", secret=False).raw for path in paths]
    return {key_id(public): public for public in found}


def write(path: Path, key: Key) -> None:
    """Write a key to a new file, a secret one for its owner alone. Raises KeyUnusable when it is there already."""
    line = f"anpr-{'secret' if key.secret else 'public'} {key.use} {base64.b64encode(key.raw).decode()} {key.comment}"
    try:
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600 if key.secret else 0o644)
    except FileExistsError:
        raise KeyUnusable(f"{path}: is there already; a key is never overwritten: move it away first") from None
    except OSError as error:
        raise KeyUnusable(f"{path}: cannot be written: {error.strerror}") from error
    with os.fdopen(descriptor, "w", encoding="utf-8") as file:
        file.write(line.rstrip() + "\n")
