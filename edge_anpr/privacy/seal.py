"""Sealed messages (libsodium sealed boxes): whoever holds the public key can close one, the secret key alone opens it.

``MAGIC``, then the box; in the box the payload's length (4 bytes), the payload, and zeros up to a size class, so that
a broker or a stolen card does not tell from its size what a message says. A sealed box does not say who sealed it.
"""

from __future__ import annotations

from collections.abc import Callable

from nacl.exceptions import CryptoError
from nacl.public import PrivateKey, PublicKey, SealedBox

from edge_anpr.errors import Unusable
from edge_anpr.privacy.keys import Key

MAGIC = b"anpr-sealed/1\n"
_LENGTH_BYTES = 4
# A hit is 1 kB without its picture (as one that is withdrawn), 3 to 6 kB with it, 15 kB at the very worst. From 8 kB
# on, doubling: nearly all are 8 or 16 kB, and a withdrawn one looks like any other.
SMALLEST_BYTES = 8 * 1024
# Above it are lists only. Doubling would cost a mobile link up to twice the bytes; steps of an eighth cost 12.5 %, and
# tell a list's number of entries as roughly.
DOUBLING_TO_BYTES = 64 * 1024

Append = Callable[[str, str, bytes], None]
"""What puts a hit into the outbox: hit_id, phase, payload."""


class SealRefused(Unusable):
    """What cannot be sealed, or not opened; the text says nothing of what is in it."""


def new_pair(comment: str) -> tuple[Key, Key]:
    """A new secret key that opens, and its public half that seals."""
    secret = PrivateKey.generate()
    return Key("x25519", True, bytes(secret), comment), Key("x25519", False, bytes(secret.public_key), comment)


def seal(payload: bytes, public: Key) -> bytes:
    """Seal ``payload`` to a public key, padded to its size class. Raises SealRefused for a key that seals nothing."""
    inside = len(payload).to_bytes(_LENGTH_BYTES, "big") + payload
    padded = inside.ljust(size_class(len(inside)), b"\0")
    try:
        return MAGIC + SealedBox(PublicKey(public.raw)).encrypt(padded)
    except (CryptoError, RuntimeError):  # libsodium refuses the few keys with which everybody could open it
        raise SealRefused("is no public key to which anything can be sealed") from None


def open_sealed(sealed: bytes, secret: Key) -> bytes:
    """The payload of a sealed message. Raises SealRefused, which tells neither why nor what."""
    try:
        inside = SealedBox(PrivateKey(secret.raw)).decrypt(sealed[len(MAGIC) :]) if is_sealed(sealed) else b""
    except (CryptoError, ValueError, RuntimeError):
        inside = b""
    end = _LENGTH_BYTES + int.from_bytes(inside[:_LENGTH_BYTES], "big")
    if not _LENGTH_BYTES <= end <= len(inside) or len(inside) != size_class(end) or any(inside[end:]):
        raise SealRefused("is not sealed to this key, or was altered")
    return inside[_LENGTH_BYTES:end]


def is_sealed(message: bytes) -> bool:
    """Whether this is a sealed message; JSON never begins so."""
    return message.startswith(MAGIC)


def sealing(append: Append, public: Key) -> Append:
    """The same ``append``, which gets each payload sealed to ``public`` and never sees it in clear."""
    return lambda hit_id, phase, payload: append(hit_id, phase, seal(payload, public))


def size_class(size: int) -> int:
    """The number of bytes to which ``size`` bytes are padded."""
    top = SMALLEST_BYTES
    while top < size:
        top *= 2
    if top <= DOUBLING_TO_BYTES:
        return top
    step = top // 16  # an eighth of the class below
    return -(-size // step) * step
