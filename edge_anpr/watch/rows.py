"""An entry of the list as the process that opens lists hands it on: a keyed token, and the number of its group."""

from __future__ import annotations

import hashlib
import struct

from edge_anpr.plates.text import CLASS_BYTES

TOKEN_BYTES = 16
ROW = struct.Struct(f"<{TOKEN_BYTES}sI")


def token_of(plate: str, key: bytes | bytearray) -> bytes:
    """Token of a canonical plate (A-Z, 0-9) under the list's key: that of its classes, see ``privacy.tokens.keyed``."""
    return hashlib.blake2b(plate.encode("ascii").translate(CLASS_BYTES), key=key, digest_size=TOKEN_BYTES).digest()
