"""Overwriting buffers that showed a plate."""

from __future__ import annotations

import ctypes
from typing import Any

import numpy as np
from numpy.typing import NDArray

_LIBC = ctypes.CDLL(None)
# numpy keeps the memory of its last seven arrays of each size below 1,024 bytes, as they were, for arrays to come.
_NUMPY_KEEPS, _NUMPY_BYTES = 7, 1024


def release() -> None:
    """Give freed heap back to the kernel, which glibc would keep for the next pass, and with it what it still shows."""
    if hasattr(_LIBC, "malloc_trim"):
        _LIBC.malloc_trim(0)


def wipe(*buffers: bytearray | NDArray[Any] | None) -> None:
    """Overwrite each buffer with zeros, in place; ``None`` is passed over."""
    for buffer in buffers:
        if buffer is None:
            continue
        if isinstance(buffer, bytearray):
            buffer[:] = bytes(len(buffer))
        else:
            buffer.fill(0)


def scrub() -> None:
    """Overwrite what numpy keeps of small arrays that are gone: classes, characters' rows, temporaries of both (2 ms).

    It is the calling thread's own store, so this has to be called by the one that worked with them.
    """
    for size in range(1, _NUMPY_BYTES):
        held = [np.zeros(size, np.uint8) for _ in range(_NUMPY_KEEPS)]
        held.clear()
