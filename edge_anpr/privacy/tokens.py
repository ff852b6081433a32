"""Keyed tokens: what is left of a plate that nobody asked for, in RAM, until the epoch's key is destroyed.

An unkeyed hash of a plate is the plate: all registered Dutch ones pass through SHA-256 in seconds. So the token is
BLAKE2b under 32 random bytes that exist nowhere else. Until they are overwritten it is pseudonymous, not anonymous.
"""

from __future__ import annotations

import hashlib
import os

import numpy as np
from numpy.typing import NDArray

KEY_BYTES = 32


def keyed(classes: NDArray[np.uint8], key: bytearray, size: int) -> bytes:
    """Token of a plate (classes, uint8) under ``key``, ``size`` bytes long, in 1 µs.

    The classes themselves are hashed, where they lie: no text and no copy of them is made.
    """
    return hashlib.blake2b(classes.data, key=key, digest_size=size).digest()


class PassCounter:
    """Counts distinct plates that passed within an epoch, and forgets them with the epoch's key.

    ``epoch_ns`` is the life of a key in nanoseconds of the monotonic clock that ``note`` is given.
    """

    def __init__(self, epoch_ns: int) -> None:
        self._epoch_ns = epoch_ns
        self._key = bytearray(os.urandom(KEY_BYTES))
        self._tokens: set[bytes] = set()
        self._since_ns: int | None = None

    def note(self, classes: NDArray[np.uint8], now_ns: int) -> None:
        """Take a passage that met no entry of the list; what stays of it is 8 keyed bytes."""
        self.expire(now_ns)
        self._tokens.add(keyed(classes, self._key, 8))

    def expire(self, now_ns: int) -> None:
        """Destroy the key and the tokens once their epoch is over; to be called while the road is empty as well."""
        if self._since_ns is None:
            self._since_ns = now_ns
        if now_ns - self._since_ns >= self._epoch_ns:
            self._tokens.clear()
            self._key[:] = os.urandom(KEY_BYTES)
            self._since_ns = now_ns

    @property
    def distinct(self) -> int:
        """Distinct plates in this epoch so far."""
        return len(self._tokens)
