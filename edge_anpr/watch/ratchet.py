"""The highest list version of each key, and what was withdrawn, on disk: an older list stays refused after a reboot."""

from __future__ import annotations

import json
import os
from pathlib import Path

from edge_anpr.errors import Unusable
from edge_anpr.watch.watchlist import ListRefused

SCHEMA = "anpr.ratchet/1"
MAX_BYTES = 65_536


class Ratchet:
    """Versions by key id, withdrawals by list id, in a small file that is replaced as a whole.

    Whoever can write the unit's disk can remove it: it stops an old list from being sent again, not a thief.
    Raises Unusable for a file that is damaged.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._versions: dict[str, tuple[int, str]] = {}
        self._withdrawn: dict[str, int] = {}
        try:
            with path.open("rb") as file:
                raw = file.read(MAX_BYTES)
        except FileNotFoundError:
            return
        except OSError as error:
            raise Unusable(f"{path}: cannot be read: {error.strerror}; mend its owner or its folder") from error
        try:
            body = json.loads(raw)
            if body["schema"] != SCHEMA:
                raise ValueError  # noqa: TRY301
            self._versions = {
                key: (_whole(version), str(digest)) for key, (version, digest) in body["versions"].items()
            }
            self._withdrawn = {name: _whole(version) for name, version in body["withdrawn"].items()}
        except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
            raise Unusable(
                f"{path}: is damaged, so nobody knows which lists are old; remove it, and the next list begins anew"
            ) from None

    def check(self, key_id: str, list_id: str, version: int, digest: str) -> None:
        """Raise ListRefused for a version below the key's highest, another list of that version, or a withdrawn one."""
        highest, known = self._versions.get(key_id, (-1, ""))
        if version < highest:
            raise ListRefused(f"is version {version}, and version {highest} was in use already; older lists stay out")
        if version == highest and digest != known:
            raise ListRefused(f"is another list than the version {version} that was in use; a changed list counts up")
        if version <= self._withdrawn.get(list_id, -1):
            raise ListRefused(f"is version {version}, and was withdrawn; wait for a newer one")

    def advance(self, key_id: str, version: int, digest: str) -> None:
        """Keep this version as the key's highest, on disk before this returns. Raises Unusable when it cannot be."""
        if self._versions.get(key_id) != (version, digest):
            self._write(self._versions | {key_id: (version, digest)}, self._withdrawn)

    def withdraw(self, list_id: str, up_to_version: int) -> None:
        """Refuse this list up to that version from now on. Raises Unusable when it cannot be kept."""
        if up_to_version > self._withdrawn.get(list_id, -1):
            self._write(self._versions, self._withdrawn | {list_id: up_to_version})

    def _write(self, versions: dict[str, tuple[int, str]], withdrawn: dict[str, int]) -> None:
        body = {"schema": SCHEMA, "versions": versions, "withdrawn": withdrawn}
        part = self._path.with_suffix(".part")
        try:
            self._path.parent.mkdir(mode=0o770, parents=True, exist_ok=True)
            with part.open("wb") as file:
                file.write(json.dumps(body, separators=(",", ":")).encode())
                file.flush()
                os.fsync(file.fileno())
            part.replace(self._path)
            folder = os.open(self._path.parent, os.O_RDONLY)
            try:
                os.fsync(folder)
            finally:
                os.close(folder)
        except OSError as error:
            raise Unusable(f"{self._path}: cannot be written: {error.strerror}; no list is taken without it") from error
        self._versions, self._withdrawn = versions, withdrawn


def _whole(value: object) -> int:
    if not isinstance(value, int):
        raise TypeError
    return value
