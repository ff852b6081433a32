"""What a caller can do something about; the rest ends the process."""

from __future__ import annotations


class Unusable(Exception):
    """Something a person must mend before the program can go on; the text says what, where, and what to do."""


class SourceLost(Exception):
    """A live source gave no frame; it may come back, so the caller opens it again."""
