"""The signed list as the centre sees it: verified, and only its head kept."""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from edge_anpr.errors import Unusable
from edge_anpr.watch import envelope, watchlist
from edge_anpr.watch.watchlist import Header

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Listed:
    """A list to give away: its envelope, the sha256 of that, and its header; of its plates only how many."""

    envelope: bytes = field(repr=False)
    digest: str
    header: Header
    entries: int


class ListFile:
    """The list at ``path``, signed by one of ``authorities`` (by key id). Raises Unusable when it is not."""

    def __init__(self, path: Path, authorities: Mapping[str, bytes]) -> None:
        self._path, self._authorities = path, authorities
        self._mark: tuple[int, ...] | None = None
        self._seen = self._stat()
        self._listed = self._read()

    def look(self) -> Listed:
        """The list; read again when the file has changed. What is no newer list is told, and not taken."""
        try:
            seen = self._stat()
            if seen == self._seen:
                return self._listed
            self._seen = seen
            listed = self._read()
        except Unusable as error:
            if self._mark != self._seen:
                _log.error("%s; version %d is used on", error, self._listed.header.version)
            self._mark = self._seen
            return self._listed
        new, old = listed.header, self._listed.header
        if listed.digest == self._listed.digest:
            return self._listed
        if new.list_id == old.list_id and new.version <= old.version:
            _log.error(
                "%s: holds version %d; version %d is used on, because units take newer versions only",
                self._path, new.version, old.version,
            )  # fmt: skip
        else:
            _log.info("list %s version %d, %d entries", new.list_id, new.version, listed.entries)
            self._listed = listed
        return self._listed

    def _stat(self) -> tuple[int, ...]:
        try:
            stat = self._path.stat()
        except OSError as error:
            raise Unusable(
                f"{self._path}: cannot be read: {error.strerror}; name the signed list with --list"
            ) from error
        return stat.st_mtime_ns, stat.st_size, stat.st_ino

    def _read(self) -> Listed:
        try:
            with self._path.open("rb") as file:
                raw = file.read(envelope.MAX_BYTES + 1)
        except OSError as error:
            raise Unusable(
                f"{self._path}: cannot be read: {error.strerror}; name the signed list with --list"
            ) from error
        try:
            opened = envelope.verify(raw, envelope.LIST, self._authorities)
            parsed = watchlist.parse(opened.payload)
        except Unusable as error:
            raise Unusable(f"{self._path}: {error}") from None
        return Listed(raw, hashlib.sha256(raw).hexdigest(), parsed.header, len(parsed))
