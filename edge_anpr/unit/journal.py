"""The daemons' log: transitions, to the terminal or into systemd's journal, and never a plate.

An exception's text may quote what it choked on. So of an error that is not our own only its type and its place are
told; our own are written to be read.
"""

from __future__ import annotations

import logging
import sys
import threading
import traceback
import warnings
from collections.abc import Callable
from types import TracebackType
from typing import TextIO

from edge_anpr.errors import SourceLost, Unusable
from edge_anpr.unit import systemd
from edge_anpr.unit.events import event
from edge_anpr.unit.outbox import OutboxError

EXIT_MEND = 2


def begin(process: str) -> None:
    """Send this process's log where it is looked for, under its name, and let no uncaught exception print values.

    That is stderr; under systemd it is the journal, with fields, or without systemd-python with priorities only.
    """
    to_journal = systemd.logs_to_journal()
    handler: logging.Handler = logging.StreamHandler(sys.stderr)
    if to_journal and systemd.has_journal():
        handler = _ToJournal(process)
    handler.setFormatter((_Prioritised if to_journal else logging.Formatter)(f"{process}: %(message)s"))
    logging.basicConfig(level=logging.INFO, handlers=[handler], force=True)
    logging.raiseExceptions = False
    sys.excepthook = _uncaught
    # Python would print the text of an error in a callback or a destructor, and of a warning with its line of code.
    sys.unraisablehook = lambda args: _uncaught(args.exc_type, args.exc_value, args.exc_traceback)
    warnings.showwarning = _warned
    threading.excepthook = lambda args: _uncaught(args.exc_type, args.exc_value, args.exc_traceback)


def name_camera(camera: str) -> None:
    """From here on each entry of the journal names this camera."""
    for handler in logging.getLogger().handlers:
        if isinstance(handler, _ToJournal):
            handler.fields["EDGE_ANPR_CAMERA"] = camera


def until_mended(work: Callable[[], int]) -> int:
    """Do the work of a daemon. Under systemd what a person must mend is an error in the journal, with its entry."""
    try:
        return work()
    except Unusable as error:
        if not systemd.logs_to_journal():
            raise
        for line in str(error).splitlines():
            logging.getLogger(__name__).critical("%s", line, extra=event("stopped"))
        return EXIT_MEND


# syslog's numbers, by the least level that has them.
_PRIORITIES = ((logging.CRITICAL, 2), (logging.ERROR, 3), (logging.WARNING, 4), (logging.INFO, 6))


def _priority(record: logging.LogRecord) -> int:
    return next((number for level, number in _PRIORITIES if record.levelno >= level), 7)


class _ToJournal(logging.Handler):
    """Only what is named here becomes a field: a record also carries its arguments, each for itself."""

    def __init__(self, process: str) -> None:
        super().__init__()
        self.fields: dict[str, str] = {"SYSLOG_IDENTIFIER": f"edge-anpr-{process}"}

    def emit(self, record: logging.LogRecord) -> None:
        entry: dict[str, str | int] = {
            "MESSAGE": record.getMessage(),
            "PRIORITY": _priority(record),
            "LOGGER": record.name,
        }
        try:
            systemd.journal_send(entry | self.fields | getattr(record, "journal_fields", {}))
        except OSError:
            self.handleError(record)


class _Prioritised(logging.Formatter):
    """Each line begins as sd-daemon(3) has it, which journald takes off again."""

    def format(self, record: logging.LogRecord) -> str:
        return "\n".join(f"<{_priority(record)}>{line}" for line in super().format(record).splitlines())


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
        logging.getLogger(__name__).critical("stopped by %s", told(error), extra=event("stopped"))
