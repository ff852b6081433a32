"""The characters of a plate: classes (uint8, wipeable) inside the unit, text only where a plate may be seen.

A Python ``str`` cannot be overwritten. So the daemon handles a plate as an array of classes and makes a ``str`` of
it only for a hit.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

ALPHABET = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ"
SEPARATORS = " -."
SHORTEST, LONGEST = 2, 12
"""Characters of what a list may name."""
CLASS_BYTES = bytes.maketrans(ALPHABET.encode(), bytes(range(len(ALPHABET))))
"""For ``bytes.translate``: characters in ASCII to classes."""
_CLASS_OF = {character: index for index, character in enumerate(ALPHABET)}


def canonical(text: str) -> str:
    """A plate as people write it (any case, separators) in the unit's alphabet, A-Z and 0-9.

    Raises ValueError, without the text in it, when another character stands in it or too few or too many
    are left.
    """
    plain = "".join(character for character in text.upper() if character not in SEPARATORS)
    if not text.isascii() or any(character not in _CLASS_OF for character in plain):
        raise ValueError("a plate is written with A-Z and 0-9, and may hold spaces, dashes and dots")
    if not SHORTEST <= len(plain) <= LONGEST:
        raise ValueError(f"a plate has {SHORTEST} to {LONGEST} characters")
    return plain


def encode(text: str) -> NDArray[np.uint8]:
    """Classes of a canonical text, uint8, shape (characters,)."""
    import numpy as np  # noqa: PLC0415 - 20 MB that the process which opens lists does without

    return np.array([_CLASS_OF[character] for character in text], np.uint8)


def reveal(classes: NDArray[np.uint8]) -> str:
    """The plate as text. For a hit, or for material somebody already has; never for a plate that is to be forgotten."""
    return "".join(ALPHABET[index] for index in classes)
