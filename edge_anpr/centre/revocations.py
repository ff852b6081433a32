"""The folder in which the centre keeps what it has withdrawn: one signed revocation a file."""

from __future__ import annotations

import logging
import os
from collections.abc import Mapping
from pathlib import Path

from edge_anpr.errors import Unusable
from edge_anpr.watch import arming
from edge_anpr.watch.arming import ArmingRefused, Revocation

_log = logging.getLogger(__name__)


class Revocations:
    """The revocations in ``folder``, made if it is not there, signed by one of ``keys`` (by key id).

    A file that cannot be read or is not signed stops everything: what it withdraws is not known. Raises Unusable.
    """

    def __init__(self, folder: Path, keys: Mapping[str, bytes]) -> None:
        self._folder, self._keys = folder, keys
        self._known: dict[str, tuple[Revocation, bytes]] = {}
        try:
            folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise Unusable(f"--revocations {folder}: cannot be made: {error.strerror}") from error
        self.look()

    def look(self) -> None:
        """Read what is new in the folder. What was read once is not forgotten when its file goes."""
        try:
            paths = sorted(self._folder.glob("*.revocation"))
            for path in paths:
                if path.name not in self._known:
                    raw = path.read_bytes()
                    self._known[path.name] = arming.read_revocation(raw, self._keys), raw
        except OSError as error:
            raise Unusable(f"--revocations {self._folder}: cannot be read: {error.strerror}") from error
        except ArmingRefused as error:
            raise Unusable(f"{path}: {error}; it belongs to another --key, or move it away") from None

    def against(self, unit: str, list_id: str, version: int) -> bytes | None:
        """The signed message that takes this list from this unit, if there is one."""
        for revocation, raw in self._known.values():
            if revocation.withdraws(unit, list_id, version):
                return raw
        return None

    def add(self, raw: bytes) -> None:
        """Keep another one; it is on disk when this returns. Raises Unusable."""
        revocation = arming.read_revocation(raw, self._keys)
        path = self._folder / f"{revocation.at:%Y%m%dT%H%M%S.%f}.revocation"
        part = path.with_suffix(".part")
        try:
            with part.open("xb") as file:
                file.write(raw)
                file.flush()
                os.fsync(file.fileno())
            part.rename(path)
        except OSError as error:
            raise Unusable(f"--revocations {path}: cannot be written: {error.strerror}") from error
        self._known[path.name] = revocation, raw
