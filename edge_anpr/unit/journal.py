"""The daemons' log: transitions to stderr, where systemd and the terminal pick them up, and never a plate.

An exception's text may quote what it choked on. So of an error that is not our own only its type and its place are
told; our own are written to be read.
"""

from __future__ import annotations

import logging
import sys
import threading
import traceback
from types import TracebackType

from edge_anpr.datatypes import SourceLost, Unusable
from edge_anpr.unit.outbox import OutboxError


def begin(process: str) -> None:
    """Send this process's log to stderr under its name, and let no uncaught exception print values."""
    logging.basicConfig(level=logging.INFO, stream=sys.stderr, format=f"{process}: %(message)s", force=True)
    logging.raiseExceptions = False
    sys.excepthook = _uncaught
    threading.excepthook = lambda args: _uncaught(args.exc_type, args.exc_value, args.exc_traceback)


def told(error: BaseException) -> str:
    """What may be said of an error."""
    if isinstance(error, Unusable | SourceLost | OutboxError):
        return str(error)
    place = traceback.extract_tb(error.__traceback__)
    where = f" at {place[-1].filename.rsplit('edge_anpr/', 1)[-1]}:{place[-1].lineno}" if place else ""
    return f"{type(error).__name__}{where}"


def _uncaught(_kind: type[BaseException], error: BaseException | None, _trace: TracebackType | None) -> None:
    if error is not None:
        logging.getLogger(__name__).critical("stopped by %s", told(error))
