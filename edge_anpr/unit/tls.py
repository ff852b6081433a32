"""TLS towards the broker: version 1.3, a broker that shows by its SAN who it is, and a certificate of our own."""

from __future__ import annotations

import logging
import ssl
import stat
from dataclasses import dataclass
from pathlib import Path

from edge_anpr.errors import Unusable

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Files:
    """PEM files: who may have issued the broker's certificate; and, if it wants one, ours and its key."""

    ca: Path
    certificate: Path | None = None
    key: Path | None = None


def context(files: Files) -> ssl.SSLContext:
    """Read the files. Raises Unusable, with words for whoever has to mend them."""
    try:
        made = ssl.create_default_context(cafile=files.ca)
    except OSError as error:  # ssl.SSLError is one
        raise _unusable(f"ca {files.ca}", _words(error, "holds no certificate, or is damaged")) from error
    made.minimum_version = ssl.TLSVersion.TLSv1_3
    made.hostname_checks_common_name = False
    if files.certificate is not None and files.key is not None:
        _load(made, files.certificate, files.key)
    return made


def _load(made: ssl.SSLContext, certificate: Path, key: Path) -> None:
    for name, path in (("certificate", certificate), ("key", key)):
        try:
            mode = path.stat().st_mode
            path.read_bytes()  # OpenSSL does not say which of the two it cannot read
        except OSError as error:
            raise _unusable(f"{name} {path}", _words(error, "")) from error
    if mode & stat.S_IROTH:
        raise _unusable(f"key {key}", "can be read by everybody on this machine; chmod 640, or make a new one")
    try:
        # Without a password OpenSSL would ask for one, on a terminal that a daemon does not have.
        made.load_cert_chain(certificate, key, password="")
    except ssl.SSLError as error:
        if error.reason == "KEY_VALUES_MISMATCH":
            raise _unusable(f"key {key}", f"does not fit certificate {certificate}; copy both anew") from error
        raise _unusable(
            f"certificate {certificate} or key {key}",
            f"is damaged, no PEM, too weak, or locked by a password ({_words(error, 'cannot be read')})",
        ) from error


def _words(error: OSError, otherwise: str) -> str:
    if isinstance(error, ssl.SSLError):
        return (error.reason or otherwise).replace("_", " ").lower()
    return error.strerror or str(error)


def _unusable(what: str, why: str) -> Unusable:
    return Unusable(f"mqtt.tls cannot be used: {what}: {why}")


class Contexts:
    """A context for each new connection, from the files as they are then.

    When they cannot be used then, the last ones that could: a file that is damaged in place does not cut off a unit
    that runs. Raises Unusable when the first ones cannot.
    """

    def __init__(self, files: Files) -> None:
        self._files, self._good = files, context(files)
        self._complaint: str | None = None

    def current(self) -> ssl.SSLContext:
        """Read the files again."""
        try:
            self._good, self._complaint = context(self._files), None
        except Unusable as error:
            if str(error) != self._complaint:
                _log.error("%s; connecting with the files as they were before", error)
            self._complaint = str(error)
        return self._good
