"""Memory that loading has filled and no frame needs: pages of programs, given back to the kernel."""

from __future__ import annotations

import ctypes
from collections.abc import Iterable, Iterator
from pathlib import Path

_LIBC = ctypes.CDLL(None, use_errno=True)
_MADV_DONTNEED = 4


def give_back_files(smaps: Path = Path("/proc/self/smaps")) -> None:
    """Let go of what this process holds of files that it only reads; what is used again comes back where it was.

    Linking touches all of a library, and what that links to: with Debian's OpenCV 118 MB of 396 files (Qt, VTK, GDAL),
    of which frames need 17. A page that nobody holds is the first that the kernel takes for something else.

    ``smaps``: this process's mappings, as Linux tells them. Without them nothing is given back.
    """
    if smaps.exists():
        for begin, end in _unwritten(smaps.read_text().splitlines()):
            # One that must stay (locked, a device's) is refused, and stays.
            _LIBC.madvise(ctypes.c_void_p(begin), ctypes.c_size_t(end - begin), _MADV_DONTNEED)


def _unwritten(lines: Iterable[str]) -> Iterator[tuple[int, int]]:
    """Where files are mapped that may not be written, and no page has been: what was (a loader relocates) is lost."""
    place: tuple[int, int] | None = None
    for line in lines:
        key, *rest = line.split(maxsplit=5)
        if not key.endswith(":"):
            begin, end = (int(side, 16) for side in key.split("-"))
            is_file = len(rest) == 5 and rest[4].startswith("/")
            place = (begin, end) if is_file and rest[0][1] == "-" and rest[0][3] == "p" else None
        elif key == "Anonymous:" and rest[0] == "0" and place is not None:
            yield place
