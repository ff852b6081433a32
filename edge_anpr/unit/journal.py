"""The daemons' log: transitions to stderr, where systemd and the terminal pick them up, and never a plate.

An exception's text may quote what it choked on. So of an error that is not our own only its type and its place are
told; our own are written to be read.
"""

from __future__ import annotations

import logging
import sys
import threading
import traceback
import warnings
from types import TracebackType
from typing import TextIO

from edge_anpr.errors import SourceLost, Unusable
from edge_anpr.unit.outbox import OutboxError


def begin(process: str) -> None:
    """Send this process's log to stderr under its name, and let no uncaught exception print values."""
    logging.basicConfig(level=logging.INFO, stream=sys.stderr, format=f"{process}: %(message)s", force=True)
    logging.raiseExceptions = False
    sys.excepthook = _uncaught
    # Python would print the text of an error in a callback or a destructor, and of a warning with its line of code.
    sys.unraisablehook = lambda args: _uncaught(args.exc_type, args.exc_value, args.exc_traceback)
    warnings.showwarning = _warned
    threading.excepthook = lambda args: _uncaught(args.exc_type, args.exc_value, args.exc_traceback)


def _warned(
    message: Warning | str,  # noqa: ARG001 - it may quote a value
    category: type[Warning],
    filename: str,
    lineno: int,
    file: TextIO | None = None,  # noqa: ARG001
    line: str | None = None,  # noqa: ARG001
) -> None:
    logging.getLogger(__name__).warning("%s at %s:%d", category.__name__, _place(filename), lineno)


def told(error: BaseException) -> str:
    """What may be said of an error."""
    if isinstance(error, Unusable | SourceLost | OutboxError):
        return str(error)
    place = traceback.extract_tb(error.__traceback__)
    where = f" at {_place(place[-1].filename)}:{place[-1].lineno}" if place else ""
    return f"{type(error).__name__}{where}"


def _place(filename: str) -> str:
    return filename.rsplit("edge_anpr/", 1)[-1]


def _uncaught(_kind: type[BaseException], error: BaseException | None, _trace: TracebackType | None) -> None:
    if error is not None:
        logging.getLogger(__name__).critical("stopped by %s", told(error))
