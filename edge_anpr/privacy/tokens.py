"""Keyed tokens: what is left of a plate that nobody asked for, in RAM, until the epoch's key is destroyed.

An unkeyed hash of a plate is the plate: all registered Dutch ones pass through SHA-256 in seconds. So the token is
BLAKE2b under 32 random bytes that exist nowhere else. Until they are overwritten it is pseudonymous, not anonymous.
"""

from __future__ import annotations

import hashlib
import threading
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from edge_anpr.privacy.wipe import wipe

KEY_BYTES = 32
# Fewer vehicles in an hour than this are not told: a neighbour could know who they were.
LEAST_TOLD = 20


def keyed(classes: NDArray[np.uint8], key: bytearray, size: int) -> bytes:
    """Token of a plate (classes, uint8) under ``key``, ``size`` bytes long, in 1 µs.

    The classes themselves are hashed, where they lie: no text and no copy of them is made.
    """
    return hashlib.blake2b(classes.data, key=key, digest_size=size).digest()


def fill(key: bytearray) -> None:
    """Overwrite a key with new random bytes, in place: ``os.urandom`` would leave a copy of it in freed memory."""
    with Path("/dev/urandom").open("rb", buffering=0) as source:
        source.readinto(key)


@dataclass(frozen=True, slots=True)
class Hour:
    """Traffic of the hour that began at ``start`` (UTC): rounded to tens, None where it was too little to tell."""

    start: datetime
    distinct_about: int | None
    passages_about: int | None


class PassCounter:
    """Counts passages and distinct plates by the hour, and forgets the plates with the key of their epoch.

    ``epoch_ns`` is the life of a key in nanoseconds of the monotonic clock that ``note`` is given. A plate that
    passes in two epochs counts twice: nothing is left to know it again by.
    """

    def __init__(self, epoch_ns: int) -> None:
        self._epoch_ns = epoch_ns
        self._key = bytearray(KEY_BYTES)
        fill(self._key)
        self._tokens = np.zeros(256, np.uint64)
        self._count = 0
        self._since_ns: int | None = None
        self._lock = threading.Lock()  # one thread notes, another asks for the hour
        self._hour: datetime | None = None
        self._passages = self._distinct = 0

    def note(self, classes: NDArray[np.uint8], now_ns: int) -> None:
        """Take a passage that met no entry of the list; what stays of it is 8 keyed bytes."""
        self.expire(now_ns)
        token = np.frombuffer(keyed(classes, self._key, 8), np.uint64)
        new = not (self._tokens[: self._count] == token).any()
        if new:
            if self._count == len(self._tokens):
                full = self._tokens
                self._tokens = np.concatenate([full, np.zeros_like(full)])
                wipe(full)
            self._tokens[self._count] = token[0]
            self._count += 1
        with self._lock:
            self._passages += 1
            self._distinct += new

    def expire(self, now_ns: int) -> None:
        """Destroy the key and the tokens once their epoch is over; to be called while the road is empty as well."""
        if self._since_ns is None:
            self._since_ns = now_ns
        if now_ns - self._since_ns >= self._epoch_ns:
            self.forget()
            self._since_ns = now_ns

    def forget(self) -> None:
        """Destroy the key and the tokens at once."""
        wipe(self._tokens)
        self._count = 0
        fill(self._key)

    def finished(self, now: datetime) -> Hour | None:
        """The last hour's traffic, once, when ``now`` (UTC) lies in another; a unit's first hour is but a part."""
        start = now.replace(minute=0, second=0, microsecond=0)
        with self._lock:
            before, self._hour = self._hour, start
            if before is None or before == start:
                return None
            told = Hour(before, _about(self._distinct), _about(self._passages))
            self._passages = self._distinct = 0
        # A clock that was set by more than this has no last hour.
        return told if abs(start - before) <= timedelta(hours=1) else None


def _about(count: int) -> int | None:
    return round(count, -1) if count >= LEAST_TOLD else None
