"""Overwriting buffers that showed a plate."""

from __future__ import annotations

from typing import Any

from numpy.typing import NDArray


def wipe(*buffers: bytearray | NDArray[Any] | None) -> None:
    """Overwrite each buffer with zeros, in place; ``None`` is passed over."""
    for buffer in buffers:
        if buffer is None:
            continue
        if isinstance(buffer, bytearray):
            buffer[:] = bytes(len(buffer))
        else:
            buffer.fill(0)
